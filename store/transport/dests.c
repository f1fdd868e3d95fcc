#include "dests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "delivery.h"
#include "lru.h"

enum stage { RESERVED, WAITING, RUNNING, ENDED };

struct parcel {
    struct dest *dest;
    struct parcel *prev, *next; /* of the destination */
    enum stage stage;
    bool is_new;   /* counted among those of destinations that have not answered */
    bool is_probe; /* admitted by a half open breaker */
    const char *from;
    const char *const *to;
    size_t to_count;
    const struct spool *message;
    struct delivery *delivery;
    int64_t waiting_ms; /* since then; monotonic */
    int64_t started_ms;
    char **replies; /* of one that was put off, until it is told */
    parcel_cb cb;
    void *ctx;
};

struct dest {
    struct dests *dests;
    struct dest *prev, *next;
    char key[DOMAIN_NAME_MAX + 2];
    struct domain domain;
    struct parcel *first, *last;
    size_t count, running;
    struct cm_timer *turn; /* starts what may start, tells those put off */
    struct cm_timer *stall;
    bool stall_set;
    struct cm_timer *idle;
    bool has_route;
    struct route route;
};

struct dests {
    struct env *env;
    struct dests_limits limits;
    struct dest *first;
    size_t count, new_parcels;
};

struct dests *dests_new(struct env *env, const struct dests_limits *limits)
{
    struct dests *ds = cm_calloc(1, sizeof(*ds));
    ds->env = env;
    ds->limits = *limits;
    return ds;
}

static void dest_free(struct dest *d)
{
    cm_assert(d->count == 0);
    *(d->prev != NULL ? &d->prev->next : &d->dests->first) = d->next;
    if (d->next != NULL) {
        d->next->prev = d->prev;
    }
    d->dests->count--;
    cm_timer_free(&d->turn);
    cm_timer_free(&d->stall);
    cm_timer_free(&d->idle);
    free(d);
}

void dests_free(struct dests **ds)
{
    if (*ds == NULL) {
        return;
    }
    while ((*ds)->first != NULL) {
        dest_free((*ds)->first);
    }
    free(*ds);
    *ds = NULL;
}

/* What is known of a destination outlives it. */

static struct breaker *breaker_of(struct dest *d)
{
    struct dest_mark *mark = lru_put(d->dests->env->dest_marks, d->domain.name);
    return &mark->breaker;
}

static bool proven(struct dest *d)
{
    return breaker_proven(breaker_of(d), cm_now_mono_ms());
}

static uint32_t chance(void)
{
    uint32_t bits;
    cm_assert(getrandom(&bits, sizeof(bits), 0) == sizeof(bits));
    return bits;
}

/* Parcels */

static void put_off(struct parcel *p, const char *reply)
{
    p->stage = ENDED;
    if (p->is_probe) {
        p->is_probe = false;
        breaker_unused(breaker_of(p->dest));
    }
    p->replies = cm_calloc(p->to_count, sizeof(*p->replies));
    for (size_t i = 0; i < p->to_count; i++) {
        p->replies[i] = cm_strdup(reply);
    }
    p->dest->dests->env->counters.tripped += p->to_count;
    cm_timer_set(p->dest->turn, 0);
}

static void put_off_waiting(struct dest *d, const char *reply)
{
    for (struct parcel *p = d->first; p != NULL; p = p->next) {
        if (p->stage == WAITING) {
            put_off(p, reply);
        }
    }
}

/* ctx of a delivery is its parcel. */
static void on_routed(const struct route *route, void *ctx)
{
    struct parcel *p = ctx;
    p->dest->route = *route;
    p->dest->has_route = route->host_count > 0;
}

static void closed_text(struct dest *d, char reply[DESTS_REPLY_MAX])
{
    const struct dest_mark *mark = lru_put(d->dests->env->dest_marks, d->domain.name);
    int64_t left = (mark->breaker.until_ms - cm_now_mono_ms() + 999) / 1000;
    snprintf(reply, DESTS_REPLY_MAX,
             "451 4.4.1 %s cannot be reached at present: %s; next try in %" PRId64 " s",
             d->domain.name, mark->why, left > 0 ? left : 1);
}

/* Without the code and what every such reply begins with. */
static void remember_why(struct dest *d, const char *reply)
{
    static const char usual[] = "421 Failed to connect to any mail server; last "
                                "attempt to ";
    struct dest_mark *mark = lru_put(d->dests->env->dest_marks, d->domain.name);
    bool begins = strncmp(reply, usual, sizeof(usual) - 1) == 0;
    snprintf(mark->why, sizeof(mark->why), "%.159s",
             reply + (begins ? sizeof(usual) - 1 : 4));
}

/* What an attempt has shown of its destination. */
static void learn(struct dest *d, enum delivery_reach reach, const char *reply)
{
    int64_t now = cm_now_mono_ms();
    struct breaker *b = breaker_of(d);
    bool was_open = b->open;
    if (reach == DELIVERY_REACHED) {
        breaker_good(b, now);
    } else if (reach == DELIVERY_NOWHERE) {
        breaker_unused(b);
    } else {
        breaker_bad(b, now, chance(), reach == DELIVERY_UNREACHED);
        remember_why(d, reply);
        d->has_route = false;
    }
    if (was_open != b->open) {
        cm_log(CM_LOG_INFO, "breaker", "destination", d->domain.name, "state",
               b->open ? "open" : "closed", NULL);
    }
    if (b->open && reach != DELIVERY_NOWHERE) {
        char text[DESTS_REPLY_MAX];
        closed_text(d, text);
        put_off_waiting(d, text);
    }
}

static void on_done(const struct delivery_result *result, void *ctx)
{
    struct parcel *p = ctx;
    struct dest *d = p->dest;
    p->delivery = NULL;
    p->stage = ENDED;
    d->running--;
    learn(d, result->reach, result->replies[0]);
    cm_timer_set(d->turn, 0);
    p->cb(result->replies, p->ctx);
}

static void start(struct parcel *p)
{
    struct dest *d = p->dest;
    int64_t now = cm_now_mono_ms();
    d->has_route = d->has_route && d->route.until_ms > now;
    struct delivery_job job = {.domain = d->domain,
                               .route = d->has_route ? &d->route : NULL,
                               .from = p->from,
                               .to = p->to,
                               .to_count = p->to_count,
                               .message = p->message};
    struct delivery_hooks hooks = {.routed = on_routed, .done = on_done, .ctx = p};
    p->stage = RUNNING;
    p->started_ms = now;
    d->running++;
    p->delivery = delivery_start(d->dests->env, &job, &hooks);
}

/* Those put off are told one by one: a callback may free any parcel, and when the last
 * is gone the destination waits on its idle timer, so it is still there. */
static bool tell_one(struct dest *d)
{
    for (struct parcel *p = d->first; p != NULL; p = p->next) {
        if (p->stage == ENDED && p->replies != NULL) {
            char **replies = p->replies;
            size_t n = p->to_count;
            p->replies = NULL;
            p->cb(replies, p->ctx);
            for (size_t i = 0; i < n; i++) {
                free(replies[i]);
            }
            free(replies);
            return true;
        }
    }
    return false;
}

static struct parcel *next_waiting(struct dest *d)
{
    struct parcel *p = d->first;
    while (p != NULL && p->stage != WAITING) {
        p = p->next;
    }
    return p;
}

/* Unless the breaker is closed only the probe may start; one that waits becomes it when
 * the one before has ended without a result. */
static struct parcel *next_to_start(struct dest *d)
{
    struct breaker *b = breaker_of(d);
    int64_t now = cm_now_mono_ms();
    struct parcel *p = next_waiting(d);
    if (p == NULL || breaker_state(b, now) == BREAKER_CLOSED) {
        return p;
    }
    for (struct parcel *q = p; q != NULL; q = q->next) {
        if (q->stage == WAITING && q->is_probe) {
            return q;
        }
    }
    p->is_probe = breaker_admit(b, now);
    return p->is_probe ? p : NULL;
}

static int64_t stall_limit(struct dest *d)
{
    return proven(d) ? DESTS_STALL_PROVEN_MS : DESTS_STALL_MS;
}

static void watch_waiting(struct dest *d)
{
    bool waits = next_waiting(d) != NULL;
    if (waits && !d->stall_set) {
        cm_timer_set(d->stall, stall_limit(d));
    } else if (!waits) {
        cm_timer_stop(d->stall);
    }
    d->stall_set = waits;
}

static void on_turn(void *ctx)
{
    struct dest *d = ctx;
    struct parcel *p;
    while (tell_one(d)) {
    }
    size_t max = proven(d) ? DESTS_ACTIVE_MAX : DESTS_ACTIVE_NEW;
    while (d->running < max && (p = next_to_start(d)) != NULL) {
        start(p);
    }
    watch_waiting(d);
}

/* Silent: all attempts under way have been without a connection for that long. */
static bool stalled(struct dest *d)
{
    int64_t limit = stall_limit(d);
    int64_t now = cm_now_mono_ms();
    for (const struct parcel *p = d->first; p != NULL; p = p->next) {
        if (p->stage == RUNNING &&
            (delivery_connected(p->delivery) || now - p->started_ms < limit)) {
            return false;
        }
    }
    return d->running > 0;
}

static void stall_text(const struct dest *d, char reply[DESTS_REPLY_MAX])
{
    snprintf(reply, DESTS_REPLY_MAX, "451 4.4.1 %s does not answer at present",
             d->domain.name);
}

/* Those that wait for a probe that gives no answer either way. */
static void put_off_late(struct dest *d, const char *reply)
{
    int64_t now = cm_now_mono_ms();
    for (struct parcel *p = d->first; p != NULL; p = p->next) {
        if (p->stage == WAITING && now - p->waiting_ms >= DESTS_PROBE_WAIT_MS) {
            put_off(p, reply);
        }
    }
}

static void on_stall(void *ctx)
{
    struct dest *d = ctx;
    char reply[DESTS_REPLY_MAX];
    stall_text(d, reply);
    if (stalled(d)) {
        put_off_waiting(d, reply);
    } else if (breaker_state(breaker_of(d), cm_now_mono_ms()) != BREAKER_CLOSED) {
        put_off_late(d, reply);
    }
    cm_timer_set(d->stall, DESTS_STALL_MS / 3);
}

/* Places */

static void on_idle(void *ctx)
{
    dest_free(ctx);
}

static struct dest *dest_find(struct dests *ds, const struct domain *domain)
{
    char key[DOMAIN_NAME_MAX + 2];
    snprintf(key, sizeof(key), domain->literal ? "[%s]" : "%s", domain->name);
    struct dest *d = ds->first;
    while (d != NULL && strcmp(d->key, key) != 0) {
        d = d->next;
    }
    return d;
}

static struct dest *dest_make(struct dests *ds, const struct domain *domain)
{
    struct dest *d = cm_calloc(1, sizeof(*d));
    d->dests = ds;
    d->domain = *domain;
    snprintf(d->key, sizeof(d->key), domain->literal ? "[%s]" : "%s", domain->name);
    d->turn = cm_timer_new(ds->env->loop, on_turn, d);
    d->stall = cm_timer_new(ds->env->loop, on_stall, d);
    d->idle = cm_timer_new(ds->env->loop, on_idle, d);
    d->next = ds->first;
    if (d->next != NULL) {
        d->next->prev = d;
    }
    ds->first = d;
    ds->count++;
    return d;
}

/* One whose route nobody needs at the moment makes room for one that has mail. */
static struct dest *dest_for(struct dests *ds, const struct domain *domain)
{
    struct dest *d = dest_find(ds, domain);
    if (d == NULL && ds->count >= ds->limits.destinations) {
        struct dest *idle = ds->first;
        while (idle != NULL && idle->count > 0) {
            idle = idle->next;
        }
        if (idle == NULL) {
            return NULL;
        }
        dest_free(idle);
    }
    return d != NULL ? d : dest_make(ds, domain);
}

static void parcel_link(struct dest *d, struct parcel *p)
{
    p->dest = d;
    p->prev = d->last;
    *(d->last != NULL ? &d->last->next : &d->first) = p;
    d->last = p;
    d->count++;
    cm_timer_stop(d->idle);
}

static bool has_place(struct dest *d, bool is_new)
{
    const struct dests_limits *max = &d->dests->limits;
    return is_new ? d->count < max->places_new && d->dests->new_parcels < max->all_new
                  : d->count < max->places;
}

/* Having looked at it, an empty destination must not stay for ever. */
static enum dests_answer refuse(struct dest *d, enum dests_answer answer)
{
    if (d->count == 0) {
        cm_timer_set(d->idle, DESTS_IDLE_MS);
    }
    return answer;
}

enum dests_answer dests_reserve(struct dests *ds, const struct domain *domain,
                                struct parcel **parcel_r, char reply[DESTS_REPLY_MAX])
{
    struct dest *d = dest_for(ds, domain);
    if (d == NULL) {
        return DESTS_BUSY;
    }
    int64_t now = cm_now_mono_ms();
    bool is_new = !proven(d);
    if (!has_place(d, is_new)) {
        return refuse(d, DESTS_BUSY);
    }
    if (stalled(d)) {
        stall_text(d, reply);
        return refuse(d, DESTS_CLOSED);
    }
    struct breaker *b = breaker_of(d);
    bool half_open = breaker_state(b, now) == BREAKER_HALF_OPEN;
    bool admitted = breaker_admit(b, now);
    if (!admitted && !half_open) {
        closed_text(d, reply);
        return refuse(d, DESTS_CLOSED);
    }
    struct parcel *p = cm_calloc(1, sizeof(*p));
    p->is_new = is_new;
    p->is_probe = half_open && admitted;
    ds->new_parcels += is_new;
    parcel_link(d, p);
    *parcel_r = p;
    return DESTS_RESERVED;
}

void parcel_send(struct parcel *p, const char *from, const char *const *to,
                 size_t to_count, const struct spool *message, parcel_cb cb, void *ctx)
{
    cm_assert(p->stage == RESERVED && to_count > 0);
    p->from = from;
    p->to = to;
    p->to_count = to_count;
    p->message = message;
    p->cb = cb;
    p->ctx = ctx;
    p->stage = WAITING;
    p->waiting_ms = cm_now_mono_ms();
    /* Open since the place was given: others have tried in vain meanwhile. */
    if (!p->is_probe &&
        breaker_state(breaker_of(p->dest), p->waiting_ms) == BREAKER_OPEN) {
        char reply[DESTS_REPLY_MAX];
        closed_text(p->dest, reply);
        put_off(p, reply);
    }
    cm_timer_set(p->dest->turn, 0);
}

static void unlink_parcel(struct parcel *p)
{
    struct dest *d = p->dest;
    *(p->prev != NULL ? &p->prev->next : &d->first) = p->next;
    *(p->next != NULL ? &p->next->prev : &d->last) = p->prev;
    d->count--;
    d->dests->new_parcels -= p->is_new;
    if (d->count == 0) {
        cm_timer_set(d->idle, DESTS_IDLE_MS);
    }
}

void parcel_free(struct parcel **parcel)
{
    struct parcel *p = *parcel;
    if (p == NULL) {
        return;
    }
    struct dest *d = p->dest;
    *parcel = NULL;
    if (p->stage == RUNNING) {
        delivery_cancel(&p->delivery);
        d->running--;
    }
    if (p->is_probe && p->stage != ENDED) {
        breaker_unused(breaker_of(d));
    }
    for (size_t i = 0; p->replies != NULL && i < p->to_count; i++) {
        free(p->replies[i]);
    }
    free(p->replies);
    unlink_parcel(p);
    free(p);
    cm_timer_set(d->turn, 0);
}

/* Figures */

struct breaker_count {
    size_t by[3];
    int64_t now_ms;
};

static void count_breaker(const char *key, const void *value, void *ctx)
{
    (void)key;
    const struct dest_mark *mark = value;
    struct breaker_count *count = ctx;
    count->by[breaker_state(&mark->breaker, count->now_ms)]++;
}

void dests_figures(const struct dests *ds, struct cm_buf *out)
{
    static const char *const states[] = {"closed", "open", "half_open"};
    struct breaker_count count = {.now_ms = cm_now_mono_ms()};
    size_t stages[ENDED + 1] = {0};
    for (const struct dest *d = ds->first; d != NULL; d = d->next) {
        for (const struct parcel *p = d->first; p != NULL; p = p->next) {
            stages[p->stage]++;
        }
    }
    lru_each(ds->env->dest_marks, count_breaker, &count);
    cm_metric_gauge(out, "chatmail_transport_destinations",
                    "Destinations with mail, or with mail in the last minute.",
                    (double)ds->count);
    cm_metric_gauge(out, "chatmail_transport_waiting",
                    "Messages that wait for others of their destination.",
                    (double)stages[WAITING]);
    cm_metric_gauge(out, "chatmail_transport_running", "Messages under way.",
                    (double)stages[RUNNING]);
    cm_metric_begin(out, "chatmail_transport_breakers", CM_METRIC_GAUGE,
                    "Destinations that are remembered, by whether they are tried.");
    for (size_t i = 0; i < 3; i++) {
        const char *labels[] = {"state", states[i], NULL};
        cm_metric_sample(out, "chatmail_transport_breakers", labels,
                         (double)count.by[i]);
    }
}
