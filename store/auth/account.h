/* account: the statements on tables account and invite (schema/001, schema/007). */
#ifndef AUTH_ACCOUNT_H
#define AUTH_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/pg.h"

#define ACCOUNT_CHUNK       1000
#define ACCOUNT_BATCH_MAX   64   /* addresses in one query */
#define ACCOUNT_QUERIES     2    /* under way at a time */
#define ACCOUNT_WAITING_MAX 8192 /* lookups beyond it fail at once (RETRY) */

/* Lookups. What comes in while ACCOUNT_QUERIES are under way goes into the next one
 * together: one by one when little is asked, many at a time in a rush. */
struct accounts;
struct accounts *accounts_new(struct cm_pg *pg); /* pg is borrowed */
void accounts_free(struct accounts **accounts);  /* after pg: nothing is under way */

/* password: as stored, valid during the call; NULL when there is no account, or when
 * PostgreSQL could not say (then err->kind is not NONE). Exactly one call, perhaps
 * before return. */
typedef void (*account_cb)(const char *password, const struct cm_err *err, void *ctx);
/* addr is borrowed until the call. */
void account_lookup(struct accounts *accounts, const char *addr, account_cb cb,
                    void *ctx);

struct account_made {
    const char *password; /* as stored; NULL when refused */
    bool created;         /* by this very call */
    bool refused;         /* the invite is not good any more; nothing was changed */
};
typedef void (*account_made_cb)(const struct account_made *made,
                                const struct cm_err *err, void *ctx);

/* Creates the account, or finds the one that somebody else created first: all who race
 * for an address are given the same password. invite: hash of the token of which this
 * takes a use, "" for none. */
void account_create(struct cm_pg *pg, const char *addr, const char *hash,
                    const char *invite, account_made_cb cb, void *ctx);

/* Could an account be created with that invite now? */
typedef void (*account_invite_cb)(bool good, const struct cm_err *err, void *ctx);
void account_invite(struct cm_pg *pg, const char *invite, account_invite_cb cb,
                    void *ctx);

/* The next addresses after `after` ("" for the first), at most ACCOUNT_CHUNK, sorted.
 * res is NULL on failure. */
void account_list(struct cm_pg *pg, const char *after, cm_pg_cb cb, void *ctx);

#endif
