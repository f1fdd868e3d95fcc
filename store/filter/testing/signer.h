/* signer: makes keys, key records and signed messages for the DKIM tests. Written apart
 * from the verifier: it shares no code with it, so that an error in a canonical form
 * does not cancel out. */
#ifndef FILTER_TESTING_SIGNER_H
#define FILTER_TESTING_SIGNER_H

#include <stdbool.h>
#include <stddef.h>

struct sg_key;

struct sg_key *sg_key_rsa(unsigned bits);
struct sg_key *sg_key_ed25519(void);
struct sg_key *sg_key_seed(const unsigned char seed[32]); /* Ed25519 */
void sg_key_free(struct sg_key **key);
char *sg_key_p(const struct sg_key *key);      /* base64 for p=; caller frees */
char *sg_key_record(const struct sg_key *key); /* "v=DKIM1; k=...; p=..."; same */
char *sg_key_pem(const struct sg_key *key);    /* private, PKCS #8; same */

struct sg_text {
    char *data; /* NUL behind the end */
    size_t len;
};

struct sg_how {
    const struct sg_key *key;
    const char *domain;   /* d= */
    const char *selector; /* s= */
    const char *canon;    /* c=, as in "relaxed/simple"; NULL: no c=, which is simple */
    const char *h;        /* NULL: "from:to:subject" */
    const char *alg;      /* a=; NULL: what fits the key; "rsa-sha1" signs with SHA-1 */
    const char *tags;     /* more, as in "t=1; x=2;"; may be NULL */
    long body_length;     /* l=; -1 for none */
    bool fold;            /* wrap b= and bh= in lines */
};

/* message: CRLF lines, empty line, body. The result begins with the signature. */
struct sg_text sg_sign(const struct sg_how *how, const char *message, size_t len);

/* Only the field's value, for tests that place it themselves. */
char *sg_signature(const struct sg_how *how, const char *message, size_t len);

/* Whole canonical forms, for comparison; caller frees. */
struct sg_text sg_canon_body(bool relaxed, const char *body, size_t len);
struct sg_text sg_canon_field(bool relaxed, const char *field, size_t len);

#endif
