/* chatops gateway add. */
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
#include "enrol.h"
#include "ini_edit.h"
#include "numbers.h"
#include "say.h"

/* Reaches the node and learns its addresses, unless they were given. */
static int probe(const struct op_cluster *c, char **addresses_r, struct cm_err *err)
{
    const struct op_cli *cli = c->cli;
    struct op_host host;
    char *said = NULL;

    op_host_init(&host, cli->args[0], cli->ssh, c->state_dir);
    host.verbose = cli->verbose;
    int rc = op_host_ask(&host,
                         "[ \"$(id -u)\" = 0 ] || { echo not root >&2; exit 1; }\n"
                         "ip -o addr show scope global",
                         &said, err);
    op_host_close(&host);
    if (rc != 0) {
        return -1;
    }
    char *found =
        cli->addresses != NULL ? cm_strdup(cli->addresses) : op_public_addresses(said);
    free(said);
    if (found[0] == '\0') {
        free(found);
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s has no public address on its interfaces; name those its "
                          "provider forwards with --addresses \"A B\"",
                          cli->args[0]);
    }
    *addresses_r = found;
    return 0;
}

/* Nobody can be asked; the reader of chatmail.ini checks them. */
static int take_addresses(const struct op_cluster *c, char **addresses_r,
                          struct cm_err *err)
{
    (void)err;
    *addresses_r = cm_strdup(c->cli->addresses);
    return 0;
}

/* The parser judges the result before it is written, so a bad name, a double address or
 * number is refused with its own words. */
static int write_ini(const struct op_cluster *c, const char *text, struct cm_err *err)
{
    struct cm_conf conf;
    struct stat st;

    if (cm_conf_parse(c->cli->config, text, strlen(text), &conf, err) != 0) {
        return -1;
    }
    cm_conf_clear(&conf);
    mode_t mode = stat(c->cli->config, &st) == 0 ? st.st_mode & 07777 : 0644;
    return cm_file_replace(c->cli->config, text, strlen(text), mode, err);
}

static int write_section(const struct op_cluster *c, const struct op_new_gateway *gw,
                         struct cm_err *err)
{
    char *text = op_ini_with_gateway(c->ini, gw);
    int rc = write_ini(c, text, err);

    free(text);
    return rc;
}

static void say_added(const struct op_cli *cli, const struct op_new_gateway *gw)
{
    if (cli->json) {
        json_t *o =
            json_pack("{s:s, s:s, s:I, s:s}", "result", "ok", "name", gw->name,
                      "number", (json_int_t)gw->number, "addresses", gw->addresses);
        op_answer(o);
        return;
    }
    op_say(OP_GREEN, "added gateway %s (number %lld, addresses %s) to %s", gw->name,
           (long long)gw->number, gw->addresses, cli->config);
    op_say(OP_PLAIN, "next: chatops run");
}

static const struct cm_conf_gateway *in_conf(const struct op_cluster *c)
{
    const struct cm_conf *conf = &c->conf;

    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (strcmp(conf->gateways[i].name, c->cli->args[0]) == 0) {
            return &conf->gateways[i];
        }
    }
    return NULL;
}

/* It joined by an invite, and chatops shall look after it from now on. */
static bool is_adoption(const struct op_cli *cli, const struct cm_conf_gateway *g)
{
    return cli->ssh != NULL && g->ssh[0] == '\0' && g->agent &&
           g->wg_public_key[0] != '\0';
}

/* 1: chatmail.ini has it, as it is asked for; 0: it has not; -1: it has another. */
static int is_there(const struct op_cluster *c, const struct cm_conf_gateway *g,
                    struct cm_err *err)
{
    const struct op_cli *cli = c->cli;

    if (g == NULL) {
        return 0;
    }
    const char *differs =
        cli->ssh != NULL && strcmp(cli->ssh, g->ssh) != 0 && !is_adoption(cli, g)
            ? g->ssh
        : cli->wg_key != NULL && strcmp(cli->wg_key, g->wg_public_key)
            ? g->wg_public_key
        : cli->addresses != NULL && strcmp(cli->addresses, g->addresses) ? g->addresses
                                                                         : NULL;
    if (differs != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s has a gateway %s already, with %s; take another name, or "
                          "change its section",
                          cli->config, g->name, differs[0] != '\0' ? differs : "none");
    }
    return 1;
}

/* ---- adoption ---- */

/* Nothing is made on a machine that may be somebody else's: its key is only read. */
static const char key_script[] =
    "[ \"$(id -u)\" = 0 ] || { echo not root >&2; exit 1; }\n"
    "[ -s /etc/chatmail/wg.key ] && [ -x /usr/sbin/chatmail-gateway ] || exit 0\n"
    "/usr/sbin/chatmail-gateway keygen";

/* Is the machine at --ssh the one that was accepted? */
static int is_the_same(const struct op_cluster *c, const struct cm_conf_gateway *g,
                       struct cm_err *err)
{
    struct op_host host;
    char *said = NULL;

    op_host_init(&host, g->name, c->cli->ssh, c->state_dir);
    host.verbose = c->cli->verbose;
    int rc = op_host_ask(&host, key_script, &said, err);
    op_host_close(&host);
    if (rc != 0) {
        return -1;
    }
    json_t *o = json_loads(said, 0, NULL);
    const char *key = json_string_value(json_object_get(o, "wg"));
    if (key == NULL || strcmp(key, g->wg_public_key) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "%s is not the machine that joined as %s: %s; nothing was "
                        "changed",
                        c->cli->ssh, g->name,
                        key == NULL ? "it has no tunnel key"
                                    : "its tunnel has another key than its section "
                                      "says");
    }
    json_decref(o);
    free(said);
    return rc;
}

/* From now on its key is read there, as with every gateway that has ssh. */
static int adopted_text(const struct op_cluster *c, const char *section, char **text_r,
                        struct cm_err *err)
{
    char *once;

    if (op_ini_with_value(c->ini, section, "ssh", c->cli->ssh, &once, err) != 0) {
        return -1;
    }
    int rc = op_ini_with_value(once, section, "wg_public_key", NULL, text_r, err);
    free(once);
    return rc;
}

static int adopt(const struct op_cluster *c, const struct cm_conf_gateway *g,
                 struct cm_err *err)
{
    char section[48], *text;

    snprintf(section, sizeof(section), "gateway %.32s", g->name);
    if (is_the_same(c, g, err) != 0 || adopted_text(c, section, &text, err) != 0) {
        return -1;
    }
    int rc = write_ini(c, text, err);
    free(text);
    if (rc == 0 && !c->cli->json) {
        op_say(OP_GREEN,
               "%s keeps its key and its place; chatops run looks after it from now on",
               g->name);
    }
    return rc;
}

/* ---- the verb ---- */

static int add_section(struct op_cluster *c, struct op_new_gateway *gw,
                       struct cm_err *err)
{
    char *more = c->cli->no_run ? cm_strdup("") : op_numbers_on_store(c);
    char *addresses = NULL;
    int rc = -1;

    if (op_numbers_choose(c, more, &gw->number, err) == 0 &&
        (c->cli->ssh != NULL ? probe(c, &addresses, err)
                             : take_addresses(c, &addresses, err)) == 0) {
        gw->addresses = addresses;
        rc = write_section(c, gw, err);
    }
    /* behind the ini: a number is used once a gateway has had it */
    if (rc == 0) {
        rc = op_numbers_note(c, gw->number, gw->name, err);
    }
    if (rc == 0 && c->cli->no_run) {
        say_added(c->cli, gw);
    }
    free(addresses);
    free(more);
    return rc;
}

static int check_words(const struct op_cli *cli, struct cm_err *err)
{
    if (cli->ssh != NULL && cli->wg_key != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "--ssh is for a gateway that chatops sets up, --wg-key for "
                          "one that you set up yourself: say one of them");
    }
    if (cli->ssh == NULL && cli->wg_key == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "gateway add needs --ssh TARGET, for example "
                          "--ssh root@198.51.100.11");
    }
    if (cli->wg_key != NULL && cli->addresses == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "--wg-key needs --addresses \"A B\", its public addresses");
    }
    return 0;
}

int op_gateway_add(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_new_gateway gw = {.name = cli->args[0],
                                .ssh = cli->ssh,
                                .wg_public_key = cli->wg_key,
                                .agentless = cli->wg_key != NULL};

    if (check_words(cli, err) != 0) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    const struct cm_conf_gateway *there = in_conf(&c);
    int rc = is_there(&c, there, err);
    if (rc > 0 && is_adoption(cli, there)) {
        rc = adopt(&c, there, err) == 0 ? 1 : -1;
    } else if (rc == 0) {
        rc = add_section(&c, &gw, err);
    } else if (rc > 0 && cli->no_run && !cli->json) {
        op_say(OP_PLAIN, "%s has gateway %s already; next: chatops run", cli->config,
               gw.name);
    }
    op_cluster_clear(&c);
    if (rc < 0) {
        return -1;
    }
    return cli->no_run ? OP_EXIT_OK : op_enrol_finish(cli, cli->args[0], err);
}
