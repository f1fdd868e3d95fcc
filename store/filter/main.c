/* chatmail-filter: lets only encrypted mail pass, out of the relay and into it.
 *
 * A milter of Postfix. libmilter has one socket a process, so there are three of them,
 * from three units: --mode outgoing judges what logged-in users submit, and signs it;
 * --mode incoming judges what comes from elsewhere and proves by DKIM that its author
 * wrote it; --mode signing only signs what Postfix makes itself, bounces above all.
 * docs/filter.md has every check, in order, with its reply.
 *
 * One socket, held by systemd:
 *   milter  Postfix's smtpd and cleanup ask here (milter protocol version 6).
 *
 * Threads: the service's loop runs on the main thread, with PostgreSQL, Redis, signals,
 * watchdog and metrics; libmilter's accept loop on a second one; and libmilter's pool
 * of workers, one for each message under way, none for an idle connection. Only those
 * block: on DNS, or on an answer that the loop gets for them (desk.h). The loop is not
 * libmilter's, because that has no timers and no place for other descriptors.
 *
 * A message is judged while it passes; what is kept of it is of fixed size. It trusts
 * Postfix to name the login truly, chatmail.ini, table account, and DNS as far as DKIM
 * does.
 *
 * PostgreSQL away: what needs a flag of an account is put off with 451; cleartext of
 * our own users is still refused. Redis away: send rates are kept in this process. DNS
 * away: 451. No key to sign with: 451, and the key is looked for every 10 s. Nothing is
 * refused for good without a proof, and nothing leaves unsigned.
 *
 * SIGHUP reads chatmail.ini and the key again; a broken one leaves the old. SIGTERM:
 * messages under way are finished, at most 20 s. Known limits: 1000 recipients a
 * message; see header.h, mime.h, dkim.h, sample.h for those of a message. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "common/redis.h"
#include "common/service.h"

#include "filter.h"
#include "milter.h"

#define DRAIN_LIMIT_MS 20000
#define SWEEP_MS       (3600 * 1000)
#define KEY_AGAIN_MS   10000
/* So many heaps for all threads: theirs are small, and each heap costs pages. */
#define ARENAS 2

struct program {
    const char *mode_name;
    const char *config_path;
    const char *conninfo;
    const char *redis_path;
    const char *dns;
    const char *keep_dir;
    struct filter filter;
    int listener;
    struct cm_service *svc;
    struct cm_loop *loop;
    struct cm_timer *sweep_timer, *key_timer;
};

/* Settings */

static int load_settings(struct program *p, struct cm_err *err)
{
    struct cm_conf conf;
    if (cm_conf_load(p->config_path, &conf, err) != 0) {
        return -1;
    }
    struct settings settings = {
        .gcra = gcra_of(conf.max_user_send_per_minute, conf.max_user_send_burst_size),
        .signs = p->filter.mode->signs && !conf.is_ip};
    for (size_t i = 0; conf.domain[i] != '\0' && i + 1 < sizeof(settings.domain); i++) {
        char c = conf.domain[i];
        settings.domain[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    cm_conf_clear(&conf);
    pthread_mutex_lock(&p->filter.lock);
    p->filter.settings = settings;
    pthread_mutex_unlock(&p->filter.lock);
    return 0;
}

static bool lacks_key(struct program *p)
{
    return p->filter.settings.signs && !seal_ready(&p->filter.seal);
}

/* chatops status reads this line. */
static void say_status(struct program *p)
{
    cm_service_status(p->svc, "%s%s mail of %s", lacks_key(p) ? "no DKIM key for " : "",
                      p->filter.mode->name, p->filter.settings.domain);
}

static void on_key_again(void *ctx)
{
    struct program *p = ctx;
    struct cm_err again;
    if (!lacks_key(p)) {
        return;
    }
    if (seal_load(&p->filter.seal, &again) == 0) {
        cm_log(CM_LOG_INFO, "signing_key_found", "path", p->filter.seal.path, NULL);
        say_status(p);
        return;
    }
    cm_timer_set(p->key_timer, KEY_AGAIN_MS);
}

/* Without a key the program runs: it has an answer for mail that cannot be signed, and
 * Postfix would wait for one. */
static void start_signing(struct program *p)
{
    struct cm_err err;
    if (p->filter.settings.signs && seal_load(&p->filter.seal, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "signing_key_missing", &err);
        cm_timer_set(p->key_timer, KEY_AGAIN_MS);
    }
}

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    struct program *p = ctx;
    int rc = load_settings(p, err);
    if (rc == 0 && p->filter.settings.signs) {
        rc = seal_load(&p->filter.seal, err);
    }
    say_status(p);
    on_key_again(p);
    return rc;
}

/* Start and stop */

static void on_sweep(void *ctx)
{
    struct program *p = ctx;
    samples_sweep(p->filter.samples);
    cm_timer_set(p->sweep_timer, SWEEP_MS);
}

static int start_incoming(struct program *p, struct cm_err *err)
{
    struct dkim_keys_options options = {.servers = p->dns[0] != '\0' ? p->dns : NULL};
    p->filter.keys = dkim_keys_new(&options, err);
    return p->filter.keys != NULL ? 0 : -1;
}

/* What the mode needs to judge: accounts, rates or keys, and a place for samples. */
static int start_judging(struct program *p, struct cm_err *err)
{
    struct filter *filter = &p->filter;
    bool outgoing = filter->mode == &mode_outgoing;
    if (samples_open(p->keep_dir, &filter->samples, err) != 0 ||
        (!outgoing && start_incoming(p, err) != 0)) {
        return -1;
    }
    filter->desk = desk_new(p->loop, p->conninfo, outgoing ? p->redis_path : NULL);
    filter->rate = rate_new(filter->desk, &filter->tally);
    p->sweep_timer = cm_timer_new(p->loop, on_sweep, p);
    on_sweep(p);
    return 0;
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct program *p = ctx;
    p->svc = svc;
    p->loop = cm_service_loop(svc);
    if (load_settings(p, err) != 0 ||
        (p->filter.mode->judges && start_judging(p, err) != 0)) {
        return -1;
    }
    p->key_timer = cm_timer_new(p->loop, on_key_again, p);
    start_signing(p);
    if (milter_start(&p->filter, p->listener, err) != 0) {
        return -1;
    }
    say_status(p);
    return 0;
}

static void on_drain(void *ctx)
{
    (void)ctx;
    milter_stop();
}

static bool drained(void *ctx, int64_t waited_ms)
{
    (void)waited_ms;
    struct program *p = ctx;
    return p->filter.tally.transactions == 0;
}

/* Threads of libmilter may still be there, so what they use is closed, not freed. */
static void on_stop(void *ctx)
{
    struct program *p = ctx;
    cm_timer_free(&p->sweep_timer);
    cm_timer_free(&p->key_timer);
    if (p->filter.desk != NULL) {
        desk_close(p->filter.desk);
    }
}

static void on_listener(int fd, void *ctx)
{
    struct program *p = ctx;
    p->listener = fd;
}

static void on_metrics(struct cm_buf *out, void *ctx)
{
    struct program *p = ctx;
    tally_write(&p->filter.tally, p->filter.mode->name, out);
    if (p->filter.mode->signs) {
        const char *const labels[] = {"mode", p->filter.mode->name, NULL};
        cm_metric_begin(out, "chatmail_filter_signed_total", CM_METRIC_COUNTER,
                        "Messages that were given a DKIM signature");
        cm_metric_sample(out, "chatmail_filter_signed_total", labels,
                         (double)p->filter.seal.sealed);
    }
    if (p->filter.keys != NULL) {
        struct dkim_keys_counts c;
        dkim_keys_count(p->filter.keys, &c);
        cm_metric_counter(out, "chatmail_filter_dkim_keys_cached_total",
                          "DKIM keys answered from the cache", c.hits + c.shared);
        cm_metric_counter(out, "chatmail_filter_dkim_lookups_total",
                          "DKIM keys asked for in DNS", c.lookups);
        cm_metric_counter(out, "chatmail_filter_dkim_lookup_trouble_total",
                          "DKIM keys that DNS did not answer for", c.trouble);
    }
}

static const struct cm_listener listeners[] = {
    {.name = "milter",
     .fallback_path = "/run/chatmail-filter/milter.sock",
     .hand_over = on_listener},
    {0}};

static const struct cm_service_def service = {
    .program = "chatmail-filter",
    .version = PORTICO_VERSION,
    .about =
        "A milter of Postfix that lets only encrypted mail pass, out of the relay and\n"
        "into it, signs what leaves, and proves the origin of what comes in.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drain = on_drain,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop,
    .metrics = on_metrics};

static bool choose_mode(struct program *p)
{
    static const struct mode *const modes[] = {&mode_outgoing, &mode_incoming,
                                               &mode_signing};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(p->mode_name, modes[i]->name) == 0) {
            p->filter.mode = modes[i];
        }
    }
    return p->filter.mode != NULL;
}

int main(int argc, char **argv)
{
    static struct program p = {.mode_name = "",
                               .config_path = CM_CONF_PATH,
                               .conninfo = CM_PG_CONNINFO("chatmail_filter"),
                               .redis_path = CM_REDIS_PATH,
                               .dns = "",
                               .keep_dir = "",
                               .filter.lock = PTHREAD_MUTEX_INITIALIZER,
                               .filter.seal.lock = PTHREAD_MUTEX_INITIALIZER,
                               .filter.seal.path = "/etc/dkimkeys/opendkim.private"};
    const struct cm_option options[] = {
        {"mode", "MODE", "outgoing, incoming or signing; must be given", &p.mode_name,
         0},
        {"config", "FILE", "settings", &p.config_path, 0},
        {"db", "CONNINFO", "PostgreSQL", &p.conninfo, 0},
        {"redis", "PATH", "send rates; outgoing only", &p.redis_path,
         CM_OPTION_PATH_MAX},
        {"key", "FILE", "to sign with; not for incoming", &p.filter.seal.path, 0},
        {"dns", "SERVERS", "name servers; default: those of resolv.conf", &p.dns, 0},
        {"keep-rejected", "DIR", "keep samples of refused mail there", &p.keep_dir, 0},
        {0}};
    int status = cm_service_options(&service, options, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (!choose_mode(&p)) {
        cm_log(CM_LOG_ERROR, "start_failed", "reason",
               "--mode is outgoing, incoming or signing", NULL);
        return 2;
    }
    mallopt(M_ARENA_MAX, ARENAS);
    struct cm_service_def def = service;
    def.program = p.filter.mode->program;
    status = cm_service_run(&def, &p);
    _exit(status); /* no atexit(3) under the feet of libmilter's threads */
}
