/* desk: where libmilter's threads ask PostgreSQL and Redis, which live on the service's
 * loop. A thread puts its question down, rings, and waits with a deadline; the loop
 * asks, and lays the answer there.
 *
 * Each call blocks its thread only. Questions waiting: as many as there are threads
 * (Postfix's process limit). */
#ifndef FILTER_DESK_H
#define FILTER_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

#include "gcra.h"

#define DESK_ACCOUNTS_MS  5000
#define DESK_RATE_MS      500
#define DESK_ACCOUNTS_MAX 1001 /* recipients of one message, and its sender */

struct desk;

struct desk_flags {
    bool known; /* there is such an account */
    bool disabled;
    bool enforces; /* end-to-end encryption of incoming mail; true when not known */
};

/* On the loop's thread. redis_path NULL: no Redis. */
struct desk *desk_new(struct cm_loop *loop, const char *conninfo,
                      const char *redis_path);
/* On the loop's thread, before the loop goes: whoever waits or asks from now on gets
 * RETRY. The desk itself stays, for threads may stand at it until the process ends. */
void desk_close(struct desk *desk);

/* What PostgreSQL says about these accounts (lower-case), at this moment; nothing is
 * cached. n <= DESK_ACCOUNTS_MAX. -1, kind RETRY: it did not say. */
CM_MUSTUSE int desk_accounts(struct desk *desk, const char *const *addrs, size_t n,
                             struct desk_flags *flags, struct cm_err *err);

/* Takes one message from the sender's share, which all processes have in common. 1
 * taken, 0 there is none left, -1 Redis did not say. */
CM_MUSTUSE int desk_rate(struct desk *desk, const char *key, const struct gcra *gcra,
                         struct cm_err *err);

#endif
