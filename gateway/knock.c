#include "knock.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/probe.h"

static const struct {
    uint16_t port;
    const struct px_probe_speech *speech;
} doors[] = {
    {25, &px_speech_smtp},
    {143, &px_speech_imap},
    {443, &px_speech_connect},
};

#define DOORS (sizeof(doors) / sizeof(doors[0]))

struct answer {
    struct gw_knock *knock;
    struct px_sight sight;
};

struct gw_knock {
    struct px_prober *prober;
    struct answer answers[DOORS];
    size_t open;
    int64_t next_ms;
};

static void on_result(enum px_probe_result result, int64_t ms, void *ctx)
{
    struct answer *a = ctx;
    a->sight.result = result;
    a->sight.ms = ms;
    a->knock->open--;
}

struct gw_knock *gw_knock_new(struct cm_loop *loop)
{
    struct gw_knock *k = cm_calloc(1, sizeof(*k));
    k->prober = px_prober_new(loop);
    for (size_t i = 0; i < DOORS; i++) {
        k->answers[i].knock = k;
        k->answers[i].sight.port = doors[i].port;
    }
    return k;
}

void gw_knock_free(struct gw_knock **knock)
{
    if (*knock == NULL) {
        return;
    }
    px_prober_free(&(*knock)->prober);
    free(*knock);
    *knock = NULL;
}

static bool is_forwarded(const struct px_state *state, uint16_t port)
{
    for (size_t i = 0; i < state->port_count; i++) {
        if (state->ports[i] == port) {
            return true;
        }
    }
    return false;
}

void gw_knock_tick(struct gw_knock *k, const struct px_state *state,
                   const struct px_gateway *gw)
{
    int64_t now = cm_now_mono_ms();
    char inner[46];
    if (k->open > 0 || now < k->next_ms || gw->address_count == 0 ||
        gw->mode == CM_MODE_OFF) {
        return;
    }
    k->next_ms = now + GW_KNOCK_MS;
    struct px_probe_order o = {0};
    if (!px_probe_address(gw->addresses[0], 0, &o.from)) {
        return;
    }
    (o.from.ss_family == AF_INET6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
    for (size_t i = 0; i < DOORS; i++) {
        if (is_forwarded(state, doors[i].port) &&
            px_probe_address(inner, doors[i].port, &o.to)) {
            o.speech = doors[i].speech;
            k->open++;
            px_probe(k->prober, &o, on_result, &k->answers[i]);
        }
    }
}

void gw_knock_report(const struct gw_knock *k, struct px_report *report)
{
    report->probe_count = 0;
    for (size_t i = 0; i < DOORS; i++) {
        if (k->answers[i].sight.result != PX_PROBE_NONE) {
            report->probes[report->probe_count++] = k->answers[i].sight;
        }
    }
}
