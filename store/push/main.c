/* chatmail-push: wakes phones through the notification service.
 *
 * One socket, held by systemd:
 *   bell  whoever delivered a message, or heard of one, says the address
 *         (common/doorbell.h); members of group chatmail-bell.
 * For each device token of the address (table push_token) one notification goes on
 * record in Redis, and is posted to notification_url: the token and nothing else. 200
 * is the end of it, 410 removes the token, all else is tried again after 8, 64, 512 and
 * 4096 s and given up after 5 hours (schedule.h). Of one token, one is posted at a
 * time.
 *
 * It trusts whoever may open the socket or leave files in its directory to name
 * addresses, chatmail.ini, and the certificates of the system. Tokens and addresses are
 * never logged.
 *
 * PostgreSQL away: known addresses are served from memory, others wait in Redis. Redis
 * away: addresses wait as files in the spool, synced before the answer. The service
 * away or silent: all waits in Redis, at most PUMP_FIRST_MAX + PUMP_AGAIN_MAX requests
 * are under way. Killed: what was under way is posted again.
 *
 * SIGHUP reads chatmail.ini again; a broken one leaves the old settings. SIGTERM: what
 * is under way may end within 3 s, the rest stays in Redis. Known limits: a phone may
 * be woken twice; when Redis is full (maxmemory), rings wait in the spool, where
 * several of one address are one. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/doorbell.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/options.h"
#include "common/service.h"

#include "bell.h"
#include "courier.h"
#include "figures.h"
#include "lookup.h"
#include "pump.h"
#include "ring.h"
#include "schedule.h"
#include "spool.h"

#define PROGRAM "chatmail-push"

/* So long nobody is heard while Redis and PostgreSQL are not connected yet. */
#define START_GRACE_MS 1000
#define DRAIN_MS       3000
#define DRAIN_LIMIT_MS 5000
#define DRAIN_TURN_MS  20
#define RETRY_MS_MIN   1
#define RETRY_MS_MAX   60000

struct push {
    const char *config_path;
    const char *conninfo;
    const char *redis_path;
    const char *spool_dir;
    const char *ca;
    const char *retry_text;
    int64_t retry_ms;
    struct cm_conf conf;
    bool configured;
    struct cm_loop *loop;
    struct ring_env env;
    struct courier *courier;
    struct lookup *lookup;
    struct spool *spool;
    struct bell *bell;
    struct figures *figures;
    int64_t started;
    bool settled; /* Redis and PostgreSQL were there once, or are late */
    struct cm_timer *drain_timer;
    int64_t drain_since;
};

/* Settings */

static int load_conf(struct push *push, struct cm_err *err)
{
    struct cm_conf conf;
    if (cm_conf_load(push->config_path, &conf, err) != 0) {
        return -1;
    }
    if (push->configured) {
        cm_conf_clear(&push->conf);
    }
    push->conf = conf;
    push->configured = true;
    if (push->courier != NULL) {
        courier_set_url(push->courier, conf.store.notification_url);
    }
    return 0;
}

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    return load_conf(ctx, err);
}

/* What comes and goes. Each may speak before all of the others are made. */

static void on_redis(bool up, void *ctx)
{
    struct push *push = ctx;
    if (!up) {
        cm_log(CM_LOG_ERROR, "redis_down", "reason", queue_last_error(push->env.queue),
               "effect", "rings wait in the spool, nothing is posted", NULL);
        return;
    }
    cm_log(CM_LOG_INFO, "redis_up", NULL);
    pump_redis_back(push->env.pump);
    lookup_wake(push->lookup);
    spool_wake(push->spool);
    figures_wake(push->figures);
}

static void on_postgres(bool up, void *ctx)
{
    struct push *push = ctx;
    if (up) {
        cm_log(CM_LOG_INFO, "postgresql_up", NULL);
        lookup_wake(push->lookup);
        spool_wake(push->spool);
    } else {
        cm_log(CM_LOG_ERROR, "postgresql_down", "reason",
               tokens_last_error(push->env.tokens), "effect",
               "only addresses in memory are served", NULL);
    }
}

/* Who rings during a start need not wait for a lookup or in the spool because of it. */
static bool is_settled(struct push *push)
{
    if (!push->settled) {
        int64_t since = cm_now_mono_ms() - push->started;
        bool up = queue_up(push->env.queue) && tokens_up(push->env.tokens);
        push->settled = up || since >= START_GRACE_MS;
    }
    return push->settled;
}

static bool spool_ready(void *ctx)
{
    struct push *push = ctx;
    return is_settled(push) && queue_up(push->env.queue);
}

static void spool_record(const char *addr, spool_done_cb done, void *done_ctx,
                         void *ctx)
{
    struct push *push = ctx;
    ring_record(&push->env, addr, done, done_ctx);
}

/* Start and stop */

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct push *push = ctx;
    struct spool_options spool = {.dir = push->spool_dir,
                                  .ready = spool_ready,
                                  .record = spool_record,
                                  .ctx = push};
    push->loop = cm_service_loop(svc);
    push->started = cm_now_mono_ms();
    if (load_conf(push, err) != 0) {
        return -1;
    }
    push->spool = spool_new(push->loop, &spool, err);
    if (push->spool == NULL) {
        return -1;
    }
    push->courier = courier_new(push->loop, push->ca);
    courier_set_url(push->courier, push->conf.store.notification_url);
    push->env.tokens = tokens_new(push->loop, push->conninfo, on_postgres, push);
    push->env.queue = queue_new(push->loop, push->redis_path, on_redis, push);
    push->env.pump = pump_new(push->loop, push->env.queue, push->env.tokens,
                              push->courier, push->retry_ms);
    push->lookup = lookup_new(push->loop, &push->env);
    push->bell = bell_new(push->loop, &push->env, push->spool);
    struct figures_env figures = {&push->env, push->bell, push->spool};
    push->figures = figures_new(push->loop, &figures);
    cm_service_status(svc, "posting to %s", push->conf.store.notification_url);
    return 0;
}

static void on_drain_turn(void *ctx)
{
    struct push *push = ctx;
    int64_t waited = cm_now_mono_ms() - push->drain_since;
    bool idle = bell_busy(push->bell) == 0 && pump_flights(push->env.pump) == 0;
    if (idle || waited >= DRAIN_MS) {
        cm_loop_stop(push->loop);
        return;
    }
    cm_timer_set(push->drain_timer, DRAIN_TURN_MS);
}

static void on_drain(void *ctx)
{
    struct push *push = ctx;
    pump_stop(push->env.pump);
    lookup_stop(push->lookup);
    spool_stop(push->spool);
    push->drain_since = cm_now_mono_ms();
    push->drain_timer = cm_timer_new(push->loop, on_drain_turn, push);
    cm_timer_set(push->drain_timer, 0);
}

/* First those that may still call back, then those they call. */
static void on_stop(void *ctx)
{
    struct push *push = ctx;
    cm_timer_free(&push->drain_timer);
    courier_free(&push->courier);
    tokens_free(&push->env.tokens);
    queue_free(&push->env.queue);
    spool_free(&push->spool);
    bell_free(&push->bell);
    figures_free(&push->figures);
    lookup_free(&push->lookup);
    pump_free(&push->env.pump);
    if (push->configured) {
        cm_conf_clear(&push->conf);
    }
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct push *push = ctx;
    figures_write(push->figures, out);
}

/* Listener */

static void on_bell(int fd, void *ctx)
{
    struct push *push = ctx;
    bell_adopt(push->bell, fd);
}

static bool bell_ready(void *ctx)
{
    struct push *push = ctx;
    return is_settled(push) && !bell_full(push->bell);
}

static const struct cm_listener listeners[] = {{.name = "bell",
                                                .fallback_path = CM_DOORBELL_SOCKET,
                                                .accept = on_bell,
                                                .ready = bell_ready},
                                               {0}};

/* -1, or an exit status. */
static int check_retry(struct push *push)
{
    struct cm_err err;
    if (cm_value_int(push->retry_text, RETRY_MS_MIN, RETRY_MS_MAX, &push->retry_ms,
                     &err) == 0) {
        return -1;
    }
    (void)cm_err_prefix(&err, "--retry-ms");
    cm_log_err(CM_LOG_ERROR, "usage", &err);
    return 2;
}

int main(int argc, char **argv)
{
    struct push push = {.config_path = "/etc/chatmail/chatmail.ini",
                        .conninfo =
                            "host=/run/postgresql dbname=chatmail user=chatmail_push",
                        .redis_path = "/run/redis/redis-server.sock",
                        .spool_dir = CM_DOORBELL_DIR,
                        .retry_text = "8000"};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &push.config_path, 0},
        {"db", "CONNINFO", "PostgreSQL", &push.conninfo, 0},
        {"redis", "PATH", "socket of Redis", &push.redis_path, CM_OPTION_PATH_MAX},
        {"spool", "DIR", "where rings wait while Redis is away", &push.spool_dir, 0},
        {"ca", "FILE", "certificates to trust instead of the system's", &push.ca, 0},
        {"retry-ms", "N", "before the second try; then 8 times as long each",
         &push.retry_text, 0},
        {0}};
    int status = cm_options_parse(
        PROGRAM, PORTICO_VERSION,
        "Wakes phones: posts device tokens to the notification service when a message\n"
        "has come.\n",
        options, argc, argv);
    if (status >= 0) {
        return status;
    }
    static const struct cm_service_def def = {.program = PROGRAM,
                                              .listeners = listeners,
                                              .start = on_start,
                                              .reload = on_reload,
                                              .drain = on_drain,
                                              .drain_limit_ms = DRAIN_LIMIT_MS,
                                              .stop = on_stop,
                                              .metrics = add_metrics};
    cm_log_init(PROGRAM, CM_LOG_INFO);
    status = check_retry(&push);
    return status >= 0 ? status : cm_service_run(&def, &push);
}
