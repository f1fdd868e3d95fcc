/* acme: what chatops knows about certificates from an ACME CA (RFC 8555).
 *
 * The contract with the store: chatmail-acme keeps in OP_ACME_ACCOUNT, world-readable,
 * two lines: the URL of its account there, and the name that the CA calls itself in CAA
 * records, as its directory says (RFC 8555 7.1.1 caaIdentities), else "" . No file:
 * there is no account yet. Whoever asks for a CAA record (RFC 8657 accounturi) reads it
 * by op_acme_account. */
#ifndef OP_ACME_H
#define OP_ACME_H

#include <stdbool.h>

#include "common/err.h"
#include "host.h"

#define OP_ACME_ACCOUNT "/var/lib/chatmail-acme/account"

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

struct op_plan;
struct op_node;

/* The store's key, a certificate that serves until the CA has given one, and the
 * request to it; or the pair of tls_external_cert_and_key, taken into use. Comes before
 * the daemons that read them. */
void op_add_tls(struct op_plan *plan, struct op_node *store);

/* Last step of a run: asks the CA when a certificate is due, and waits for the answer.
 * A CA that refuses does not fail the run, which has done its part; it is warned of,
 * the timer asks again. Adds nothing in another mode than acme. */
void op_add_acme(struct op_plan *plan, struct op_node *store);

#endif
