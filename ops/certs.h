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

#define OP_CERTS_MS   8000 /* all of it takes at most so long */
#define OP_CERT_PORTS 7    /* 25, 143, 443, 465, 587, 993: op_cert_ports */
#define OP_CERTS_MAX  1024 /* answers: more addresses than that are left out */

enum op_cert_state {
    OP_CERT_SHOWN,   /* a handshake was made; the certificate is known */
    OP_CERT_SILENT,  /* nothing came in time; on port 25 perhaps this line blocks it */
    OP_CERT_NO_PATH, /* this machine has no route, no IPv6 for instance */
    OP_CERT_BAD,     /* refused, closed, or no TLS: see why */
};

/* One address and port. */
struct op_cert_at {
    const char *owner; /* "edge1", or "store" without gateways; borrowed */
    char address[64];
    uint16_t port;
    enum op_cert_state state;
    char why[160];          /* OP_CERT_BAD and SILENT */
    struct cm_cert_look is; /* OP_CERT_SHOWN */
};

struct op_certs {
    struct op_cert_at *items; /* by owner, address, port */
    size_t count;
    int64_t took_ms;
};

/* Ports without NULs at the end, and how TLS begins there. */
enum op_starttls { OP_TLS_AT_ONCE, OP_TLS_SMTP, OP_TLS_IMAP };
struct op_cert_port {
    uint16_t port;
    enum op_starttls how;
};
extern const struct op_cert_port op_cert_ports[]; /* ended by port == 0 */

/* Asks all public addresses of the gateways that serve (mode active), or of a store
 * without gateways. Blocks for at most OP_CERTS_MS. */
void op_certs_look(const struct op_cluster *c, struct op_certs *certs_r);
void op_certs_clear(struct op_certs *certs);

/* What is wrong with one certificate that was shown, for a person; "" when nothing is.
 * now: seconds since 1970. */
void op_certs_judge(const struct cm_conf *conf, const struct cm_cert_look *is,
                    int64_t now, char *why, size_t size);

/* Each defect once, as a line: "edge1 203.0.113.7 ports 443, 993: certificate of
 * wrong.example expired on 2026-10-01". Also when one place shows another certificate
 * than the rest. say gets a text that lasts for the call. */
void op_certs_wrong(const struct cm_conf *conf, const struct op_certs *certs,
                    int64_t now, void (*say)(void *ctx, const char *text), void *ctx);

/* One line for the screen: "certificate: good for 61 days, until 2027-01-27, from CA,
 * the same on 24 of 24 ports". */
void op_certs_line(const struct cm_conf *conf, const struct op_certs *certs,
                   int64_t now, struct cm_buf *out);

/* For `status`: looks, tells what is wrong (and what chatmail-tls and chatmail-acme
 * on the store complain of), fills line with op_certs_line. */
void op_certs_status(struct op_cluster *c, struct cm_buf *line,
                     void (*say)(void *ctx, const char *text), void *ctx);

#endif
