/* chatmail-web: what a chatmail relay offers over HTTP, behind nginx.
 *
 * Sockets:
 *   http  unix, held by systemd, only nginx may open it: /new and its old path
 *         /cgi-bin/newemail.py (create.h), /mxdeliv (deliver.h), /enrol/ (enrol.h).
 *   /metrics (page.h) by TCP on [store] metrics_port, on loopback and on this machine's
 *         ends of the tunnels, where the store's packet filter lets the gateway's own
 *         address through and no client. No public address has it.
 * One request per connection. It calls Postfix on 127.0.0.1 (mail of /mxdeliv), Redis
 * (how many accounts a network asked for), PostgreSQL (whether an invite token is good,
 * only while registrations are by invitation; invites of gateways), and the programs'
 * sockets for figures.
 *
 * It trusts nginx to say who the client is and by which gateway it came (X-Real-IP,
 * X-Portico-Local), chatmail.ini, and the programs whose figures it shows. Requests are
 * strangers' bytes: it reads HTTP and addresses, never a message.
 *
 * Passwords that it gives out are wiped after use and never logged; nor is an address.
 *
 * Redis away: requests are counted in this process. PostgreSQL away: a token passes,
 * and the first login decides. Postfix away: 400 "451 ...", and the sender tries SMTP.
 * A program away: chatmail_up 0 on the page.
 *
 * SIGHUP reads chatmail.ini again; a broken one leaves the old settings. SIGTERM: no
 * new connections, what is under way is answered, at most 20 s. Known limits: 1024
 * connections from nginx, 16 for /metrics, 100 messages at a time, 1000 recipients. */
#include <stdlib.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/loop.h"
#include "common/pg.h"
#include "common/redis.h"
#include "common/service.h"

#include "conn.h"
#include "create.h"
#include "deliver.h"
#include "enrol.h"
#include "invites.h"
#include "listen.h"
#include "page.h"
#include "queue.h"
#include "site.h"

#define HTTP_CONNECTIONS    1024
#define METRICS_CONNECTIONS 16
#define ARRIVE_MS           30000
#define ANSWER_MS           10000
#define DRAIN_LIMIT_MS      20000

struct web {
    const char *config_path;
    const char *redis_path;
    const char *queue_path;
    const char *conninfo;
    struct cm_conf conf;
    struct site site;
    struct cm_redis *redis;
    struct conns *http, *metrics;
    struct listen *listen;
};

#define CREATE                                                                         \
    .name = "new", .methods = METHOD_GET | METHOD_HEAD | METHOD_POST,                  \
    .arrive_ms = ARRIVE_MS, .answer_ms = ANSWER_MS, .end = create_end,                 \
    .gone = create_gone
#define DELIVER                                                                        \
    .name = "mxdeliv", .methods = METHOD_POST, .arrive_ms = DELIVER_ARRIVE_MS,         \
    .answer_ms = DELIVER_ANSWER_MS, .field = deliver_field, .head = deliver_head,      \
    .body = deliver_body, .end = deliver_end, .gone = deliver_gone

#define ENROL                                                                          \
    .name = "enrol", .arrive_ms = ARRIVE_MS, .answer_ms = ANSWER_MS,                   \
    .field = enrol_field, .gone = enrol_gone

static const struct route http_routes[] = {
    {.path = "/new", CREATE},
    {.path = "/cgi-bin/newemail.py", CREATE},
    {.path = "/mxdeliv", DELIVER},
    {.path = "/mxdeliv/", DELIVER},
    {.path = "/enrol/script", ENROL, .methods = METHOD_GET, .end = enrol_script_end},
    {.path = "/enrol/package", ENROL, .methods = METHOD_GET, .end = enrol_package_end},
    {.path = "/enrol/join",
     ENROL,
     .methods = METHOD_POST,
     .body = enrol_body,
     .end = enrol_join_end},
    {.path = NULL},
};

static const struct route metrics_routes[] = {
    {.path = "/metrics",
     .name = "metrics",
     .methods = METHOD_GET | METHOD_HEAD,
     .arrive_ms = ARRIVE_MS,
     .answer_ms = ANSWER_MS,
     .end = page_end,
     .gone = page_gone},
    {.path = NULL},
};

/* Settings */

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    struct web *web = ctx;
    if (cm_conf_reload(web->config_path, &web->conf, err) != 0) {
        return -1;
    }
    listen_set(web->listen, &web->conf);
    return 0;
}

/* Listeners */

static void on_http(int fd, void *ctx)
{
    struct web *web = ctx;
    conns_adopt(web->http, fd);
}

static bool http_ready(void *ctx)
{
    struct web *web = ctx;
    return !conns_full(web->http);
}

static void on_metrics_conn(int fd, void *ctx)
{
    struct web *web = ctx;
    if (conns_full(web->metrics)) {
        close(fd);
        return;
    }
    conns_adopt(web->metrics, fd);
}

static const struct cm_listener listeners[] = {
    {.name = "http",
     .fallback_path = "/run/chatmail-web/http.sock",
     .accept = on_http,
     .ready = http_ready},
    {0}};

/* Start and stop */

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct web *web = ctx;
    if (cm_conf_reload(web->config_path, &web->conf, err) != 0) {
        return -1;
    }
    struct cm_loop *loop = cm_service_loop(svc);
    struct cm_redis_options redis = {.path = web->redis_path};
    web->redis = cm_redis_new(loop, &redis);
    web->site.loop = loop;
    web->site.conf = &web->conf;
    web->site.limit = cm_netlimit_new(loop, web->redis, "new");
    web->site.invites = invites_new(loop, web->conninfo);
    web->site.queue = queue_new(loop, web->queue_path);
    web->site.conninfo = web->conninfo;
    web->http = conns_new(loop, http_routes, &web->site, true, HTTP_CONNECTIONS);
    web->metrics =
        conns_new(loop, metrics_routes, &web->site, false, METRICS_CONNECTIONS);
    web->site.conns = web->http;
    web->listen = listen_new(loop, on_metrics_conn, web);
    listen_set(web->listen, &web->conf);
    cm_service_status(svc, "serving %s, metrics on %zu addresses", web->conf.domain,
                      listen_count(web->listen));
    return 0;
}

static void on_drain(void *ctx)
{
    struct web *web = ctx;
    listen_free(&web->listen);
}

static bool drained(void *ctx, int64_t waited_ms)
{
    (void)waited_ms;
    struct web *web = ctx;
    return conns_open(web->http) == 0;
}

/* Connections first: they hold on to all the rest. */
static void on_stop(void *ctx)
{
    struct web *web = ctx;
    listen_free(&web->listen);
    conns_free(&web->http);
    conns_free(&web->metrics);
    cm_netlimit_free(&web->site.limit);
    invites_free(&web->site.invites);
    cm_redis_free(&web->redis);
    cm_pg_free(&web->site.pg);
    queue_free(&web->site.queue);
    cm_conf_clear(&web->conf);
}

static const struct cm_service_def service = {
    .program = "chatmail-web",
    .version = PORTICO_VERSION,
    .about = "Gives out new accounts, takes mail over HTTPS from other relays, and "
             "shows the\n"
             "figures of the store. nginx stands in front of it.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drain = on_drain,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop};

int main(int argc, char **argv)
{
    struct web web = {.config_path = CM_CONF_PATH,
                      .redis_path = CM_REDIS_PATH,
                      .queue_path = "/run/chatmail-queue/queue.sock",
                      .conninfo = CM_PG_CONNINFO("chatmail_web"),
                      .site = {.nocreate_path = "/etc/chatmail-nocreate",
                               .metrics_dir = "/run/chatmail-metrics",
                               .textfile_dir = "/var/lib/chatmail-fsreport"}};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &web.config_path, 0},
        {"redis", "PATH", "socket of Redis", &web.redis_path, CM_OPTION_PATH_MAX},
        {"db", "CONNINFO", "PostgreSQL, asked about invites", &web.conninfo, 0},
        {"nocreate", "PATH", "no account is given out while this file exists",
         &web.site.nocreate_path, 0},
        {"metrics-dir", "DIR", "sockets of the programs' figures",
         &web.site.metrics_dir, 0},
        {"textfiles", "DIR", "figures in files, *.prom", &web.site.textfile_dir, 0},
        {"queue", "PATH", "socket that tells Postfix's queue", &web.queue_path,
         CM_OPTION_PATH_MAX},
        {0}};
    return cm_service_main(&service, options, &web, argc, argv);
}
