/* uacme: Debian's ACME client (RFC 8555), run as a program. What it says with -v is
 * read here, and nowhere else. */
#ifndef TLS_UACME_H
#define TLS_UACME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define UACME_URL_MAX 512
#define UACME_MS      180000 /* it retries a server that does not answer by itself */

/* From what it wrote on stderr. Texts hold printable ASCII only. */
struct uacme_said {
    char account[UACME_URL_MAX]; /* URL of the account; "" when it was not told */
    char type[96];               /* last problem of the server: "urn:ietf:..."; or "" */
    char why[400];               /* its detail, else the last line; "" when silent */
    bool no_account;             /* the CA does not know the key (any more) */
};
void uacme_read(const char *text, struct uacme_said *said_r);

struct uacme {
    const char *program; /* "uacme" */
    const char *dir;     /* its own, with the account's key */
    const char *url;     /* directory of the CA */
    const char *email;   /* of a new account; "" for none */
    const char *hook;    /* program for challenges */
};

/* Makes the account, or finds that it is there: both are 0. */
CM_MUSTUSE int uacme_account(const struct uacme *u, struct uacme_said *said_r,
                             struct cm_err *err);
/* csr: a file NAME.csr; the chain is in NAME-cert.pem then. An account is made first
 * when there is none. REFUSE: the CA said no, else RETRY. */
CM_MUSTUSE int uacme_issue(const struct uacme *u, const char *csr,
                           struct uacme_said *said_r, struct cm_err *err);

#endif
