#include "decide.h"

#include <string.h>

static struct decide_row *row_of(struct decide *d, const char *name)
{
    struct decide_row *free_row = NULL, *gone = NULL;

    for (size_t i = 0; i < DECIDE_ROWS; i++) {
        struct decide_row *r = &d->rows[i];
        if (strcmp(r->gateway.name, name) == 0) {
            return r;
        }
        free_row = free_row == NULL && r->gateway.name[0] == '\0' ? r : free_row;
        gone = gone == NULL && r->gone ? r : gone;
    }
    return free_row != NULL ? free_row : gone;
}

static bool same_addresses(const struct feed_gateway *a, const struct feed_gateway *b)
{
    return a->address_count == b->address_count &&
           memcmp(a->addresses, b->addresses, sizeof(a->addresses)) == 0;
}

static bool move(struct decide_row *r, enum decide_place place, const char *reason,
                 decide_cb cb, void *ctx)
{
    if (r->place == place) {
        return false;
    }
    r->place = place;
    cb(r, reason, ctx);
    return true;
}

static bool judge(struct decide_row *r, int64_t now_ms, int64_t settle_ms, decide_cb cb,
                  void *ctx)
{
    if (!r->gateway.meant) {
        return move(r, DECIDE_OUT, "it is drained or off", cb, ctx);
    }
    if (now_ms - r->since_ms < settle_ms) {
        return false;
    }
    return r->well ? move(r, DECIDE_IN, "it serves", cb, ctx)
                   : move(r, DECIDE_OUT, "it is lost", cb, ctx);
}

static bool take(struct decide *d, const struct feed_gateway *g, int64_t now_ms)
{
    struct decide_row *r = row_of(d, g->name);
    bool well = g->meant && g->well;

    if (r == NULL) {
        return false; /* not with 32 gateways at most */
    }
    bool fresh = strcmp(r->gateway.name, g->name) != 0 || r->gone;
    bool changed = !fresh && !same_addresses(&r->gateway, g);
    if (fresh) {
        *r = (struct decide_row){.place = DECIDE_UNKNOWN};
    }
    if (fresh || r->well != well) {
        r->since_ms = now_ms;
        r->well = well;
    }
    r->gateway = *g;
    return changed;
}

static const struct feed_gateway *find(const struct feed *feed, const char *name)
{
    for (size_t i = 0; i < feed->count; i++) {
        if (strcmp(feed->gateways[i].name, name) == 0) {
            return &feed->gateways[i];
        }
    }
    return NULL;
}

bool decide_step(struct decide *d, const struct feed *feed, int64_t now_ms,
                 int64_t settle_ms, decide_cb cb, void *ctx)
{
    bool changed = false;

    for (size_t i = 0; feed->domain[0] != '\0' && i < feed->count; i++) {
        changed |= take(d, &feed->gateways[i], now_ms);
    }
    for (size_t i = 0; feed->domain[0] != '\0' && i < DECIDE_ROWS; i++) {
        struct decide_row *r = &d->rows[i];
        if (r->gateway.name[0] == '\0') {
            continue;
        }
        if (find(feed, r->gateway.name) != NULL) {
            changed |= judge(r, now_ms, settle_ms, cb, ctx);
        } else if (!r->gone) {
            r->gone = true;
            changed |= move(r, DECIDE_OUT, "it is no gateway any more", cb, ctx);
        }
    }
    return changed;
}

bool decide_may_remove(const struct decide *d)
{
    for (size_t i = 0; i < DECIDE_ROWS; i++) {
        if (d->rows[i].gateway.name[0] != '\0' && d->rows[i].place == DECIDE_IN &&
            d->rows[i].gateway.address_count > 0) {
            return true;
        }
    }
    return false;
}

bool decide_keeps(const struct decide *d, const char *address)
{
    for (size_t i = 0; i < DECIDE_ROWS; i++) {
        const struct decide_row *r = &d->rows[i];
        for (size_t a = 0; r->place != DECIDE_OUT && a < r->gateway.address_count;
             a++) {
            if (strcmp(r->gateway.addresses[a], address) == 0) {
                return true;
            }
        }
    }
    return false;
}
