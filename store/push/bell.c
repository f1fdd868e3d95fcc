#include "bell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "common/log.h"
#include "common/mem.h"

#define LINE_MAX_LEN (CM_DOORBELL_ADDR_MAX + 2) /* sign and LF */

struct visitor {
    struct bell *bell;
    struct cm_io *io;
    int fd;
    bool busy; /* no longer heard, waits for its answer */
    int64_t since_ms;
    char line[LINE_MAX_LEN + 1];
    size_t len;
    TAILQ_ENTRY(visitor) order;
};

struct bell {
    struct cm_loop *loop;
    const struct ring_env *env;
    struct spool *spool;
    struct cm_timer *timer;
    TAILQ_HEAD(, visitor) quiet; /* have not said all; the first came first */
    TAILQ_HEAD(, visitor) busy;
    size_t quiet_count, busy_count;
    struct bell_figures figures;
};

static void visitor_end(struct visitor *v)
{
    struct bell *bell = v->bell;
    if (v->busy) {
        TAILQ_REMOVE(&bell->busy, v, order);
        bell->busy_count--;
    } else {
        TAILQ_REMOVE(&bell->quiet, v, order);
        bell->quiet_count--;
    }
    cm_io_free(&v->io);
    close(v->fd);
    free(v);
}

static void refuse(struct visitor *v)
{
    v->bell->figures.refused++;
    visitor_end(v);
}

/* One that has left makes no difference: it is done. */
static void say_yes(struct visitor *v, uint64_t *counter)
{
    (*counter)++;
    (void)send(v->fd, "+\n", 2, MSG_NOSIGNAL);
    visitor_end(v);
}

/* Rings */

static void on_left(const struct cm_err *err, void *ctx)
{
    struct visitor *v = ctx;
    if (err->kind != CM_ERR_NONE) {
        cm_log_err(CM_LOG_ERROR, "spool_failed", err);
        refuse(v);
        return;
    }
    v->bell->figures.spooled++;
    say_yes(v, &v->bell->figures.rings);
}

static void on_recorded(const struct cm_err *err, void *ctx)
{
    struct visitor *v = ctx;
    if (err->kind == CM_ERR_NONE) {
        say_yes(v, &v->bell->figures.rings);
        return;
    }
    if (err->kind == CM_ERR_WORLD) {
        cm_log_err(CM_LOG_ERROR, "ring_failed", err);
    }
    spool_leave(v->bell->spool, v->line, on_left, v);
}

/* Forgetting */

static void on_queue_forgot(const struct cm_err *err, void *ctx)
{
    struct visitor *v = ctx;
    if (err->kind == CM_ERR_NONE) {
        say_yes(v, &v->bell->figures.forgotten);
    } else {
        refuse(v);
    }
}

/* What is in the spool goes first, and nothing that was looked up before comes after.
 */
static void on_spool_forgot(const struct cm_err *err, void *ctx)
{
    struct visitor *v = ctx;
    if (err->kind != CM_ERR_NONE) {
        cm_log_err(CM_LOG_ERROR, "spool_failed", err);
        refuse(v);
        return;
    }
    tokens_forget(v->bell->env->tokens, v->line + 1);
    queue_forget(v->bell->env->queue, v->line + 1, on_queue_forgot, v);
}

/* Hearing */

static void obey(struct visitor *v)
{
    struct bell *bell = v->bell;
    bool forget = v->line[0] == '-';
    if (!ring_is_address(v->line + forget)) {
        refuse(v);
        return;
    }
    TAILQ_REMOVE(&bell->quiet, v, order);
    bell->quiet_count--;
    TAILQ_INSERT_TAIL(&bell->busy, v, order);
    bell->busy_count++;
    v->busy = true;
    cm_io_want(v->io, 0);
    if (forget) {
        spool_forget(bell->spool, v->line + 1, on_spool_forgot, v);
    } else {
        ring_record(bell->env, v->line, on_recorded, v);
    }
}

static void on_readable(int fd, unsigned events, void *ctx)
{
    struct visitor *v = ctx;
    ssize_t n = recv(fd, v->line + v->len, LINE_MAX_LEN - v->len, 0);
    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        refuse(v);
        return;
    }
    v->len += (size_t)n;
    char *end = memchr(v->line, '\n', v->len);
    if (end != NULL && end == v->line + v->len - 1 &&
        memchr(v->line, '\0', v->len) == NULL) {
        *end = '\0';
        obey(v);
    } else if (end != NULL || v->len == LINE_MAX_LEN) {
        refuse(v);
    }
}

static void on_idle(void *ctx)
{
    struct bell *bell = ctx;
    int64_t now = cm_now_mono_ms();
    struct visitor *v;
    while ((v = TAILQ_FIRST(&bell->quiet)) != NULL &&
           now - v->since_ms >= BELL_IDLE_MS) {
        refuse(v);
    }
    if (v != NULL) {
        cm_timer_set(bell->timer, v->since_ms + BELL_IDLE_MS - now);
    }
}

void bell_adopt(struct bell *bell, int fd)
{
    struct visitor *v = cm_calloc(1, sizeof(*v));
    v->bell = bell;
    v->fd = fd;
    v->since_ms = cm_now_mono_ms();
    v->io = cm_io_new(bell->loop, fd, CM_IO_READ, on_readable, v);
    if (bell->quiet_count++ == 0) {
        cm_timer_set(bell->timer, BELL_IDLE_MS);
    }
    TAILQ_INSERT_TAIL(&bell->quiet, v, order);
    on_readable(fd, CM_IO_READ, v); /* most have spoken already */
}

struct bell *bell_new(struct cm_loop *loop, const struct ring_env *env,
                      struct spool *spool)
{
    struct bell *bell = cm_calloc(1, sizeof(*bell));
    bell->loop = loop;
    bell->env = env;
    bell->spool = spool;
    bell->timer = cm_timer_new(loop, on_idle, bell);
    TAILQ_INIT(&bell->quiet);
    TAILQ_INIT(&bell->busy);
    return bell;
}

void bell_free(struct bell **bellp)
{
    struct bell *bell = *bellp;
    struct visitor *v;
    if (bell == NULL) {
        return;
    }
    *bellp = NULL;
    while ((v = TAILQ_FIRST(&bell->quiet)) != NULL) {
        visitor_end(v);
    }
    while ((v = TAILQ_FIRST(&bell->busy)) != NULL) {
        visitor_end(v);
    }
    cm_timer_free(&bell->timer);
    free(bell);
}

bool bell_full(const struct bell *bell)
{
    return bell->quiet_count + bell->busy_count >= BELL_CONNECTIONS_MAX;
}

size_t bell_busy(const struct bell *bell)
{
    return bell->busy_count;
}

const struct bell_figures *bell_figures(const struct bell *bell)
{
    return &bell->figures;
}
