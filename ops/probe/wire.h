/* wire: one connection of a probe, plain or TLS, read line by line with a time-out.
 *
 * Blocking: for tests, measurements and chatops only. A certificate never ends a
 * connection (the lab's are self-signed); certs.h judges them. The socket is made
 * inside a network namespace when one is named, so no program needs to exist on the
 * node that is being spoken from. Safe in threads: each connection belongs to one. A
 * line longer than WIRE_LINE is an error. */
#ifndef PROBE_WIRE_H
#define PROBE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define WIRE_LINE       4096
#define WIRE_TIMEOUT_MS 15000

struct wire;

struct wire_to {
    const char *netns; /* path such as /run/netns/client; NULL: this process's own */
    const char *host;  /* numeric, v4 or v6 */
    int port;
    int64_t timeout_ms; /* per step; 0 means WIRE_TIMEOUT_MS */
    const char *name;   /* told to the server in TLS; NULL: none */
};

/* All failures are kind RETRY: nobody there, refused, too slow. */
struct wire *wire_open(const struct wire_to *to, struct cm_err *err);
void wire_close(struct wire **wire); /* accepts a pointer to NULL */

/* TLS from here on. alpn may be NULL. */
CM_MUSTUSE int wire_tls(struct wire *wire, const char *alpn, struct cm_err *err);

CM_MUSTUSE int wire_write(struct wire *wire, const char *text, struct cm_err *err);
/* One line without its CRLF. Returns 1, 0 when the peer closed, -1 on trouble. */
CM_MUSTUSE int wire_line(struct wire *wire, char line[WIRE_LINE], struct cm_err *err);

/* Whatever has come, at least a byte, at most size. Returns how many, 0 when the peer
 * closed, -1 on trouble. */
CM_MUSTUSE int wire_some(struct wire *wire, char *out, size_t size, struct cm_err *err);

/* Is there something to read, or the end? Waits at most limit_ms. */
bool wire_ready(const struct wire *wire, int64_t limit_ms);

/* The address this end has: what the other end should see as its client. */
const char *wire_local(const struct wire *wire);

#endif
