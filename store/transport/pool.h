/* pool: SMTP connections between two messages, for the next one that goes to the same
 * server.
 *
 * A connection waits POOL_IDLE_MS at most, then it is closed with QUIT; at once when
 * the server says anything or hangs up. It is given out again only for the same key:
 * the same host with the same demand on its certificate, the same gateway, the same
 * name of ours, and an address that the host still has. Bounds: POOL_MAX in all (the
 * oldest goes), POOL_HOST_MAX of one key, POOL_USES_MAX messages and POOL_AGE_MS of one
 * connection. */
#ifndef TRANSPORT_POOL_H
#define TRANSPORT_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"
#include "peer.h"
#include "wire.h"

#define POOL_IDLE_MS  5000
#define POOL_MAX      64
#define POOL_HOST_MAX 4
#define POOL_USES_MAX 100
#define POOL_AGE_MS   300000

struct pool;

/* Borrowed, but for pool_give() which copies. */
struct pool_key {
    const char *host;
    uint16_t port;
    bool tls, verify;
    const char *ehlo;
    const struct peer_source *source;
};

/* An open connection, past EHLO. */
struct pool_link {
    struct wire *wire;
    struct peer_address address;
    bool pipelining;
    unsigned uses;   /* messages it has carried */
    int64_t made_ms; /* monotonic */
};

struct pool *pool_new(struct cm_loop *loop);
void pool_free(struct pool **pool); /* and all that waits */
/* Closes all that waits, and later what was made before. */
void pool_clear(struct pool *pool);

/* true: link_r is the caller's, who hands its wire over to himself. */
bool pool_take(struct pool *pool, const struct pool_key *key,
               const struct peer_address *addresses, size_t n,
               struct pool_link *link_r);
/* The wire is the pool's from now on, and perhaps closed already; legal inside the
 * wire's callback. */
void pool_give(struct pool *pool, const struct pool_key *key,
               const struct pool_link *link);
/* The polite end of a connection that nobody needs. */
void pool_quit(struct wire **wire);

#endif
