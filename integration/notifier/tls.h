/* tls: the certificate of the notification service, and TLS over a non-blocking socket
 * (OpenSSL behind this one file). */
#ifndef NOTIFIER_TLS_H
#define NOTIFIER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

struct tls_files {
    const char *ca_cert, *ca_key; /* a certificate for `name` is made and signed */
    const char *name;             /* DNS name or numeric address */
    const char *cert, *key;       /* or these are taken; PEM, cert with its chain */
};

struct tls_server;
struct tls;

/* What the server speaks by ALPN. */
enum tls_offer {
    TLS_OFFER_H2, /* and HTTP/1.1 to those who ask for that; so at first */
    TLS_OFFER_H1,
    TLS_OFFER_NOTHING /* as a server that does not know ALPN: HTTP/1.1 */
};

struct tls_server *tls_server_new(const struct tls_files *files, struct cm_err *err);
void tls_server_free(struct tls_server **server);
/* For handshakes from now on. */
void tls_server_offer(struct tls_server *server, enum tls_offer offer);

/* fd is borrowed. */
struct tls *tls_new(struct tls_server *server, int fd);
void tls_free(struct tls **tls); /* without a farewell to the peer */

/* As read(2) and write(2), after a handshake of its own: bytes, 0 the end, -1 with
 * errno: EAGAIN (tls_wants_write: when the socket can be written, else read) or EPROTO.
 */
ssize_t tls_read(struct tls *tls, void *data, size_t size);
ssize_t tls_write(struct tls *tls, const void *data, size_t len);
bool tls_wants_write(const struct tls *tls);

/* Decided once tls_read has returned anything but EAGAIN or tls_is_up says so. */
bool tls_is_up(const struct tls *tls);
bool tls_is_h2(const struct tls *tls);

#endif
