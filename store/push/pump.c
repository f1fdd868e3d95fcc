#include "pump.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include "schedule.h"

#define AGAIN_MS      1000 /* after trouble with Redis that did not end the connection */
#define REWIND_MS     5000
#define NOTE_EVERY_MS 1000 /* the newest success, for Redis */

enum outcome { FLYING, SENT, FAILED, GONE };

struct flight {
    struct pump *pump;
    struct item *item;
    enum queue_lane lane;
    enum outcome outcome;
    int64_t due_us; /* FAILED: 0 when it is given up */
    bool told;      /* Redis has been asked to note it */
    /* Tokens of one address go out in their order. */
    struct flight *ahead, *behind;
    struct cm_timer *patience; /* while it waits for the one ahead */
};

struct lane {
    struct pump *pump;
    enum queue_lane name;
    size_t max;
    size_t flights;
    int64_t after_us; /* what was due until then has been taken */
    bool taking;
    bool woken; /* while it was taking */
    struct cm_timer *due;
};

struct pump {
    struct cm_loop *loop;
    struct queue *queue;
    struct tokens *tokens;
    struct courier *courier;
    int64_t base_ms;
    struct lane lanes[QUEUE_LANES];
    void *flights; /* tree by key */
    size_t flight_count;
    struct cm_timer *rewind;
    struct cm_timer *retell;
    int64_t noted_ms;
    bool stopped;
    struct pump_figures figures;
};

static void lane_run(struct lane *lane);

/* Flights. The item's key is the first thing in it. */

static int compare(const void *a, const void *b)
{
    const struct flight *x = a, *y = b;
    return strcmp(x->item->key, y->item->key);
}

static struct flight *flight_find(const struct pump *pump, const char *key)
{
    struct item item;
    struct flight want = {.item = &item};
    snprintf(item.key, sizeof(item.key), "%s", key);
    struct flight **node = tfind(&want, &pump->flights, compare);
    return node != NULL ? *node : NULL;
}

int64_t pump_flying_us(const struct pump *pump, const char *key)
{
    const struct flight *flight = flight_find(pump, key);
    return flight != NULL ? flight->item->start_us : 0;
}

size_t pump_flights(const struct pump *pump)
{
    return pump->flight_count;
}

static void flight_end(struct flight *flight)
{
    struct pump *pump = flight->pump;
    struct lane *lane = &pump->lanes[flight->lane];
    tdelete(flight, &pump->flights, compare);
    pump->flight_count--;
    lane->flights--;
    cm_timer_free(&flight->patience);
    item_free(&flight->item);
    free(flight);
}

/* Telling Redis */

static void on_told(const struct cm_err *err, void *ctx)
{
    struct flight *flight = ctx;
    struct pump *pump = flight->pump;
    if (pump->stopped && err->kind != CM_ERR_NONE) {
        flight->told = false; /* it goes with the pump */
        return;
    }
    if (err->kind == CM_ERR_NONE) {
        flight_end(flight);
        pump_wake(pump);
        return;
    }
    if (err->kind == CM_ERR_WORLD) {
        cm_log_err(CM_LOG_ERROR, "outcome_not_noted", err);
    }
    flight->told = false;
    cm_timer_set(pump->retell, AGAIN_MS);
}

static void tell(struct flight *flight)
{
    struct queue *queue = flight->pump->queue;
    const struct item *item = flight->item;
    flight->told = true;
    switch (flight->outcome) {
    case SENT:
        queue_sent(queue, item, on_told, flight);
        break;
    case FAILED:
        queue_failed(queue, item, item->tries, flight->due_us, on_told, flight);
        break;
    case GONE:
        queue_gone(queue, item, on_told, flight);
        break;
    case FLYING:
        break;
    }
}

/* A tree may not change while it is walked. */
struct untold {
    struct flight *items[PUMP_FIRST_MAX + PUMP_AGAIN_MAX];
    size_t count;
};

static void add_untold(const void *node, VISIT visit, void *ctx)
{
    struct untold *untold = ctx;
    struct flight *flight = *(struct flight *const *)node;
    if ((visit == postorder || visit == leaf) && flight->outcome != FLYING &&
        !flight->told) {
        untold->items[untold->count++] = flight;
    }
}

static void on_retell(void *ctx)
{
    struct pump *pump = ctx;
    struct untold untold = {.count = 0};
    if (!queue_up(pump->queue)) {
        return; /* pump_redis_back comes */
    }
    twalk_r(pump->flights, add_untold, &untold);
    for (size_t i = 0; i < untold.count; i++) {
        tell(untold.items[i]);
    }
}

static void conclude(struct flight *flight, enum outcome outcome)
{
    flight->outcome = outcome;
    if (queue_up(flight->pump->queue)) {
        tell(flight);
    }
}

/* What became of a post */

static void on_failed(struct flight *flight, const char *why)
{
    struct pump *pump = flight->pump;
    struct item *item = flight->item;
    char reason[320], tries[16];
    snprintf(reason, sizeof(reason), "request failed: %s", why);
    snprintf(tries, sizeof(tries), "%u", item->tries);
    cm_log(CM_LOG_WARNING, "push_failed", "try", tries, "reason", reason, NULL);
    item->tries++;
    if (!schedule_next(pump->base_ms, item->start_us, queue_now_us(pump->queue),
                       item->tries, arc4random(), &flight->due_us)) {
        flight->due_us = 0;
        pump->figures.dropped++;
        snprintf(tries, sizeof(tries), "%u", item->tries);
        cm_log(CM_LOG_ERROR, "push_dropped", "reason", "deadline", "tries", tries,
               NULL);
    }
    conclude(flight, FAILED);
}

static void on_removed(const struct cm_err *err, void *ctx)
{
    struct flight *flight = ctx;
    if (err->kind == CM_ERR_NONE) {
        conclude(flight, GONE);
    } else {
        on_failed(flight, "410, but PostgreSQL could not be told");
    }
}

static void on_success(struct flight *flight)
{
    struct pump *pump = flight->pump;
    int64_t now = cm_now_mono_ms();
    pump->figures.sent++;
    if (pump->noted_ms == 0 || now - pump->noted_ms >= NOTE_EVERY_MS) {
        pump->noted_ms = now;
        queue_note_success(pump->queue, cm_now_wall_ms());
    }
    conclude(flight, SENT);
}

static void on_posted(int status, const char *why, void *ctx);

static void post(struct flight *flight)
{
    struct pump *pump = flight->pump;
    if (flight->ahead != NULL) {
        flight->ahead->behind = NULL;
        flight->ahead = NULL;
    }
    cm_timer_free(&flight->patience);
    courier_post(pump->courier, flight->item->token, flight->item->len, on_posted,
                 flight);
    if (flight->behind != NULL) {
        cm_timer_set(flight->behind->patience, PUMP_ORDER_MS);
    }
}

static void on_patience(void *ctx)
{
    post(ctx);
}

static void on_posted(int status, const char *why, void *ctx)
{
    struct flight *flight = ctx;
    struct pump *pump = flight->pump;
    struct item *item = flight->item;
    char text[32];
    if (flight->behind != NULL) {
        post(flight->behind);
    }
    if (status == 200) {
        on_success(flight);
    } else if (status == 410) {
        pump->figures.gone++;
        tokens_remove(pump->tokens, item->addr, item->token, item->len, on_removed,
                      flight);
    } else if (status != 0) {
        pump->figures.other++;
        snprintf(text, sizeof(text), "HTTP status %d", status);
        on_failed(flight, text);
    } else {
        pump->figures.transport++;
        on_failed(flight, why);
    }
}

/* Taking */

static struct flight *take_off(struct lane *lane, struct item *item,
                               struct flight *before)
{
    struct pump *pump = lane->pump;
    struct flight *flight = cm_calloc(1, sizeof(*flight));
    *flight = (struct flight){.pump = pump, .item = item, .lane = lane->name};
    cm_assert(tsearch(flight, &pump->flights, compare) != NULL);
    pump->flight_count++;
    lane->flights++;
    if (before == NULL || strcmp(before->item->addr, item->addr) != 0) {
        post(flight);
        return flight;
    }
    flight->ahead = before;
    before->behind = flight;
    flight->patience = cm_timer_new(pump->loop, on_patience, flight);
    if (before->ahead == NULL) { /* that one is on its way */
        cm_timer_set(flight->patience, PUMP_ORDER_MS);
    }
    return flight;
}

static void wait_for_next(struct lane *lane, int64_t next_us)
{
    if (next_us != 0) {
        int64_t wait = next_us - queue_now_us(lane->pump->queue);
        cm_timer_set(lane->due, wait > 0 ? wait / 1000 + 1 : 0);
    }
}

static void on_taken(const struct queue_taken *taken, const struct cm_err *err,
                     void *ctx)
{
    struct lane *lane = ctx;
    struct pump *pump = lane->pump;
    bool woken = lane->woken;
    lane->taking = lane->woken = false;
    if (taken == NULL) {
        if (!pump->stopped) {
            if (err->kind == CM_ERR_WORLD) {
                cm_log_err(CM_LOG_ERROR, "queue_not_read", err);
            }
            cm_timer_set(lane->due, AGAIN_MS);
        }
        return;
    }
    struct flight *before = NULL;
    for (size_t i = 0; i < taken->count; i++) {
        struct item *item = taken->items[i];
        if (pump->stopped || flight_find(pump, item->key) != NULL) {
            item_free(&item); /* its key comes again when that one is done */
        } else {
            before = take_off(lane, item, before);
        }
    }
    lane->after_us = taken->last_us;
    if (pump->stopped) {
        return;
    }
    wait_for_next(lane, taken->next_us);
    if (woken) {
        lane_run(lane);
    }
}

static size_t room_in(const struct lane *lane)
{
    size_t room = lane->flights < lane->max ? lane->max - lane->flights : 0;
    size_t others = courier_room(lane->pump->courier, PUMP_FIRST_MAX + PUMP_AGAIN_MAX);
    return room < others ? room : others;
}

static void lane_run(struct lane *lane)
{
    struct pump *pump = lane->pump;
    size_t room = room_in(lane);
    if (lane->taking) {
        lane->woken = true;
    } else if (!pump->stopped && room > 0 && queue_up(pump->queue)) {
        lane->taking = true;
        queue_take(pump->queue, lane->name, lane->after_us, room, on_taken, lane);
    }
}

static void on_due(void *ctx)
{
    lane_run(ctx);
}

void pump_wake(struct pump *pump)
{
    for (int i = 0; i < QUEUE_LANES; i++) {
        lane_run(&pump->lanes[i]);
    }
}

/* From the beginning: what is under way is known by its key. */
static void rewind_all(struct pump *pump)
{
    for (int i = 0; i < QUEUE_LANES; i++) {
        pump->lanes[i].after_us = 0;
    }
    pump_wake(pump);
}

/* Should anything ever be left behind, it waits no longer than this. */
static void on_rewind(void *ctx)
{
    struct pump *pump = ctx;
    rewind_all(pump);
    cm_timer_set(pump->rewind, REWIND_MS);
}

void pump_redis_back(struct pump *pump)
{
    if (pump->stopped) {
        return;
    }
    queue_hurry(pump->queue, schedule_longest_us(pump->base_ms));
    on_retell(pump);
    rewind_all(pump);
}

struct pump *pump_new(struct cm_loop *loop, struct queue *queue, struct tokens *tokens,
                      struct courier *courier, int64_t base_ms)
{
    struct pump *pump = cm_calloc(1, sizeof(*pump));
    pump->loop = loop;
    pump->queue = queue;
    pump->tokens = tokens;
    pump->courier = courier;
    pump->base_ms = base_ms;
    for (int i = 0; i < QUEUE_LANES; i++) {
        struct lane *lane = &pump->lanes[i];
        lane->pump = pump;
        lane->name = (enum queue_lane)i;
        lane->max = i == QUEUE_FIRST ? PUMP_FIRST_MAX : PUMP_AGAIN_MAX;
        lane->due = cm_timer_new(loop, on_due, lane);
    }
    pump->rewind = cm_timer_new(loop, on_rewind, pump);
    pump->retell = cm_timer_new(loop, on_retell, pump);
    cm_timer_set(pump->rewind, REWIND_MS);
    return pump;
}

void pump_stop(struct pump *pump)
{
    pump->stopped = true;
    cm_timer_stop(pump->rewind);
    for (int i = 0; i < QUEUE_LANES; i++) {
        cm_timer_stop(pump->lanes[i].due);
    }
}

void pump_free(struct pump **pumpp)
{
    struct pump *pump = *pumpp;
    if (pump == NULL) {
        return;
    }
    *pumpp = NULL;
    while (pump->flights != NULL) {
        flight_end(*(struct flight **)pump->flights);
    }
    for (int i = 0; i < QUEUE_LANES; i++) {
        cm_timer_free(&pump->lanes[i].due);
    }
    cm_timer_free(&pump->rewind);
    cm_timer_free(&pump->retell);
    free(pump);
}

const struct pump_figures *pump_figures(const struct pump *pump)
{
    return &pump->figures;
}
