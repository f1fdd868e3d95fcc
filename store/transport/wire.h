/* wire: one connection to another mail server, in clear and then in TLS (OpenSSL behind
 * this file and tls_client.h).
 *
 * One callback, told what happened; freeing the wire inside it is legal. Bounds:
 * WIRE_OUT_MAX bytes that are not sent yet (more is a failure of the wire). */
#ifndef TRANSPORT_WIRE_H
#define TRANSPORT_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#define WIRE_OUT_MAX (1u << 20)

struct wire;
struct wire_tls; /* what all connections share: trusted roots, protocol versions */

enum wire_event {
    WIRE_DATA,    /* data, len: came in */
    WIRE_SECURE,  /* the TLS handshake is done, the certificate checked if asked for */
    WIRE_DRAINED, /* all that was to be sent has been given to the kernel */
    WIRE_CLOSED   /* by the other side or by trouble; data: why. Nothing comes after. */
};
typedef void (*wire_cb)(enum wire_event event, const char *data, size_t len, void *ctx);

/* ca_file: PEM roots. TLS 1.2 and 1.3 only. */
struct wire_tls *wire_tls_new(const char *ca_file, struct cm_err *err);
/* Reads the roots again; an error leaves the old ones. */
CM_MUSTUSE int wire_tls_reload(struct wire_tls *tls, const char *ca_file,
                               struct cm_err *err);
void wire_tls_free(struct wire_tls **tls); /* connections that use it may go on */

/* Owns fd: connected and non-blocking. */
struct wire *wire_new(struct cm_loop *loop, int fd, wire_cb cb, void *ctx);
void wire_free(struct wire **wire);
/* The same, after what was to be sent has been offered to the kernel once. */
void wire_finish(struct wire **wire);
void wire_send(struct wire *wire, const char *data, size_t len);
/* Begins the handshake as a client: SNI unless host is an address; verify: the
 * certificate must chain to the roots and name the host. Bytes that came in clear and
 * were not read are thrown away. */
void wire_secure(struct wire *wire, struct wire_tls *tls, const char *host,
                 bool verify);
/* Was the handshake shortened by a ticket of an earlier connection? */
bool wire_resumed(const struct wire *wire);
/* From now on another hears what happens; legal inside the callback. */
void wire_hand_over(struct wire *wire, wire_cb cb, void *ctx);

#endif
