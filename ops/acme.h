/* acme: what chatops does about the store's certificate, unless it is self-signed
 * (keys.c): from an ACME CA (RFC 8555), or the operator's own. The work is done on the
 * store by chatmail-tls(8) and chatmail-acme(8); this starts them and reads what they
 * say.
 *
 * The contract with the store: chatmail-acme keeps in OP_ACME_ACCOUNT, world-readable,
 * two lines: the URL of its account there, and the name that the CA calls itself in CAA
 * records, as its directory says (RFC 8555 7.1.1 caaIdentities), else "". No file:
 * there is no account yet. Whoever asks for a CAA record (RFC 8657 accounturi) reads it
 * by op_acme_account. */
#ifndef OP_ACME_H
#define OP_ACME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "host.h"

#define OP_ACME_DIR     "/var/lib/chatmail-acme"
#define OP_ACME_ACCOUNT OP_ACME_DIR "/account"

struct op_acme_account {
    char url[512];    /* "" when there is no account yet */
    char issuer[256]; /* "letsencrypt.org"; "" when the CA does not say */
};

/* The two lines into *out; what cannot stand in a CAA record is left out: the account's
 * URL is a plain https URL without ';' and quotes, the issuer a host name. */
void op_acme_account_parse(const char *text, struct op_acme_account *out);

/* Asks the store. -1 only when it does not answer. */
CM_MUSTUSE int op_acme_account(struct op_host *store, struct op_acme_account *out,
                               struct cm_err *err);

/* What chatmail-tls and chatmail-acme say of themselves (their state.json). */
struct op_tls_told {
    bool temporary; /* no CA's certificate is in use yet */
    int64_t not_after;
    char issuer[128];
    char tls_problem[400];  /* "" when all is well */
    char acme_problem[400]; /* the same */
};
/* text: chatmail-tls' JSON on the first line, chatmail-acme's on the second; either may
 * be missing or no JSON, and says nothing then. */
void op_tls_told_parse(const char *text, struct op_tls_told *out);
CM_MUSTUSE int op_tls_told(struct op_host *store, struct op_tls_told *out,
                           struct cm_err *err);

struct op_plan;
struct op_node;

/* With ACME: the key, a certificate that serves until the CA has given one, and the
 * request to it. Else the pair of tls_external_cert_and_key, taken into use; one that
 * is refused is warned of when an older one is in use, and fails the run when there is
 * none. Comes before the daemons that read it. */
void op_add_taken_tls(struct op_plan *plan, struct op_node *store);

/* Last of a run: asks the CA when a certificate is due, and waits for the answer. A CA
 * that refuses does not fail the run, which has done its part; it is warned of, and the
 * timer asks again. Adds nothing in another mode than acme. */
void op_add_acme(struct op_plan *plan, struct op_node *store);

#endif
