/* lookup: from a dict request to its answer.
 *
 * A known address costs one query. An unknown one, asked for with a password, passes
 * the rules, the limits, a worker that hashes, and an INSERT that only the first of all
 * who race for the address wins; everybody is answered with what is stored.
 *
 * Every request is answered within LOOKUP_LIMIT_MS: Dovecot logs a lookup that takes 5
 * s with its key, and the key holds the password. For the same reason trouble in a
 * password check is not told as F (Dovecot logs "Failed to lookup key ..."), but as a
 * value that is no JSON object, which it takes for an internal failure just so, and
 * logs without the key. Never N: that would be "wrong password". */
#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

#include "common/conf.h"
#include "common/dict.h"
#include "common/loop.h"
#include "common/pg.h"

#include "limits.h"

#define LOOKUP_LIMIT_MS 4000

/* What a password check is answered with instead of F. */
#define LOOKUP_TEMPFAIL "temporary failure"

struct lookup_env {
    struct cm_loop *loop;
    struct cm_pg *pg;
    struct cm_work *work;
    const struct cm_conf *conf; /* may change between requests (reload); NULL: broken */
    const char *nocreate_path;  /* while this file exists nothing is created */
    const struct limits_readers *readers;
};

/* The context of these is a struct lookup_env that outlives the dict. */
extern const struct cm_dict_handler lookup_handler;

#endif
