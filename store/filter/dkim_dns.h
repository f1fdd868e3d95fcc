/* dkim_dns: one TXT lookup with a deadline (RFC 1035, RFC 6891), on the calling thread.
 *
 * The messages are made and read with libresolv's ns_* functions, which keep no state;
 * the sockets are ours. Its res_nsend and ldns' resolver were left out because they
 * know no deadline for the whole of a lookup, wait in whole seconds per try, and stop
 * listening to a slow server when they turn to the next one. Nothing is validated here:
 * DNSSEC is the business of the resolver that is asked. */
#ifndef FILTER_DKIM_DNS_H
#define FILTER_DKIM_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "dkim_servers.h"

#define DKIM_DNS_DEADLINE_MS   20000 /* of a lookup, with all that it tries */
#define DKIM_DNS_FIRST_WAIT_MS 2000  /* until a question is sent again... */
#define DKIM_DNS_NEXT_WAIT_MS  4000  /* ...and each time after that */
#define DKIM_DNS_TCP_MS        5000  /* for a truncated answer over TCP */
#define DKIM_DNS_REFUSALS_MAX  2     /* bad answers of each server before we give up */
#define DKIM_DNS_UDP_SIZE      1232  /* offered by EDNS0; safe on every path */

#define DKIM_RECORDS_MAX  3 /* further TXT records of a name are not looked at */
#define DKIM_CNAME_MAX    8
#define DKIM_DNS_NAME_MAX 253

struct dkim_answer {
    unsigned count;
    char *record[DKIM_RECORDS_MAX]; /* strings of a record joined; owned */
    size_t len[DKIM_RECORDS_MAX];   /* may contain NUL bytes */
    int64_t ttl_s;                  /* the least of the chain */
};
void dkim_answer_clear(struct dkim_answer *a);

/* 1: *out is filled. 0: there is no such record, said by a server that knows. -1, kind
 * RETRY: nobody could tell (no answer, SERVFAIL, REFUSED, TCP failed, ...).
 * name: letters, digits, '-', '_' and dots. */
CM_MUSTUSE int dkim_dns_txt(const struct dkim_servers *servers, const char *name,
                            int64_t deadline_ms, struct dkim_answer *out,
                            struct cm_err *err);

/* ---- messages; here for the tests and the fuzz target ---- */

#define DKIM_QUERY_MAX (12 + 255 + 4 + 11)

/* Returns its length, 0 when the name is none. */
size_t dkim_query_make(unsigned char out[DKIM_QUERY_MAX], uint16_t id, const char *name,
                       bool edns);

enum dkim_reply {
    DKIM_REPLY_OTHER, /* not the answer to this question: listen on */
    DKIM_REPLY_FOUND, /* out is filled */
    DKIM_REPLY_ABSENT,
    DKIM_REPLY_TRUNCATED,
    DKIM_REPLY_NO_EDNS, /* the server may not know EDNS: ask without */
    DKIM_REPLY_BAD      /* the server cannot tell, or is broken */
};
enum dkim_reply dkim_reply_read(const unsigned char *data, size_t len, uint16_t id,
                                const char *name, struct dkim_answer *out);

#endif
