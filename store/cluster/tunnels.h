/* tunnels: the store's end of the tunnels, its firewall and its routes, kept as the
 * state says. Reads back every TUNNELS_EVERY_MS, so that a tunnel that was restarted,
 * or a hand that meddled, is put right. The tools run on a worker thread, one job at a
 * time. */
#ifndef TUNNELS_H
#define TUNNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"
#include "proxy/apply.h"
#include "proxy/state.h"

#define TUNNELS_EVERY_MS  3000
#define TUNNELS_REDIAL_MS 6000

struct tunnels;
struct ingress; /* ingress/ingress.h */

struct tunnels_hooks {
    /* After each pass: addresses may have come. */
    void (*done)(void *ctx);
    void *ctx;
};

/* private_key: WireGuard, base64. ingress: NULL where rules judge. Both are borrowed
 * for the object's life. */
struct tunnels *tunnels_new(struct cm_loop *loop, const char *private_key,
                            struct ingress *ingress, const struct tunnels_hooks *hooks);
void tunnels_free(struct tunnels **tunnels); /* waits for the tools that run */
/* The state to keep from now on. */
void tunnels_want(struct tunnels *tunnels, const struct px_state *state);
/* Gateways that outgoing mail may use, best first, and those that just went down, whose
 * connections are closed. Before the first call nothing is done about egress. */
void tunnels_egress(struct tunnels *tunnels, const int *healthy, size_t n);
void tunnels_gone(struct tunnels *tunnels, int number);
/* One that has vanished: whatever came in through it is ended. */
void tunnels_forget(struct tunnels *tunnels, int number);
/* A gateway that does not report: as long as nothing at all comes through its tunnel,
 * the handshake is begun anew every TUNNELS_REDIAL_MS. */
void tunnels_silent(struct tunnels *tunnels, int number, bool silent);
/* As read at the last pass; handshake_age_s -1 when unknown. */
const struct px_tunnel_facts *tunnels_facts(const struct tunnels *tunnels, int number);

#endif
