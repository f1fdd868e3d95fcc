#include "health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct health_row nobody = {.report_ms = -1, .month_bytes = -1};

void health_init(struct health *health)
{
    memset(health, 0, sizeof(*health));
    for (int n = 0; n <= CM_GATEWAYS_MAX; n++) {
        health->rows[n] = nobody;
    }
}

static bool is_in(const struct px_state *state, int number)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].number == number) {
            return true;
        }
    }
    return false;
}

void health_keep(struct health *health, const struct px_state *state)
{
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        if (!is_in(state, n)) {
            health->rows[n] = nobody;
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
}

void health_judge(struct health *health, const struct px_state *state, int64_t now_ms,
                  health_change_cb cb, void *ctx)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        int number = state->gateways[i].number;
        struct health_row *row = &health->rows[number];
        bool silent = row->report_ms < 0 || now_ms - row->report_ms > HEALTH_SILENCE_MS;
        bool bare = row->report.applied_epoch <= 0;
        bool up = !silent && !bare && (row->up || row->good >= HEALTH_GOOD_REPORTS);
        if (up == row->up) {
            continue;
        }
        char reason[96];
        if (up) {
            snprintf(reason, sizeof(reason), "%d reports in a row",
                     HEALTH_GOOD_REPORTS);
        } else if (!silent) {
            snprintf(reason, sizeof(reason), "it has no rules yet");
        } else {
            snprintf(reason, sizeof(reason), "no report for %" PRId64 " ms",
                     now_ms - row->report_ms);
        }
        row->up = up;
        cb(number, up, reason, ctx);
    }
}

bool health_silent(const struct health *health, int number, int64_t since_ms,
                   int64_t now_ms)
{
    int64_t last = health->rows[number].report_ms;
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

size_t health_egress(const struct health *health, const struct px_state *state,
                     int numbers[CM_GATEWAYS_MAX])
{
    size_t n = 0;
    for (int spent = 0; spent <= 1 && n == 0; spent++) {
        for (size_t i = 0; i < state->gateway_count; i++) {
            const struct px_gateway *gw = &state->gateways[i];
            if (may_carry(health, state, gw) &&
                health->rows[gw->number].spent == (spent != 0)) {
                numbers[n++] = gw->number;
            }
        }
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
    if (n > 0 && numbers[0] == gateway->number) {
        return "active";
    }
    return health->rows[gateway->number].spent ? "spent" : "standby";
}
