/* reset: tells a client that its connection is over, as the store would: a RST (RFC
 * 9293) from the public address that it connected to.
 *
 * A client takes a RST at once only when its sequence number is the very one that it
 * expects next (RFC 5961, section 3.2); else it asks, when it is near, and what it asks
 * is answered by the rules. So both numbers that it may expect are sent: what it has
 * acknowledged, and what follows the last byte that it may have got since. */
#ifndef GW_RESET_H
#define GW_RESET_H

#include <stddef.h>
#include <stdint.h>

#include "carry_map.h"

#define GW_RESET_MAX 60 /* bytes: IPv6 and TCP, without options */

struct gw_reset {
    int v4, v6; /* raw sockets; -1: none */
};

/* Needs CAP_NET_RAW. Without a socket for a family its clients are not told. */
void gw_reset_open(struct gw_reset *reset);
void gw_reset_close(struct gw_reset *reset);
/* How many packets went out. */
int gw_reset_send(const struct gw_reset *reset, const struct gw_carry_key *key,
                  const struct gw_carry_flow *flow);

/* The packet, from the IP header on, with that sequence number; its length. Pure. */
size_t gw_reset_packet(const struct gw_carry_key *key, const struct gw_carry_flow *flow,
                       uint32_t seq, unsigned char out[GW_RESET_MAX]);

#endif
