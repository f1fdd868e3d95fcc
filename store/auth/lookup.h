/* lookup: from a dict request to its answer.
 *
 * A known address costs one query, shared with others in a rush (account.h). An unknown
 * one, asked for with a password, may be created (create.h); everybody is answered with
 * what is stored.
 *
 * Every request is answered within LOOKUP_LIMIT_MS: Dovecot logs a lookup that takes 5
 * s with its key, and the key holds the password. For the same reason trouble in a
 * password check is not told as F (Dovecot logs "Failed to lookup key ..."), but as a
 * value that is no JSON object, which it takes for an internal failure just so, and
 * logs without the key. Never N: that would be "wrong password". */
#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/dict.h"
#include "common/loop.h"
#include "common/pg.h"

#include "account.h"
#include "bans.h"
#include "counts.h"
#include "create.h"

#define LOOKUP_LIMIT_MS 4000
#define LOOKUP_JSON_MAX 16384

/* What a password check is answered with instead of F. */
#define LOOKUP_TEMPFAIL "temporary failure"

struct lookup;

struct lookup_env {
    struct accounts *accounts;
    struct cm_pg *slow_pg; /* for lists, which others need not wait for */
    struct creator *creator;
    struct bans *bans;
    const struct cm_conf *conf; /* may change between requests (reload); NULL: broken */
    struct counts counts;
    /* lookup.c's own */
    struct lookup *oldest, *newest;
    struct cm_timer *timer;
    bool timer_set;
    struct cm_buf json;
};

void lookup_env_init(struct lookup_env *env, struct cm_loop *loop);
void lookup_env_clear(struct lookup_env *env); /* nothing is under way any more */

/* The context of these is a struct lookup_env that outlives the dict. */
extern const struct cm_dict_handler lookup_handler;

#endif
