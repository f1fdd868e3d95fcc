/* expire: the daily pass: inactive accounts, old and large mail, full mailboxes
 * (relay-spec.md 2.7). */
#ifndef EXPIRE_EXPIRE_H
#define EXPIRE_EXPIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "walk.h"

/* What the commands end with. */
enum {
    EXPIRE_OK = 0,
    EXPIRE_TROUBLE = 1, /* something could not be read or removed */
    EXPIRE_USAGE = 2,
    EXPIRE_AWAY = 3,    /* PostgreSQL; accounts were left alone */
    EXPIRE_REFUSED = 4, /* by a guard (guard.h) */
};

#define EXPIRE_LARGE   200000 /* bytes on the disk; more is large */
#define EXPIRE_PERCENT 70     /* of max_mailbox_size, what a full mailbox is cut to */

struct expire_options {
    int64_t now;          /* Unix time */
    const char *conninfo; /* NULL: mail only, accounts are not looked at */
    int64_t maxnum;       /* mailboxes; -1: all */
    int64_t max_share;    /* guard_accounts() */
    bool remove;          /* else only counted */
    bool verbose;
    bool force;                  /* no guard */
    const char *bell, *bell_dir; /* as in removal.h */
    const char *textfile;        /* figures of this run; NULL: none; a directory means
                                  * expire.prom in it */
};

struct expire_limits {
    int64_t mails_before, large_before; /* mtime, Unix time */
    int64_t quota_target;               /* bytes */
};

struct expire_limits expire_limits(const struct cm_conf *conf, int64_t now);
/* Is that message to go? */
bool expire_due(const struct walk_file *file, const struct expire_limits *limits);

/* Prints the summary on stdout. Returns the exit status. */
int expire_run(const struct cm_conf *conf, const struct expire_options *options);

#endif
