/* chatops ban, unban, bans: who may not reach the gateways for a while. The store's
 * table and document are changed by chatmail-cluster; here is asked and waited. */
#include "bans.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/mem.h"
#include "common/source.h"
#include "say.h"

#define TEXT_MAX     (1024 * 1024)
#define WAIT_SECONDS "30"
#define WAIT_MS      45000

int op_ban_wish(const char *address, const char *duration, char *source_r,
                int64_t *seconds_r, struct cm_err *err)
{
    unsigned char source[CM_SOURCE_LEN];
    int64_t seconds = OP_BAN_DEFAULT_S;

    if (cm_source_parse(address, source, err) != 0) {
        return -1;
    }
    if (duration != NULL &&
        cm_value_seconds(duration, OP_BAN_MAX_S, &seconds, err) != 0) {
        return cm_err_prefix(err, "--for");
    }
    cm_source_text(source, true, source_r);
    *seconds_r = seconds;
    return 0;
}

void op_ban_left(int64_t s, char out[32])
{
    if (s >= 48 * 3600) {
        snprintf(out, 32, "%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
    } else if (s >= 3600) {
        snprintf(out, 32, "%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    } else if (s >= 60) {
        snprintf(out, 32, "%" PRId64 " min", s / 60);
    } else {
        snprintf(out, 32, "%" PRId64 " s", s > 0 ? s : 0);
    }
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

char *op_bans_text(const json_t *answer, int64_t now_s)
{
    const json_t *list = json_object_get(answer, "bans"), *ban;
    struct cm_buf b;
    size_t i;

    cm_buf_init(&b, TEXT_MAX);
    if (json_array_size(list) == 0) {
        cm_buf_str(&b, "nobody is banned\n");
    } else {
        cm_buf_fmt(&b, "  %-24s  %-12s  %s\n", "source", "for another", "reason");
    }
    json_array_foreach(list, i, ban)
    {
        char left[32];
        op_ban_left(json_integer_value(json_object_get(ban, "until")) - now_s, left);
        cm_buf_fmt(&b, "  %-24s  %-12s  %s\n", text_of(ban, "source"), left,
                   text_of(ban, "reason"));
    }
    if (!json_is_true(json_object_get(answer, "settled"))) {
        cm_buf_str(&b, "not yet in the desired state\n");
    }
    return cm_buf_steal(&b);
}

char *op_bans_pf(const json_t *answer, int64_t now_s)
{
    const json_t *list = json_object_get(answer, "bans"), *ban;
    struct cm_buf b;
    size_t i;

    cm_buf_init(&b, TEXT_MAX);
    json_array_foreach(list, i, ban)
    {
        if (json_integer_value(json_object_get(ban, "until")) > now_s) {
            cm_buf_fmt(&b, "%s\n", text_of(ban, "source"));
        }
    }
    return cm_buf_steal(&b);
}

/* The last line of what ctl said is its reason. */
static int ask(struct op_cluster *c, const char *script, const char *source,
               const char *seconds, json_t **answer_r, struct cm_err *err)
{
    struct op_cmd cmd = {.script = script, .args = {source, seconds}};
    char *said = NULL;

    if (op_host_run(&c->nodes[0].host, &cmd, &said, err) != 0) {
        return -1;
    }
    json_t *answer = json_loads(said, 0, NULL);
    int rc = answer != NULL
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD,
                              "store: chatmail-cluster answered: %.200s", said);
    free(said);
    *answer_r = answer;
    return rc;
}

static int await_epoch(struct op_cluster *c, long long epoch, struct cm_err *err)
{
    char text[24];
    struct op_cmd cmd = {.script = "chatmail-cluster ctl wait \"$1\" " WAIT_SECONDS,
                         .args = {text},
                         .timeout_ms = WAIT_MS,
                         .repeatable = true};

    snprintf(text, sizeof(text), "%lld", epoch);
    return op_host_run(&c->nodes[0].host, &cmd, NULL, err) == 0
               ? 0
               : cm_err_prefix(err, "it is published, but not every gateway has it");
}

static void say_done(const struct op_cluster *c, const char *what, const char *source,
                     const char *left, long long epoch)
{
    if (c->cli->json) {
        op_answer(json_pack("{s:s, s:s, s:I}", "result", "ok", what, source, "epoch",
                            (json_int_t)epoch));
    } else {
        op_say(OP_GREEN, "%s: %s%s%s, on all gateways (epoch %lld)", source, what,
               left[0] != '\0' ? " for " : "", left, epoch);
    }
}

/* seconds: "" for unban. */
static int change(const struct op_cli *cli, const char *source, const char *seconds,
                  const char *left, struct cm_err *err)
{
    static const char ban[] = "chatmail-cluster ctl ban \"$1\" \"$2\" operator";
    static const char unban[] = "chatmail-cluster ctl unban \"$1\"";
    bool adds = seconds[0] != '\0';
    struct op_cluster c;
    json_t *answer = NULL;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = ask(&c, adds ? ban : unban, source, seconds, &answer, err);
    long long epoch = json_integer_value(json_object_get(answer, "epoch"));
    if (rc == 0) {
        rc = await_epoch(&c, epoch, err);
    }
    if (rc == 0) {
        say_done(&c, adds ? "banned" : "unbanned", source, left, epoch);
    }
    json_decref(answer);
    op_cluster_clear(&c);
    return rc;
}

int op_ban(const struct op_cli *cli, struct cm_err *err)
{
    char source[CM_SOURCE_TEXT], number[24], left[32];
    int64_t seconds;

    if (op_ban_wish(cli->args[0], cli->for_s, source, &seconds, err) != 0) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    snprintf(number, sizeof(number), "%" PRId64, seconds);
    op_ban_left(seconds, left);
    return change(cli, source, number, left, err);
}

int op_unban(const struct op_cli *cli, struct cm_err *err)
{
    char source[CM_SOURCE_TEXT];
    int64_t ignored;

    if (op_ban_wish(cli->args[0], NULL, source, &ignored, err) != 0) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    return change(cli, source, "", "", err);
}

int op_bans(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    json_t *answer = NULL;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    int rc = ask(&c, "chatmail-cluster ctl bans", NULL, NULL, &answer, err);
    if (rc == 0 && cli->json) {
        op_answer(json_incref(answer));
    } else if (rc == 0) {
        char *text =
            (cli->pf ? op_bans_pf : op_bans_text)(answer, cm_now_wall_ms() / 1000);
        fputs(text, stdout);
        free(text);
    }
    json_decref(answer);
    op_cluster_clear(&c);
    return rc;
}
