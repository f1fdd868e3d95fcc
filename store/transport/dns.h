/* dns: questions to the resolver of this machine, without waiting for the answer (ldns
 * makes and reads the packets, behind this one file).
 *
 * A question goes to each of the resolvers by turns, DNS_TRIES times in all, over UDP;
 * an answer that was cut is asked for again over TCP. Whichever answers first counts,
 * however late, until DNS_LIMIT_MS. Nothing is cached here but by the callers, for the
 * time that the answer allows. Bounds: DNS_QUESTIONS_MAX at a time (more fail at once),
 * DNS_RECORDS_MAX records of an answer (the rest is dropped). */
#ifndef TRANSPORT_DNS_H
#define TRANSPORT_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "common/err.h"
#include "common/loop.h"
#include "peer.h"

#define DNS_LIMIT_MS      12000
#define DNS_TRIES         6
#define DNS_QUESTIONS_MAX 4096
#define DNS_RECORDS_MAX   32
#define DNS_TEXT_MAX      1024

enum dns_type { DNS_A = 1, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28 };

enum dns_status {
    DNS_FOUND,
    DNS_NO_DATA, /* the name exists, without such records */
    DNS_NO_NAME, /* the name does not exist: positive proof */
    DNS_TROUBLE  /* nobody knows; ask again later */
};

struct dns_record {
    uint16_t preference;         /* MX */
    struct peer_address address; /* A, AAAA */
    char text[DNS_TEXT_MAX];     /* MX: the host in small letters, "." alone for the
                                  * root; TXT: its strings joined */
};

struct dns_answer {
    enum dns_status status;
    uint32_t ttl_s; /* the shortest of its records; 0 unless FOUND */
    size_t count;
    const struct dns_record *records;
    const char *reason; /* TROUBLE: one line */
};

struct dns;
struct dns_question;

/* server: "ADDRESS" or "ADDRESS#PORT" to ask instead of those in /etc/resolv.conf,
 * which is read again when it changes. */
struct dns *dns_new(struct cm_loop *loop, const char *server, struct cm_err *err);
void dns_free(struct dns **dns); /* no question may be open */

/* Exactly one call, never before dns_ask() returns; the question is gone then. */
typedef void (*dns_cb)(const struct dns_answer *answer, void *ctx);
struct dns_question *dns_ask(struct dns *dns, const char *name, enum dns_type type,
                             dns_cb cb, void *ctx);
void dns_cancel(struct dns_question **question);

#endif
