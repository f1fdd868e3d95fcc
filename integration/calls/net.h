/* net: two gateways and a store in namespaces of their own, with the rules, routes and
 * TURN servers that they have in a cluster. A plain link stands in for each tunnel.
 *
 *   world 198.51.100.40 -- .11  edge1 -- wg1 store
 *         203.0.113.40  -- .12  edge2 -- wg2
 *
 * and in IPv6 2001:db8:1::/64 and 2001:db8:2::/64. World routes between its two nets,
 * as the Internet does. Failures are cmocka's. Needs root, ip, nft, turnserver. */
#ifndef CALLS_NET_H
#define CALLS_NET_H

#include "common/err.h"
#include "proxy/state.h"

#define NET_SECRET "0123456789abcdef"

enum net_host { NET_WORLD, NET_EDGE1, NET_EDGE2, NET_STORE, NET_HOSTS };

/* Returns false where it cannot be made: not root, or no turnserver. */
bool net_up(void);
void net_down(void);

/* Path of a host's namespace. */
const char *net_path(enum net_host host);
/* sh -c in it; must succeed. */
void net_sh(enum net_host host, const char *fmt, ...) CM_PRINTF(2, 3);
/* Loads a gateway's rules for that mode; number 1 or 2. */
void net_mode(int number, enum cm_mode mode);
/* What a counter of our table on that host has counted. */
long net_counted(enum net_host host, const char *counter);

#endif
