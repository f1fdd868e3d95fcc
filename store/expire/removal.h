/* removal: inactive accounts leave PostgreSQL and the place of their mailbox.
 *
 * For each batch, in this order, each step finished before the next:
 *   1. mark: the account moves from table account to account_removal, its tokens go.
 *      Logins are put off, mail is refused.
 *   2. the mailbox is renamed into ASIDE_DIR.
 *   3. a second later again, for what a delivery under way has made anew.
 *   4. chatmail-push forgets what it has queued for it (common/doorbell.h).
 *   5. the marks go: the name is free.
 * What lies in ASIDE_DIR belongs to nobody and is removed at leisure. A run that dies
 * leaves marks or trees there, never a mailbox that a new owner of the name would
 * inherit; the next run goes on with them first. */
#ifndef EXPIRE_REMOVAL_H
#define EXPIRE_REMOVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "accounts.h"
#include "common/err.h"

#define ASIDE_DIR ".removing" /* below mailboxes_dir */

struct removal {
    struct accounts *accounts;
    int base;       /* mailboxes_dir */
    int64_t before; /* not seen since: inactive */
    int64_t now;
    bool verbose;                /* a line "removing DIR/ADDR" on stderr for each */
    const char *where;           /* DIR, for that line */
    const char *bell, *bell_dir; /* of chatmail-push; no directory: no push here */
    int64_t removed;             /* counted here */
    int64_t used;                /* counted by removal_look() */
};

/* Opens ASIDE_DIR, making it when needed. Returns the descriptor, or -1. */
CM_MUSTUSE int removal_aside(int base, struct cm_err *err);
/* Before all others: which of the inactive are in use after all (used.h). Counts them,
 * and with `record` puts their days on record, so that they are inactive no longer. */
CM_MUSTUSE int removal_look(struct removal *removal, bool record, struct cm_err *err);
/* Finishes what an earlier run has marked. */
CM_MUSTUSE int removal_resume(struct removal *removal, struct cm_err *err);
/* Removes all inactive accounts. */
CM_MUSTUSE int removal_run(struct removal *removal, struct cm_err *err);
/* Counts them instead, without those in use. */
CM_MUSTUSE int removal_show(struct removal *removal, struct cm_err *err);

#endif
