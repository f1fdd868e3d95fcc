/* dkim_body: the body hashes that the signatures of one message ask for. At most two
 * passes over the body (one per canonical form), however many signatures and l= there
 * are. */
#ifndef FILTER_DKIM_BODY_H
#define FILTER_DKIM_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dkim_crypto.h"

#define DKIM_BODY_ALL INT64_MAX

struct dkim_body;

struct dkim_body *dkim_body_new(void);
void dkim_body_free(struct dkim_body **b);

/* Asks for the hash of the first `length` bytes of the canonical body (DKIM_BODY_ALL:
 * of all), before the first byte comes. Up to DKIM_SIGNATURES_MAX times. Returns a
 * number to ask with. */
unsigned dkim_body_want(struct dkim_body *b, bool relaxed, int64_t length);

void dkim_body_add(struct dkim_body *b, const void *data, size_t len);
void dkim_body_end(struct dkim_body *b); /* once, after the last byte */

/* NULL: the canonical body is shorter than that. */
const unsigned char *dkim_body_hash(const struct dkim_body *b, unsigned want);

#endif
