/* account: the three statements on table account (schema/001-account.sql). */
#ifndef AUTH_ACCOUNT_H
#define AUTH_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/pg.h"

#define ACCOUNT_CHUNK 1000

/* password: as stored, valid during the call; NULL when there is no account. err is set
 * (kind not NONE) when PostgreSQL could not say. created: this very call made it. */
struct account_found {
    const char *password;
    bool created;
};
typedef void (*account_cb)(const struct account_found *found, const struct cm_err *err,
                           void *ctx);

void account_lookup(struct cm_pg *pg, const char *addr, account_cb cb, void *ctx);

/* Creates the account, or finds the one that somebody else created first: all who race
 * for an address are given the same password. */
void account_create(struct cm_pg *pg, const char *addr, const char *hash, account_cb cb,
                    void *ctx);

/* The next addresses after `after` ("" for the first), at most ACCOUNT_CHUNK, sorted.
 * res is NULL on failure. */
void account_list(struct cm_pg *pg, const char *after, cm_pg_cb cb, void *ctx);

#endif
