/* health: which gateways are well, judged from their reports, from what they see at the
 * store through the tunnel, and from what the store sees at them from outside. Pure;
 * the caller brings the time.
 *
 * down      its last good report is older than HEALTH_SILENCE_MS, or it has no rules;
 *           it is up again after HEALTH_GOOD_REPORTS good ones in a row, so that a
 *           flapping line does not move mail to and fro
 * impaired  it reports, but the tunnel's last handshake is older than
 *           HEALTH_HANDSHAKE_S, its table of connections is full, or a check fails
 * up        all is well
 *
 * A gateway without agent reports nothing. It is down when the store sees no handshake
 * of its tunnel for HEALTH_HANDSHAKE_S, or every check from outside fails; impaired
 * when one of them does.
 *
 * A check turns after HEALTH_TURN_MS in which every sight said so. Silence, and
 * anything seen on a doubtful way, counts only where the same check was well before: a
 * provider's filter is no failure. Checks from outside count in mode active only.
 * Bounds: one row per gateway number, HEALTH_CHECKS_MAX checks in each. */
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
#define HEALTH_HANDSHAKE_S  200 /* WireGuard shakes hands every two minutes */
#define HEALTH_TURN_MS      15000
#define HEALTH_CHECKS_MAX   24

enum health_state { HEALTH_DOWN, HEALTH_IMPAIRED, HEALTH_UP };
enum health_where { HEALTH_INSIDE, HEALTH_OUTSIDE4, HEALTH_OUTSIDE6 };

struct health_sight {
    enum health_where where;
    uint16_t port;
    enum px_probe_result result;
    int64_t ms;
    bool doubtful; /* a failure may be that of the way there */
};

struct health_check {
    struct health_sight last; /* port 0: none */
    bool was_ok;              /* ever */
    bool bad;
    int64_t turning_ms; /* since when sights say the opposite of bad; -1: they do not */
};

struct health_row {
    struct px_report report; /* the last one; name "" when there was none */
    int64_t report_ms;       /* monotonic; -1: never */
    unsigned good;           /* in a row */
    bool up;                 /* not down */
    enum health_state state;
    char reason[96];         /* of that state; "" when up or never heard */
    bool agentless;          /* as the state says */
    int64_t handshake_age_s; /* of an agentless one, as the store reads it; -1: never */
    struct health_check checks[HEALTH_CHECKS_MAX];
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

/* The age of the tunnel's last handshake, as read on the store; -1: never, or unknown.
 */
void health_tunnel(struct health *health, int number, int64_t handshake_age_s);

/* One result of a probe. health_report does it for those in a report. */
void health_seen(struct health *health, int number, const struct health_sight *sight,
                 int64_t now_ms);

const char *health_state_name(enum health_state state); /* "up", "impaired", "down" */
const char *health_where_name(enum health_where where); /* "inside", "outside4", ... */

struct health_change {
    int number;
    enum health_state old, now;
    const char *check;  /* "report", "handshake", "table", "outside4 port 25" */
    int64_t latency_ms; /* of that check; -1: it has none */
    const char *reason; /* in words */
};
/* Called for each gateway whose state changed. */
typedef void (*health_change_cb)(const struct health_change *change, void *ctx);
/* The one place where a gateway is judged. */
void health_judge(struct health *health, const struct px_state *state, int64_t now_ms,
                  health_change_cb cb, void *ctx);

/* True when a gateway has said nothing for HEALTH_SILENCE_MS, or since `since_ms` if it
 * never did. One without agent is silent when it is down. */
bool health_silent(const struct health *health, int number, int64_t since_ms,
                   int64_t now_ms);

/* What it has carried this month; budget 0: none. True when `spent` changed. */
bool health_traffic(struct health *health, int number, int64_t bytes, int64_t budget);

/* Numbers of the gateways that carry outgoing mail now, the heaviest first: egress
 * duty, mode active or hold, up, of a weight above 0, within its budget. Where there is
 * none, those that weigh 0; then those whose budget is spent; then the impaired ones.
 * Returns the count. */
size_t health_egress(const struct health *health, const struct px_state *state,
                     int numbers[CM_GATEWAYS_MAX]);
/* "active" (one of those), "standby" (it would, without them), "spent" (the same, and
 * its budget is why), "down" or "no" (no
 * egress duty). */
const char *health_egress_word(const struct health *health,
                               const struct px_state *state,
                               const struct px_gateway *gateway);

#endif
