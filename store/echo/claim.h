/* claim: the bot's mail account: a password of its own, kept in a file, and the row in
 * PostgreSQL that lets it in (store/schema/008-echo.sql). */
#ifndef ECHO_CLAIM_H
#define ECHO_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#define CLAIM_AGAIN_MS     5000  /* after trouble with the database */
#define CLAIM_TAKEN_MS     60000 /* while the name belongs to somebody else */
#define CLAIM_PASSWORD_MAX 256

struct claim;

struct claim_options {
    const char *conninfo;
    const char *dir;    /* the file is DIR/password, 0600 */
    const char *domain; /* as accounts have it: a name, or "[1.2.3.4]" */
    int64_t password_length;
    /* The row is there. Once. fresh: the password was made just now. */
    void (*done)(const char *password, bool fresh, void *ctx);
    void *ctx;
};

/* Reads or makes the password. The rest is tried until it holds. Strings must outlive
 * it. NULL with err when there is no password to be had. */
struct claim *claim_new(struct cm_loop *loop, const struct claim_options *options,
                        struct cm_err *err);
void claim_free(struct claim **claim);

/* length random characters of letters, digits and the 32 of ASCII's punctuation, as
 * upstream's /new gives (relay-spec.md 2.12). -1 without randomness. */
CM_MUSTUSE int claim_password(char *out, size_t length);

/* "dclogin:..." with every connection to this machine, whose certificate is not judged.
 * Caller wipes it. */
char *claim_login_uri(const char *domain, const char *password);

#endif
