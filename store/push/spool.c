#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#include "ring.h"

#define TAKEN     "taken"
#define COUNT_MAX 1000000 /* files counted at most */
#define JOBS_MAX  8192

/* One address that is to be left or forgotten. */
struct wish {
    struct spool *spool;
    bool forget;
    spool_done_cb cb;
    void *ctx;
    int why; /* errno, or 0 */
    STAILQ_ENTRY(wish) order;
    char addr[];
};
STAILQ_HEAD(wishes, wish);

struct name {
    struct spool *spool;
    bool recorded;
    char addr[256];
};

enum phase { RESTING, LOOKING, RECORDING, CLEARING };

struct spool {
    struct spool_options opt;
    int dir, taken, inotify;
    struct cm_work *work;
    struct cm_io *io;
    struct cm_timer *timer;
    struct wishes waiting; /* for the thread */
    struct wishes doing;   /* the thread has them */
    size_t wish_count;
    bool working;
    enum phase phase;
    bool again; /* something came meanwhile */
    bool stopped;
    bool closing;
    /* The round; while LOOKING and CLEARING the thread's. */
    struct name names[SPOOL_ROUND];
    size_t name_count, open, failed, spurious, files;
    bool more; /* did not fit in, or has one of its name in it */
};

/* On the thread */

static void do_leave(struct spool *spool, struct wish *wish)
{
    int fd = openat(spool->dir, wish->addr,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
    } else if (errno != EEXIST) {
        wish->why = errno;
    }
}

static void do_forget(struct spool *spool, struct wish *wish)
{
    if ((unlinkat(spool->dir, wish->addr, 0) != 0 && errno != ENOENT) ||
        (unlinkat(spool->taken, wish->addr, 0) != 0 && errno != ENOENT)) {
        wish->why = errno;
    }
}

/* The files are empty: their names are all there is to sync, once for all of them. */
static void on_thread_wishes(void *arg)
{
    struct spool *spool = arg;
    struct wish *wish;
    STAILQ_FOREACH(wish, &spool->doing, order)
    {
        if (wish->forget) {
            do_forget(spool, wish);
        } else {
            do_leave(spool, wish);
        }
    }
    if (fsync(spool->dir) != 0) {
        int why = errno;
        STAILQ_FOREACH(wish, &spool->doing, order)
        {
            wish->why = why;
        }
    }
}

static DIR *list(int at)
{
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0) {
        close(fd);
    }
    return dir;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_in_round(const struct spool *spool, const char *name)
{
    for (size_t i = 0; i < spool->name_count; i++) {
        if (strcmp(spool->names[i].addr, name) == 0) {
            return true;
        }
    }
    return false;
}

static void round_add(struct spool *spool, const char *name)
{
    struct name *n = &spool->names[spool->name_count++];
    n->spool = spool;
    n->recorded = false;
    snprintf(n->addr, sizeof(n->addr), "%s", name); /* NAME_MAX is 255 */
}

/* Whatever stands there under a name that is no address. */
static void remove_spurious(struct spool *spool, int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0 || unlinkat(at, name, AT_REMOVEDIR) == 0) {
        spool->spurious++;
    }
}

static void look_in(struct spool *spool, int at)
{
    DIR *dir = list(at);
    const struct dirent *e;
    if (dir == NULL) {
        return;
    }
    while ((e = readdir(dir)) != NULL && spool->files < COUNT_MAX) {
        if (is_dot(e->d_name) || (at == spool->dir && strcmp(e->d_name, TAKEN) == 0)) {
            continue;
        }
        if (!ring_is_address(e->d_name)) {
            remove_spurious(spool, at, e->d_name);
            continue;
        }
        spool->files++;
        /* A second file of an address that is in the round waits for the next. */
        if (spool->name_count == SPOOL_ROUND || is_in_round(spool, e->d_name)) {
            spool->more = true;
        } else if (at == spool->taken ||
                   renameat(spool->dir, e->d_name, spool->taken, e->d_name) == 0) {
            round_add(spool, e->d_name);
        }
    }
    closedir(dir);
}

static void count_in(struct spool *spool, int at)
{
    DIR *dir = list(at);
    const struct dirent *e;
    while (dir != NULL && (e = readdir(dir)) != NULL && spool->files < COUNT_MAX) {
        spool->files += !is_dot(e->d_name) && strcmp(e->d_name, TAKEN) != 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static void on_thread_look(void *arg)
{
    struct spool *spool = arg;
    look_in(spool, spool->taken);
    look_in(spool, spool->dir);
}

static void on_thread_count(void *arg)
{
    struct spool *spool = arg;
    count_in(spool, spool->taken);
    count_in(spool, spool->dir);
}

static void on_thread_clear(void *arg)
{
    struct spool *spool = arg;
    for (size_t i = 0; i < spool->name_count; i++) {
        if (spool->names[i].recorded) {
            (void)unlinkat(spool->taken, spool->names[i].addr, 0);
        }
    }
}

/* On the loop: wishes */

static void submit(struct spool *spool, cm_work_cb run, cm_work_cb done)
{
    struct cm_err err;
    cm_assert(cm_work_submit(spool->work, run, done, spool, &err) == 0);
}

static void start_wishes(struct spool *spool);

static void finish_wish(struct wish *wish)
{
    struct cm_err err = {.kind = CM_ERR_NONE};
    if (wish->why != 0) {
        (void)cm_err_set(&err, CM_ERR_WORLD, "%s: %s", wish->spool->opt.dir,
                         strerror(wish->why));
    }
    wish->cb(&err, wish->ctx);
    free(wish);
}

static void on_wishes(void *arg)
{
    struct spool *spool = arg;
    struct wishes done = STAILQ_HEAD_INITIALIZER(done);
    struct wish *wish;
    STAILQ_CONCAT(&done, &spool->doing);
    spool->working = false;
    while ((wish = STAILQ_FIRST(&done)) != NULL) {
        STAILQ_REMOVE_HEAD(&done, order);
        spool->wish_count--;
        finish_wish(wish);
    }
    start_wishes(spool);
}

static void start_wishes(struct spool *spool)
{
    if (!spool->closing && !spool->working && !STAILQ_EMPTY(&spool->waiting)) {
        spool->working = true;
        STAILQ_CONCAT(&spool->doing, &spool->waiting);
        submit(spool, on_thread_wishes, on_wishes);
    }
}

static void wish_for(struct spool *spool, const char *addr, bool forget,
                     spool_done_cb cb, void *ctx)
{
    size_t size = strlen(addr) + 1;
    struct cm_err err;
    if (spool->wish_count >= SPOOL_WAIT_MAX) {
        (void)cm_err_set(&err, CM_ERR_RETRY, "too many files wait to be written");
        cb(&err, ctx);
        return;
    }
    struct wish *wish = cm_calloc(1, sizeof(*wish) + size);
    wish->spool = spool;
    wish->forget = forget;
    wish->cb = cb;
    wish->ctx = ctx;
    memcpy(wish->addr, addr, size);
    STAILQ_INSERT_TAIL(&spool->waiting, wish, order);
    spool->wish_count++;
    start_wishes(spool);
}

void spool_leave(struct spool *spool, const char *addr, spool_done_cb cb, void *ctx)
{
    wish_for(spool, addr, false, cb, ctx);
}

void spool_forget(struct spool *spool, const char *addr, spool_done_cb cb, void *ctx)
{
    wish_for(spool, addr, true, cb, ctx);
}

/* On the loop: rounds */

static void rest(struct spool *spool)
{
    bool again = spool->again || spool->more;
    spool->phase = RESTING;
    spool->again = false;
    if (spool->stopped) {
        return;
    }
    if (spool->failed > 0) {
        cm_timer_set(spool->timer, SPOOL_AGAIN_MS);
    } else {
        cm_timer_set(spool->timer, again ? 0 : SPOOL_LOOK_MS);
    }
}

static void on_cleared(void *arg)
{
    struct spool *spool = arg;
    spool->files -= spool->name_count - spool->failed;
    rest(spool);
}

static void close_one(struct spool *spool)
{
    if (--spool->open > 0) {
        return;
    }
    if (spool->name_count == 0 || spool->closing) {
        rest(spool);
        return;
    }
    spool->phase = CLEARING;
    submit(spool, on_thread_clear, on_cleared);
}

static void on_recorded(const struct cm_err *err, void *ctx)
{
    struct name *name = ctx;
    name->recorded = err->kind == CM_ERR_NONE;
    name->spool->failed += !name->recorded;
    close_one(name->spool);
}

static void on_looked(void *arg)
{
    struct spool *spool = arg;
    spool->phase = RECORDING;
    spool->open = 1;
    if (spool->spurious > 0) {
        cm_log(CM_LOG_WARNING, "spool_cleaned", "reason",
               "removed a spurious file: its name is no address", NULL);
    }
    for (size_t i = 0; i < spool->name_count && !spool->stopped; i++) {
        spool->open++;
        spool->opt.record(spool->names[i].addr, on_recorded, &spool->names[i],
                          spool->opt.ctx);
    }
    close_one(spool);
}

static void on_counted(void *arg)
{
    rest(arg);
}

static void look(struct spool *spool)
{
    if (spool->phase != RESTING || spool->stopped) {
        spool->again = true;
        return;
    }
    spool->phase = LOOKING;
    spool->name_count = spool->failed = spool->spurious = spool->files = 0;
    spool->more = false;
    if (spool->opt.ready(spool->opt.ctx)) {
        submit(spool, on_thread_look, on_looked);
    } else {
        submit(spool, on_thread_count, on_counted);
    }
}

static void on_timer(void *ctx)
{
    look(ctx);
}

/* Many at a time are one round. After a failed one the timer decides. */
static void on_inotify(int fd, unsigned events, void *ctx)
{
    struct spool *spool = ctx;
    char buf[4096];
    (void)events;
    while (read(fd, buf, sizeof(buf)) > 0) {
    }
    if (spool->failed == 0 && spool->opt.ready(spool->opt.ctx)) {
        look(spool);
    }
}

void spool_wake(struct spool *spool)
{
    look(spool);
}

void spool_stop(struct spool *spool)
{
    spool->stopped = true;
    cm_timer_stop(spool->timer);
}

size_t spool_files(const struct spool *spool)
{
    return spool->files;
}

/* Start and stop */

static int open_dirs(struct spool *spool, struct cm_err *err)
{
    const char *path = spool->opt.dir;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot make %s: %s", path,
                          strerror(errno));
    }
    spool->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->dir < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot use %s: %s", path,
                          strerror(errno));
    }
    if (mkdirat(spool->dir, TAKEN, 0700) == 0 || errno == EEXIST) {
        spool->taken =
            openat(spool->dir, TAKEN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (spool->taken < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot use %s/" TAKEN ": %s", path,
                          strerror(errno));
    }
    return 0;
}

/* Without it files are found SPOOL_LOOK_MS later at most. */
static void watch(struct spool *spool, struct cm_loop *loop)
{
    spool->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (spool->inotify < 0 || inotify_add_watch(spool->inotify, spool->opt.dir,
                                                IN_CREATE | IN_MOVED_TO) < 0) {
        cm_log(CM_LOG_WARNING, "spool_not_watched", "reason", strerror(errno), NULL);
        return;
    }
    spool->io = cm_io_new(loop, spool->inotify, CM_IO_READ, on_inotify, spool);
}

struct spool *spool_new(struct cm_loop *loop, const struct spool_options *options,
                        struct cm_err *err)
{
    struct spool *spool = cm_calloc(1, sizeof(*spool));
    spool->opt = *options;
    spool->dir = spool->taken = spool->inotify = -1;
    STAILQ_INIT(&spool->waiting);
    STAILQ_INIT(&spool->doing);
    spool->timer = cm_timer_new(loop, on_timer, spool);
    if (open_dirs(spool, err) != 0) {
        spool_free(&spool);
        return NULL;
    }
    spool->work = cm_work_new(loop, 1, JOBS_MAX);
    watch(spool, loop);
    cm_timer_set(spool->timer, SPOOL_LOOK_MS);
    return spool;
}

void spool_free(struct spool **spoolp)
{
    struct spool *spool = *spoolp;
    if (spool == NULL) {
        return;
    }
    *spoolp = NULL;
    spool_stop(spool);
    spool->closing = true;
    cm_work_free(&spool->work);
    struct wish *wish;
    while ((wish = STAILQ_FIRST(&spool->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&spool->waiting, order);
        wish->why = ECANCELED;
        finish_wish(wish);
    }
    cm_io_free(&spool->io);
    cm_timer_free(&spool->timer);
    const int fds[] = {spool->dir, spool->taken, spool->inotify};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(spool);
}
