/* reach: what a stranger sees at a public address, from this machine. */
#ifndef OP_REACH_H
#define OP_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum op_reach {
    OP_REACH_OK,
    OP_REACH_NO_ROUTE, /* this machine has no such address family */
    OP_REACH_TIMEOUT,
    OP_REACH_BAD, /* refused, reset, or something else answers */
};

/* Is there a way to that address from this machine? Sends nothing. */
bool op_reach_route(const char *address);
/* Begins to connect: 0, and *fd_r is non-blocking and the caller's; else an errno. */
int op_reach_start(const char *address, uint16_t port, int *fd_r);
/* When it is writable: 0, or the errno why it is not connected. */
int op_reach_error(int fd);

/* Connects; *fd_r is non-blocking and the caller's. */
enum op_reach op_reach_open(const char *address, uint16_t port, int64_t timeout_ms,
                            int *fd_r, char *said, size_t size);
/* Is there something to read before that time (monotonic)? */
bool op_reach_readable(int fd, int64_t until_ms);

/* Connects and, when `greeting` is not NULL, wants the first line to begin with it.
 * `said` gets the reason of a failure. */
enum op_reach op_reach_tcp(const char *address, uint16_t port, const char *greeting,
                           int64_t timeout_ms, char *said, size_t size);
/* TLS through openssl(1): sends `request`, wants an answer that begins with `greeting`.
 */
enum op_reach op_reach_tls(const char *address, uint16_t port, const char *name,
                           const char *request, const char *greeting, char *said,
                           size_t size);

#endif
