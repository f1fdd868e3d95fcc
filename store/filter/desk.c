#include "desk.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"
#include "common/redis.h"

#define ARRAY_MAX (1u << 20)

/* One question. Two hold it: the thread that waits and the loop that asks; the last one
 * frees it, so a thread may give up. */
struct question {
    struct desk *desk;
    struct question *next;
    pthread_cond_t answered;
    bool done;
    bool given_up;
    struct cm_err err; /* kind NONE: the answer is there */
    void (*ask)(struct question *q);
    char **addrs; /* about accounts */
    struct desk_flags *flags;
    size_t count;
    char key[64]; /* about a rate */
    struct gcra gcra;
    bool allowed;
};

struct desk {
    pthread_mutex_t lock;
    struct question *first, **last; /* not seen by the loop yet */
    bool closed;
    int bell;
    struct cm_io *io;
    struct cm_pg *pg;
    struct cm_redis *redis;
};

static const struct cm_pg_statement accounts_statement = {
    "filter_accounts", "select addr, disabled, enforce_e2ee_incoming from account"
                       " where addr = any ($1::text[])"};

/* GCRA as in gcra.c, on Redis' clock, in microseconds. REPL_NONE: not in the
 * append-only file, whose every write is synced; a rate that Redis' end forgets is no
 * loss. */
static struct cm_redis_script rate_script = {
    .source = "redis.set_repl(redis.REPL_NONE)\n"
              "local t = redis.call('TIME')\n"
              "local now = t[1] * 1000000 + t[2]\n"
              "local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
              "local most = now + burst * interval\n"
              "local stored = tonumber(redis.call('GET', KEYS[1]) or '0')\n"
              "local tat = math.min(math.max(stored, now), most)\n"
              "local allowed = tat - now <= (burst - 1) * interval\n"
              "if allowed then tat = tat + interval end\n"
              "if allowed or stored > most then\n"
              "    redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX',\n"
              "        math.max(math.ceil((tat - now) / 1000), 600000))\n"
              "end\n"
              "return allowed and 1 or 0\n"};

/* Both sides */

static struct question *question_new(struct desk *desk, size_t count)
{
    struct question *q = cm_calloc(1, sizeof(*q));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->answered, &attr);
    pthread_condattr_destroy(&attr);
    q->desk = desk;
    q->count = count;
    q->addrs = cm_calloc(count, sizeof(*q->addrs));
    q->flags = cm_calloc(count, sizeof(*q->flags));
    return q;
}

static void question_free(struct question *q)
{
    for (size_t i = 0; i < q->count; i++) {
        free(q->addrs[i]);
    }
    free(q->addrs);
    free(q->flags);
    pthread_cond_destroy(&q->answered);
    free(q);
}

/* The loop's side */

static void answer(struct question *q, const struct cm_err *err)
{
    struct desk *desk = q->desk;
    pthread_mutex_lock(&desk->lock);
    q->done = true;
    q->err = *err;
    bool nobody = q->given_up;
    if (!nobody) {
        pthread_cond_signal(&q->answered);
    }
    pthread_mutex_unlock(&desk->lock);
    if (nobody) {
        question_free(q);
    }
}

static void answer_trouble(struct question *q, const char *reason)
{
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "%s", reason);
    answer(q, &err);
}

static const char *text_of(const char *value)
{
    return value != NULL ? value : "";
}

static void on_accounts(const struct cm_pg_result *res, const struct cm_err *err,
                        void *ctx)
{
    struct question *q = ctx;
    for (size_t i = 0; i < q->count; i++) {
        q->flags[i] = (struct desk_flags){.enforces = true};
        for (int row = 0; res != NULL && row < cm_pg_rows(res); row++) {
            if (strcmp(text_of(cm_pg_value(res, row, 0)), q->addrs[i]) == 0) {
                q->flags[i] = (struct desk_flags){
                    .known = true,
                    .disabled = strcmp(text_of(cm_pg_value(res, row, 1)), "f") != 0,
                    .enforces = strcmp(text_of(cm_pg_value(res, row, 2)), "f") != 0};
            }
        }
    }
    answer(q, err);
}

/* A PostgreSQL array of text, every element quoted. */
static void ask_accounts(struct question *q)
{
    struct cm_buf array;
    cm_buf_init(&array, ARRAY_MAX);
    cm_buf_str(&array, "{");
    for (size_t i = 0; i < q->count; i++) {
        cm_buf_str(&array, i > 0 ? ",\"" : "\"");
        for (const char *p = q->addrs[i]; *p != '\0'; p++) {
            cm_buf_fmt(&array, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
        }
        cm_buf_str(&array, "\"");
    }
    cm_buf_str(&array, "}");
    if (array.overflow) {
        answer_trouble(q, "too many addresses");
    } else {
        const char *params[] = {array.data};
        cm_pg_query(q->desk->pg, &accounts_statement, params, 1, on_accounts, q);
    }
    cm_buf_clear(&array);
}

static void on_rate(const struct cm_redis_value *value, const struct cm_err *err,
                    void *ctx)
{
    struct question *q = ctx;
    q->allowed = value != NULL && value->type == CM_REDIS_INT && value->integer == 1;
    answer(q, err);
}

static void ask_rate(struct question *q)
{
    char interval[24], burst[24];
    snprintf(interval, sizeof(interval), "%" PRId64, q->gcra.interval_us);
    snprintf(burst, sizeof(burst), "%" PRId64, q->gcra.burst);
    const struct cm_redis_arg keys[] = {{q->key, strlen(q->key)}};
    const struct cm_redis_arg args[] = {{interval, strlen(interval)},
                                        {burst, strlen(burst)}};
    cm_redis_eval(q->desk->redis, &rate_script, keys, 1, args, 2, on_rate, q);
}

static struct question *take_all(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    struct question *first = desk->first;
    desk->first = NULL;
    desk->last = &desk->first;
    pthread_mutex_unlock(&desk->lock);
    return first;
}

static void on_bell(int fd, unsigned events, void *ctx)
{
    (void)events;
    uint64_t rung;
    if (read(fd, &rung, sizeof(rung)) < 0) {
        return; /* somebody else's ring was read with it */
    }
    for (struct question *q = take_all(ctx), *next; q != NULL; q = next) {
        next = q->next;
        q->ask(q);
    }
}

static void on_pg_state(bool up, void *ctx)
{
    struct desk *desk = ctx;
    const char *why = desk->pg != NULL ? cm_pg_last_error(desk->pg) : "";
    cm_log(up ? CM_LOG_INFO : CM_LOG_ERROR, up ? "postgresql_up" : "postgresql_down",
           "reason", up ? NULL : why, NULL);
}

static void on_redis_state(bool up, void *ctx)
{
    struct desk *desk = ctx;
    const char *why = desk->redis != NULL ? cm_redis_last_error(desk->redis) : "";
    cm_log(up ? CM_LOG_INFO : CM_LOG_WARNING, up ? "redis_up" : "redis_down", "reason",
           up ? NULL : why, NULL);
}

struct desk *desk_new(struct cm_loop *loop, const char *conninfo,
                      const char *redis_path)
{
    struct desk *desk = cm_calloc(1, sizeof(*desk));
    pthread_mutex_init(&desk->lock, NULL);
    desk->last = &desk->first;
    desk->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cm_assert(desk->bell >= 0);
    desk->io = cm_io_new(loop, desk->bell, CM_IO_READ, on_bell, desk);
    const struct cm_pg_options pg = {
        .conninfo = conninfo, .on_state = on_pg_state, .ctx = desk};
    desk->pg = cm_pg_new(loop, &pg);
    if (redis_path != NULL) {
        const struct cm_redis_options redis = {.path = redis_path,
                                               .deadline_ms = DESK_RATE_MS,
                                               .on_state = on_redis_state,
                                               .ctx = desk};
        desk->redis = cm_redis_new(loop, &redis);
    }
    return desk;
}

void desk_close(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    desk->closed = true;
    pthread_mutex_unlock(&desk->lock);
    cm_io_free(&desk->io);
    cm_pg_free(&desk->pg);
    if (desk->redis != NULL) {
        cm_redis_free(&desk->redis);
    }
    for (struct question *q = take_all(desk), *next; q != NULL; q = next) {
        next = q->next;
        answer_trouble(q, "shutting down");
    }
}

/* The threads' side */

static struct timespec deadline_in(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Puts q down and waits. 0: answered and q is the caller's alone; -1: it is not. */
static int put_down(struct question *q, int64_t limit_ms, struct cm_err *err)
{
    struct desk *desk = q->desk;
    const struct timespec deadline = deadline_in(limit_ms);
    pthread_mutex_lock(&desk->lock);
    if (desk->closed) {
        pthread_mutex_unlock(&desk->lock);
        question_free(q);
        return cm_err_set(err, CM_ERR_RETRY, "shutting down");
    }
    *desk->last = q;
    desk->last = &q->next;
    uint64_t one = 1;
    cm_assert(write(desk->bell, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
    int rc = 0;
    while (!q->done && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&q->answered, &desk->lock, &deadline);
    }
    bool done = q->done;
    q->given_up = !done;
    pthread_mutex_unlock(&desk->lock);
    if (!done) {
        return cm_err_set(err, CM_ERR_RETRY, "no answer within %lld ms",
                          (long long)limit_ms);
    }
    if (q->err.kind != CM_ERR_NONE) {
        *err = q->err;
        question_free(q);
        return -1;
    }
    return 0;
}

int desk_accounts(struct desk *desk, const char *const *addrs, size_t n,
                  struct desk_flags *flags, struct cm_err *err)
{
    cm_assert(n <= DESK_ACCOUNTS_MAX);
    if (n == 0) {
        return 0;
    }
    struct question *q = question_new(desk, n);
    q->ask = ask_accounts;
    for (size_t i = 0; i < n; i++) {
        q->addrs[i] = cm_strdup(addrs[i]);
    }
    if (put_down(q, DESK_ACCOUNTS_MS, err) != 0) {
        return -1;
    }
    memcpy(flags, q->flags, n * sizeof(*flags));
    question_free(q);
    return 0;
}

int desk_rate(struct desk *desk, const char *key, const struct gcra *gcra,
              struct cm_err *err)
{
    if (desk->redis == NULL) {
        return cm_err_set(err, CM_ERR_RETRY, "no Redis");
    }
    struct question *q = question_new(desk, 0);
    q->ask = ask_rate;
    q->gcra = *gcra;
    snprintf(q->key, sizeof(q->key), "%s", key);
    if (put_down(q, DESK_RATE_MS, err) != 0) {
        return -1;
    }
    int allowed = q->allowed;
    question_free(q);
    return allowed;
}
