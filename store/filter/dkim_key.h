/* dkim_key: one key record from DNS (RFC 6376 3.6.1, RFC 8463). Pure.
 *
 * Records in the field carry blanks, line ends and quotes in the middle of their base64
 * text; blanks, tabs, CR, LF and double quotes are therefore removed before anything
 * is read. Words that are no "name=value" are passed over. */
#ifndef FILTER_DKIM_KEY_H
#define FILTER_DKIM_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "dkim_crypto.h"
#include "dkim_flaw.h"

#define DKIM_RECORD_MAX 8192 /* bytes of a record; a longer one is not usable */

struct dkim_key {
    enum dkim_flaw flaw; /* DKIM_FLAW_NONE: the rest is set */
    enum dkim_alg alg;
    bool strict; /* t=s */
    struct dkim_pubkey *pubkey;
};

/* Always leaves *key fit for dkim_key_clear. */
void dkim_key_read(struct dkim_key *key, const char *record, size_t len);
void dkim_key_clear(struct dkim_key *key);

#endif
