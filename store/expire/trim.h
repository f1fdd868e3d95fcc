/* trim: brings an INBOX down to a size, oldest messages first (relay-spec.md 2.8).
 *
 * Sizes and times are those in the names, as Dovecot's quota counts them; names that
 * say neither are left alone. Messages under 24 hours stay, whatever the size: a
 * runaway conversation shall see a full mailbox and not eat its own tail. */
#ifndef EXPIRE_TRIM_H
#define EXPIRE_TRIM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define TRIM_PROTECT_S INT64_C(86400)

struct trim_result {
    int64_t removed; /* messages */
    int64_t bytes;   /* by S= */
};

/* "1775324677.M448978P3029757.host,S=3235,W=3305:2,S" is time 1775324677, size 3235. */
bool trim_parse(const char *name, int64_t *time_r, int64_t *size_r);

/* Until the sum of sizes is at most target bytes. When anything was removed maildirsize
 * is removed last, so that Dovecot counts again. Two at a time on one mailbox wait for
 * each other. result_r is filled in any case. */
CM_MUSTUSE int trim_inbox(int base, const char *mailbox, int64_t target, int64_t now,
                          struct trim_result *result_r, struct cm_err *err);

#endif
