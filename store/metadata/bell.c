#include "bell.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "common/log.h"
#include "common/mem.h"

#define THREADS 32

struct bell {
    const char *socket_path;
    const char *dir;
    struct cm_work *work;
    _Atomic int64_t quiet_until; /* monotonic; set and read by the threads */
};

struct ring {
    struct bell *bell;
    bell_cb rung;
    void *ctx;
    enum cm_doorbell_result result;
    int why; /* errno of FAILED */
    char addr[];
};

struct bell *bell_new(struct cm_loop *loop, const char *socket_path, const char *dir)
{
    struct bell *bell = cm_calloc(1, sizeof(*bell));
    bell->socket_path = socket_path;
    bell->dir = dir;
    bell->work = cm_work_new(loop, THREADS, BELL_QUEUE_MAX);
    return bell;
}

void bell_free(struct bell **bell)
{
    if (*bell == NULL) {
        return;
    }
    cm_work_free(&(*bell)->work);
    free(*bell);
    *bell = NULL;
}

static void do_ring(struct ring *r, int limit_ms)
{
    struct bell *bell = r->bell;
    r->result = cm_doorbell_ring(bell->socket_path, bell->dir, r->addr, limit_ms);
    r->why = errno;
}

static void on_thread(void *arg)
{
    struct ring *r = arg;
    int64_t start = cm_now_mono_ms();
    bool quiet = start < atomic_load(&r->bell->quiet_until);
    do_ring(r, quiet ? 0 : CM_DOORBELL_LIMIT_MS);
    int64_t end = cm_now_mono_ms();
    if (r->result != CM_DOORBELL_TOLD && end - start >= CM_DOORBELL_LIMIT_MS) {
        atomic_store(&r->bell->quiet_until, end + BELL_QUIET_MS);
    }
}

static void finish(void *arg)
{
    struct ring *r = arg;
    struct cm_err err;
    if (r->result == CM_DOORBELL_FAILED) {
        (void)cm_err_set(&err, CM_ERR_WORLD, "%s: %s", r->bell->dir, strerror(r->why));
        cm_log_err(CM_LOG_WARNING, "push_not_told", &err);
    } else if (r->result == CM_DOORBELL_REFUSED) {
        (void)cm_err_set(&err, CM_ERR_REFUSE, "the user's name is no address");
        cm_log_err(CM_LOG_WARNING, "push_not_told", &err);
    }
    r->rung(r->ctx);
    free(r);
}

void bell_ring(struct bell *bell, const char *addr, bell_cb rung, void *ctx)
{
    size_t size = strlen(addr) + 1;
    struct ring *r = cm_calloc(1, sizeof(*r) + size);
    struct cm_err full;
    r->bell = bell;
    r->rung = rung;
    r->ctx = ctx;
    memcpy(r->addr, addr, size);
    if (cm_work_submit(bell->work, on_thread, finish, r, &full) != 0) {
        do_ring(r, 0); /* makes a file and no more */
        finish(r);
    }
}
