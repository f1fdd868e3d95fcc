/* delivery: one attempt to bring one message to one destination: for each of its hosts
 * HTTPS first, then SMTP (relay-spec.md 2.9.9, 2.10); when no host can be reached, once
 * more through another gateway.
 *
 * It learns as it goes: hosts that speak no /mxdeliv are marked "SMTP only" for
 * DELIVERY_MARK_MS (the mark goes when SMTP cannot connect), and a destination keeps
 * the gateway that worked. There is no permanent failure over HTTPS. Limits:
 * DELIVERY_LIMIT_MS in all; no further host is begun after DELIVERY_HOSTS_MS. */
#ifndef TRANSPORT_DELIVERY_H
#define TRANSPORT_DELIVERY_H

#include "address.h"
#include "env.h"
#include "route.h"
#include "spool.h"

#define DELIVERY_MARK_MS       (30 * 60 * 1000)
#define DELIVERY_LIMIT_MS      600000
#define DELIVERY_HOSTS_MS      90000
#define DELIVERY_HTTPS_TRY_MS  6000 /* to be connected; then SMTP has its turn */
#define DELIVERY_HTTPS_MS      60000 /* for the exchange, and longer for a big message: */
#define DELIVERY_HTTPS_BYTES_S 65536

struct delivery;

struct delivery_job {
    struct domain domain;
    const struct route *route; /* with hosts; NULL: to be found first */
    const char *from;
    const char *const *to;
    size_t to_count;
    const struct spool *message;
};

enum delivery_reach {
    DELIVERY_REACHED,   /* a server of the destination answered for the message */
    DELIVERY_UNREACHED, /* none did: no connection, no TLS, or lost on the way */
    DELIVERY_NO_ROUTE,  /* DNS or we have trouble: nothing is known of it */
    DELIVERY_NOWHERE    /* there is proof that it takes no mail */
};

struct delivery_result {
    enum delivery_reach reach;
    char *const *replies; /* to_count lines */
};

struct delivery_hooks {
    /* A route that was found, to be used again; not called for one that was given. */
    void (*routed)(const struct route *route, void *ctx);
    /* Exactly one call, never before delivery_start() returns; the delivery is gone
     * then. */
    void (*done)(const struct delivery_result *result, void *ctx);
    void *ctx;
};

/* What job leads to must live until done; the job itself is copied, and the route. */
struct delivery *delivery_start(struct env *env, const struct delivery_job *job,
                                const struct delivery_hooks *hooks);
void delivery_cancel(struct delivery **delivery);
/* Has a server of the destination taken up the connection? */
bool delivery_connected(const struct delivery *delivery);

#endif
