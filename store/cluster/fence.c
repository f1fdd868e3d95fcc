#include "fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/plane.h"

struct fence {
    struct fence_env env;
    bool publishing;
    int64_t last_ms;           /* when the last document was begun; monotonic */
    struct control_call *call; /* waits for the table */
};

static int64_t now_s(void)
{
    return cm_now_wall_ms() / 1000;
}

static void on_published(int64_t epoch, bool changed, const struct cm_err *err,
                         void *ctx)
{
    struct fence *f = ctx;
    (void)epoch;
    (void)changed;
    f->publishing = false;
    if (err != NULL) {
        cm_log_err(CM_LOG_WARNING, "bans_unpublished", err);
    }
}

void fence_tick(struct fence *f)
{
    const struct px_state *state = f->env.state;
    int64_t now = cm_now_mono_ms();
    if (f->publishing || state->epoch == 0 || f->env.refused[0] != '\0' ||
        (f->last_ms != 0 && now - f->last_ms < FENCE_EVERY_MS) ||
        !bans_differ(f->env.bans, state, now_s())) {
        return;
    }
    struct px_state *wanted = cm_malloc(sizeof(*wanted));
    *wanted = *state;
    bans_fill(f->env.bans, wanted, now_s());
    f->publishing = true;
    f->last_ms = now;
    ledger_publish(f->env.ledger, wanted, LEDGER_BANS, state->epoch, on_published, f);
    free(wanted);
}

/* ---- verbs ---- */

static void on_table(const struct cm_err *err, void *ctx)
{
    struct fence *f = ctx;
    struct control_call *call = f->call;
    f->call = NULL;
    if (err != NULL) {
        control_refuse(call, err);
        return;
    }
    f->last_ms = 0;
    fence_tick(f);
    control_answer(call, "{\"ok\":true}");
}

static int check_source(const struct fence *f, const char *text, struct px_ban *ban,
                        struct cm_err *err)
{
    if (cm_source_parse(text, ban->source, err) != 0) {
        return -1;
    }
    if (f->env.state->gateway_count == 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "there is no gateway that could keep anybody out");
    }
    return px_ban_allowed(f->env.state, ban)
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE,
                            "%s is a gateway's, or no address of the Internet", text);
}

/* reason: the rest of the line, in printable ASCII. */
static int parse_ban(const struct fence *f, const char *input, struct px_ban *ban,
                     int64_t *seconds, char reason[BANS_REASON_MAX + 1],
                     struct cm_err *err)
{
    char source[64], number[24];
    if (sscanf(input, "%63s %23s %60[ -~]", source, number, reason) != 3) {
        return cm_err_set(err, CM_ERR_REFUSE, "not SOURCE SECONDS REASON");
    }
    if (check_source(f, source, ban, err) != 0) {
        return -1;
    }
    return cm_value_int(number, 1, BANS_SECONDS_MAX, seconds, err);
}

static void ban(struct fence *f, struct control_call *call, const char *input)
{
    struct px_ban wanted;
    char reason[BANS_REASON_MAX + 1];
    int64_t seconds;
    struct cm_err err;
    if (parse_ban(f, input, &wanted, &seconds, reason, &err) != 0) {
        control_refuse(call, &err);
        return;
    }
    f->call = call;
    bans_add(f->env.bans, wanted.source, seconds, reason, on_table, f);
}

static void unban(struct fence *f, struct control_call *call, const char *input)
{
    unsigned char source[CM_SOURCE_LEN];
    char text[64];
    struct cm_err err;
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(input, " \r\n"), input);
    if (cm_source_parse(text, source, &err) != 0) {
        control_refuse(call, &err);
        return;
    }
    f->call = call;
    bans_remove(f->env.bans, source, on_table, f);
}

static void list(struct fence *f, struct control_call *call)
{
    char *text = bans_json(f->env.bans, f->env.state, now_s());
    control_answer(call, text);
    free(text);
}

bool fence_call(struct fence *f, struct control_call *call, const char *verb,
                const char *input)
{
    bool adds = strcmp(verb, "ban") == 0, removes = strcmp(verb, "unban") == 0;
    if (strcmp(verb, "bans") == 0) {
        list(f, call);
    } else if (!adds && !removes) {
        return false;
    } else if (f->call != NULL) {
        struct cm_err err;
        (void)cm_err_set(&err, CM_ERR_RETRY, "another ban is just being changed");
        control_refuse(call, &err);
    } else {
        (adds ? ban : unban)(f, call, input);
    }
    return true;
}

struct fence *fence_new(const struct fence_env *env)
{
    struct fence *f = cm_calloc(1, sizeof(*f));
    f->env = *env;
    return f;
}

void fence_free(struct fence **fence)
{
    free(*fence);
    *fence = NULL;
}
