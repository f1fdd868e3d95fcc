/* bus: the doorbell between store and gateways (nanomsg behind this one file; the
 * publishing end is our own, bus_pub.h).
 *
 * A doorbell, not a queue: any message may be lost, and whoever cares asks again.
 * Messages are whole, at most CM_BUS_MAX bytes; a larger one is an error at the sender
 * (nanomsg 1.1.5 would lose it silently). Sending never blocks: no peer or a full
 * buffer is kind RETRY. Not encrypted: only ever on tunnel addresses. */
#ifndef CM_BUS_H
#define CM_BUS_H

#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#define CM_BUS_MAX (512 * 1024)

enum cm_bus_kind {
    CM_BUS_PUB,
    CM_BUS_SUB, /* subscribed to everything */
    CM_BUS_REQ,
    CM_BUS_REP,
    CM_BUS_PUSH,
    CM_BUS_PULL,
};

struct cm_bus;

/* One message. For REP the answer is sent with cm_bus_send from inside the callback. */
typedef void (*cm_bus_cb)(struct cm_bus *bus, const char *data, size_t len, void *ctx);

/* cb may be NULL for PUB and PUSH. */
struct cm_bus *cm_bus_new(struct cm_loop *loop, enum cm_bus_kind kind, cm_bus_cb cb,
                          void *ctx, struct cm_err *err);
void cm_bus_free(struct cm_bus **bus);

/* url: tcp://ADDRESS:PORT. A socket may have several, a PUB one, and only bound. The
 * address of a bind must exist. */
CM_MUSTUSE int cm_bus_bind(struct cm_bus *bus, const char *url, int *endpoint_r,
                           struct cm_err *err);
CM_MUSTUSE int cm_bus_connect(struct cm_bus *bus, const char *url, int *endpoint_r,
                              struct cm_err *err);
void cm_bus_unbind(struct cm_bus *bus, int endpoint);
CM_MUSTUSE int cm_bus_send(struct cm_bus *bus, const char *data, size_t len,
                           struct cm_err *err);

#endif
