/* apply: makes a node's network be what plane.h says, by the system's own tools.
 *
 * Reads back first, touches only what differs, reads back again and fails when the node
 * is then not as it should be. Blocking (nft, ip, wg, at most 20 s each; a tunnel that
 * does not say how it is within 3 s fails): on a worker thread, one call at a time.
 * Needs CAP_NET_ADMIN. */
#ifndef PX_APPLY_H
#define PX_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proxy/state.h"

/* What an earlier call saw, so that a hand that meddled with our table is noticed. One
 * per process, zero at first. */
struct px_seen_wg {
    uint64_t text;     /* last given to "wg syncconf" */
    int64_t handshake; /* as WireGuard tells its time; 0: never seen */
    int64_t since_ms;  /* monotonic; when that time was seen first */
};

struct px_seen {
    uint64_t nft; /* table as it was read back */
    bool carried; /* the kernel takes rules that go with programs */
    struct px_seen_wg wg[CM_GATEWAYS_MAX + 1];
};

struct px_outcome {
    bool changed;
    struct cm_err warning; /* kind NONE when there is none; things go on without it */
};

/* What the table that is loaded says of itself. */
struct px_loaded {
    int64_t epoch;
    bool tracks; /* its rules make the kernel track connections */
    bool others; /* gateway: they do not, and were made for others that do (gw->tracked)
                  */
};

/* 1 found, 0 no table of ours, -1. */
CM_MUSTUSE int px_loaded(struct px_loaded *loaded_r, struct cm_err *err);

/* Gateway: rules, then sysctls, then tunnel, so that nothing is open without rules.
 * Without "wg0" kind RETRY. */
CM_MUSTUSE int px_apply_gateway(const struct px_state *state,
                                const struct px_gateway *gw, const char *private_key,
                                struct px_seen *seen, struct px_outcome *out,
                                struct cm_err *err);
/* Whether the kernel would take the rules that go with programs; changes nothing. Once
 * it would, it is not asked again. WORLD: why not. */
CM_MUSTUSE int px_try_carried(const struct px_state *state, const struct px_gateway *gw,
                              struct px_seen *seen, struct cm_err *err);
/* The two halves. The rules need no tunnel; before a gateway has a document it has the
 * tunnel only, and rules as they are. */
CM_MUSTUSE int px_apply_gateway_rules(const struct px_state *state,
                                      const struct px_gateway *gw, struct px_seen *seen,
                                      struct px_outcome *out, struct cm_err *err);
CM_MUSTUSE int px_apply_gateway_tunnel(const struct px_state *state,
                                       const struct px_gateway *gw,
                                       const char *private_key, struct px_seen *seen,
                                       struct px_outcome *out, struct cm_err *err);

/* Store: rules, sysctls, tunnels whose link is there, addresses, routes and source
 * rules; with no gateway everything of ours is removed. A missing link is no error: ask
 * px_link_there. One tunnel that fails (an endpoint name that does not resolve) does
 * not keep the others from being set up; its reason is returned at the end. */
CM_MUSTUSE int px_apply_store(const struct px_state *state, const char *private_key,
                              struct px_seen *seen, struct px_outcome *out,
                              struct cm_err *err);
/* Table 200. healthy: gateway numbers, best first. */
CM_MUSTUSE int px_apply_egress(const struct px_state *state, const int *healthy,
                               size_t n, struct px_outcome *out, struct cm_err *err);
/* Closes the store's outgoing mail connections (ports 25 and 443) through that gateway,
 * so that they are tried again elsewhere at once. */
CM_MUSTUSE int px_kill_egress(int number, struct cm_err *err);

/* Ends whatever is connected to the store through that gateway, so that who counted it
 * (process slots, connections of one address) counts it no more. */
CM_MUSTUSE int px_kill_sessions(int number, struct cm_err *err);

/* Store: begins the handshake with that gateway anew. WireGuard by itself notices only
 * after its own timers (15 s to two minutes) that the other end has lost the session.
 * Packets under way are lost, so only for a tunnel on which nothing comes in. */
CM_MUSTUSE int px_redial(const struct px_state *state, const struct px_gateway *gw,
                         const char *private_key, struct cm_err *err);

bool px_link_there(const char *ifname);
CM_MUSTUSE int px_link_remove(const char *ifname, struct cm_err *err);

struct px_tunnel_facts {
    int64_t handshake_age_s; /* -1: never */
    int64_t handshake;       /* seconds since 1970; 0: never */
    int64_t rx_bytes;
    int64_t tx_bytes;
    int64_t shaken_ms;   /* the same handshake, by the monotonic clock */
    int64_t measured_ms; /* monotonic; 0: never */
};
/* Of the only peer of that interface. *facts_r: what was measured before, or zeros. The
 * wall clock may have moved since: a handshake is never older than the time since it
 * was not there yet, and once seen it ages by the monotonic clock. */
CM_MUSTUSE int px_tunnel_facts(const char *ifname, struct px_tunnel_facts *facts_r,
                               struct cm_err *err);

#endif
