#include "figures_ports.h"

#include <stdio.h>

#include "common/metrics.h"

static const struct {
    const char *name;
    enum cm_metric_type type;
    const char *help;
    size_t offset;
    const char *direction; /* NULL: no such label */
    bool begins;
} families[] = {
    {"chatmail_gateway_port_open", CM_METRIC_GAUGE, "Connections that are open.",
     offsetof(struct px_port_counts, open), NULL, true},
    {"chatmail_gateway_port_flows_total", CM_METRIC_COUNTER, "Connections begun.",
     offsetof(struct px_port_counts, flows), NULL, true},
    {"chatmail_gateway_port_packets_total", CM_METRIC_COUNTER,
     "Packets from (in) and to (out) clients.",
     offsetof(struct px_port_counts, in_packets), "in", true},
    {"chatmail_gateway_port_packets_total", CM_METRIC_COUNTER, "",
     offsetof(struct px_port_counts, out_packets), "out", false},
    {"chatmail_gateway_port_bytes_total", CM_METRIC_COUNTER,
     "Bytes of IP from (in) and to (out) clients.",
     offsetof(struct px_port_counts, in_bytes), "in", true},
    {"chatmail_gateway_port_bytes_total", CM_METRIC_COUNTER, "",
     offsetof(struct px_port_counts, out_bytes), "out", false},
};

/* A stolen gateway may tell of ports that nobody forwards. */
static bool is_ours(const struct px_state *state, uint16_t port)
{
    for (size_t i = 0; i < state->port_count; i++) {
        if (state->ports[i] == port) {
            return true;
        }
    }
    return false;
}

static void gateway_family(struct cm_buf *out, const struct px_state *state,
                           const struct px_gateway *gw, const struct px_counts *counts,
                           size_t f)
{
    for (size_t i = 0; i < counts->port_count; i++) {
        const struct px_port_counts *p = &counts->ports[i];
        int64_t value =
            *(const int64_t *)(const void *)((const char *)p + families[f].offset);
        char port[8];
        const char *direction = families[f].direction;
        const char *const labels[] = {
            "gateway", gw->name, "port", port, direction != NULL ? "direction" : NULL,
            direction, NULL};
        snprintf(port, sizeof(port), "%u", p->port);
        if (value >= 0 && is_ours(state, p->port)) {
            cm_metric_sample(out, families[f].name, labels, (double)value);
        }
    }
}

static void kept_out(struct cm_buf *out, const struct px_gateway *gw,
                     const struct px_counts *counts)
{
    const struct {
        const char *reason;
        int64_t value;
    } rows[] = {{"banned", counts->banned},
                {"flooding", counts->flooding},
                {"strangers", counts->strangers},
                {"crowded", counts->crowded}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const labels[] = {"gateway", gw->name, "reason", rows[i].reason,
                                      NULL};
        if (rows[i].value >= 0) {
            cm_metric_sample(out, "chatmail_gateway_kept_out_packets_total", labels,
                             (double)rows[i].value);
        }
    }
}

static void month(struct cm_buf *out, const struct px_state *state,
                  const struct health *health)
{
    cm_metric_begin(out, "chatmail_gateway_month_bytes", CM_METRIC_GAUGE,
                    "Carried by its own network in this month (UTC), in and out.");
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        const char *const labels[] = {"gateway", gw->name, NULL};
        int64_t bytes = health->rows[gw->number].month_bytes;
        if (bytes >= 0) {
            cm_metric_sample(out, "chatmail_gateway_month_bytes", labels,
                             (double)bytes);
        }
    }
    cm_metric_begin(out, "chatmail_gateway_budget_bytes", CM_METRIC_GAUGE,
                    "What it may carry in a month.");
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        const char *const labels[] = {"gateway", gw->name, NULL};
        if (gw->budget > 0) {
            cm_metric_sample(out, "chatmail_gateway_budget_bytes", labels,
                             (double)gw->budget);
        }
    }
}

/* NULL before it has reported. */
static const struct px_counts *counts_of(const struct health *health, int number)
{
    const struct health_row *row = &health->rows[number];
    return row->report_ms >= 0 ? &row->report.counts : NULL;
}

void figures_ports_write(struct cm_buf *out, const struct px_state *state,
                         const struct health *health)
{
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        if (families[f].begins) {
            cm_metric_begin(out, families[f].name, families[f].type, families[f].help);
        }
        for (size_t i = 0; i < state->gateway_count; i++) {
            const struct px_gateway *gw = &state->gateways[i];
            const struct px_counts *counts = counts_of(health, gw->number);
            if (counts != NULL) {
                gateway_family(out, state, gw, counts, f);
            }
        }
    }
    cm_metric_begin(
        out, "chatmail_gateway_kept_out_packets_total", CM_METRIC_COUNTER,
        "Packets of banned sources, new connections beyond the limits, and those "
        "refused while its table of connections is full.");
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_counts *counts = counts_of(health, state->gateways[i].number);
        if (counts != NULL) {
            kept_out(out, &state->gateways[i], counts);
        }
    }
    month(out, state, health);
}
