/* dkim_sig: one DKIM-Signature field, read and judged as far as that needs neither key
 * nor body (RFC 6376 3.5, 6.1.1). Pure. */
#ifndef FILTER_DKIM_SIG_H
#define FILTER_DKIM_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dkim_crypto.h"
#include "dkim_flaw.h"
#include "dkim_tags.h"

#define DKIM_DOMAIN_MAX 253

struct dkim_sig {
    enum dkim_alg alg;
    bool relaxed_header, relaxed_body;
    bool exact;             /* the domain of i= is d=, not one below it */
    int64_t body_length;    /* l=, or DKIM_BODY_ALL */
    unsigned from;          /* how often h= names From */
    struct dkim_span h;     /* within the text that was parsed, as is */
    struct dkim_span b_raw; /* what stands between "b=" and ';' */
    unsigned char body_hash[DKIM_HASH_SIZE];
    unsigned char b[DKIM_SIG_SIZE_MAX];
    size_t b_len;
    char key_name[DKIM_DOMAIN_MAX + 1]; /* selector._domainkey.domain, lower case */
};

/* value: of the field, with folding. DKIM_FLAW_NONE: sig is filled and awaits body and
 * key; else it is not to be used. now_ms: wall clock. */
enum dkim_flaw dkim_sig_read(struct dkim_sig *sig, const char *value, size_t len,
                             const char *from_domain, int64_t now_ms);

#endif
