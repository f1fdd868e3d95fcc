#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/mem.h"
#include "restore.h"

#define STOP_MS (5 * 60 * 1000)
#define INI_MAX (1 << 20)
#define DATA_MS (24 * 60 * 60 * 1000)

static struct op_restore *restore_of(const struct op_step *step)
{
    const struct op_node *store = step->ctx;

    return store->cluster->restore;
}

/* ---- may it be? ---- */

/* The note, in one line; how many accounts there are, the echo bot's not counted. */
static const char look_script[] =
    "echo $(cat " OP_RESTORE_NOTE " 2>/dev/null)\n"
    "[ -d /var/lib/postgresql/15/main ] || { echo 0; exit 0; }\n"
    "ask() { runuser -u postgres -- psql -XAtq -d \"$1\" -c \"$2\" 2>/dev/null; }\n"
    "there=$(ask postgres \"select count(*) from pg_database where datname = "
    "'chatmail'\") || { echo unknown; exit 0; }\n"
    "[ \"$there\" = 1 ] || { echo 0; exit 0; }\n"
    "[ \"$(ask chatmail \"select to_regclass('account') is null\")\" != t ] ||"
    " { echo 0; exit 0; }\n"
    "ask chatmail \"select count(*) from account where addr not like 'echo@%'\" ||"
    " echo unknown";

static bool has_word(const char *line, size_t len, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = line; p < line + len;) {
        size_t w = strcspn(p, " \n");
        if (w == n && memcmp(p, word, n) == 0) {
            return true;
        }
        p += w + 1;
    }
    return false;
}

void op_restore_judge(const char *said, const char *id, bool overwrite,
                      struct op_defects *d)
{
    size_t note = strcspn(said, "\n");
    const char *count = said[note] == '\n' ? said + note + 1 : "unknown";
    bool this_one = note >= strlen(id) && strncmp(said, id, strlen(id)) == 0;
    bool done = has_word(said, note, "done");

    if (overwrite || (this_one && !done)) {
        return;
    }
    if (strcmp(count, "0") == 0) {
        return;
    }
    if (strncmp(count, "unknown", 7) == 0) {
        op_defects_add(d,
                       "start PostgreSQL there; or, when what it holds is worth "
                       "nothing, say --overwrite",
                       "cannot be asked whether it has accounts");
        return;
    }
    op_defects_add(d,
                   this_one ? "nothing is left to do; to put it back once more, and "
                              "lose what came since, say --overwrite"
                            : "take another machine; or, to replace its accounts by "
                              "those of the backup, say --overwrite",
                   this_one ? "has this backup already, and %s account%s"
                            : "has %s account%s already",
                   count, strcmp(count, "1") == 0 ? "" : "s");
}

/* Two with the same keys would pull at the same gateways. One that does not answer is
 * taken for lost. */
static void look_at_former(struct op_restore *r, const struct op_cluster *c)
{
    struct op_host former;
    struct cm_err lost;
    char *said = NULL;

    if (r->former[0] == '\0') {
        return;
    }
    op_host_init(&former, "former store", r->former, c->state_dir);
    if (op_host_ask(&former, "systemctl is-active chatmail-cluster; true", &said,
                    &lost) == 0 &&
        strcmp(said, "active") == 0) {
        op_defects_add(&r->defects,
                       "switch it off, or: systemctl disable --now chatmail-cluster",
                       "the former store, %s, still runs", r->former);
    }
    free(said);
    op_host_close(&former);
}

static int check_target(struct op_step *step, struct cm_err *err)
{
    struct op_restore *r = restore_of(step);
    struct op_node *store = step->ctx;
    char *said;

    op_defects_clear(&r->defects);
    if (op_host_ask(&store->host, look_script, &said, err) != 0) {
        return -1;
    }
    op_restore_judge(said, r->archive.id, r->overwrite, &r->defects);
    look_at_former(r, store->cluster);
    free(said);
    return 1;
}

void op_add_restore_survey(struct op_plan *plan, struct op_cluster *c)
{
    struct op_step s = {.node = c->nodes[0].host.name,
                        .name = "may be overwritten",
                        .check = check_target,
                        .defects = &c->restore->defects,
                        .ctx = &c->nodes[0]};

    op_plan_add(plan, &s);
}

/* ---- chatmail.ini ---- */

static int check_ini(struct op_step *step, struct cm_err *err)
{
    const struct op_restore *r = restore_of(step);
    const struct op_node *store = step->ctx;
    char *text;
    int rc = cm_file_read(r->config, INI_MAX, &text, NULL, err);

    if (rc == 1) {
        rc = strcmp(text, store->cluster->ini) == 0;
        free(text);
    }
    if (rc == 0) {
        op_step_note(step, "%s", r->config);
    }
    return rc;
}

static int write_ini(struct op_step *step, struct cm_err *err)
{
    const struct op_restore *r = restore_of(step);
    const struct op_node *store = step->ctx;

    op_step_note(step, "wrote %s", r->config);
    return cm_file_replace(r->config, store->cluster->ini, store->cluster->ini_len,
                           0644, err);
}

/* ---- the note on the store ---- */

/* 1 it is this backup's, unfinished or not, and has the word; 0 not. */
static int note_has(struct op_step *step, const char *word, struct cm_err *err)
{
    struct op_node *store = step->ctx;
    const struct op_restore *r = restore_of(step);
    char *said;

    if (op_host_ask(&store->host, "cat " OP_RESTORE_NOTE " 2>/dev/null; true", &said,
                    err) != 0) {
        return -1;
    }
    size_t n = strlen(r->archive.id);
    int rc = strncmp(said, r->archive.id, n) == 0 && has_word(said, strlen(said), word);
    free(said);
    return rc;
}

/* A finished one is begun anew: --overwrite was said. */
static int check_begun(struct op_step *step, struct cm_err *err)
{
    int begun = note_has(step, restore_of(step)->archive.id, err);
    int done = begun > 0 ? note_has(step, "done", err) : 0;

    if (begun < 0 || done < 0) {
        return -1;
    }
    if (begun == 0 || done > 0) {
        op_step_note(step, "its services stop");
        return 0;
    }
    return 1;
}

/* Sockets before services, which they would start again. What is to be put back must
 * not be used meanwhile; the steps of the units start all of it. */
#define STOP                                                                           \
    "systemctl stop 'chatmail-*.timer' 'chatmail-*.path' 'chatmail-*.socket'"          \
    " 2>/dev/null; systemctl stop 'chatmail-*.service' postfix.service"                \
    " 'postfix@*.service' dovecot.service nginx.service 2>/dev/null\n"

static int begin(struct op_step *step, struct cm_err *err)
{
    struct op_node *store = step->ctx;
    struct op_cmd cmd = {.script = STOP "set -e; mkdir -p /var/lib/portico\n"
                                        "echo \"$1\" >" OP_RESTORE_NOTE ".new\n"
                                        "sync " OP_RESTORE_NOTE ".new\n"
                                        "mv " OP_RESTORE_NOTE ".new " OP_RESTORE_NOTE,
                         .args = {restore_of(step)->archive.id},
                         .timeout_ms = STOP_MS,
                         .repeatable = true};

    op_step_note(step, "its services are stopped");
    return op_host_run(&store->host, &cmd, NULL, err);
}

void op_add_restore_begin(struct op_plan *plan, struct op_node *store)
{
    struct op_step ini = {.node = "here",
                          .name = "chatmail.ini",
                          .check = check_ini,
                          .act = write_ini,
                          .ctx = store};
    struct op_step s = {.node = store->host.name,
                        .name = "is being restored",
                        .check = check_begun,
                        .act = begin,
                        .ctx = store};

    if (store->cluster->restore != NULL) {
        op_plan_add(plan, &ini);
        op_plan_add(plan, &s);
    }
}

/* ---- parts ---- */

struct part {
    const char *name;   /* as chatmail-backup and the note have it */
    const char *before; /* shell: what else has to be so */
    size_t offset;      /* of its op_archive_part in struct op_archive */
};

static const struct part keys = {"store", "", offsetof(struct op_archive, store)};
/* What was published is in the database: it is published anew. */
static const struct part database = {"database",
                                     "rm -f " OP_APPLIED_DIR "/desired-state\n",
                                     offsetof(struct op_archive, database)};
static const struct part mail = {"mail", "", offsetof(struct op_archive, mail)};

static int check_part(struct op_step *step, struct cm_err *err)
{
    const struct part *p = step->arg;
    int rc = note_has(step, p->name, err);

    if (rc == 0) {
        op_step_note(step, "not yet");
    }
    return rc;
}

static void note_counts(struct op_step *step, const char *said)
{
    unsigned long long files, boxes, present;

    if (sscanf(said, "files %llu boxes %llu present %llu", &files, &boxes, &present) !=
        3) {
        return;
    }
    if (boxes + present == 0) {
        op_step_note(step, "put back");
    } else if (present == 0) {
        op_step_note(step, "%llu mailboxes", boxes);
    } else {
        op_step_note(step,
                     "%llu mailboxes; %llu were there already and stayed as "
                     "they are",
                     boxes, present);
    }
}

static int put_part(struct op_step *step, struct cm_err *err)
{
    const struct part *p = step->arg;
    struct op_node *store = step->ctx;
    const struct op_archive *a = &restore_of(step)->archive;
    const struct op_archive_part *part =
        (const struct op_archive_part *)((const char *)a + p->offset);
    char made[24], *said;

    snprintf(made, sizeof(made), "%lld", (long long)a->about.made_s);
    struct op_cmd cmd = {
        .script =
            STOP "set -e; eval \"$3\"; chatmail-backup take \"$1\" --made \"$2\"\n"
                 "echo \"$1\" >>" OP_RESTORE_NOTE "; sync " OP_RESTORE_NOTE,
        .args = {p->name, made, p->before},
        .input = part->len > 0 ? part->data : "",
        .input_len = part->len,
        .timeout_ms = DATA_MS};
    if (op_host_run(&store->host, &cmd, &said, err) != 0) {
        return -1;
    }
    note_counts(step, said);
    free(said);
    return 0;
}

static void add_part(struct op_plan *plan, struct op_node *store, const char *name,
                     const struct part *part)
{
    struct op_step s = {.node = store->host.name,
                        .name = name,
                        .check = check_part,
                        .act = put_part,
                        .ctx = store,
                        .arg = part};

    op_plan_add(plan, &s);
}

/* chatmail-backup reads chatmail.ini there. */
static int check_store_ini(struct op_step *step, struct cm_err *err)
{
    struct op_node *store = step->ctx;
    char *text = NULL;
    int rc = op_host_get(&store->host, OP_INI_PATH, &text, err);

    if (rc == 1) {
        rc = strcmp(text, store->cluster->ini) == 0;
    }
    free(text);
    return rc;
}

static int put_store_ini(struct op_step *step, struct cm_err *err)
{
    struct op_node *store = step->ctx;

    op_step_note(step, "wrote " OP_INI_PATH);
    return op_host_put(&store->host, OP_INI_PATH, store->cluster->ini,
                       store->cluster->ini_len, OP_INI_OWNER, OP_INI_MODE, err);
}

void op_add_restore_keys(struct op_plan *plan, struct op_node *store)
{
    struct op_step s = {.node = store->host.name,
                        .name = "its chatmail.ini",
                        .check = check_store_ini,
                        .act = put_store_ini,
                        .ctx = store};

    if (store->cluster->restore != NULL) {
        op_plan_add(plan, &s);
        add_part(plan, store, "keys of the backup", &keys);
    }
}

void op_add_restore_data(struct op_plan *plan, struct op_node *store)
{
    if (store->cluster->restore != NULL) {
        add_part(plan, store, "database of the backup", &database);
        add_part(plan, store, "mailboxes of the backup", &mail);
    }
}

/* ---- the end ---- */

static int check_done(struct op_step *step, struct cm_err *err)
{
    return note_has(step, "done", err);
}

static int finish(struct op_step *step, struct cm_err *err)
{
    struct op_node *store = step->ctx;
    struct op_cmd cmd = {.script =
                             "echo done >>" OP_RESTORE_NOTE "; sync " OP_RESTORE_NOTE,
                         .repeatable = true};

    return op_host_run(&store->host, &cmd, NULL, err);
}

void op_add_restore_end(struct op_plan *plan, struct op_node *store)
{
    struct op_step s = {.node = store->host.name,
                        .name = "is restored",
                        .check = check_done,
                        .act = finish,
                        .ctx = store};

    if (store->cluster->restore != NULL) {
        op_plan_add(plan, &s);
    }
}
