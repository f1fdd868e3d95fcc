/* dial: a TCP connection to the first of a host's addresses that answers. IPv6 and IPv4
 * are tried by turns, the next one DIAL_STAGGER_MS later or as soon as one has failed
 * (RFC 8305 without its name lookups). */
#ifndef TRANSPORT_DIAL_H
#define TRANSPORT_DIAL_H

#include "common/err.h"
#include "common/loop.h"
#include "peer.h"

#define DIAL_STAGGER_MS 250

struct dial;

/* fd: connected, non-blocking, now the callee's, with the address it leads to; or -1
 * and why. Exactly one call, never before dial_start() returns. The dial is gone then.
 */
typedef void (*dial_cb)(int fd, const struct peer_address *address,
                        const struct cm_err *err, void *ctx);

/* addresses: at most PEER_ADDRESSES_MAX, copied, as is source. */
struct dial *dial_start(struct cm_loop *loop, const struct peer_address *addresses,
                        size_t n, uint16_t port, const struct peer_source *source,
                        int64_t limit_ms, dial_cb cb, void *ctx);
void dial_cancel(struct dial **dial); /* no callback any more */

#endif
