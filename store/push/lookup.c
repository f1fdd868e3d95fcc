#include "lookup.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"

#include "schedule.h"

#define LOOK_MS 5000

struct lookup {
    const struct ring_env *env;
    struct cm_timer *timer;
    size_t open; /* of this round */
    bool full;   /* there may be more */
    bool failed; /* one of them */
    bool stopped;
};

static void on_timer(void *ctx)
{
    lookup_wake(ctx);
}

struct lookup *lookup_new(struct cm_loop *loop, const struct ring_env *env)
{
    struct lookup *lookup = cm_calloc(1, sizeof(*lookup));
    lookup->env = env;
    lookup->timer = cm_timer_new(loop, on_timer, lookup);
    cm_timer_set(lookup->timer, LOOK_MS);
    return lookup;
}

void lookup_free(struct lookup **lookup)
{
    if (*lookup == NULL) {
        return;
    }
    cm_timer_free(&(*lookup)->timer);
    free(*lookup);
    *lookup = NULL;
}

void lookup_stop(struct lookup *lookup)
{
    lookup->stopped = true;
    cm_timer_stop(lookup->timer);
}

static void close_one(struct lookup *lookup)
{
    if (--lookup->open == 0 && !lookup->stopped) {
        cm_timer_set(lookup->timer, lookup->full && !lookup->failed ? 0 : LOOK_MS);
    }
}

static void on_settled(const struct cm_err *err, void *ctx)
{
    struct lookup *lookup = ctx;
    if (err->kind != CM_ERR_NONE) {
        lookup->failed = true;
    }
    if (err->kind == CM_ERR_WORLD) {
        cm_log_err(CM_LOG_ERROR, "lookup_failed", err);
    }
    close_one(lookup);
}

static void settle(struct lookup *lookup, const struct queue_lookup *one)
{
    const struct ring_env *env = lookup->env;
    lookup->open++;
    if (queue_now_us(env->queue) - one->ring_us <= SCHEDULE_LIFE_US) {
        ring_settle(env, one->addr, on_settled, lookup);
        return;
    }
    struct queue_add nothing = {.addr = one->addr, .complete = true};
    cm_log(CM_LOG_ERROR, "push_dropped", "reason",
           "deadline, PostgreSQL was away for too long", NULL);
    queue_add(env->queue, &nothing, on_settled, lookup);
}

static void on_lookups(const struct queue_lookup *lookups, size_t count, void *ctx)
{
    struct lookup *lookup = ctx;
    lookup->full = lookups != NULL && count == QUEUE_LOOKUPS_MAX;
    for (size_t i = 0; lookups != NULL && !lookup->stopped && i < count; i++) {
        settle(lookup, &lookups[i]);
    }
    close_one(lookup);
}

void lookup_wake(struct lookup *lookup)
{
    if (lookup->stopped || lookup->open > 0) {
        return;
    }
    if (!tokens_up(lookup->env->tokens) || !queue_up(lookup->env->queue)) {
        cm_timer_set(lookup->timer, LOOK_MS);
        return;
    }
    lookup->open = 1; /* the question itself */
    lookup->failed = false;
    queue_lookups(lookup->env->queue, on_lookups, lookup);
}
