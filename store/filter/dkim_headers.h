/* dkim_headers: the header fields of one message, kept until the signatures' hashes are
 * made (RFC 6376 3.7, 5.4.2). */
#ifndef FILTER_DKIM_HEADERS_H
#define FILTER_DKIM_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#include "dkim_crypto.h"
#include "dkim_tags.h"

#define DKIM_H_MAX 256 /* names in h=; a signature with more is malformed */

struct dkim_field {
    struct dkim_span name, value; /* valid until the next dkim_headers_add */
    uint32_t sum;                 /* of the name, case aside: compares fast */
    size_t at;                    /* private */
};

struct dkim_headers {
    struct cm_buf text;
    struct dkim_field *field;
    unsigned count;
    bool overflow; /* DKIM_HEADERS_MAX or DKIM_FIELDS_MAX was passed */
};

void dkim_headers_init(struct dkim_headers *h);
void dkim_headers_clear(struct dkim_headers *h);
void dkim_headers_add(struct dkim_headers *h, const char *name, size_t name_len,
                      const char *value, size_t value_len);
/* After the last: makes the spans of all fields valid. */
void dkim_headers_seal(struct dkim_headers *h);

/* Reads h=: false when a name is empty or not a field name, or there are too many.
 * *from: how many of the names are From. */
bool dkim_h_check(struct dkim_span h, unsigned *from);
unsigned dkim_headers_count(const struct dkim_headers *headers, const char *name);

/* Hashes the fields that h= names, from the bottom up, then field number `own` (the
 * signature itself) without the bytes of `b`, a span within its value. */
void dkim_headers_hash(const struct dkim_headers *headers, bool relaxed,
                       struct dkim_span h, unsigned own, struct dkim_span b,
                       unsigned char out[DKIM_HASH_SIZE]);

#endif
