/* tour: all mailboxes, each given once to a crew, with what PostgreSQL says of its
 * account. */
#ifndef EXPIRE_TOUR_H
#define EXPIRE_TOUR_H

#include <stdint.h>

#include "accounts.h"
#include "common/err.h"
#include "crew.h"

/* Opens mailboxes_dir. Returns 1, 0 when there is none (said on stderr: "no mailboxes
 * found at DIR"), or -1. */
CM_MUSTUSE int tour_open(const char *dir, int *base_r, struct cm_err *err);

/* Gives each directory with @ in its name, at most maxnum (-1: all). accounts may be
 * NULL. When PostgreSQL goes away on the way, the rest is given as ACCOUNT_UNKNOWN, and
 * the error is RETRY. */
CM_MUSTUSE int tour_mailboxes(int base, struct accounts *accounts, int64_t maxnum,
                              struct crew *crew, struct cm_err *err);

/* Gives each entry below fd as ACCOUNT_ASIDE. */
CM_MUSTUSE int tour_aside(int fd, struct crew *crew, struct cm_err *err);

#endif
