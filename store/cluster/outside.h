/* outside: the store knocks at its own doors from outside, at the public addresses of
 * its gateways: the SMTP greeting at 25, TLS and its name at 443, TLS, name and the
 * IMAP greeting at 993. Only at gateways in mode active, one round every
 * OUTSIDE_EVERY_MS for each.
 *
 * The way there: by the home line, unless mail (egress gateways: port 25) or everything
 * (egress all) has to leave through gateways; then from the inner address of another
 * healthy egress gateway, so through that. Without one nothing is asked. Port 25 by the
 * home line may be filtered there, which says nothing about the gateway. */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include "common/loop.h"
#include "health.h"
#include "proxy/state.h"

#define OUTSIDE_EVERY_MS 20000

struct outside;

/* What is seen goes to health, which is borrowed. */
struct outside *outside_new(struct cm_loop *loop, struct health *health);
void outside_free(struct outside **outside);
/* To be called every half second: begins with one gateway at most. */
void outside_tick(struct outside *outside, const struct px_state *state);

/* Pure. From which address to knock at port of that gateway in this family. True with
 * from->ss_family 0: by the home line. False: there is no way. *doubtful_r: a failure
 * may be the line's. */
bool outside_way(const struct px_state *state, const struct health *health,
                 const struct px_gateway *gateway, bool v6, uint16_t port,
                 struct sockaddr_storage *from, bool *doubtful_r);

/* Pure. Is that the store's own address in one of the tunnels? */
bool outside_is_inner(const struct px_state *state, const struct sockaddr_storage *at);

#endif
