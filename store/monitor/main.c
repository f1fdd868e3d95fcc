/* chatmail-monitor: the operator's status page, and the memory behind it.
 *
 * Sockets:
 *   page     unix, held by systemd, mode 0600 of root: only who may be root on the
 * store opens it, through an SSH forward (chatops status --page). No TCP port, so no
 * other user of this machine and nobody in a tunnel gets to it. GET /, /live,
 * /page.css, /page.js. metrics  its own figures: how full the disks are.
 *
 * It asks chatmail-web on loopback for /metrics, twice a minute, and every --live
 * seconds while somebody looks at the page; keeps some of the figures for a day and a
 * month in a ring file; draws them as SVG. A program of its own and not a part of
 * chatmail-web: that one reads strangers' bytes and hands out passwords, and shall own
 * no file.
 *
 * It trusts chatmail-web, chatmail.ini and who opens the socket. A page elsewhere that
 * makes the operator's browser ask here is refused by its Host. It knows counters and
 * names of gateways, and no address of a user.
 *
 * chatmail-web away: the page says so, the lines have a gap. Ring file damaged: started
 * anew. SIGHUP reads chatmail.ini again. Known limits: 32 connections, 96 series. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/service.h"
#include "web/conn.h"

#include "page.h"
#include "pick.h"
#include "ring.h"
#include "scrape.h"

#define CONNECTIONS 32
#define ARRIVE_MS   10000
#define ANSWER_MS   10000
#define REST_MS     30000 /* twice a minute: none is missed */
#define LOOKED_MS   30000 /* somebody looks as long after the last request */
#define LIVE_MAX_S  60

struct monitor {
    const char *config_path;
    const char *ring_path;
    const char *live_text;
    int64_t live_ms;
    struct cm_conf conf;
    struct cm_loop *loop;
    struct conns *conns;
    struct scrape *scrape;
    struct cm_timer *timer;
    struct ring *ring;
    struct pick pick;
    char *metrics; /* newest text */
    int64_t metrics_s;
    char trouble[120];
    int64_t looked_ms; /* monotonic */
    uint64_t scrapes, failures;
};

/* Measuring */

static void on_metrics(const char *text, const char *reason, void *ctx)
{
    struct monitor *m = ctx;
    struct ring_sample samples[PICK_MAX];
    struct cm_err err = {.text = ""};

    m->scrapes++;
    if (text == NULL) {
        m->failures++;
        snprintf(m->trouble, sizeof(m->trouble), "%s", reason);
        cm_log(CM_LOG_WARNING, "scrape_failed", "reason", reason, NULL);
        return;
    }
    m->trouble[0] = '\0';
    free(m->metrics);
    m->metrics = cm_strdup(text);
    m->metrics_s = cm_now_wall_ms() / 1000;
    size_t n = pick_take(&m->pick, text, cm_now_mono_ms(), samples);
    if (ring_add(m->ring, m->metrics_s, samples, n, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "ring_failed", &err);
    }
}

static void on_timer(void *ctx)
{
    struct monitor *m = ctx;
    bool looked = m->looked_ms > 0 && cm_now_mono_ms() - m->looked_ms < LOOKED_MS;

    scrape_ask(m->scrape);
    cm_timer_set(m->timer, looked ? m->live_ms : REST_MS);
}

/* The pause for when nobody looks is cut short by the first one who does. */
static void note_look(struct monitor *m)
{
    int64_t now = cm_now_mono_ms();

    if (m->looked_ms == 0 || now - m->looked_ms >= LOOKED_MS) {
        cm_timer_set(m->timer, 0);
    }
    m->looked_ms = now;
}

/* Routes */

/* "localhost:7903": what a browser says that came by a forward, and nothing else. */
static bool is_here(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(host, names[i], n) == 0 && (host[n] == '\0' || host[n] == ':')) {
            return true;
        }
    }
    return false;
}

static void on_field(struct exchange *x, const char *name, const char *value)
{
    if (strcmp(name, "host") == 0 && !is_here(value)) {
        exchange_text(x, 403, "Ask by way of localhost.\n");
    }
}

static void answer_with(struct exchange *x,
                        void (*write)(const struct page_facts *, struct cm_buf *))
{
    struct monitor *m = x->site;
    struct page_facts facts = {.domain = m->conf.domain,
                               .ring = m->ring,
                               .metrics = m->metrics,
                               .metrics_s = m->metrics_s,
                               .trouble = m->trouble,
                               .now_s = cm_now_wall_ms() / 1000};
    struct cm_buf out;

    note_look(m);
    cm_buf_init(&out, PAGE_MAX);
    write(&facts, &out);
    exchange_answer(x, &(struct answer){.status = 200,
                                        .type = "text/html; charset=utf-8",
                                        .text = out.data,
                                        .len = out.len});
    cm_buf_clear(&out);
}

static void end_page(struct exchange *x)
{
    answer_with(x, page_html);
}

static void end_live(struct exchange *x)
{
    answer_with(x, page_live);
}

static void end_css(struct exchange *x)
{
    exchange_answer(
        x, &(struct answer){.status = 200, .type = "text/css", .text = page_css});
}

static void end_js(struct exchange *x)
{
    exchange_answer(
        x, &(struct answer){.status = 200, .type = "text/javascript", .text = page_js});
}

#define GET                                                                            \
    .methods = METHOD_GET | METHOD_HEAD, .arrive_ms = ARRIVE_MS,                       \
    .answer_ms = ANSWER_MS, .field = on_field

static const struct route routes[] = {
    {.path = "/", .name = "page", GET, .end = end_page},
    {.path = "/live", .name = "live", GET, .end = end_live},
    {.path = "/page.css", .name = "css", GET, .end = end_css},
    {.path = "/page.js", .name = "js", GET, .end = end_js},
    {.path = NULL},
};

static void on_page(int fd, void *ctx)
{
    struct monitor *m = ctx;
    conns_adopt(m->conns, fd);
}

static bool page_ready(void *ctx)
{
    const struct monitor *m = ctx;
    return !conns_full(m->conns);
}

static const struct cm_listener listeners[] = {
    {.name = "page",
     .fallback_path = "/run/chatmail-monitor/page.sock",
     .accept = on_page,
     .ready = page_ready},
    {0}};

/* Start and stop */

static int read_live(struct monitor *m, struct cm_err *err)
{
    char *end;
    long n = strtol(m->live_text, &end, 10);

    if (end == m->live_text || *end != '\0' || n < 1 || n > LIVE_MAX_S) {
        return cm_err_set(err, CM_ERR_WORLD, "--live %s: seconds, 1 to %d",
                          m->live_text, LIVE_MAX_S);
    }
    m->live_ms = n * 1000;
    return 0;
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct monitor *m = ctx;
    struct cm_err why;

    if (read_live(m, err) != 0 || cm_conf_reload(m->config_path, &m->conf, err) != 0) {
        return -1;
    }
    m->loop = cm_service_loop(svc);
    m->ring = ring_open(m->ring_path, &why);
    if (why.text[0] != '\0') {
        cm_log_err(CM_LOG_ERROR, "ring_anew", &why);
    }
    m->conns = conns_new(m->loop, routes, m, false, CONNECTIONS);
    m->scrape =
        scrape_new(m->loop, (uint16_t)m->conf.store.metrics_port, on_metrics, m);
    m->timer = cm_timer_new(m->loop, on_timer, m);
    cm_timer_set(m->timer, 0);
    cm_service_status(svc, "watching %s", m->conf.domain);
    return 0;
}

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct monitor *m = ctx;

    (void)svc;
    if (cm_conf_reload(m->config_path, &m->conf, err) != 0) {
        return -1;
    }
    scrape_port(m->scrape, (uint16_t)m->conf.store.metrics_port);
    return 0;
}

static bool drained(void *ctx, int64_t waited_ms)
{
    const struct monitor *m = ctx;
    (void)waited_ms;
    return conns_open(m->conns) == 0;
}

static void on_stop(void *ctx)
{
    struct monitor *m = ctx;

    conns_free(&m->conns);
    scrape_free(&m->scrape);
    cm_timer_free(&m->timer);
    ring_close(&m->ring);
    free(m->metrics);
    cm_conf_clear(&m->conf);
}

/* Figures */

static void add_disks(const struct monitor *m, struct cm_buf *out, bool ratio,
                      const char *name)
{
    const char *const paths[] = {"/", m->conf.mailboxes_dir};

    for (size_t i = 0; i < 2; i++) {
        const char *const labels[] = {"path", paths[i], NULL};
        struct statvfs vfs;
        if (statvfs(paths[i], &vfs) != 0 || vfs.f_blocks == 0) {
            continue;
        }
        double free_bytes = (double)vfs.f_bavail * (double)vfs.f_frsize;
        double used = (double)(vfs.f_blocks - vfs.f_bfree);
        cm_metric_sample(out, name, labels,
                         ratio ? used / (used + (double)vfs.f_bavail) : free_bytes);
    }
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct monitor *m = ctx;

    cm_metric_counter(out, "chatmail_monitor_scrapes_total",
                      "Questions to chatmail-web.", m->scrapes);
    cm_metric_counter(out, "chatmail_monitor_scrapes_failed_total",
                      "Of these, without a proper answer.", m->failures);
    cm_metric_begin(out, "chatmail_monitor_disk_used_ratio", CM_METRIC_GAUGE,
                    "How full the file system of that path is, 0 to 1.");
    add_disks(m, out, true, "chatmail_monitor_disk_used_ratio");
    cm_metric_begin(out, "chatmail_monitor_disk_free_bytes", CM_METRIC_GAUGE,
                    "Room on it for those who are not root.");
    add_disks(m, out, false, "chatmail_monitor_disk_free_bytes");
}

static const struct cm_service_def service = {
    .program = "chatmail-monitor",
    .version = PORTICO_VERSION,
    .about = "Keeps the store's figures for a day and a month and shows them to the\n"
             "operator as a page of plots.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drained = drained,
    .drain_limit_ms = 3000,
    .stop = on_stop,
    .metrics = add_metrics};

int main(int argc, char **argv)
{
    struct monitor m = {.config_path = CM_CONF_PATH,
                        .ring_path = "/var/lib/chatmail-monitor/ring",
                        .live_text = "5"};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &m.config_path, 0},
        {"ring", "FILE", "where the figures are kept", &m.ring_path, 0},
        {"live", "SECONDS", "pause between two looks while somebody watches",
         &m.live_text, 0},
        {0}};

    return cm_service_main(&service, options, &m, argc, argv);
}
