/* certs: the certificate that strangers see, asked for on every public address and
 * every TLS port of the relay, all at the same time.
 *
 * What is wrong with one answer is judged by op_certs_judge, a pure function; what is
 * wrong with the whole, by op_certs_wrong: one line per gateway, address and defect,
 * with the ports. Works from where chatops runs, on sockets of its own; OpenSSL behind
 * certs_dial.c. */
#ifndef OP_CERTS_H
#define OP_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cert.h"
#include "common/conf.h"

struct op_cluster;

#define OP_CERTS_MS 8000 /* all of it takes at most so long */
#define OP_CERTS_MAX                                                                   \
    2048 /* answers: CM_GATEWAYS_MAX x CM_ADDRESSES_MAX x 6 ports fit */

enum op_cert_state {
    OP_CERT_SILENT,  /* nothing came in time; on port 25 perhaps this line blocks it */
    OP_CERT_SHOWN,   /* a handshake was made; the certificate is known */
    OP_CERT_NO_PATH, /* this machine has no route, no IPv6 for instance */
    OP_CERT_BAD,     /* refused, closed, or no TLS: see why */
};

enum op_starttls { OP_TLS_AT_ONCE, OP_TLS_SMTP, OP_TLS_IMAP };

/* One address and port. */
struct op_cert_at {
    const char *owner; /* "edge1", or "store" without gateways; borrowed */
    char address[64];
    uint16_t port;
    enum op_starttls how;
    enum op_cert_state state;
    char why[160];          /* with OP_CERT_BAD */
    struct cm_cert_look is; /* with OP_CERT_SHOWN */
};

struct op_certs {
    struct op_cert_at *items; /* by owner, address, port */
    size_t count;
};

/* All public addresses of the gateways that serve (mode active), or of a store without
 * gateways, with each TLS port; nothing is asked yet. */
void op_certs_list(const struct cm_conf *conf, struct op_certs *certs_r);
/* The same for one address. owner: borrowed. */
void op_certs_of(const char *owner, const char *address, struct op_certs *certs_r);
void op_certs_clear(struct op_certs *certs);

/* Asks all of them at the same time: TLS with `name`, and what is shown. Blocks until
 * the last has answered, at most limit_ms; who has not by then, or
 * does not even connect within 3 s (1.5 s on port 25), is OP_CERT_SILENT. */
void op_certs_ask(struct op_certs *certs, const char *name,
                  const struct cm_roots *roots, int64_t limit_ms);

/* What is wrong with one certificate that was shown, for a person, as in "expired on
 * 2026-10-01 and is for a.example, not for b.example"; "" when nothing is. now: seconds
 * since 1970. */
void op_certs_judge(const struct cm_conf *conf, const struct cm_cert_look *is,
                    int64_t now, char *why, size_t size);

/* Each defect once, as a line: "edge1 203.0.113.7 ports 443, 993: the certificate
 * expired on 2026-10-01". Also where another certificate is shown than at most places.
 * Port 25 alone may be silent. say gets a text that lasts for the call. */
void op_certs_wrong(const struct cm_conf *conf, const struct op_certs *certs,
                    int64_t now, void (*say)(void *ctx, const char *text), void *ctx);

/* One line for the screen: "the same on 24 of 24 ports, good for 61 days, from CA". */
void op_certs_line(const struct op_certs *certs, int64_t now, struct cm_buf *out);

/* For `status`: all of the above for a cluster, and what chatmail-tls and chatmail-acme
 * on the store complain of. line: initialised; gets op_certs_line. */
void op_certs_status(struct op_cluster *c, struct cm_buf *line,
                     void (*say)(void *ctx, const char *text), void *ctx);

#endif
