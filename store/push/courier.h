/* courier: posts device tokens to the notification service (libcurl behind this one
 * file): HTTP/2 over kept connections where the service speaks it, else HTTP/1.1.
 *
 * The body is the token and nothing else (relay-spec.md 2.5.4). Names are resolved by
 * libcurl's own threads. Proxies of the environment are not used, redirects not
 * followed, the answer's body is thrown away. A request that broke off with a
 * connection others had used is posted once more, at once, and may so arrive twice. A
 * connection on which the peer's kernel acknowledges nothing for COURIER_UNHEARD_MS is
 * given up, and no connection is used for longer than COURIER_CONNECTION_S. */
#ifndef PUSH_COURIER_H
#define PUSH_COURIER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#define COURIER_LIMIT_MS        60000 /* for one request, waiting included */
#define COURIER_CONNECT_MS      10000
#define COURIER_UNHEARD_MS      20000
#define COURIER_CONNECTION_S    600
#define COURIER_CONNECTIONS_MAX 8
#define COURIER_WITHOUT_H2_MAX  32 /* connections, and requests at a time */

struct courier;

/* ca: a file of certificates instead of the system's, or NULL. Copied. */
struct courier *courier_new(struct cm_loop *loop, const char *ca);
void courier_free(struct courier **courier); /* no callback for what is under way */

/* For the requests from now on; copied. */
void courier_set_url(struct courier *courier, const char *url);

/* How many more may be posted now, when at most `max` are to be under way. Fewer once
 * the service turned out to speak HTTP/1.1 only, because then each needs a connection.
 */
size_t courier_room(const struct courier *courier, size_t max);

/* status: of the answer; 0: there was none, and why says why. Exactly one call per
 * courier_post, never before that returned. */
typedef void (*courier_cb)(int status, const char *why, void *ctx);

/* token must live until the callback. */
void courier_post(struct courier *courier, const void *token, size_t len, courier_cb cb,
                  void *ctx);

#endif
