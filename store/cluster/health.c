#include "health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct health_row nobody = {
    .report_ms = -1, .month_bytes = -1, .handshake_age_s = -1};

void health_init(struct health *health)
{
    memset(health, 0, sizeof(*health));
    for (int n = 0; n <= CM_GATEWAYS_MAX; n++) {
        health->rows[n] = nobody;
    }
}

static const struct px_gateway *find(const struct px_state *state, int number)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].number == number) {
            return &state->gateways[i];
        }
    }
    return NULL;
}

void health_keep(struct health *health, const struct px_state *state)
{
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        const struct px_gateway *gw = find(state, n);
        if (gw == NULL || gw->agentless != health->rows[n].agentless) {
            health->rows[n] = nobody;
            health->rows[n].agentless = gw != NULL && gw->agentless;
        }
    }
}

void health_tunnel(struct health *health, int number, int64_t handshake_age_s)
{
    health->rows[number].handshake_age_s = handshake_age_s;
}

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {"down", "impaired", "up"};
    return names[state];
}

const char *health_where_name(enum health_where where)
{
    static const char *const names[] = {"inside", "outside4", "outside6"};
    return names[where];
}

/* ---- sights ---- */

static struct health_check *check_of(struct health_row *row,
                                     const struct health_sight *sight)
{
    for (size_t i = 0; i < HEALTH_CHECKS_MAX; i++) {
        struct health_check *c = &row->checks[i];
        if (c->last.port == 0) {
            *c = (struct health_check){.last = *sight, .turning_ms = -1};
        }
        if (c->last.where == sight->where && c->last.port == sight->port) {
            return c;
        }
    }
    return NULL;
}

void health_seen(struct health *health, int number, const struct health_sight *sight,
                 int64_t now_ms)
{
    struct health_check *c = check_of(&health->rows[number], sight);
    bool ok = sight->result == PX_PROBE_OK;
    if (c == NULL) {
        return;
    }
    c->last = *sight;
    c->was_ok = c->was_ok || ok;
    bool counts =
        ok || (sight->result != PX_PROBE_NONE &&
               (c->was_ok || (!sight->doubtful && sight->result != PX_PROBE_SILENT)));
    if (!counts) {
        return;
    }
    if (ok != c->bad) {
        c->turning_ms = -1;
    } else if (c->turning_ms < 0) {
        c->turning_ms = now_ms;
    } else if (now_ms - c->turning_ms >= HEALTH_TURN_MS) {
        c->bad = !c->bad;
        c->turning_ms = -1;
    }
}

/* It is not asked in this mode; what was seen before says nothing. */
static void forget_outside(struct health_row *row)
{
    for (size_t i = 0; i < HEALTH_CHECKS_MAX; i++) {
        struct health_check *c = &row->checks[i];
        if (c->last.where != HEALTH_INSIDE) {
            c->bad = false;
            c->turning_ms = -1;
            c->last.result = PX_PROBE_NONE;
        }
    }
}

void health_report(struct health *health, int number, const struct px_report *report,
                   int64_t now_ms)
{
    struct health_row *row = &health->rows[number];
    /* A pause as long as the limit begins the count anew, and so does a gateway that
     * has booted and waits for its rules. */
    if (row->report_ms < 0 || now_ms - row->report_ms > HEALTH_SILENCE_MS ||
        report->applied_epoch <= 0) {
        row->good = 0;
    }
    row->report = *report;
    row->report_ms = now_ms;
    row->good += report->applied_epoch > 0 && row->good < HEALTH_GOOD_REPORTS;
    for (size_t i = 0; i < report->probe_count; i++) {
        const struct px_sight *s = &report->probes[i];
        health_seen(health, number,
                    &(struct health_sight){.where = HEALTH_INSIDE,
                                           .port = s->port,
                                           .result = s->result,
                                           .ms = s->ms},
                    now_ms);
    }
}

/* ---- judging ---- */

struct verdict {
    enum health_state state;
    char check[32];
    int64_t latency_ms;
    char reason[sizeof(((struct health_row *)0)->reason)];
};

static void down(struct verdict *v, const char *reason)
{
    *v = (struct verdict){HEALTH_DOWN, "report", -1, ""};
    snprintf(v->reason, sizeof(v->reason), "%s", reason);
}

static bool all_bad(const struct health_row *row)
{
    size_t bad = 0, good = 0;
    for (size_t i = 0; i < HEALTH_CHECKS_MAX; i++) {
        bool told = row->checks[i].last.port != 0 &&
                    (row->checks[i].bad || row->checks[i].was_ok);
        bad += told && row->checks[i].bad;
        good += told && !row->checks[i].bad;
    }
    return bad > 0 && good == 0;
}

static const struct health_check *first_bad(const struct health_row *row)
{
    for (size_t i = 0; i < HEALTH_CHECKS_MAX; i++) {
        if (row->checks[i].last.port != 0 && row->checks[i].bad) {
            return &row->checks[i];
        }
    }
    return NULL;
}

static void impaired(struct verdict *v, const struct health_check *bad)
{
    *v = (struct verdict){HEALTH_IMPAIRED, "", bad->last.ms, ""};
    snprintf(v->check, sizeof(v->check), "%s port %u",
             health_where_name(bad->last.where), bad->last.port);
    snprintf(v->reason, sizeof(v->reason), "%s: %s", v->check,
             px_probe_name(bad->last.result));
}

static void judge_working(const struct health_row *row, struct verdict *v)
{
    const struct health_check *bad = first_bad(row);
    const struct px_counts *counts = &row->report.counts;
    if (counts->table_full == 1) {
        *v = (struct verdict){HEALTH_IMPAIRED, "table", -1, ""};
        snprintf(v->reason, sizeof(v->reason),
                 "connection table full (%" PRId64 " of %" PRId64 ")",
                 counts->table_used, counts->table_max);
    } else if (row->report.handshake_age_s > HEALTH_HANDSHAKE_S) {
        *v = (struct verdict){HEALTH_IMPAIRED, "handshake", -1, ""};
        snprintf(v->reason, sizeof(v->reason), "the last one was %" PRId64 " s ago",
                 row->report.handshake_age_s);
    } else if (bad != NULL) {
        impaired(v, bad);
    } else if (row->state == HEALTH_DOWN) {
        snprintf(v->reason, sizeof(v->reason), "%d reports in a row",
                 HEALTH_GOOD_REPORTS);
    } else {
        snprintf(v->reason, sizeof(v->reason), "all checks are well");
    }
}

/* Its checks are all from outside. */
static void judge_agentless(const struct health_row *row, struct verdict *v)
{
    const struct health_check *bad = first_bad(row);
    *v = (struct verdict){HEALTH_UP, "handshake", -1, ""};
    snprintf(v->reason, sizeof(v->reason), "all checks are well");
    if (row->handshake_age_s < 0) {
        v->state = HEALTH_DOWN;
        snprintf(v->reason, sizeof(v->reason), "its tunnel never shook hands");
    } else if (row->handshake_age_s > HEALTH_HANDSHAKE_S) {
        v->state = HEALTH_DOWN;
        snprintf(v->reason, sizeof(v->reason), "the last one was %" PRId64 " s ago",
                 row->handshake_age_s);
    } else if (bad != NULL) {
        impaired(v, bad);
        v->state = all_bad(row) ? HEALTH_DOWN : HEALTH_IMPAIRED;
    }
}

static void judge_one(const struct health_row *row, int64_t now_ms, struct verdict *v)
{
    char text[64];
    *v = (struct verdict){HEALTH_UP, "report", -1, ""};
    if (row->agentless) {
        judge_agentless(row, v);
    } else if (row->report_ms < 0) {
        down(v, "it never reported");
    } else if (now_ms - row->report_ms > HEALTH_SILENCE_MS) {
        snprintf(text, sizeof(text), "no report for %" PRId64 " ms",
                 now_ms - row->report_ms);
        down(v, text);
    } else if (row->report.applied_epoch <= 0) {
        down(v, "it has no rules yet");
    } else if (!row->up && row->good < HEALTH_GOOD_REPORTS) {
        down(v, "it has only begun to report");
    } else {
        judge_working(row, v);
    }
}

void health_judge(struct health *health, const struct px_state *state, int64_t now_ms,
                  health_change_cb cb, void *ctx)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        int number = state->gateways[i].number;
        struct health_row *row = &health->rows[number];
        struct verdict v;
        if (state->gateways[i].mode != CM_MODE_ACTIVE) {
            forget_outside(row);
        }
        judge_one(row, now_ms, &v);
        struct health_change change = {.number = number,
                                       .old = row->state,
                                       .now = v.state,
                                       .check = v.check,
                                       .latency_ms = v.latency_ms,
                                       .reason = v.reason};
        row->state = v.state;
        row->up = v.state != HEALTH_DOWN;
        snprintf(row->reason, sizeof(row->reason), "%s",
                 v.state == HEALTH_UP ? "" : v.reason);
        if (change.old != change.now) {
            cb(&change, ctx);
        }
    }
}

bool health_silent(const struct health *health, int number, int64_t since_ms,
                   int64_t now_ms)
{
    const struct health_row *row = &health->rows[number];
    if (row->agentless) {
        return row->state == HEALTH_DOWN;
    }
    int64_t last = row->report_ms;
    return now_ms - (last < 0 ? since_ms : last) > HEALTH_SILENCE_MS;
}

bool health_traffic(struct health *health, int number, int64_t bytes, int64_t budget)
{
    struct health_row *row = &health->rows[number];
    bool spent = budget > 0 && bytes >= budget, changed = spent != row->spent;
    row->month_bytes = bytes;
    row->spent = spent;
    return changed;
}

static bool may_carry(const struct health *health, const struct px_state *state,
                      const struct px_gateway *gateway)
{
    return state->egress != CM_EGRESS_DIRECT && gateway->egress &&
           (gateway->mode == CM_MODE_ACTIVE || gateway->mode == CM_MODE_HOLD) &&
           health->rows[gateway->number].up;
}

/* Lower is better: 0 serves, the next ones stand in. */
#define TIERS 8

static int tier_of(const struct health *health, const struct px_gateway *gateway)
{
    bool impaired = health->rows[gateway->number].state == HEALTH_IMPAIRED;
    return impaired * 4 + health->rows[gateway->number].spent * 2 +
           (gateway->egress_weight == 0);
}

/* Stable: of two that weigh the same the lower number comes first. */
static size_t insert(const struct px_state *state, size_t picked[], size_t n, size_t i)
{
    size_t at = n;
    while (at > 0 && state->gateways[picked[at - 1]].egress_weight <
                         state->gateways[i].egress_weight) {
        picked[at] = picked[at - 1];
        at--;
    }
    picked[at] = i;
    return n + 1;
}

size_t health_egress(const struct health *health, const struct px_state *state,
                     int numbers[CM_GATEWAYS_MAX])
{
    size_t picked[CM_GATEWAYS_MAX], n = 0;
    int best = TIERS;
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        int tier = may_carry(health, state, gw) ? tier_of(health, gw) : TIERS;
        if (tier < best) {
            best = tier;
            n = 0;
        }
        if (tier == best && tier < TIERS) {
            n = insert(state, picked, n, i);
        }
    }
    for (size_t i = 0; i < n; i++) {
        numbers[i] = state->gateways[picked[i]].number;
    }
    return n;
}

const char *health_egress_word(const struct health *health,
                               const struct px_state *state,
                               const struct px_gateway *gateway)
{
    if (state->egress == CM_EGRESS_DIRECT || !gateway->egress) {
        return "no";
    }
    if (!may_carry(health, state, gateway)) {
        return "down";
    }
    int numbers[CM_GATEWAYS_MAX];
    size_t n = health_egress(health, state, numbers);
    for (size_t i = 0; i < n; i++) {
        if (numbers[i] == gateway->number) {
            return "active";
        }
    }
    return health->rows[gateway->number].spent ? "spent" : "standby";
}
