#include "outside.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/probe.h"
#include "proxy/text.h"

static const struct {
    uint16_t port;
    const struct px_probe_speech *speech;
} doors[] = {
    {25, &px_speech_smtp},
    {443, &px_speech_tls},
    {993, &px_speech_imaps},
};

#define DOORS (sizeof(doors) / sizeof(doors[0]))

struct knock {
    struct outside *outside;
    int number;
    enum health_where where;
    uint16_t port;
    bool doubtful;
};

struct outside {
    struct px_prober *prober;
    struct health *health;
    int64_t next_ms[CM_GATEWAYS_MAX + 1];
    struct knock knocks[CM_GATEWAYS_MAX + 1][2 * DOORS];
};

static const struct px_gateway *
another(const struct px_state *state, const struct health *health, int number, bool v6)
{
    int numbers[CM_GATEWAYS_MAX];
    size_t n = health_egress(health, state, numbers);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < state->gateway_count; j++) {
            const struct px_gateway *gw = &state->gateways[j];
            if (gw->number == numbers[i] && gw->number != number &&
                px_family_count(gw, v6, NULL) > 0) {
                return gw;
            }
        }
    }
    return NULL;
}

bool outside_way(const struct px_state *state, const struct health *health,
                 const struct px_gateway *gateway, bool v6, uint16_t port,
                 struct sockaddr_storage *from, bool *doubtful_r)
{
    bool by_gateway = state->egress == CM_EGRESS_ALL ||
                      (state->egress == CM_EGRESS_GATEWAYS && port == 25);
    char inner[46];
    memset(from, 0, sizeof(*from));
    *doubtful_r = !by_gateway && port == 25;
    if (!by_gateway) {
        return true;
    }
    const struct px_gateway *via = another(state, health, gateway->number, v6);
    if (via == NULL) {
        return false;
    }
    (v6 ? px_inner6 : px_inner4)(via->number, 2, inner);
    return px_probe_address(inner, 0, from);
}

static void on_result(enum px_probe_result result, int64_t ms, void *ctx)
{
    const struct knock *k = ctx;
    health_seen(k->outside->health, k->number,
                &(struct health_sight){.where = k->where,
                                       .port = k->port,
                                       .result = result,
                                       .ms = ms,
                                       .doubtful = k->doubtful},
                cm_now_mono_ms());
}

bool outside_is_inner(const struct px_state *state, const struct sockaddr_storage *at)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        struct sockaddr_storage inner;
        char text[46];
        (at->ss_family == AF_INET6 ? px_inner6 : px_inner4)(state->gateways[i].number,
                                                            2, text);
        if (px_probe_address(text, 0, &inner) &&
            (at->ss_family == AF_INET6
                 ? memcmp(&((const struct sockaddr_in6 *)at)->sin6_addr,
                          &((const struct sockaddr_in6 *)&inner)->sin6_addr, 16) == 0
                 : ((const struct sockaddr_in *)at)->sin_addr.s_addr ==
                       ((const struct sockaddr_in *)&inner)->sin_addr.s_addr)) {
            return true;
        }
    }
    return false;
}

/* A home line without IPv6 has no address to leave from; the kernel then takes that of
 * a tunnel, and with it the tunnel. A datagram socket tells, and sends nothing. */
static bool leaves_by_tunnel(const struct px_state *state,
                             const struct sockaddr_storage *to)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof(from);
    int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool told = fd >= 0 &&
                connect(fd, (const struct sockaddr *)to,
                        to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                  : sizeof(struct sockaddr_in)) == 0 &&
                getsockname(fd, (struct sockaddr *)&from, &len) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return told && outside_is_inner(state, &from);
}

static void knock_at(struct outside *o, const struct px_state *state,
                     const struct px_gateway *gw, bool v6, const char *address)
{
    for (size_t i = 0; i < DOORS; i++) {
        struct knock *k = &o->knocks[gw->number][2 * i + v6];
        struct px_probe_order order = {.speech = doors[i].speech,
                                       .name = state->domain};
        *k = (struct knock){.outside = o,
                            .number = gw->number,
                            .where = v6 ? HEALTH_OUTSIDE6 : HEALTH_OUTSIDE4,
                            .port = doors[i].port};
        if (!outside_way(state, o->health, gw, v6, doors[i].port, &order.from,
                         &k->doubtful) ||
            !px_probe_address(address, doors[i].port, &order.to)) {
            continue;
        }
        if (order.from.ss_family == 0 && leaves_by_tunnel(state, &order.to)) {
            on_result(PX_PROBE_NONE, 0, k);
        } else {
            px_probe(o->prober, &order, on_result, k);
        }
    }
}

void outside_tick(struct outside *o, const struct px_state *state)
{
    int64_t now = cm_now_mono_ms();
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        const char *address;
        if (gw->mode != CM_MODE_ACTIVE || now < o->next_ms[gw->number]) {
            continue;
        }
        o->next_ms[gw->number] = now + OUTSIDE_EVERY_MS;
        for (int v6 = 0; v6 <= 1; v6++) {
            if (px_family_count(gw, v6, &address) > 0) {
                knock_at(o, state, gw, v6, address);
            }
        }
        return;
    }
}

struct outside *outside_new(struct cm_loop *loop, struct health *health)
{
    struct outside *o = cm_calloc(1, sizeof(*o));
    o->prober = px_prober_new(loop);
    o->health = health;
    return o;
}

void outside_free(struct outside **outside)
{
    if (*outside == NULL) {
        return;
    }
    px_prober_free(&(*outside)->prober);
    free(*outside);
    *outside = NULL;
}
