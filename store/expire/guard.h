/* guard: is it believable that so many accounts are inactive? Pure.
 *
 * Three things make a healthy relay look dead: a clock that is far ahead, logins that
 * nobody records, and a wrong setting. Each would remove what people use. */
#ifndef EXPIRE_GUARD_H
#define EXPIRE_GUARD_H

#include <stdint.h>

#include "common/err.h"

#define GUARD_AHEAD_S   (INT64_C(7) * 86400) /* clock against newest sign of life */
#define GUARD_LOGINS_S  (INT64_C(7) * 86400) /* newest creation against newest login */
#define GUARD_FEW       200 /* so many may always go: the share is for larger relays */
#define GUARD_MAX_SHARE 25  /* percent */

struct guard_facts {
    int64_t accounts, inactive;
    /* Unix times, -1 where there is none. */
    int64_t newest_login, newest_creation, oldest_creation;
    int64_t
        settled_creation; /* newest that is over a day old: its user has logged in */
};

/* 0 when the clock may be right. Errors are REFUSE. */
CM_MUSTUSE int guard_clock(const struct guard_facts *facts, int64_t now,
                           struct cm_err *err);
/* 0 when that many accounts may be removed; max_share in percent. */
CM_MUSTUSE int guard_accounts(const struct guard_facts *facts, int64_t max_share,
                              int64_t now, struct cm_err *err);

#endif
