/* health: which gateways are well, judged from their reports. Pure; the caller brings
 * the time.
 *
 * A gateway is down when its last good report is older than HEALTH_SILENCE_MS, and up
 * again after HEALTH_GOOD_REPORTS good ones in a row, so that a flapping line does not
 * move mail to and fro. Bounds: one row per gateway number. */
#ifndef HEALTH_H
#define HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "proxy/report.h"
#include "proxy/state.h"

#define HEALTH_SILENCE_MS   4000
#define HEALTH_GOOD_REPORTS 3

struct health_row {
    struct px_report report; /* the last one; name "" when there was none */
    int64_t report_ms;       /* monotonic; -1: never */
    unsigned good;           /* in a row */
    bool up;
    int64_t month_bytes; /* carried this month; -1: unknown */
    bool spent;          /* that is its budget, or more */
};

struct health {
    struct health_row rows[CM_GATEWAYS_MAX + 1]; /* by number */
};

void health_init(struct health *health);
/* A gateway that is not in state any more is forgotten. */
void health_keep(struct health *health, const struct px_state *state);
void health_report(struct health *health, int number, const struct px_report *report,
                   int64_t now_ms);

/* Called for each gateway whose state changed, with the reason in words. */
typedef void (*health_change_cb)(int number, bool up, const char *reason, void *ctx);
void health_judge(struct health *health, const struct px_state *state, int64_t now_ms,
                  health_change_cb cb, void *ctx);

/* True when a gateway has said nothing for HEALTH_SILENCE_MS, or since `since_ms` if it
 * never did. */
bool health_silent(const struct health *health, int number, int64_t since_ms,
                   int64_t now_ms);

/* What it has carried this month; budget 0: none. True when `spent` changed. */
bool health_traffic(struct health *health, int number, int64_t bytes, int64_t budget);

/* Numbers of the gateways that may carry outgoing mail now: egress duty, mode active,
 * up. Lowest number first. Those whose budget is spent only when all are so. Returns
 * the count. */
size_t health_egress(const struct health *health, const struct px_state *state,
                     int numbers[CM_GATEWAYS_MAX]);
/* "active" (mail leaves here now), "standby", "spent" (others do it, for its budget's
 * sake), "down" or "no" (no egress duty). */
const char *health_egress_word(const struct health *health,
                               const struct px_state *state,
                               const struct px_gateway *gateway);

#endif
