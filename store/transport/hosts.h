/* hosts: all usable addresses of a host name, A and AAAA asked for at once. */
#ifndef TRANSPORT_HOSTS_H
#define TRANSPORT_HOSTS_H

#include "env.h"
#include "peer.h"

struct hosts_lookup;

struct hosts_answer {
    const struct peer_address *addresses;
    size_t count;   /* at most PEER_ADDRESSES_MAX */
    uint32_t ttl_s; /* 0 when there are none */
    bool trouble;   /* none was found, but there may be some */
};

/* Exactly one call, never before hosts_find() returns; the lookup is gone then. */
typedef void (*hosts_cb)(const struct hosts_answer *answer, void *ctx);
struct hosts_lookup *hosts_find(struct env *env, const char *host, hosts_cb cb,
                                void *ctx);
void hosts_cancel(struct hosts_lookup **lookup);

/* Is there one that may be connected to from this source? */
bool hosts_usable(const struct peer_address *addresses, size_t n,
                  const struct peer_source *source);

#endif
