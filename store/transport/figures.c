#include "figures.h"

#include "common/metrics.h"

static const char *const paths[PATH_COUNT] = {
    [PATH_HTTPS] = "https", [PATH_SMTP] = "smtp", [PATH_NONE] = "none"};
static const char *const verdicts[VERDICT_COUNT] = {[VERDICT_OK] = "ok",
                                                    [VERDICT_REFUSED] = "refused",
                                                    [VERDICT_DEFERRED] = "deferred"};

static void by_path_and_result(struct cm_buf *out, const struct counters *c)
{
    static const char name[] = "chatmail_transport_recipients_total";
    cm_metric_begin(out, name, CM_METRIC_COUNTER,
                    "Recipients that were tried, by how and with what result.");
    for (size_t p = 0; p < PATH_COUNT; p++) {
        for (size_t v = 0; v < VERDICT_COUNT; v++) {
            const char *labels[] = {"path", paths[p], "result", verdicts[v], NULL};
            cm_metric_sample(out, name, labels, (double)c->recipients[p][v]);
        }
    }
}

static void by_path(struct cm_buf *out, const char *name, const char *help,
                    const uint64_t values[PATH_COUNT], double unit)
{
    cm_metric_begin(out, name, CM_METRIC_COUNTER, help);
    for (size_t p = 0; p < PATH_COUNT; p++) {
        const char *labels[] = {"path", paths[p], NULL};
        cm_metric_sample(out, name, labels, (double)values[p] * unit);
    }
}

static void by_connection(struct cm_buf *out, const struct smtp_counts *c)
{
    static const char name[] = "chatmail_transport_smtp_connections_total";
    const uint64_t values[] = {c->fresh - c->resumed, c->resumed, c->kept};
    static const char *const how[] = {"new", "resumed", "kept"};
    cm_metric_begin(out, name, CM_METRIC_COUNTER,
                    "Connections messages went over: made, made with a TLS ticket, "
                    "there already.");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const char *labels[] = {"how", how[i], NULL};
        cm_metric_sample(out, name, labels, (double)values[i]);
    }
}

void figures_write(struct cm_buf *out, const struct counters *c)
{
    by_path_and_result(out, c);
    by_path(out, "chatmail_transport_deliveries_total",
            "Messages that were tried at one destination.", c->deliveries, 1);
    by_path(out, "chatmail_transport_delivery_seconds_total",
            "Time those deliveries took, together.", c->milliseconds, 0.001);
    cm_metric_counter(out, "chatmail_transport_https_failed_total",
                      "HTTPS tries that SMTP had to make good.", c->https_failed);
    cm_metric_counter(out, "chatmail_transport_connect_failed_total",
                      "Hosts that could not be spoken to over SMTP.",
                      c->connect_failed);
    by_connection(out, &c->smtp);
    cm_metric_counter(out, "chatmail_transport_egress_changed_total",
                      "Destinations that changed to another gateway.",
                      c->egress_changed);
    cm_metric_counter(out, "chatmail_transport_busy_total",
                      "Recipients put off because there was no place.", c->busy);
    cm_metric_counter(out, "chatmail_transport_closed_total",
                      "Recipients put off because their destination is silent.",
                      c->tripped);
    cm_metric_counter(out, "chatmail_transport_too_big_total",
                      "Messages over the size limit.", c->too_big);
    cm_metric_counter(out, "chatmail_transport_spool_failed_total",
                      "Messages that could not be kept on disk.", c->spool_failed);
}
