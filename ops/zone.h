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

#define OP_REVERSE "PTR" /* the type; asked at a resolver */

struct op_record {
    char *name; /* with final dot */
    const char *type;
    char *data; /* as in a zone file */
    bool required;
};

struct op_zone {
    struct op_record *items; /* records of one set stand together */
    size_t count;
};

struct op_zone_input {
    const struct cm_conf *conf;
    const char *dkim_key;     /* base64 of the public key, no breaks */
    const char *acme_account; /* URL; "" when unknown or not acme */
    const char *mta_sts_id;   /* acme only */
};

void op_zone_build(const struct op_zone_input *in, struct op_zone *zone_r);
void op_zone_clear(struct op_zone *zone);
char *op_zone_text(const struct op_zone *zone);
/* One line of that text, without newline. Caller frees. */
char *op_zone_line(const struct op_record *r);
/* The DKIM record as one string without quotes, for web forms. Caller frees. */
char *op_zone_dkim_one_line(const char *dkim_key);

enum op_verdict { OP_RIGHT, OP_MISSING, OP_WRONG };

/* Compares the set that begins at zone->items[first] (it has *n_r members) with what is
 * published under that name and type. `www` alone may be published as A/AAAA instead:
 * see dns.c. Foreign TXT records beside SPF and foreign CAA records are not our
 * business. why: for OP_WRONG what is published. */
enum op_verdict op_zone_judge(const struct op_zone *zone, size_t first, size_t *n_r,
                              const char *const *published, size_t count, char *why,
                              size_t size);

#endif
