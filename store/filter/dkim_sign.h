/* dkim_sign: signs a message of ours (RFC 6376 5): rsa-sha256, relaxed/simple, as
 * OpenDKIM did here before. Pure but for the key; one struct per message.
 *
 * Signed are the fields that RFC 6376 5.4.1 recommends, Autocrypt, and Content-Type;
 * all but the last are named once more in h= than they occur, so that nobody can add
 * one on the way. Of the header only these fields are kept; the body costs constant
 * memory. */
#ifndef FILTER_DKIM_SIGN_H
#define FILTER_DKIM_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "dkim_crypto.h"

/* Signed fields of one message. With more (or DKIM_HEADERS_MAX bytes of them) it is
 * refused: a verifier takes DKIM_H_MAX names. */
#define DKIM_SIGN_FIELDS_MAX 200

struct dkim_sign;

struct dkim_sign *dkim_sign_new(void);
void dkim_sign_free(struct dkim_sign **s);

/* As dkim_header() in dkim.h, but in the form in which the field leaves. */
void dkim_sign_header(struct dkim_sign *s, const char *name, size_t name_len,
                      const char *value, size_t value_len);
/* As dkim_body() in dkim.h. */
void dkim_sign_body(struct dkim_sign *s, const void *data, size_t len);

struct dkim_sign_as {
    const struct dkim_privkey *key;
    const char *domain, *selector; /* d= and s=, valid as such */
    int64_t now_s;                 /* t=; wall clock */
};

/* After the last byte; once. *value_r: the value of a DKIM-Signature field, a blank in
 * front, folded, lines ending in LF; caller frees. -1: REFUSE when the header is too
 * large, RETRY when OpenSSL fails. */
CM_MUSTUSE int dkim_sign_end(struct dkim_sign *s, const struct dkim_sign_as *as,
                             char **value_r, struct cm_err *err);

#endif
