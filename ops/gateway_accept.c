/* chatops gateway accept, gateway reject. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/file.h"
#include "common/mem.h"
#include "enrol.h"
#include "ini_edit.h"
#include "numbers.h"
#include "say.h"
#include "store_sql.h"
#include "waiting.h"

/* ---- whom ---- */

static int find_waiting(struct op_cluster *c, struct op_waiting *w_r,
                        struct cm_err *err)
{
    const char *name = c->cli->args[0];
    struct op_waiters all;

    if (op_waiting_read(&c->nodes[0].host, &all, err) != 0) {
        return -1;
    }
    const struct op_waiting *w = op_waiting_find(&all, name);
    if (w == NULL) {
        return 0;
    }
    if (!w->joined) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "no machine has come as %s yet; its invite is good until %s",
                          name, w->expires);
    }
    *w_r = *w;
    if (c->cli->addresses != NULL) {
        snprintf(w_r->addresses, sizeof(w_r->addresses), "%s", c->cli->addresses);
    }
    if (w_r->addresses[0] == '\0') {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s has told no public address; name those its provider "
                          "forwards with --addresses \"A B\"",
                          name);
    }
    return 1;
}

/* Whoever had the token could be waiting; only the fingerprint says that it is the
 * operator's machine. */
static int confirm(const struct op_cluster *c, const struct op_waiting *w,
                   struct cm_err *err)
{
    char answer[16];

    if (!c->cli->json) {
        op_say(OP_PLAIN, "%s waits at %s", w->name, w->addresses);
        op_say(OP_PLAIN, "  fingerprint %s", w->print);
    }
    if (c->cli->yes) {
        return 0;
    }
    if (c->cli->json || !isatty(STDIN_FILENO)) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s waits with the fingerprint %s; when its console says the "
                          "same, add --yes",
                          w->name, w->print);
    }
    printf("Does its console say the same? [y/N] ");
    fflush(stdout);
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (answer[0] == 'y' || answer[0] == 'Y')) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "not accepted; to turn it away: chatops gateway reject %s",
                      w->name);
}

/* ---- chatmail.ini ---- */

/* A fresh machine in the place of one that was enrolled: its key, and where it is. */
static int edit_section(const struct op_cluster *c, const struct op_waiting *w,
                        char **text_r, struct cm_err *err)
{
    char section[48], *once;

    snprintf(section, sizeof(section), "gateway %s", w->name);
    if (op_ini_with_value(c->ini, section, "wg_public_key", w->wg_key, &once, err) !=
        0) {
        return -1;
    }
    int rc = op_ini_with_value(once, section, "addresses", w->addresses, text_r, err);
    free(once);
    return rc;
}

static int make_text(const struct op_cluster *c, const struct op_waiting *w,
                     char **text_r, struct cm_err *err)
{
    struct op_new_gateway gw = {.name = w->name,
                                .addresses = w->addresses,
                                .number = w->number,
                                .wg_public_key = w->wg_key};

    for (size_t i = 0; i < c->conf.gateway_count; i++) {
        const struct cm_conf_gateway *g = &c->conf.gateways[i];
        if (strcmp(g->name, w->name) != 0) {
            continue;
        }
        if (g->ssh[0] != '\0' || !g->agent || g->number != w->number) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "%s has another gateway %s; take its section out, or: "
                              "chatops gateway reject %s",
                              c->cli->config, w->name, w->name);
        }
        return edit_section(c, w, text_r, err);
    }
    *text_r = op_ini_with_gateway(c->ini, &gw);
    return 0;
}

static int write_ini(const struct op_cluster *c, const struct op_waiting *w,
                     struct cm_err *err)
{
    const char *config = c->cli->config;
    struct cm_conf conf;
    struct stat st;
    char *text;

    if (make_text(c, w, &text, err) != 0) {
        return -1;
    }
    int rc = cm_conf_parse(config, text, strlen(text), &conf, err);
    if (rc == 0) {
        cm_conf_clear(&conf);
    }
    if (rc == 0 && strcmp(text, c->ini) != 0) {
        mode_t bits = stat(config, &st) == 0 ? st.st_mode & 07777 : 0644;
        rc = cm_file_replace(config, text, strlen(text), bits, err);
    }
    free(text);
    return rc == 0 ? op_numbers_note(c, w->number, w->name, err) : -1;
}

/* ---- the verbs ---- */

static bool is_enrolled(const struct op_cluster *c, const char *name)
{
    for (size_t i = 0; i < c->conf.gateway_count; i++) {
        const struct cm_conf_gateway *g = &c->conf.gateways[i];
        if (strcmp(g->name, name) == 0) {
            return g->ssh[0] == '\0' && g->agent && g->wg_public_key[0] != '\0';
        }
    }
    return false;
}

/* The name is one that the store had, or none is found; never anything to quote. */
static int forget(struct op_cluster *c, const char *name, char **said_r,
                  struct cm_err *err)
{
    char *sql;

    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)) {
        *said_r = cm_strdup("");
        return 0;
    }
    sql = cm_asprintf("delete from gateway_invite where name = '%s' returning name;\n",
                      name);
    int rc = op_store_sql(&c->nodes[0].host, sql, said_r, err);
    free(sql);
    return rc;
}

static int forget_after(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    char *said = NULL;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = forget(&c, cli->args[0], &said, err);
    free(said);
    op_cluster_clear(&c);
    return rc;
}

/* The invite goes last, so that a call that was interrupted finds it again. */
int op_gateway_accept(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_waiting w;
    const char *name = cli->args[0];

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = find_waiting(&c, &w, err);
    if (rc > 0) {
        rc = confirm(&c, &w, err) == 0 ? write_ini(&c, &w, err) : -1;
    } else if (rc == 0 && !is_enrolled(&c, name)) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "no machine waits as %.64s; see: chatops gateway list", name);
    }
    op_cluster_clear(&c);
    if (rc != 0) {
        return -1;
    }
    struct op_cli sure = *cli;
    sure.yes = true; /* the fingerprint was the question */
    rc = op_enrol_finish(&sure, name, err);
    if (rc == OP_EXIT_OK || rc == OP_EXIT_FAILED) {
        rc = forget_after(cli, err) == 0 ? rc : -1;
    }
    return rc;
}

int op_gateway_reject(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    char *said = NULL;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = forget(&c, cli->args[0], &said, err);
    if (rc == 0 && said[0] == '\0') {
        rc = cm_err_set(
            err, CM_ERR_WORLD,
            "%.64s is neither invited nor waiting; see: chatops gateway list",
            cli->args[0]);
    } else if (rc == 0 && cli->json) {
        op_answer(json_pack("{s:s, s:s}", "result", "ok", "rejected", said));
    } else if (rc == 0) {
        op_say(OP_GREEN,
               "the invite of %s is void; a machine that took it may be wiped", said);
    }
    free(said);
    op_cluster_clear(&c);
    return rc;
}
