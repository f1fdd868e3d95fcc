#include "removal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "common/mem.h"

#include "used.h"

#define FORGET_LIMIT_MS 5000

int removal_aside(int base, struct cm_err *err)
{
    if (mkdirat(base, ASIDE_DIR, 0700) != 0 && errno != EEXIST) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot make " ASIDE_DIR ": %s",
                          strerror(errno));
    }
    int fd = openat(base, ASIDE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, ASIDE_DIR ": %s", strerror(errno));
    }
    return fd;
}

/* Names of our own: an address may be as long as a name can be. */
static int set_aside(int base, int aside, const char *addr, struct cm_err *err)
{
    static unsigned counter;
    char name[64];
    snprintf(name, sizeof(name), "%lld-%d-%u", (long long)cm_now_wall_ms(),
             (int)getpid(), counter++);
    if (renameat2(base, addr, aside, name, RENAME_NOREPLACE) == 0 || errno == ENOENT ||
        errno == ENAMETOOLONG) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_WORLD, "cannot set aside %s: %s", addr,
                      strerror(errno));
}

/* One that cannot be moved stays marked; the others go on. */
static int set_aside_all(int base, int aside, struct addr_batch *batch,
                         struct cm_err *err)
{
    size_t kept = 0;
    int rc = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (set_aside(base, aside, batch->addrs[i], err) == 0) {
            batch->addrs[kept++] = batch->addrs[i];
        } else {
            free(batch->addrs[i]);
            rc = -1;
        }
    }
    batch->count = kept;
    return rc;
}

/* What push has queued for them goes. One that push could not be told of stays marked;
 * once it does not answer, the rest is not asked for. */
static int forget_pushes(const struct removal *removal, struct addr_batch *batch,
                         struct cm_err *err)
{
    size_t kept = 0;
    int rc = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (rc == 0 && cm_doorbell_forget(removal->bell, removal->bell_dir,
                                          batch->addrs[i], FORGET_LIMIT_MS) != 0) {
            rc = cm_err_set(err, CM_ERR_WORLD,
                            "chatmail-push does not answer (%s): accounts stay marked, "
                            "the next run goes on with them",
                            strerror(errno));
        }
        if (rc == 0) {
            batch->addrs[kept++] = batch->addrs[i];
        } else {
            free(batch->addrs[i]);
        }
    }
    batch->count = kept;
    return rc;
}

static int finish(struct removal *removal, struct addr_batch *batch, struct cm_err *err)
{
    int aside = removal_aside(removal->base, err);
    if (aside < 0) {
        return -1;
    }
    int rc = set_aside_all(removal->base, aside, batch, err);
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    if (set_aside_all(removal->base, aside, batch, err) != 0) {
        rc = -1;
    }
    close(aside);
    if (forget_pushes(removal, batch, err) != 0) {
        rc = -1;
    }
    struct cm_err later;
    if (accounts_release(removal->accounts, batch, &later) != 0) {
        *err = later;
        return -1;
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (removal->verbose) {
            fprintf(stderr, "removing %s/%s\n", removal->where, batch->addrs[i]);
        }
    }
    removal->removed += (int64_t)batch->count;
    return rc;
}

/* Leaves those in the batch that are in use, or those that are not. */
static void keep(const struct removal *removal, struct addr_batch *batch, bool used,
                 int64_t days_r[ACCOUNTS_BATCH])
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        int64_t day = used_day(removal->base, batch->addrs[i], removal->now);
        if ((day >= removal->before) == used) {
            days_r[kept] = day;
            batch->addrs[kept++] = batch->addrs[i];
        } else {
            free(batch->addrs[i]);
        }
    }
    batch->count = kept;
}

static int count(struct removal *removal, struct addr_batch *batch, struct cm_err *err)
{
    int64_t days[ACCOUNTS_BATCH];
    (void)err;
    keep(removal, batch, false, days);
    for (size_t i = 0; i < batch->count; i++) {
        if (removal->verbose) {
            fprintf(stderr, "would remove %s/%s\n", removal->where, batch->addrs[i]);
        }
    }
    removal->removed += (int64_t)batch->count;
    return 0;
}

static int count_used(struct removal *removal, struct addr_batch *batch,
                      struct cm_err *err)
{
    int64_t days[ACCOUNTS_BATCH];
    (void)err;
    keep(removal, batch, true, days);
    removal->used += (int64_t)batch->count;
    return 0;
}

static int record_used(struct removal *removal, struct addr_batch *batch,
                       struct cm_err *err)
{
    int64_t days[ACCOUNTS_BATCH];
    keep(removal, batch, true, days);
    removal->used += (int64_t)batch->count;
    return batch->count == 0 ? 0 : accounts_used(removal->accounts, batch, days, err);
}

typedef int next_fn(struct removal *removal, const char *after,
                    struct addr_batch *batch_r, struct cm_err *err);
typedef int batch_fn(struct removal *removal, struct addr_batch *batch,
                     struct cm_err *err);

/* A batch that was not wholly done does not stop the next; being without PostgreSQL
 * does. */
static int each_batch(struct removal *removal, next_fn *next, batch_fn *act,
                      struct cm_err *err)
{
    struct addr_batch batch = {.count = 0};
    char *after = cm_strdup("");
    int rc = 0;
    for (;;) {
        struct cm_err why = {0};
        if (next(removal, after, &batch, &why) != 0) {
            *err = why;
            rc = -1;
            break;
        }
        if (batch.count == 0) {
            break;
        }
        free(after);
        after = cm_strdup(batch.addrs[batch.count - 1]);
        int done = act(removal, &batch, &why);
        addr_batch_clear(&batch);
        if (done != 0) {
            *err = why;
            rc = -1;
            if (why.kind == CM_ERR_RETRY) {
                break;
            }
        }
    }
    free(after);
    return rc;
}

static int next_marked(struct removal *removal, const char *after,
                       struct addr_batch *batch_r, struct cm_err *err)
{
    return accounts_marked(removal->accounts, after, batch_r, err);
}

static int next_mark(struct removal *removal, const char *after,
                     struct addr_batch *batch_r, struct cm_err *err)
{
    return accounts_mark(removal->accounts, after, removal->before, batch_r, err);
}

static int next_inactive(struct removal *removal, const char *after,
                         struct addr_batch *batch_r, struct cm_err *err)
{
    return accounts_inactive(removal->accounts, after, removal->before, batch_r, err);
}

int removal_look(struct removal *removal, bool record, struct cm_err *err)
{
    return each_batch(removal, next_inactive, record ? record_used : count_used, err);
}

int removal_resume(struct removal *removal, struct cm_err *err)
{
    return each_batch(removal, next_marked, finish, err);
}

int removal_run(struct removal *removal, struct cm_err *err)
{
    return each_batch(removal, next_mark, finish, err);
}

int removal_show(struct removal *removal, struct cm_err *err)
{
    return each_batch(removal, next_inactive, count, err);
}
