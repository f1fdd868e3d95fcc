/* chatmail-transport: takes outgoing mail from Postfix and brings it to other relays.
 *
 * One socket, held by systemd in Postfix's spool:
 *   lmtp  Postfix's queue manager hands over messages here (LMTP). Each message is
 *         offered to each destination by HTTPS (POST /mxdeliv) first and by SMTP, port
 *         25 with STARTTLS, second; the reply for each recipient goes back to Postfix,
 *         which keeps the message until it is final.
 * Connections leave through the gateways that chatmail-cluster names in its egress
 * file, bound to their inner addresses, or directly.
 *
 * It trusts whoever may open the socket (its mode is set by systemd), chatmail.ini, the
 * egress file, and the resolver of this machine. Other relays, their DNS, web servers
 * and MTA-STS policies are strangers. Certificates are checked against the MX host
 * name, but for address literals and names that begin with "_", which have none that
 * anybody could check, and for nauta.cu, which has no TLS.
 *
 * Nothing that it holds matters after a crash: no 250 was given for what is under way.
 * Messages beyond 64 KiB lie in files without names. MTA-STS policies are kept in the
 * state directory.
 *
 * SIGHUP reads chatmail.ini and the trusted certificates again; broken ones leave the
 * old in force. SIGTERM: messages under way are finished, at most 20 s. Known limits:
 * 1024 LMTP connections, 1000 recipients of a message; dests.h, delivery.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/metrics.h"
#include "common/service.h"

#include "dests.h"
#include "dns.h"
#include "egress.h"
#include "env.h"
#include "figures.h"
#include "http.h"
#include "lru.h"
#include "session.h"
#include "sts_store.h"
#include "wire.h"

#define DRAIN_LIMIT_MS 20000

struct options {
    const char *config, *egress, *state, *spool, *ca, *resolver;
    const char *https_port, *smtp_port, *destinations, *places, *reach;
};

struct transport {
    struct options o;
    struct cm_conf conf;
    struct env env;
    struct dests_limits limits;
    struct dests *dests;
    struct sessions *sessions;
};

/* Settings */

static int load_conf(struct transport *t, struct cm_err *err)
{
    const struct cm_conf *conf = &t->conf;
    if (cm_conf_reload(t->o.config, &t->conf, err) != 0) {
        return -1;
    }
    snprintf(t->env.ehlo, sizeof(t->env.ehlo), "%s", conf->myhostname);
    t->env.no_ipv6 = conf->disable_ipv6;
    t->env.message_max = (uint64_t)conf->max_message_size;
    if (t->env.egress != NULL) {
        egress_watch_require(t->env.egress, conf->store.egress != CM_EGRESS_DIRECT);
    }
    return 0;
}

static int number(const char *name, const char *text, int64_t max, int64_t *out,
                  struct cm_err *err)
{
    return cm_value_int(text, 1, max, out, err) == 0 ? 0
                                                     : cm_err_prefix(err, "--%s", name);
}

static int read_options(struct transport *t, struct cm_err *err)
{
    int64_t https, smtp, destinations, places;
    if (number("https-port", t->o.https_port, 65535, &https, err) != 0 ||
        number("smtp-port", t->o.smtp_port, 65535, &smtp, err) != 0 ||
        number("destinations", t->o.destinations, 100000, &destinations, err) != 0 ||
        number("places", t->o.places, 100000, &places, err) != 0) {
        return -1;
    }
    if (strcmp(t->o.reach, "public") != 0 && strcmp(t->o.reach, "any") != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "--reach: public or any");
    }
    t->env.https_port = (uint16_t)https;
    t->env.smtp_port = (uint16_t)smtp;
    t->env.anywhere = t->o.reach[0] == 'a';
    t->env.spool_dir = t->o.spool;
    size_t most = (size_t)places;
    t->limits = (struct dests_limits){.destinations = (size_t)destinations,
                                      .places = most,
                                      .places_new = most < 30 ? most : 30,
                                      .all_new = 300};
    return 0;
}

/* Start and stop */

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct transport *t = ctx;
    struct env *env = &t->env;
    env->loop = cm_service_loop(svc);
    const char *resolver = t->o.resolver[0] != '\0' ? t->o.resolver : NULL;
    if (load_conf(t, err) != 0 || read_options(t, err) != 0 ||
        (env->tls = wire_tls_new(t->o.ca, err)) == NULL ||
        (env->dns = dns_new(env->loop, resolver, err)) == NULL) {
        return -1;
    }
    env->pool = pool_new(env->loop);
    env->http = http_new(env->loop, t->o.ca);
    env->egress = egress_watch_new(t->o.egress);
    egress_watch_require(env->egress, t->conf.store.egress != CM_EGRESS_DIRECT);
    env->dest_marks = lru_new(ENV_MARKS_MAX, sizeof(struct dest_mark));
    env->host_marks = lru_new(ENV_MARKS_MAX, sizeof(struct host_mark));
    env->sts = sts_store_new(env, t->o.state);
    t->dests = dests_new(env, &t->limits);
    t->sessions = sessions_new(env, t->dests);
    cm_service_status(svc, "sending as %s", env->ehlo);
    return 0;
}

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    struct transport *t = ctx;
    if (load_conf(t, err) != 0 || wire_tls_reload(t->env.tls, t->o.ca, err) != 0) {
        return -1;
    }
    pool_clear(t->env.pool); /* their certificates were judged by the old roots */
    return 0;
}

static void on_drain(void *ctx)
{
    struct transport *t = ctx;
    sessions_drain(t->sessions);
}

static bool drained(void *ctx, int64_t waited_ms)
{
    (void)waited_ms;
    struct transport *t = ctx;
    return sessions_count(t->sessions) == 0;
}

static void on_stop(void *ctx)
{
    struct transport *t = ctx;
    struct env *env = &t->env;
    sessions_free(&t->sessions);
    dests_free(&t->dests);
    pool_free(&env->pool);
    sts_store_free(&env->sts);
    http_free(&env->http);
    dns_free(&env->dns);
    egress_watch_free(&env->egress);
    wire_tls_free(&env->tls);
    lru_free(&env->dest_marks);
    lru_free(&env->host_marks);
    cm_conf_clear(&t->conf);
}

static void on_metrics(struct cm_buf *out, void *ctx)
{
    struct transport *t = ctx;
    figures_write(out, &t->env.counters);
    dests_figures(t->dests, out);
    cm_metric_gauge(out, "chatmail_transport_connections", "LMTP connections.",
                    (double)sessions_count(t->sessions));
}

/* Listener */

static void on_lmtp(int fd, void *ctx)
{
    struct transport *t = ctx;
    sessions_adopt(t->sessions, fd);
}

static bool lmtp_ready(void *ctx)
{
    struct transport *t = ctx;
    return !sessions_full(t->sessions);
}

static const struct cm_listener listeners[] = {
    {.name = "lmtp",
     .fallback_path = "/run/chatmail-transport/lmtp.sock",
     .accept = on_lmtp,
     .ready = lmtp_ready},
    {0}};

static const struct cm_service_def service = {
    .program = "chatmail-transport",
    .version = PORTICO_VERSION,
    .about =
        "Takes outgoing mail from Postfix (LMTP) and brings it to other relays: HTTPS\n"
        "first, SMTP second.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drain = on_drain,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop,
    .metrics = on_metrics};

int main(int argc, char **argv)
{
    struct transport t = {.o = {.config = CM_CONF_PATH,
                                .egress = "/run/chatmail-cluster/egress",
                                .state = "/var/lib/chatmail-transport",
                                .spool = "/var/lib/chatmail-transport",
                                .ca = "/etc/ssl/certs/ca-certificates.crt",
                                .resolver = "",
                                .https_port = "443",
                                .smtp_port = "25",
                                .destinations = "500",
                                .places = "200",
                                .reach = "public"}};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &t.o.config, 0},
        {"egress", "FILE", "gateways that mail may leave by", &t.o.egress, 0},
        {"state", "DIR", "where MTA-STS policies are kept", &t.o.state, 0},
        {"spool", "DIR", "where long messages lie while under way", &t.o.spool, 0},
        {"ca", "FILE", "trusted certificates, PEM", &t.o.ca, 0},
        {"resolver", "ADDRESS[#PORT]", "instead of those in /etc/resolv.conf",
         &t.o.resolver, 0},
        {"https-port", "PORT", "where other relays have /mxdeliv", &t.o.https_port, 0},
        {"smtp-port", "PORT", "where they have SMTP", &t.o.smtp_port, 0},
        {"destinations", "NUMBER", "with mail at a time", &t.o.destinations, 0},
        {"places", "NUMBER", "for messages of one destination", &t.o.places, 0},
        {"reach", "public|any", "any: loopback and private addresses too", &t.o.reach,
         0},
        {0}};
    return cm_service_main(&service, options, &t, argc, argv);
}
