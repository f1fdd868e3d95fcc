/* zone: the DNS records a relay needs, as text and as sets to compare. Pure.
 *
 * Text in upstream's format (relay-spec.md 4.5.3). Records of one name and type are a
 * set: several gateways mean several A records, in any order (oracle 6.9).
 *
 * Mail leaves under one name, the mail domain, by whichever gateway (EHLO, and what SPF
 * is asked for); so each address it leaves from has a PTR to that name, and the name
 * has an A or AAAA to that address. A PTR is in a zone of somebody else: it is never
 * required, and stands in the text as a comment. */
#ifndef OP_ZONE_H
#define OP_ZONE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "common/err.h"

#define OP_REVERSE    "PTR" /* the type; asked at a resolver */
#define OP_TTL        3600
#define OP_TTL_FOLLOW 60 /* of addresses that come and go by themselves */
#define OP_EGRESS_MAX (2 * CM_GATEWAYS_MAX)

struct op_record {
    char *name; /* with final dot */
    const char *type;
    char *data; /* as in a zone file */
    bool required;
    int ttl;
};

struct op_zone {
    struct op_record *items; /* records of one set stand together */
    size_t count;
    char egress[OP_EGRESS_MAX][46]; /* addresses that mail leaves from */
    bool follows; /* some addresses may be out of DNS for good reason (dns_follow) */
    size_t egress_count; /* 0: not known here */
};

struct op_zone_input {
    const struct cm_conf *conf;
    const char *dkim_key;     /* base64 of the public key, no breaks */
    const char *acme_account; /* URL; "" when unknown or not acme */
    const char
        *acme_issuer; /* what the CA is called in CAA; "" or NULL: Let's Encrypt */
    const char *mta_sts_id; /* acme only */
};

void op_zone_build(const struct op_zone_input *in, struct op_zone *zone_r);
void op_zone_clear(struct op_zone *zone);
char *op_zone_text(const struct op_zone *zone);
/* One line of that text, without newline. Caller frees. */
char *op_zone_line(const struct op_record *r);
/* All records as what a registrar's form asks for, or the same as a JSON array text;
 * names relative to zone ("example.org.") and in full. Caller frees. */
char *op_zone_form(const struct op_zone *zone, const char *origin);
char *op_zone_form_json(const struct op_zone *zone, const char *origin);

enum op_verdict {
    OP_RIGHT,
    OP_MISSING,
    OP_WRONG,
    OP_NOT_YET, /* right at the source, not yet everywhere */
    OP_UNKNOWN  /* nobody could be asked */
};

/* How many records from `first` on are of one name and type. */
size_t op_zone_set(const struct op_zone *zone, size_t first);
/* Whether a published record is in the place of this one: foreign TXT records beside
 * SPF and CAA records of other CAs are not our business. */
bool op_zone_is_ours(const struct op_record *r, const char *published);
/* Whether a published record does what this one is for: the same, or TXT of the same
 * meaning (txt.h). */
bool op_zone_serves(const struct op_record *r, const char *published);
/* Compares the set that begins at zone->items[first] with what is published under that
 * name and type. SPF is only counted here, and aliases are not followed: see look.h.
 * why: what is published of ours. */
enum op_verdict op_zone_judge(const struct op_zone *zone, size_t first,
                              const char *const *published, size_t count, char *why,
                              size_t size);
bool op_zone_is_spf(const struct op_record *r);

#endif
