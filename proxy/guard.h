/* guard: what a gateway keeps out before anything else looks at it. Private to proxy/:
 * plane_gateway.c, plane_pf.c.
 *
 * In prerouting, ahead of connection tracking, and so the same for both planes: a
 * packet of a banned source, and a SYN beyond the limits, cost one lookup and nothing
 * else. Only TCP to the public ports is limited, and only that and TURN's UDP is closed
 * to a banned source: nobody is shut out from the machine itself.
 *
 * Sets, all bounded: banned4/6 (px_gateway_bans fills them); fresh4/6, one bucket of
 * tokens for each source that opens connections; known4/6, sources that finished a
 * handshake. A flood from one source is cut by its bucket. In a flood with invented
 * sources those who are known are served as ever, and strangers share what
 * stranger_rate lets in. A set that is full takes nobody new: who is not in fresh4/6
 * then has the limit of the strangers alone, who is not in known4/6 stays a stranger.
 */
#ifndef PX_GUARD_H
#define PX_GUARD_H

#include <stdbool.h>

#include "common/buf.h"
#include "state.h"

/* Strangers may come in one wave, as when another gateway has died: stranger_rate times
 * this. */
#define PX_STRANGER_WAVE_S 16

void px_guard_counters(struct cm_buf *out);
void px_guard_sets(struct cm_buf *out, const struct px_state *state);
void px_guard_chains(struct cm_buf *out, const struct px_state *state,
                     const struct px_gateway *gw);

/* Whether the chains of this file are all there is for what is meant for the node
 * itself: where programs carry what is open, in mode active. Then nothing that arrives
 * here is translated later, or refused elsewhere. */
bool px_guards_input(const struct px_gateway *gw);
/* The node's end of the tunnel is reached through the tunnel only. */
void px_guard_inner(struct cm_buf *out, const struct px_gateway *gw);

/* Whether these rules track connections to translate them. Where programs carry what is
 * open, the store's mail and calls leave by them, too: unless egress is `all`. */
bool px_guard_tracks(const struct px_state *state, const struct px_gateway *gw);

/* Of the kernel plane's forwarding. Where programs carry what is open: what the door
 * has let in goes to chain "let_in". By rules alone: what is open, from a source known
 * already, goes to chain "open"; what is not known, but has shown to be true on its way
 * to the store, makes it known. */
void px_guard_open(struct cm_buf *out, const struct px_state *state,
                   const struct px_gateway *gw);
void px_guard_acquaint(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw);

#endif
