/* accounts: what chatmail-expire asks PostgreSQL, one question at a time (blocking).
 *
 * Tables and functions: schema 004-expire.sql. Every question fails with RETRY when
 * PostgreSQL is away, WORLD when the schema is not what it should be. */
#ifndef EXPIRE_ACCOUNTS_H
#define EXPIRE_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "crew.h"
#include "guard.h"

#define ACCOUNTS_BATCH 256
#define ACCOUNTS_DAYS  7 /* buckets of accounts_activity */

struct accounts;

/* Connects; gives up after 5 s with RETRY and returns NULL. */
struct accounts *accounts_open(const char *conninfo, struct cm_err *err);
void accounts_close(struct accounts **accounts);

/* inactive counts those not seen since `before`. */
CM_MUSTUSE int accounts_facts(struct accounts *accounts, int64_t before, int64_t now,
                              struct guard_facts *facts_r, struct cm_err *err);

/* Fills state and seen of n jobs by their mailbox names, n at most ACCOUNTS_BATCH. */
CM_MUSTUSE int accounts_look(struct accounts *accounts, struct crew_job *jobs, size_t n,
                             struct cm_err *err);

/* A batch of addresses, at most ACCOUNTS_BATCH. */
struct addr_batch {
    char *addrs[ACCOUNTS_BATCH];
    size_t count;
};
void addr_batch_clear(struct addr_batch *batch);

/* Records that they were used on those days (Unix times), unless they were later. */
CM_MUSTUSE int accounts_used(struct accounts *accounts, const struct addr_batch *batch,
                             const int64_t days[ACCOUNTS_BATCH], struct cm_err *err);

/* The inactive ones behind `after`, in order; for showing. */
CM_MUSTUSE int accounts_inactive(struct accounts *accounts, const char *after,
                                 int64_t before, struct addr_batch *batch_r,
                                 struct cm_err *err);
/* The same, and each of them is marked: from now on nobody can log in to it or make it
 * anew. */
CM_MUSTUSE int accounts_mark(struct accounts *accounts, const char *after,
                             int64_t before, struct addr_batch *batch_r,
                             struct cm_err *err);
/* Marked by a run that did not end. */
CM_MUSTUSE int accounts_marked(struct accounts *accounts, const char *after,
                               struct addr_batch *batch_r, struct cm_err *err);
/* The marks go; the names may be taken again. */
CM_MUSTUSE int accounts_release(struct accounts *accounts,
                                const struct addr_batch *batch, struct cm_err *err);

struct accounts_activity {
    int64_t all, ci;
    int64_t ci_old;                /* names with ci- or ac_, as upstream once counted */
    int64_t active[ACCOUNTS_DAYS]; /* neither, seen in the last accounts_days[i] days */
};
extern const int64_t accounts_days[ACCOUNTS_DAYS];

CM_MUSTUSE int accounts_activity(struct accounts *accounts, int64_t now,
                                 struct accounts_activity *activity_r,
                                 struct cm_err *err);

#endif
