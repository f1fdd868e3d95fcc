/* tls_client: the TLS half of a wire as a client, with tickets kept per host so that
 * the next connection there resumes (TLS 1.3 only). OpenSSL's types go no further than
 * here and wire.c.
 *
 * A ticket is used once, within TLS_TICKET_MS, by a connection to the same host with
 * the same demand on its certificate; one that was got without looking at the
 * certificate never serves one that wants it checked. TLS_TICKETS_MAX hosts at most. */
#ifndef TRANSPORT_TLS_CLIENT_H
#define TRANSPORT_TLS_CLIENT_H

#include <stdbool.h>

#include <openssl/types.h>

#include "wire.h"

#define TLS_TICKETS_MAX 512
#define TLS_TICKET_MS   (60 * 60 * 1000)

/* For a connected fd (borrowed); see wire_secure(). */
SSL *tls_client_new(struct wire_tls *tls, int fd, const char *host, bool verify);
void tls_client_free(SSL **ssl);

#endif
