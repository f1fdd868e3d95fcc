/* carry: programs in the kernel (eBPF, carry.bpf.c) that carry the packets of open TCP
 * connections and of calls straight between the uplink and the tunnel wg0.
 *
 * The rules of the kernel plane decide as ever who comes in; a connection that they let
 * in is kept in a map, and from then on costs two look-ups for each packet instead of
 * the kernel's forwarding, connection tracking and rules. The map also knows what the
 * client expects next, so that it can be told (reset.h) when the store is gone. What
 * the store begins, mail, is in the map at once; the rules have no part in it.
 *
 * Without such programs (an old kernel, a container) gateways do all with rules: the
 * same for everybody but for those two.
 *
 * Needs CAP_BPF and CAP_NET_ADMIN, before Linux 6.9 CAP_PERFMON too. Not for two
 * threads at once. What is attached works on without this process, with the maps that
 * it had. */
#ifndef GW_CARRY_H
#define GW_CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "carry_map.h"
#include "common/err.h"
#include "proxy/report.h"
#include "proxy/state.h"

#define GW_CARRY_KEPT "flows" /* what systemd calls the descriptor of the map */

struct gw_carry;

/* Loads the programs, attaches nothing. kept: the map of flows of the process before
 * this one, or -1; stays the caller's. NULL: this machine does not let us (WORLD). */
CM_MUSTUSE struct gw_carry *gw_carry_new(int kept, struct cm_err *err);
void gw_carry_free(struct gw_carry **carry);
/* Of the map of flows; stays the carry's. */
int gw_carry_fd(const struct gw_carry *carry);

/* Before the rules are loaded: the programs are on wg0, on every link that has one of
 * the gateway's addresses and on those with a default route, and told of the ports and
 * addresses. What already is, is left alone. With by_proxy nothing new is carried, what
 * is open goes on; nothing is attached that was not. WORLD when a link is not there. */
CM_MUSTUSE int gw_carry_begin(struct gw_carry *carry, const struct px_state *state,
                              const struct px_gateway *gw, struct cm_err *err);
/* From now on every packet is for the rules, and nothing is open for us. */
void gw_carry_stop(struct gw_carry *carry);

/* Each flow in turn; false: it is carried no longer, and meets the rules again. Flows
 * that come or go meanwhile may be passed over. */
void gw_carry_walk(struct gw_carry *carry,
                   bool (*keep)(const struct gw_carry_key *key,
                                const struct gw_carry_flow *flow, void *ctx),
                   void *ctx);
/* The rules were loaded anew, after begin: who is banned by them is carried no longer,
 * and whom the former ones knew is shown to them once more. */
CM_MUSTUSE int gw_carry_obey(struct gw_carry *carry, const struct px_state *state,
                             const struct px_gateway *gw, struct cm_err *err);

/* How many are open, with no end that has hung up; those of a port of counts are its
 * open ones. What has not been heard of for GW_CARRY_IDLE_S is forgotten: the store
 * speaks in each flow every two minutes. */
#define GW_CARRY_IDLE_S 7440
#define GW_CARRY_OVER_S 60 /* the same, of what both ends have ended */
int64_t gw_carry_open(struct gw_carry *carry, struct px_counts *counts);
/* What was carried since this process began, added to the ports of counts. */
void gw_carry_count(const struct gw_carry *carry, struct px_counts *counts);

#endif
