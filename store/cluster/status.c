#include "status.h"

#include <jansson.h>

#include "content.h"

/* {"accounts":12,"rung":12,"ago_s":40,"why":""}; null when it never fell silent. */
static json_t *woken_json(const struct woken *w, int64_t now_ms)
{
    return w->at_ms == 0
               ? json_null()
               : json_pack("{s:I, s:I, s:I, s:s}", "accounts", (json_int_t)w->accounts,
                           "rung", (json_int_t)w->rung, "ago_s",
                           (json_int_t)((now_ms - w->at_ms) / 1000), "why", w->why);
}

/* [{"where":"outside4","port":25,"result":"ok","ms":12,"bad":false}, ...] */
static json_t *checks_json(const struct health_row *h)
{
    json_t *list = json_array();
    for (size_t i = 0; i < HEALTH_CHECKS_MAX && h->checks[i].last.port != 0; i++) {
        const struct health_check *c = &h->checks[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:I, s:b}", "where",
                                              health_where_name(c->last.where), "port",
                                              c->last.port, "result",
                                              px_probe_name(c->last.result), "ms",
                                              (json_int_t)c->last.ms, "bad", c->bad));
    }
    return list;
}

static void add_table(json_t *row, const struct px_counts *counts)
{
    int64_t used = counts != NULL ? counts->table_used : -1,
            max = counts != NULL ? counts->table_max : -1;
    json_object_set_new(row, "table_used", json_integer((json_int_t)used));
    json_object_set_new(row, "table_max", json_integer((json_int_t)max));
    json_object_set_new(row, "table_full",
                        json_boolean(counts != NULL && counts->table_full == 1));
}

/* Whether idle clients are told; null while nothing was heard from there. */
static json_t *carried_json(const struct px_counts *counts)
{
    return counts == NULL ? json_null() : json_boolean(counts->carried == 1);
}

static json_t *row(const struct px_state *state, const struct health *health,
                   const struct px_gateway *gw, const struct px_tunnel_facts *facts,
                   const struct woken *woken, int64_t now_ms)
{
    const struct health_row *h = &health->rows[gw->number];
    bool heard = h->report_ms >= 0;
    json_t *o = json_pack(
        "{s:s, s:i, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:o, "
        "s:s, s:s, s:o, s:I, s:I, s:b}",
        "name", gw->name, "number", gw->number, "mode", cm_mode_name(gw->mode),
        "applied_epoch", (json_int_t)(heard ? h->report.applied_epoch : -1),
        "applied_mode", heard ? h->report.applied_mode : "", "report_age_ms",
        (json_int_t)(heard ? now_ms - h->report_ms : -1), "handshake_age_s",
        (json_int_t)facts->handshake_age_s, "flows",
        (json_int_t)(heard ? h->report.flows : -1), "rx_bytes",
        (json_int_t)facts->rx_bytes, "tx_bytes", (json_int_t)facts->tx_bytes,
        "reverted_epoch", (json_int_t)(heard ? h->report.reverted_epoch : 0), "version",
        heard ? h->report.version : "", "egress", health_egress_word(health, state, gw),
        "error",
        heard           ? h->report.error
        : gw->agentless ? ""
                        : "no report yet",
        "woken", woken_json(woken, now_ms), "health", health_state_name(h->state),
        "health_reason", h->reason, "checks", checks_json(h), "month_bytes",
        (json_int_t)h->month_bytes, "budget", (json_int_t)gw->budget, "agent",
        !gw->agentless);
    cm_assert(o != NULL);
    add_table(o, heard ? &h->report.counts : NULL);
    json_object_set_new(o, "carried", carried_json(heard ? &h->report.counts : NULL));
    return o;
}

char *status_json(const struct px_state *state, const char *refused,
                  const struct health *health, const struct woken *woken,
                  const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                  void *ctx, int64_t now_ms)
{
    json_t *gateways = json_array();
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        json_array_append_new(gateways, row(state, health, gw, facts(gw->number, ctx),
                                            &woken[gw->number], now_ms));
    }
    json_t *o =
        json_pack("{s:I, s:s, s:s, s:o}", "epoch", (json_int_t)state->epoch, "domain",
                  state->domain, "refused", refused, "gateways", gateways);
    cm_assert(o != NULL);
    char content[CONTENT_TEXT];
    content_name(state, content);
    json_object_set_new(o, "content", json_string(content));
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}
