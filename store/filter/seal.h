/* seal: signs what leaves, for the modes of the filter that do: the key that all
 * threads share, and a transaction's way through dkim_sign.
 *
 * Without a key mail of our domain is put off; it never leaves unsigned. */
#ifndef FILTER_SEAL_H
#define FILTER_SEAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "decide.h"
#include "dkim_crypto.h"

#define SEAL_SELECTOR "opendkim" /* upstream's, so that its DNS record stays */

struct seal {
    const char *path; /* of the key, PEM */
    pthread_mutex_t lock;
    struct dkim_privkey *key; /* NULL: none yet */
    _Atomic uint64_t sealed;  /* messages */
};

/* Reads the key. On failure the one that is there stays. */
CM_MUSTUSE int seal_load(struct seal *seal, struct cm_err *err);
bool seal_ready(struct seal *seal);

struct transaction;

/* No message is signed on a relay without a name. */
void seal_begin(struct transaction *t);
void seal_header(struct transaction *t, const char *name, const char *value);
void seal_body(struct transaction *t, const void *data, size_t len);
/* The message will not be accepted, or not be signed: nothing more is kept of it. */
void seal_drop(struct transaction *t);
/* t->signature becomes the value of the field to insert, or NULL: the author is not of
 * our domain, or the relay has none. False: it cannot be signed, d says what to answer.
 */
bool seal_end(struct transaction *t, struct decision *d);

#endif
