#include "trial.h"

#include <string.h>

void gw_trial_begin(struct gw_trial *t, bool again, int64_t now_ms)
{
    unsigned times = again ? t->times : 0;
    *t = (struct gw_trial){.on = true, .since_ms = now_ms, .times = times};
}

void gw_trial_applied(struct gw_trial *t, bool well, int64_t now_ms)
{
    if (!t->on) {
        return;
    }
    /* The tools may have taken long: that is no silence of the store's. */
    if (well && !t->in_force) {
        t->in_force = true;
        t->since_ms = now_ms;
    }
}

bool gw_trial_heard(struct gw_trial *t, int64_t now_ms)
{
    t->since_ms = now_ms;
    if (!t->on || !t->in_force) {
        return false;
    }
    *t = (struct gw_trial){.since_ms = now_ms};
    return true;
}

bool gw_trial_lost(const struct gw_trial *t, int64_t now_ms)
{
    return t->on && now_ms - t->since_ms >= GW_TRIAL_MS;
}

void gw_trial_revert(struct gw_trial *t, int64_t now_ms)
{
    int64_t barred = GW_BARRED_MS;
    for (unsigned i = 0; i < t->times && barred < GW_BARRED_MAX_MS; i++) {
        barred *= 2;
    }
    t->on = t->in_force = false;
    t->back = true;
    t->times++;
    t->barred_ms = now_ms + barred;
    t->since_ms = now_ms;
}

int64_t gw_trial_barred(const struct gw_trial *t, int64_t now_ms)
{
    return t->back && now_ms < t->barred_ms ? t->barred_ms - now_ms : 0;
}

bool gw_trial_other_way(const struct px_state *a, const struct px_state *b,
                        const char *ours)
{
    const struct px_gateway *x = px_state_find(a, ours), *y = px_state_find(b, ours);
    return a->bus_port != b->bus_port ||
           strcmp(a->store_wg_public_key, b->store_wg_public_key) != 0 || x == NULL ||
           y == NULL || x->wg_port != y->wg_port;
}
