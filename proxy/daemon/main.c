/* chatmail-proxy: the data plane of a gateway that ends TCP here.
 *
 * It listens on the gateway's public addresses and ports, connects each client to the
 * store's inner address through the tunnel, from the client's own address
 * (IP_TRANSPARENT) or, where that cannot be, with a PROXY v2 header to listeners of the
 * store's that are there for it, and splices bytes both ways. It sees ciphertext.
 *
 * What it shall do stands in a file that chatmail-gateway writes (settings.h); SIGHUP
 * reads it again, and what is open stays. Mode off ends what is open. New connections
 * are the packet filter's business in every mode.
 *
 * It asks the store once a second whether it lives (pulse.h). When that has been silent
 * for 3.5 s, all clients are reset at once, so that those that wait for mail know and
 * go elsewhere; until it answers again new ones are reset too.
 *
 * It trusts the settings file. Limits: `connections` in all, `per_source` of one
 * address (IPv6: /64); more are reset. A connection of which bytes stay unacknowledged
 * for 120 s is reset. */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/service.h"

#include "doors.h"
#include "pulse.h"
#include "settings.h"

#define LEAVING_MS 1000

struct proxy {
    const char *settings_path;
    struct settings settings;
    struct cm_service *svc;
    struct doors *doors;
    struct pulse *pulse;
    struct cm_timer *leaving;
    uint64_t blackouts;
};

static void say_status(struct proxy *proxy)
{
    cm_service_status(proxy->svc, "%s, the store %s",
                      cm_mode_name(proxy->settings.mode),
                      pulse_alive(proxy->pulse) ? "answers" : "is silent");
}

static void say_reset(const char *reason, size_t count)
{
    char text[24];

    snprintf(text, sizeof(text), "%zu", count);
    cm_log(CM_LOG_WARNING, "clients_reset", "count", text, "reason", reason, NULL);
}

static void on_pulse(bool alive, void *ctx)
{
    struct proxy *proxy = ctx;

    doors_serve(proxy->doors, alive);
    if (alive) {
        cm_log(CM_LOG_INFO, "store_answers", NULL);
    } else {
        proxy->blackouts++;
        say_reset("the store does not answer through the tunnel",
                  relays_reset_all(doors_relays(proxy->doors)));
    }
    say_status(proxy);
}

/* Another data plane has taken over: the last client turns off the light. */
static void on_leaving(void *ctx)
{
    struct proxy *proxy = ctx;

    if (relays_counts(doors_relays(proxy->doors))->open == 0) {
        cm_service_done(proxy->svc);
    }
    cm_timer_set(proxy->leaving, LEAVING_MS);
}

static int apply(struct proxy *proxy, struct cm_err *err)
{
    if (proxy->settings.leave) {
        proxy->settings.listen_count = 0;
        cm_timer_set(proxy->leaving, LEAVING_MS);
    } else {
        cm_timer_stop(proxy->leaving);
    }
    if (proxy->settings.mode == CM_MODE_OFF) {
        size_t n = relays_reset_all(doors_relays(proxy->doors));
        if (n > 0) {
            say_reset("mode off", n);
        }
    }
    return doors_set(proxy->doors, &proxy->settings, err);
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct proxy *proxy = ctx;

    proxy->svc = svc;
    proxy->leaving = cm_timer_new(cm_service_loop(svc), on_leaving, proxy);
    if (settings_load(proxy->settings_path, &proxy->settings, err) != 0) {
        return -1;
    }
    proxy->doors = doors_new(cm_service_loop(svc), (size_t)proxy->settings.connections);
    proxy->pulse =
        pulse_new(cm_service_loop(svc), &proxy->settings.store4, on_pulse, proxy, err);
    if (proxy->pulse == NULL || apply(proxy, err) != 0) {
        return -1;
    }
    say_status(proxy);
    return 0;
}

/* The place of the store and the number of connections are fixed at birth: both change
 * with the tunnel's number or the machine's size, which is a new start anyway. */
static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct proxy *proxy = ctx;
    struct settings settings;

    (void)svc;
    if (settings_load(proxy->settings_path, &settings, err) != 0) {
        return -1;
    }
    if (settings.store4.s_addr != proxy->settings.store4.s_addr ||
        settings.connections != proxy->settings.connections) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: store4 and connections are read at start only; restart "
                          "chatmail-proxy",
                          proxy->settings_path);
    }
    proxy->settings = settings;
    int rc = apply(proxy, err);
    say_status(proxy);
    return rc;
}

static void on_stop(void *ctx)
{
    struct proxy *proxy = ctx;

    cm_timer_free(&proxy->leaving);
    pulse_free(&proxy->pulse);
    doors_free(&proxy->doors);
}

static void add_knocks(struct cm_buf *out, const struct proxy *proxy)
{
    static const char name[] = "chatmail_proxy_connections_total";

    cm_metric_begin(out, name, CM_METRIC_COUNTER, "Connections by public port.");
    for (size_t i = 0; i < proxy->settings.port_count; i++) {
        char port[8];
        snprintf(port, sizeof(port), "%u", proxy->settings.ports[i]);
        const char *const labels[] = {"port", port, NULL};
        cm_metric_sample(out, name, labels,
                         (double)doors_counts(proxy->doors)->knocks[i]);
    }
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct proxy *proxy = ctx;
    const struct door_counts *door = doors_counts(proxy->doors);
    const struct relay_counts *n = relays_counts(doors_relays(proxy->doors));

    add_knocks(out, proxy);
    cm_metric_counter(out, "chatmail_proxy_crowded_total",
                      "Reset: too many of one address.", door->crowded);
    cm_metric_counter(out, "chatmail_proxy_unserved_total",
                      "Reset: the store did not answer.",
                      door->unserved + n->unconnected);
    cm_metric_counter(out, "chatmail_proxy_refused_total",
                      "Reset: too many connections in all.", n->refused);
    cm_metric_counter(out, "chatmail_proxy_reset_total",
                      "Ended by an error or by us, not by a close.", n->reset);
    cm_metric_counter(out, "chatmail_proxy_bytes_to_store_total", "Bytes.",
                      n->bytes_up);
    cm_metric_counter(out, "chatmail_proxy_bytes_from_store_total", "Bytes.",
                      n->bytes_down);
    cm_metric_counter(out, "chatmail_proxy_blackouts_total",
                      "Times the store fell silent.", proxy->blackouts);
    cm_metric_gauge(out, "chatmail_proxy_open", "Connections open.", (double)n->open);
}

static const struct cm_service_def service = {
    .program = "chatmail-proxy",
    .version = PORTICO_VERSION,
    .about = "Carries the public ports of a gateway to the store, ending TCP in "
             "between, so\n"
             "that clients are told when the store or the tunnel is gone.\n",
    .start = on_start,
    .reload = on_reload,
    .stop = on_stop,
    .metrics = add_metrics};

int main(int argc, char **argv)
{
    struct proxy proxy = {.settings_path = "/run/chatmail-gateway/proxy.conf"};
    const struct cm_option options[] = {
        {"settings", "FILE", "what to do", &proxy.settings_path, 0}, {0}};
    return cm_service_main(&service, options, &proxy, argc, argv);
}
