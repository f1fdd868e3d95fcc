/* dns_server: a DNS server with moods, for tests: UDP and TCP on one loopback port, on
 * a thread of its own. It answers several questions at once: a late answer delays no
 * other. */
#ifndef FILTER_TESTING_DNS_SERVER_H
#define FILTER_TESTING_DNS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum ds_mood {
    DS_ANSWER,
    DS_NXDOMAIN,
    DS_NODATA,
    DS_SERVFAIL,
    DS_SERVFAIL_ONCE, /* then answers */
    DS_REFUSED,
    DS_SILENT,
    DS_DROP_TWO,          /* silent twice, then answers */
    DS_TRUNCATED,         /* over UDP; answers over TCP */
    DS_TRUNCATED_CLOSED,  /* and TCP is closed without an answer */
    DS_TRUNCATED_HANGING, /* and nothing comes over TCP */
    DS_WRONG_ID,       /* a wrong one first, with another record, then the right one */
    DS_WRONG_QUESTION, /* in the same way */
    DS_WRONG_ONLY,     /* only the wrong id */
    DS_CNAME, /* the record stands behind two CNAMEs, between foreign records */
    DS_CNAME_LOOP,
    DS_NO_EDNS,  /* FORMERR, unless asked without EDNS */
    DS_REFERRAL, /* no answer, neither authoritative nor recursive */
    DS_GARBAGE
};

struct ds_row {
    const char *name;
    enum ds_mood mood;
    const char *txt[4];
    uint32_t ttl;
    int64_t late_ms; /* before the answer */
};

struct ds_server;

struct ds_server *ds_start(void);
void ds_stop(struct ds_server **s);
const char *ds_list(const struct ds_server *s); /* "127.0.0.1@PORT" */
/* Adds or replaces. The texts are borrowed. What is unknown is NXDOMAIN. */
void ds_set(struct ds_server *s, const struct ds_row *row);
unsigned ds_asked(struct ds_server *s, const char *name); /* questions, UDP and TCP */

/* How many different ids and source ports the last 64 questions had, and whether all of
 * them offered EDNS0 with this size. */
void ds_spread(struct ds_server *s, unsigned *ids, unsigned *ports, bool *edns,
               uint16_t size);

#endif
