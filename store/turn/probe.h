/* probe: asks a STUN server at one address, again and again, whether it is there
 * (a Binding request, RFC 8489). */
#ifndef TURN_PROBE_H
#define TURN_PROBE_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/loop.h"

/* took_ms: until the answer; -1: none came before the next question. */
typedef void (*probe_cb)(int64_t took_ms, void *ctx);

struct probe;

/* The first question is put at once, the next ones every_ms later. The callback may not
 * free the probe. */
struct probe *probe_new(struct cm_loop *loop, const struct sockaddr_storage *server,
                        int64_t every_ms, probe_cb cb, void *ctx);
void probe_free(struct probe **probe);

#endif
