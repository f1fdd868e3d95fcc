/* route: by which hosts the mail of a destination goes (relay-spec.md 2.9.9 steps 1 to
 * 4, RFC 8461 4.1). */
#ifndef TRANSPORT_ROUTE_H
#define TRANSPORT_ROUTE_H

#include "address.h"
#include "env.h"
#include "mx.h"
#include "peer.h"

#define ROUTE_KEEP_MAX_MS 300000 /* however long DNS allows */
#define ROUTE_KEEP_MIN_MS 1000

struct route_host {
    char name[DOMAIN_NAME_MAX]; /* of a literal: the bare address */
    struct peer_address addresses[PEER_ADDRESSES_MAX];
    size_t address_count; /* at least 1 */
};

struct route {
    bool refused;    /* positive proof that there is no way; reply says it, 5xx */
    char reply[400]; /* "" when there are hosts; else 4xx or 5xx */
    struct route_host hosts[MX_HOSTS_MAX];
    size_t host_count;
    int64_t until_ms; /* may be used until then; monotonic */
};

struct route_lookup;
/* Exactly one call, never before route_find() returns; the lookup is gone then. */
typedef void (*route_cb)(const struct route *route, void *ctx);
struct route_lookup *route_find(struct env *env, const struct domain *domain,
                                route_cb cb, void *ctx);
void route_cancel(struct route_lookup **lookup);

#endif
