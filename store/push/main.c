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

#include "common/conf.h"
#include "common/doorbell.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg.h"
#include "common/redis.h"
#include "common/service.h"

#include "bell.h"
#include "courier.h"
#include "figures.h"
#include "lookup.h"
#include "pump.h"
#include "ring.h"
#include "schedule.h"
#include "spool.h"

#define DRAIN_MS       3000
#define DRAIN_LIMIT_MS 5000
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
    struct cm_service *svc;
    struct ring_env env;
    struct courier *courier;
    struct lookup *lookup;
    struct spool *spool;
    struct bell *bell;
    struct figures *figures;
};

/* Settings */

static int load_conf(struct push *push, struct cm_err *err)
{
    if (cm_conf_reload(push->config_path, &push->conf, err) != 0) {
        return -1;
    }
    if (push->courier != NULL) {
        courier_set_url(push->courier, push->conf.store.notification_url);
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
    cm_log_state("redis", up, queue_last_error(push->env.queue),
                 "rings wait in the spool, nothing is posted");
    if (!up) {
        return;
    }
    pump_redis_back(push->env.pump);
    lookup_wake(push->lookup);
    spool_wake(push->spool);
    figures_wake(push->figures);
}

static void on_postgres(bool up, void *ctx)
{
    struct push *push = ctx;
    cm_log_state("postgresql", up, tokens_last_error(push->env.tokens),
                 "only addresses in memory are served");
    if (up) {
        lookup_wake(push->lookup);
        spool_wake(push->spool);
    }
}

/* Who rings during a start need not wait for a lookup or in the spool because of it. */
static bool is_settled(struct push *push)
{
    return cm_service_settled(push->svc,
                              queue_up(push->env.queue) && tokens_up(push->env.tokens));
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
    struct cm_loop *loop = cm_service_loop(svc);
    push->svc = svc;
    if (load_conf(push, err) != 0) {
        return -1;
    }
    push->spool = spool_new(loop, &spool, err);
    if (push->spool == NULL) {
        return -1;
    }
    push->courier = courier_new(loop, push->ca);
    courier_set_url(push->courier, push->conf.store.notification_url);
    push->env.tokens = tokens_new(loop, push->conninfo, on_postgres, push);
    push->env.queue = queue_new(loop, push->redis_path, on_redis, push);
    push->env.pump = pump_new(loop, push->env.queue, push->env.tokens, push->courier,
                              push->retry_ms);
    push->lookup = lookup_new(loop, &push->env);
    push->bell = bell_new(loop, &push->env, push->spool);
    struct figures_env figures = {&push->env, push->bell, push->spool};
    push->figures = figures_new(loop, &figures);
    cm_service_status(svc, "posting to %s", push->conf.store.notification_url);
    return 0;
}

static void on_drain(void *ctx)
{
    struct push *push = ctx;
    pump_stop(push->env.pump);
    lookup_stop(push->lookup);
    spool_stop(push->spool);
}

static bool drained(void *ctx, int64_t waited_ms)
{
    struct push *push = ctx;
    bool idle = bell_busy(push->bell) == 0 && pump_flights(push->env.pump) == 0;
    return idle || waited_ms >= DRAIN_MS;
}

/* First those that may still call back, then those they call. */
static void on_stop(void *ctx)
{
    struct push *push = ctx;
    courier_free(&push->courier);
    tokens_free(&push->env.tokens);
    queue_free(&push->env.queue);
    spool_free(&push->spool);
    bell_free(&push->bell);
    figures_free(&push->figures);
    lookup_free(&push->lookup);
    pump_free(&push->env.pump);
    cm_conf_clear(&push->conf);
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

static const struct cm_service_def service = {
    .program = "chatmail-push",
    .version = PORTICO_VERSION,
    .about =
        "Wakes phones: posts device tokens to the notification service when a message\n"
        "has come.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drain = on_drain,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop,
    .metrics = add_metrics};

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
    struct push push = {.config_path = CM_CONF_PATH,
                        .conninfo = CM_PG_CONNINFO("chatmail_push"),
                        .redis_path = CM_REDIS_PATH,
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
    int status = cm_service_options(&service, options, argc, argv);
    if (status < 0) {
        status = check_retry(&push);
    }
    return status >= 0 ? status : cm_service_run(&service, &push);
}
