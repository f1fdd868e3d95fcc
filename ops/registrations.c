/* chatops registrations: who gets a new account.
 *
 * The mode is a setting, so it stands in chatmail.ini here and on the store. It is
 * changed in both, and in nothing else: changes of chatmail.ini that have not been run
 * yet stay where they are. On the store those who read it are told by SIGHUP, and it is
 * waited for until chatmail-auth says that it is so. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "registrations.h"
#include "say.h"
#include "store_sql.h"

#define SECTION "store"
#define KEY     "registrations"

static const char *const meanings[] = {
    [CM_REGISTRATIONS_OPEN] = "everyone gets a new account",
    [CM_REGISTRATIONS_CLOSED] = "nobody gets a new account",
    [CM_REGISTRATIONS_INVITE] = "who has an invite token gets a new account",
};

static int read_store_ini(struct op_cluster *c, char **text_r, struct cm_err *err)
{
    int rc = op_host_get(&c->nodes[0].host, OP_INI_PATH, text_r, err);

    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "the store has not been set up yet; run: chatops run");
    }
    return rc < 0 ? -1 : 0;
}

/* ---- open, closed, invite ---- */

/* A unit that had read the old file has read the new one now: its stamp says so, or the
 * next run would start it anew. $1 unit, $2 old hash, $3 new hash. */
static const char take_script[] =
    "systemctl -q is-active \"$1\" || exit 0\n"
    "systemctl reload \"$1\" || exit 1\n"
    "cd " OP_APPLIED_DIR " && read -r files program 2>/dev/null <\"$1\" || exit 0\n"
    "[ \"$files\" = \"$2\" ] || exit 0\n"
    "echo \"$3 $program\" >\"$1.new\" && sync \"$1.new\" && mv \"$1.new\" \"$1\"";

static int tell_unit(struct op_cluster *c, const char *unit, const char *before,
                     const char *after, struct cm_err *err)
{
    struct op_files old = {0}, new = {0};
    char old_hash[65], new_hash[65];

    op_files_add_ini(&old, before);
    op_files_add_ini(&new, after);
    op_unit_files_hash(&old, unit, old_hash);
    op_unit_files_hash(&new, unit, new_hash);
    op_files_clear(&old);
    op_files_clear(&new);
    struct op_cmd cmd = {.script = take_script, .args = {unit, old_hash, new_hash}};
    return op_host_run(&c->nodes[0].host, &cmd, NULL, err);
}

/* $1: what the status line of chatmail-auth ends in. */
static const char wait_script[] =
    "for i in $(seq 50); do s=$(systemctl show -P StatusText chatmail-auth)\n"
    "case $s in *\", registrations $1\") exit 0;; esac; sleep 0.1; done\n"
    "echo \"chatmail-auth did not take it (${s:-it does not run});"
    " see: journalctl -u chatmail-auth\" >&2; exit 1";

static int set_on_store(struct op_cluster *c, const char *mode, char **store_ini_r,
                        struct cm_err *err)
{
    struct op_host *store = &c->nodes[0].host;
    char *before = NULL, *after = NULL;
    int rc = read_store_ini(c, &before, err);

    if (rc == 0) {
        rc = op_ini_with_value(before, SECTION, KEY, mode, &after, err);
    }
    if (rc == 0 && strcmp(before, after) != 0) {
        rc = op_host_put(store, OP_INI_PATH, after, strlen(after), OP_INI_OWNER,
                         OP_INI_MODE, err);
    }
    for (const struct op_unit *u = op_store_units; rc == 0 && u->name != NULL; u++) {
        if (op_unit_takes_registrations(u->name)) {
            rc = tell_unit(c, u->name, before, after, err);
        }
    }
    if (rc == 0) {
        struct op_cmd wait = {
            .script = wait_script, .args = {mode}, .repeatable = true};
        rc = op_host_run(store, &wait, NULL, err);
    }
    free(before);
    if (rc != 0) {
        free(after);
        return -1;
    }
    *store_ini_r = after;
    return 0;
}

static int set_here(struct op_cluster *c, const char *mode, const char *store_ini,
                    bool *behind_r, struct cm_err *err)
{
    struct stat st;
    char *text;

    if (op_ini_with_value(c->ini, SECTION, KEY, mode, &text, err) != 0) {
        return -1;
    }
    *behind_r = strcmp(text, store_ini) != 0;
    mode_t bits = stat(c->cli->config, &st) == 0 ? st.st_mode & 07777 : 0644;
    int rc = strcmp(text, c->ini) == 0
                 ? 0
                 : cm_file_replace(c->cli->config, text, strlen(text), bits, err);
    free(text);
    return rc;
}

static void say_set(const struct op_cluster *c, enum cm_registrations mode, bool behind)
{
    if (c->cli->json) {
        op_answer(json_pack("{s:s, s:s, s:b}", "result", "ok", "registrations",
                            cm_registrations_name(mode), "run_needed", behind));
        return;
    }
    op_say(OP_GREEN, "registrations %s: %s", cm_registrations_name(mode),
           meanings[mode]);
    if (behind) {
        op_say(OP_PLAIN, "other changes in %s wait for: chatops run", c->cli->config);
    }
}

/* The store first: when it cannot be reached nothing has changed. */
static int set_mode(const struct op_cli *cli, enum cm_registrations mode,
                    struct cm_err *err)
{
    struct op_cluster c;
    struct op_journal lock;
    char *store_ini = NULL;
    bool behind = false;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = op_journal_open(c.state_dir, &lock, err);
    if (rc == 0) {
        rc = set_on_store(&c, cm_registrations_name(mode), &store_ini, err);
        if (rc == 0) {
            rc = set_here(&c, cm_registrations_name(mode), store_ini, &behind, err);
        }
        op_journal_close(&lock);
    }
    if (rc == 0) {
        say_set(&c, mode, behind);
    }
    free(store_ini);
    op_cluster_clear(&c);
    return rc;
}

int op_registrations_open(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_REGISTRATIONS_OPEN, err);
}

int op_registrations_closed(const struct op_cli *cli, struct cm_err *err)
{
    return set_mode(cli, CM_REGISTRATIONS_CLOSED, err);
}

int op_registrations_invite(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;

    if (cli->uses == NULL && cli->days == NULL && cli->count == NULL) {
        return set_mode(cli, CM_REGISTRATIONS_INVITE, err);
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = op_invites_make(&c, err);
    if (rc == OP_EXIT_OK && !cli->json &&
        c.conf.store.registrations != CM_REGISTRATIONS_INVITE) {
        op_warn("registrations are %s, so nobody is asked for a token; to ask: chatops "
                "registrations invite",
                cm_registrations_name(c.conf.store.registrations));
    }
    op_cluster_clear(&c);
    return rc;
}

/* ---- show ---- */

static const char facts_script[] =
    "echo \"serving $(systemctl show -P StatusText chatmail-auth)\"\n"
    "[ ! -e /etc/chatmail-nocreate ] || echo nocreate";

const char op_registrations_sql[] =
    "select json_build_object("
    "'accounts', count(*), "
    "'accounts_hour', count(*) filter (where created_at > now() - interval '1 hour'), "
    "'accounts_day', count(*) filter (where created_at > now() - interval '1 day'), "
    "'invites', (select coalesce(json_agg(json_build_object("
    "'id', id, 'created', " OP_SQL_TIME(
        "created") ", "
                   "'expires', " OP_SQL_TIME(
                       "expires") ", "
                                  "'uses', uses, 'used', used, 'left', uses - used, "
                                  "'state', "
                                  "case when expires <= now() then 'expired' when used "
                                  "= uses then 'used up' "
                                  "else 'good' end) order by id), '[]') from invite)) "
                                  "from account;";

/* What chatmail-auth has loaded, from "serving DOMAIN, registrations MODE". */
static const char *served_mode(const char *status)
{
    const char *at = strstr(status, ", registrations ");

    return at != NULL ? at + strlen(", registrations ") : "unknown";
}

static int ask_facts(struct op_cluster *c, json_t **facts_r, struct cm_err *err)
{
    struct op_host *store = &c->nodes[0].host;
    char *status = NULL, *rows = NULL;

    if (op_host_ask(store, facts_script, &status, err) != 0) {
        return -1;
    }
    char *second = strchr(status, '\n');
    bool nocreate = second != NULL;
    if (nocreate) {
        *second = '\0';
    }
    int rc = op_store_sql(store, op_registrations_sql, &rows, err);
    json_t *facts = rc == 0 ? json_loads(rows, 0, NULL) : NULL;
    if (rc == 0 && facts == NULL) {
        rc = cm_err_set(err, CM_ERR_WORLD, "the store answered: %.200s", rows);
    }
    if (rc == 0) {
        json_object_set_new(
            facts, "registrations",
            json_string(cm_registrations_name(c->conf.store.registrations)));
        json_object_set_new(facts, "serving", json_string(served_mode(status)));
        json_object_set_new(facts, "nocreate", json_boolean(nocreate));
        *facts_r = facts;
    }
    free(rows);
    free(status);
    return rc;
}

static long long number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static void say_invites(const json_t *invites)
{
    const json_t *invite;
    size_t i;

    if (json_array_size(invites) == 0) {
        op_say(OP_PLAIN, "no invite tokens; make some: chatops registrations invite "
                         "--uses 1 --days 7");
        return;
    }
    op_say(OP_PLAIN, "\n  %6s  %-20s  %-20s  %7s  %7s  %s", "invite", "made", "expires",
           "uses", "left", "state");
    json_array_foreach(invites, i, invite)
    {
        bool good = strcmp(text_of(invite, "state"), "good") == 0;
        op_say(good ? OP_PLAIN : OP_YELLOW, "  %6lld  %-20s  %-20s  %7lld  %7lld  %s",
               number_of(invite, "id"), text_of(invite, "created"),
               text_of(invite, "expires"), number_of(invite, "uses"),
               number_of(invite, "left"), text_of(invite, "state"));
    }
}

static void say_facts(const struct op_cluster *c, const json_t *facts)
{
    const char *wanted = text_of(facts, "registrations"),
               *served = text_of(facts, "serving");

    op_say(OP_GREEN, "registrations %s: %s", wanted,
           meanings[c->conf.store.registrations]);
    if (strcmp(wanted, served) != 0) {
        op_say(OP_RED, "but the store has it as \"%s\"; run: chatops registrations %s",
               served, wanted);
    }
    if (json_is_true(json_object_get(facts, "nocreate"))) {
        op_say(OP_RED,
               "but /etc/chatmail-nocreate exists on the store: nobody gets one");
    }
    op_say(OP_PLAIN,
           "accounts: %lld, of them made within a day %lld, within an hour %lld",
           number_of(facts, "accounts"), number_of(facts, "accounts_day"),
           number_of(facts, "accounts_hour"));
    say_invites(json_object_get(facts, "invites"));
}

int op_registrations(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    json_t *facts = NULL;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = ask_facts(&c, &facts, err);
    if (rc == 0 && cli->json) {
        op_answer(json_incref(facts));
    } else if (rc == 0) {
        say_facts(&c, facts);
    }
    json_decref(facts);
    op_cluster_clear(&c);
    return rc;
}
