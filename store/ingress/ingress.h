/* ingress: what may come out of the tunnels into the store, judged by programs (eBPF)
 * in the kernel instead of by nft's rules.
 *
 * A chain at `input` is passed twice by each packet of a client: as one of the tunnel,
 * and as what was in it. A program at the tunnel's end sees it once, and costs less
 * than a rule. So where the kernel takes them, the rules keep only what the machine
 * says to itself and what is not for it (proxy/plane.h, `judged`).
 *
 * Who may what is the same on both ways: test_store_rules asks both.
 *
 * The programs at the tunnels stay when this process ends, as they are. The one at
 * look-ups of sockets, by which no other network reaches a tunnel's inner address, goes
 * with it; answers would go into the tunnel all the same. */
#ifndef INGRESS_H
#define INGRESS_H

#include <stdint.h>

#include "common/err.h"
#include "proxy/state.h"

struct ingress;

/* Loads the programs; NULL: this kernel does not take them, or we may not. */
struct ingress *ingress_new(struct cm_err *err);
void ingress_free(struct ingress **ingress);

/* Whether programs can do what such a state wants. With egress `all` they cannot: what
 * is an answer, only the kernel's table of connections knows then. */
bool ingress_can(const struct px_state *state);
/* From now on every wgN there is lets in what that state says; the tunnels of no
 * gateway let in nothing. To be called before a new tunnel gets its key, and before
 * rules are loaded that rely on it. */
CM_MUSTUSE int ingress_settle(struct ingress *ingress, const struct px_state *state,
                              struct cm_err *err);
/* They are taken away: once rules judge. NULL: those that an earlier process has left.
 */
void ingress_stop(struct ingress *ingress);

/* Packets that were dropped since the programs were loaded. */
uint64_t ingress_dropped(const struct ingress *ingress);

/* Whether what was settled still holds: no tunnel has been made anew since. */
bool ingress_holds(const struct ingress *ingress);

#endif
