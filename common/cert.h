/* cert: X.509 certificates as an operator asks about them: whose, until when, made by
 * whom, fits this key, leads to a root. OpenSSL behind this one file.
 *
 * RFC 5280, RFC 6125. A name matches by the alternative names only, "*" stands for one
 * whole label. */
#ifndef CM_CERT_H
#define CM_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CM_CERT_ROOTS   "/etc/ssl/certs/ca-certificates.crt"
#define CM_CERT_PEM_MAX (128u << 10) /* of a chain or a key */
#define CM_CERT_CHAIN   10           /* certificates in one chain */

struct x509_st;
struct stack_st_X509;

struct cm_cert;  /* a chain, leaf first */
struct cm_roots; /* whom to trust */

/* What is seen at a glance. Texts from outside hold printable ASCII only. */
struct cm_cert_look {
    int64_t not_before, not_after; /* seconds since 1970 */
    char serial[64];               /* hex */
    char print[65];                /* SHA-256 of the leaf, hex */
    char subject[128];             /* first alternative name, else common name */
    char issuer[128];              /* organisation, else common name */
    bool self_signed;
    bool trusted;            /* its chain, as sent, leads to one of the roots, today */
    bool named;              /* good for the name asked for; see cm_cert_look */
    char untrusted_why[128]; /* OpenSSL's words */
};

/* PEM text: the leaf and then what made it; other PEM blocks are passed over, so a key
 * may stand in the same file. REFUSE: none is in it, more than CM_CERT_CHAIN, or no
 * proper one. */
CM_MUSTUSE int cm_cert_parse(const char *pem, size_t len, struct cm_cert **cert_r,
                             struct cm_err *err);
/* Borrowed; for the parts of this module. */
struct x509_st *cm_cert_leaf(const struct cm_cert *cert);

/* What a peer has sent; copies references. rest may be NULL and may hold the leaf. */
struct cm_cert *cm_cert_of_peer(struct x509_st *leaf, const struct stack_st_X509 *rest);
void cm_cert_free(struct cm_cert **cert);

/* path: a PEM file; one that cannot be read trusts nobody. */
struct cm_roots *cm_roots_load(const char *path);
void cm_roots_free(struct cm_roots **roots);

/* name: a host or an IPv4 address. */
void cm_cert_look(const struct cm_cert *cert, const char *name,
                  const struct cm_roots *roots, struct cm_cert_look *look_r);
/* Is it good for this host or IPv4 address? */
bool cm_cert_named(const struct cm_cert *cert, const char *name);

/* Each certificate made the one before it. REFUSE says which did not. */
CM_MUSTUSE int cm_cert_chained(const struct cm_cert *cert, struct cm_err *err);
/* The private key, PEM without password, is the leaf's. REFUSE: it is not, or no key.
 */
CM_MUSTUSE int cm_cert_fits(const struct cm_cert *cert, const char *key_pem, size_t len,
                            struct cm_err *err);

/* PEM of a new P-256 key; wipe it after use. */
char *cm_cert_new_key(void);
/* PEM of a certificate that the key signs itself, for `days`. names: host names or IPv4
 * addresses, the first is the subject. */
CM_MUSTUSE int cm_cert_self(const char *key_pem, const char *const *names, size_t n,
                            int days, char **pem_r, struct cm_err *err);
/* PEM of a request for these names (RFC 2986). */
CM_MUSTUSE int cm_cert_request(const char *key_pem, const char *const *names, size_t n,
                               char **pem_r, struct cm_err *err);

/* Is the PEM text a request by this key for just these names, in this order? */
bool cm_cert_request_fits(const char *request_pem, const char *key_pem,
                          const char *const *names, size_t n);
/* Is the leaf for the key that signed the request? */
bool cm_cert_answers(const struct cm_cert *cert, const char *request_pem);

#endif
