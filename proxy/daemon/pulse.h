/* pulse: whether the machine at the other end of the tunnel answers (ICMP echo, RFC
 * 792).
 *
 * One small packet a second for all connections, instead of keep-alives on each. Needs
 * CAP_NET_RAW. For chatmail-gateway too. */
#ifndef PROXY_PULSE_H
#define PROXY_PULSE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#define PULSE_EVERY_MS 1000
#define PULSE_DEAD_MS  3500 /* without an answer; three were lost */

struct pulse;

/* It counts as alive until PULSE_DEAD_MS have passed in silence. changed: each time
 * that turns. NULL with err WORLD when there is no raw socket. */
CM_MUSTUSE struct pulse *pulse_new(struct cm_loop *loop, const struct in_addr *store,
                                   void (*changed)(bool alive, void *ctx), void *ctx,
                                   struct cm_err *err);
void pulse_free(struct pulse **pulse);
bool pulse_alive(const struct pulse *pulse);
/* Monotonic: the last answer, or the birth. */
int64_t pulse_heard_ms(const struct pulse *pulse);

/* An echo request of 16 bytes, and whether `packet` (with its IPv4 header) is the
 * answer to one of that id. Pure. */
size_t pulse_request(uint16_t id, uint16_t seq, unsigned char out[16]);
bool pulse_is_reply(const unsigned char *packet, size_t len, uint16_t id);

#endif
