/* chatmail-dns: keeps the addresses of gateways that do not serve out of DNS.
 *
 * Reads /run/chatmail-cluster/gateways, where chatmail-cluster says which gateways
 * serve, decides (decide.h), and asks the primary name server for the change (RFC 2136,
 * TSIG). Nobody talks to it. It trusts chatmail-cluster, and the name server for what
 * it answers under the shared key. Only records of the mail domain with addresses of
 * gateways are added or removed.
 *
 * chatmail-cluster away: the file stays as it was, and so does DNS. Name server away:
 * asked again, after 5 s at first, at most every 5 min. What it has said last is said
 * again every 10 min, in case somebody changed the zone by hand. Known limits: what
 * resolvers keep they keep for the records' 60 s; an address that a gateway gave up
 * while it stayed a gateway is not removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/service.h"
#include "decide.h"
#include "dns/update.h"
#include "feed.h"

#define LOOK_MS     1000
#define AGAIN_MS    (10 * 60 * 1000)
#define BACKOFF_MIN 5000
#define BACKOFF_MAX (5 * 60 * 1000)
#define TTL_S       60

/* One update under way; the worker touches nothing else. */
struct job {
    struct dns_primary primary;
    struct dns_key key;
    struct dns_change changes[DECIDE_ROWS * CM_ADDRESSES_MAX];
    size_t count;
    char name[256];
    struct decide decide; /* what the changes point into */
    char domain[254];
    int rc;
    struct cm_err err;
    struct program *program;
};

struct program {
    const char *config, *key_path, *gateways;
    struct cm_conf conf;
    struct dns_primary primary;
    struct cm_loop *loop;
    struct cm_timer *timer;
    struct cm_work *work;
    struct feed feed;
    struct decide decide;
    struct job *job; /* NULL: none under way */
    bool wanted;     /* there is something to say */
    int64_t next_ms; /* not before */
    int64_t backoff_ms;
    int64_t ok_ms; /* wall clock of the last that was taken; 0 never */
    uint64_t updates, failures, changes;
    bool feed_bad;
};

/* ---- what to say ---- */

static void add_change(struct job *j, bool add, const char *address)
{
    cm_assert(j->count < sizeof(j->changes) / sizeof(j->changes[0]));
    j->changes[j->count++] =
        (struct dns_change){.add = add,
                            .name = j->name,
                            .type = strchr(address, ':') != NULL ? "AAAA" : "A",
                            .data = address,
                            .ttl = TTL_S};
}

static void fill(struct job *j, bool disable_ipv6)
{
    bool remove = decide_may_remove(&j->decide);

    for (size_t i = 0; i < DECIDE_ROWS; i++) {
        const struct decide_row *r = &j->decide.rows[i];
        for (size_t a = 0; a < r->gateway.address_count; a++) {
            const char *address = r->gateway.addresses[a];
            bool v6 = strchr(address, ':') != NULL;
            if (r->place == DECIDE_IN && !(v6 && disable_ipv6)) {
                add_change(j, true, address);
            } else if (r->place == DECIDE_OUT && remove &&
                       !decide_keeps(&j->decide, address)) {
                add_change(j, false, address);
            }
        }
    }
}

/* ---- the worker ---- */

static void run_job(void *arg)
{
    struct job *j = arg;

    j->rc =
        j->primary.zone[0] != '\0' ? 0 : dns_find_zone(&j->primary, j->domain, &j->err);
    if (j->rc == 0) {
        j->rc = dns_update(&j->primary, &j->key, j->changes, j->count, &j->err);
    }
    dns_key_wipe(&j->key);
}

static void job_failed(struct program *p, const struct cm_err *err)
{
    p->failures++;
    p->wanted = true;
    p->backoff_ms = p->backoff_ms == 0                ? BACKOFF_MIN
                    : p->backoff_ms * 2 < BACKOFF_MAX ? p->backoff_ms * 2
                                                      : BACKOFF_MAX;
    p->next_ms = cm_now_mono_ms() + p->backoff_ms;
    cm_log_err(CM_LOG_WARNING, "dns_update_failed", err);
}

static void job_done(void *arg)
{
    struct job *j = arg;
    struct program *p = j->program;

    p->job = NULL;
    if (j->rc == 0) {
        char count[24];
        snprintf(count, sizeof(count), "%zu", j->count);
        cm_log(CM_LOG_INFO, "dns_updated", "zone", j->primary.zone, "records", count,
               NULL);
        p->primary = j->primary;
        p->updates++;
        p->changes += j->count;
        p->backoff_ms = 0;
        p->ok_ms = cm_now_wall_ms();
        p->next_ms = cm_now_mono_ms() + (p->wanted ? 0 : AGAIN_MS);
    } else {
        job_failed(p, &j->err);
    }
    free(j);
}

static int load_key(const struct program *p, struct dns_key *key, struct cm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = cm_file_read(p->key_path, DNS_KEY_FILE_MAX, &text, &len, err);

    if (rc != 1) {
        return rc == 0 ? cm_err_set(err, CM_ERR_WORLD,
                                    "%s: no such key; do: chatops run", p->key_path)
                       : -1;
    }
    rc = dns_key_parse(text, len, key, err);
    cm_wipe(text, len);
    free(text);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", p->key_path);
}

static void begin_job(struct program *p)
{
    struct job *j = cm_calloc(1, sizeof(*j));
    struct cm_err err;

    j->program = p;
    j->primary = p->primary;
    j->decide = p->decide;
    snprintf(j->domain, sizeof(j->domain), "%s", p->feed.domain);
    snprintf(j->name, sizeof(j->name), "%s.", p->feed.domain);
    fill(j, p->conf.disable_ipv6);
    p->wanted = false;
    if (j->count == 0) {
        p->next_ms = cm_now_mono_ms() + AGAIN_MS;
        free(j);
        return;
    }
    if (load_key(p, &j->key, &err) != 0 ||
        cm_work_submit(p->work, run_job, job_done, j, &err) != 0) {
        dns_key_wipe(&j->key);
        free(j);
        job_failed(p, &err);
        return;
    }
    p->job = j;
}

/* ---- every second ---- */

static void on_place(const struct decide_row *row, const char *reason, void *ctx)
{
    (void)ctx;
    cm_log(row->place == DECIDE_IN ? CM_LOG_INFO : CM_LOG_WARNING, "gateway_in_dns",
           "gateway", row->gateway.name, "in", row->place == DECIDE_IN ? "yes" : "no",
           "reason", reason, NULL);
}

static void read_feed(struct program *p)
{
    char *text = NULL;
    size_t len = 0;
    struct cm_err err;
    int rc = cm_file_read(p->gateways, FEED_MAX, &text, &len, &err);

    if (rc == 1) {
        rc = feed_parse(text, len, &p->feed, &err) == 0 ? 1 : -1;
        free(text);
    }
    if (rc < 0 && !p->feed_bad) {
        cm_log_err(CM_LOG_WARNING, "gateways_unknown", &err);
    }
    p->feed_bad = rc < 0;
}

static void on_timer(void *ctx)
{
    struct program *p = ctx;
    int64_t now = cm_now_mono_ms();

    read_feed(p);
    if (decide_step(&p->decide, &p->feed, now, p->conf.store.dns_settle * 1000,
                    on_place, p)) {
        p->wanted = true;
        p->next_ms = p->backoff_ms > 0 ? p->next_ms : now;
    }
    if (p->job == NULL && p->feed.domain[0] != '\0' && now >= p->next_ms) {
        begin_job(p);
    }
    cm_timer_set(p->timer, LOOK_MS);
}

/* ---- service ---- */

static int read_conf(struct program *p, struct cm_err *err)
{
    struct dns_primary primary;

    if (cm_conf_reload(p->config, &p->conf, err) != 0) {
        return -1;
    }
    if (dns_primary_parse(p->conf.store.dns_server, &primary, err) != 0) {
        return cm_err_prefix(err, "%s: [store] dns_server", p->config);
    }
    p->primary = primary;
    return 0;
}

static int start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct program *p = ctx;

    if (read_conf(p, err) != 0) {
        return -1;
    }
    p->loop = cm_service_loop(svc);
    p->work = cm_work_new(p->loop, 1, 1);
    p->timer = cm_timer_new(p->loop, on_timer, p);
    cm_timer_set(p->timer, 0);
    return 0;
}

static int reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct program *p = ctx;

    (void)svc;
    int rc = read_conf(p, err);
    if (rc == 0) {
        p->wanted = true;
        p->next_ms = 0;
        p->backoff_ms = 0;
    }
    return rc;
}

static void stop(void *ctx)
{
    struct program *p = ctx;

    cm_timer_free(&p->timer);
    cm_work_free(&p->work); /* an update under way is waited for */
    cm_conf_clear(&p->conf);
}

static size_t count_place(const struct program *p, enum decide_place place)
{
    size_t n = 0;

    for (size_t i = 0; i < DECIDE_ROWS; i++) {
        const struct decide_row *r = &p->decide.rows[i];
        n += r->gateway.name[0] != '\0' && !r->gone && r->place == place;
    }
    return n;
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct program *p = ctx;

    cm_metric_counter(out, "chatmail_dns_updates_total",
                      "Updates that the name server took.", p->updates);
    cm_metric_counter(out, "chatmail_dns_failures_total",
                      "Updates that it did not take.", p->failures);
    cm_metric_gauge(out, "chatmail_dns_gateways_in", "Gateways whose addresses are in.",
                    (double)count_place(p, DECIDE_IN));
    cm_metric_gauge(out, "chatmail_dns_gateways_out",
                    "Gateways whose addresses were taken out.",
                    (double)count_place(p, DECIDE_OUT));
    cm_metric_gauge(out, "chatmail_dns_last_update_seconds",
                    "Time of the last update that was taken; 0: never.",
                    (double)p->ok_ms / 1000);
    cm_metric_gauge(out, "chatmail_dns_waiting", "1 while a change is not made yet.",
                    p->wanted || p->job != NULL);
}

static const struct cm_listener listeners[] = {{.name = NULL}};

static const struct cm_service_def service = {
    .program = "chatmail-dns",
    .version = PORTICO_VERSION,
    .about = "Takes the addresses of gateways that do not serve out of DNS, and puts "
             "them back.\n",
    .listeners = listeners,
    .start = start,
    .reload = reload,
    .stop = stop,
    .metrics = add_metrics};

int main(int argc, char **argv)
{
    static struct program p = {.config = CM_CONF_PATH,
                               .key_path =
                                   "/run/credentials/chatmail-dns.service/dns.key",
                               .gateways = "/run/chatmail-cluster/gateways"};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &p.config, 0},
        {"key", "FILE", "key for the name server", &p.key_path, 0},
        {"gateways", "FILE", "what chatmail-cluster says", &p.gateways, 0},
        {0}};
    return cm_service_main(&service, options, &p, argc, argv);
}
