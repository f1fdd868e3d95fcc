/* netlimit: how often a network, and a gateway, did something within the last hour.
 *
 * Counts live in the memory of Redis, so that programs share them and their restart
 * forgets nothing (one of Redis does), under keys that hold no address: an HMAC-SHA256
 * of "/24" (IPv4) or "/48" (IPv6) of the client, and of the local address it came in by
 * (each gateway has its own), keyed with a random secret that lives in Redis too and is
 * replaced after a day (counts begin anew then). Keys expire by themselves. Time is
 * counted in minutes: an event counts for 59 to 60 of them. Both addresses of a tunnel
 * (10.77.N.2, fd77:N::2) are one gateway. While Redis is away the same counts are kept
 * in this process (bounded, oldest go). */
#ifndef CM_NETLIMIT_H
#define CM_NETLIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "common/redis.h"

#define CM_NETLIMIT_WINDOW_S 3600

struct cm_netlimit;

struct cm_netlimit_max {
    int64_t per_net; /* events in the window; 0: no limit */
    int64_t per_gateway;
};

enum cm_netlimit_verdict {
    CM_NETLIMIT_OK,
    CM_NETLIMIT_NET,    /* the network has had its share */
    CM_NETLIMIT_GATEWAY /* the gateway has */
};

/* what: names the events in the keys, as in "create"; copied. redis is borrowed. */
struct cm_netlimit *cm_netlimit_new(struct cm_loop *loop, struct cm_redis *redis,
                                    const char *what);
void cm_netlimit_free(struct cm_netlimit **limit); /* outstanding callbacks get OK */

/* client, local: numeric addresses ("203.0.113.7", "2001:db8::1",
 * "::ffff:203.0.113.7"); NULL, "", loopback or what is no address counts nowhere.
 * Counts the event when the verdict is OK, and only then. retry_after_s: until the
 * window has room; 0 with OK. Exactly one call, perhaps before return. */
typedef void (*cm_netlimit_cb)(enum cm_netlimit_verdict verdict, int64_t retry_after_s,
                               void *ctx);
void cm_netlimit_count(struct cm_netlimit *limit, const char *client, const char *local,
                       const struct cm_netlimit_max *max, cm_netlimit_cb cb, void *ctx);

#endif
