#include "figures.h"

#include <stdio.h>

#include "common/metrics.h"

struct view {
    const struct health_row *row;
    const struct px_tunnel_facts *facts;
    const char *egress;
    int64_t now_ms;
};

/* Each returns -1 for "not known". */
static int64_t is_up(const struct view *v)
{
    return v->row->up;
}

static int64_t is_impaired(const struct view *v)
{
    return v->row->state == HEALTH_IMPAIRED;
}

static int64_t applied_epoch(const struct view *v)
{
    return v->row->report_ms >= 0 ? v->row->report.applied_epoch : -1;
}

static int64_t report_age(const struct view *v)
{
    return v->row->report_ms >= 0 ? (v->now_ms - v->row->report_ms) / 1000 : -1;
}

static int64_t handshake_age(const struct view *v)
{
    return v->facts->handshake_age_s;
}

static int64_t flows(const struct view *v)
{
    return v->row->report_ms >= 0 ? v->row->report.flows : -1;
}

static int64_t table_used(const struct view *v)
{
    return v->row->report_ms >= 0 ? v->row->report.counts.table_used : -1;
}

static int64_t table_max(const struct view *v)
{
    return v->row->report_ms >= 0 ? v->row->report.counts.table_max : -1;
}

static int64_t table_full(const struct view *v)
{
    return v->row->report_ms >= 0 ? v->row->report.counts.table_full : -1;
}

static int64_t received(const struct view *v)
{
    return v->facts->rx_bytes;
}

static int64_t sent(const struct view *v)
{
    return v->facts->tx_bytes;
}

static int64_t carries_egress(const struct view *v)
{
    return v->egress[0] == 'a'; /* "active" */
}

static const struct {
    const char *name;
    enum cm_metric_type type;
    const char *help;
    int64_t (*value)(const struct view *v);
} families[] = {
    {"chatmail_gateway_up", CM_METRIC_GAUGE, "1 while it reports.", is_up},
    {"chatmail_gateway_impaired", CM_METRIC_GAUGE,
     "1 while it reports and a check fails.", is_impaired},
    {"chatmail_gateway_applied_epoch", CM_METRIC_GAUGE,
     "Epoch of the document it has applied.", applied_epoch},
    {"chatmail_gateway_report_age_seconds", CM_METRIC_GAUGE, "Since its last report.",
     report_age},
    {"chatmail_gateway_handshake_age_seconds", CM_METRIC_GAUGE,
     "Since the tunnel's last handshake.", handshake_age},
    {"chatmail_gateway_flows", CM_METRIC_GAUGE, "Connections through it.", flows},
    {"chatmail_gateway_table_entries", CM_METRIC_GAUGE,
     "In its kernel's table of connections.", table_used},
    {"chatmail_gateway_table_max", CM_METRIC_GAUGE, "How many it takes.", table_max},
    {"chatmail_gateway_table_full", CM_METRIC_GAUGE,
     "1 while it is full and new connections are refused.", table_full},
    {"chatmail_gateway_received_bytes_total", CM_METRIC_COUNTER,
     "Came through its tunnel.", received},
    {"chatmail_gateway_sent_bytes_total", CM_METRIC_COUNTER, "Went through its tunnel.",
     sent},
    {"chatmail_gateway_egress", CM_METRIC_GAUGE, "1 while outgoing mail leaves here.",
     carries_egress},
};

/* How long the last answer of each check took that was an answer. */
static void write_checks(struct cm_buf *out, const char *gateway,
                         const struct health_row *row)
{
    for (size_t i = 0; i < HEALTH_CHECKS_MAX && row->checks[i].last.port != 0; i++) {
        const struct health_sight *s = &row->checks[i].last;
        char port[8];
        snprintf(port, sizeof(port), "%u", s->port);
        const char *const labels[] = {
            "gateway", gateway, "where", health_where_name(s->where),
            "port",    port,    NULL};
        if (s->result == PX_PROBE_OK && s->ms >= 0) {
            cm_metric_sample(out, "chatmail_gateway_check_seconds", labels,
                             (double)s->ms / 1000);
        }
    }
}

void figures_write(struct cm_buf *out, const struct px_state *state,
                   const char *refused, const struct health *health,
                   const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                   void *ctx, int64_t now_ms)
{
    cm_metric_gauge(out, "chatmail_cluster_epoch", "Epoch of the desired state.",
                    (double)state->epoch);
    cm_metric_gauge(out, "chatmail_cluster_document_refused",
                    "1 while the newest document is not obeyed.", refused[0] != '\0');
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        cm_metric_begin(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < state->gateway_count; i++) {
            const struct px_gateway *gw = &state->gateways[i];
            struct view v = {.row = &health->rows[gw->number],
                             .facts = facts(gw->number, ctx),
                             .egress = health_egress_word(health, state, gw),
                             .now_ms = now_ms};
            const char *const labels[] = {"gateway", gw->name, NULL};
            int64_t value = families[f].value(&v);
            if (value >= 0) {
                cm_metric_sample(out, families[f].name, labels, (double)value);
            }
        }
    }
    cm_metric_begin(out, "chatmail_gateway_check_seconds", CM_METRIC_GAUGE,
                    "How long a check of a gateway took, from where and of what port.");
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        write_checks(out, gw->name, &health->rows[gw->number]);
    }
}
