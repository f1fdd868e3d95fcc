/* spool: the bell's directory (common/doorbell.h): one empty file per address that rang
 * and is not on record in Redis, left by those who rang in vain, or by push itself.
 *
 * A file that is to go on record is first moved into the directory taken/ below, so
 * that a ring in that moment makes a new one, and removed when it is on record. What
 * stands in taken/ at a start is taken up like the rest. Several rings of an address
 * are one file: one wake-up after all of them. Names that are no address are removed
 * with a warning ("spurious").
 *
 * All of it happens on one thread of its own, in rounds of SPOOL_ROUND files; a round
 * that failed is repeated after SPOOL_AGAIN_MS. */
#ifndef PUSH_SPOOL_H
#define PUSH_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#define SPOOL_ROUND    256
#define SPOOL_LOOK_MS  10000 /* looks so often, should inotify not tell */
#define SPOOL_AGAIN_MS 2000
#define SPOOL_WAIT_MAX 4096 /* spool_leave calls not done */

struct spool;
typedef void (*spool_done_cb)(const struct cm_err *err, void *ctx);

struct spool_options {
    const char *dir;          /* borrowed; made when it does not exist */
    bool (*ready)(void *ctx); /* is it worth taking files up? */
    /* Puts an address on record. done may be called before it returns. */
    void (*record)(const char *addr, spool_done_cb done, void *done_ctx, void *ctx);
    void *ctx;
};

/* NULL when the directory cannot be used. Files are taken up from spool_wake() on. */
struct spool *spool_new(struct cm_loop *loop, const struct spool_options *options,
                        struct cm_err *err);
/* Ends what is under way, with its callbacks. */
void spool_free(struct spool **spool);

/* cb with NONE: a file stands there and survives a power cut. */
void spool_leave(struct spool *spool, const char *addr, spool_done_cb cb, void *ctx);
/* No file of that address stands there any more. */
void spool_forget(struct spool *spool, const char *addr, spool_done_cb cb, void *ctx);

void spool_wake(struct spool *spool);          /* it may be worth it now */
void spool_stop(struct spool *spool);          /* begins no more rounds */
size_t spool_files(const struct spool *spool); /* as last counted */

#endif
