/* smtp: hands one message to one mail server, for some recipients, as a client (RFC
 * 5321; STARTTLS RFC 3207; PIPELINING RFC 2920). Our own and not libcurl's, which in
 * 7.88 says one RCPT per round trip, gives its replies without saying to which command,
 * hides whether the final dot has been sent, and stuffs dots that are stuffed already.
 *
 * A connection that a message has gone over is kept for the next one (pool.h), which
 * begins with RSET. When such a connection turns out to be of no use any more, and the
 * final dot has not been said, the message goes over a fresh one to the same host; so
 * does it when MAIL is refused there, which may be meant for the connection.
 *
 * MAIL and RCPT carry no parameters. One recipient that is refused does not fail the
 * others. Limits: SMTP_STEP_MS for each reply and each piece of the message that
 * leaves, SMTP_DONE_MS for the reply to the final dot; reply.h. */
#ifndef TRANSPORT_SMTP_H
#define TRANSPORT_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "peer.h"
#include "pool.h"
#include "spool.h"
#include "wire.h"

#define SMTP_CONNECT_MS 10000
#define SMTP_STEP_MS    60000
#define SMTP_RESET_MS   5000 /* for a kept connection to answer; then a fresh one */
#define SMTP_DONE_MS    180000
#define SMTP_REPLY_MAX  1024 /* a reply as we pass it on */

struct smtp_counts {
    uint64_t fresh, resumed; /* connections made, and those of them with a ticket */
    uint64_t kept;           /* connections that were used once more */
};

struct smtp;

/* All borrowed until the callback. */
struct smtp_options {
    struct cm_loop *loop;
    struct pool *pool;
    struct smtp_counts *counts; /* added to */
    struct wire_tls *tls;       /* NULL: in clear */
    bool verify;
    const char *host; /* for SNI, the certificate and replies; or an address */
    uint16_t port;
    const struct peer_address *addresses;
    size_t address_count;
    const struct peer_source *source;
    const char *ehlo;
    const char *from; /* "" : the null sender */
    const char *const *to;
    size_t to_count;
    const struct spool *message; /* stuffed, CRLF, without the final dot line */
};

enum smtp_end {
    SMTP_ANSWERED,  /* each recipient has a reply of the peer */
    SMTP_TROUBLE,   /* nothing was taken; another host may be tried; err says why */
    SMTP_UNCERTAIN, /* lost behind the final dot: perhaps it was taken; err says why */
};

struct smtp_result {
    enum smtp_end end;
    bool connected; /* with TROUBLE: the peer had spoken SMTP, so it can be reached */
    /* ANSWERED: to_count lines, "250 ..." or the refusal with " (forwarded from
     * HOST[IP:PORT])". */
    char *const *replies;
};

/* Exactly one call, never before smtp_start() returns; the client is gone then. */
typedef void (*smtp_cb)(const struct smtp_result *result, const struct cm_err *err,
                        void *ctx);
struct smtp *smtp_start(const struct smtp_options *options, smtp_cb cb, void *ctx);
void smtp_cancel(struct smtp **smtp);
/* Has the peer greeted us? */
bool smtp_spoken(const struct smtp *smtp);

#endif
