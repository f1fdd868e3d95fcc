/* listen: TCP listeners on a set of addresses that may change while we run.
 *
 * For /metrics: loopback, and this machine's ends of the tunnels. An address need not
 * exist yet (IP_FREEBIND): a tunnel that comes up later is served at once. */
#ifndef WEB_LISTEN_H
#define WEB_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/loop.h"

#define LISTEN_MAX (2 + 2 * CM_GATEWAYS_MAX)

struct listen;

/* accept owns fd (non-blocking, close-on-exec). */
struct listen *listen_new(struct cm_loop *loop, void (*accept)(int fd, void *ctx),
                          void *ctx);
void listen_free(struct listen **listen);

/* 127.0.0.1, ::1 and the inner addresses of all gateways, on [store] metrics_port. What
 * is bound already stays; what is no longer wanted is closed. An address that cannot be
 * bound is logged and left out. */
void listen_set(struct listen *listen, const struct cm_conf *conf);
size_t listen_count(const struct listen *listen);

#endif
