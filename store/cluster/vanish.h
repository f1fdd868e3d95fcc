/* vanish: which gateways are gone without a word, and what the store then does about
 * those who were connected through them. Pure; the caller brings the time (monotonic
 * milliseconds).
 *
 * A gateway has vanished when it does not report and nothing at all comes through its
 * tunnel: an agent that is down while its kernel forwards has not. And another gateway
 * must have been up for VANISH_WITNESS_MS, else it is our own line that is cut: then
 * nobody could be woken, and who is connected may find their session alive when the
 * line is back.
 *
 *   after VANISH_WAKE_MS    the accounts that were connected are to be woken, once
 *   after VANISH_FORGET_MS  their sessions are ended
 *
 * One that was up again may vanish again; it wakes at most every VANISH_AGAIN_MS. */
#ifndef VANISH_H
#define VANISH_H

#include <stdbool.h>
#include <stdint.h>

#include "health.h"
#include "proxy/apply.h"
#include "proxy/state.h"

#define VANISH_WAKE_MS    8000
#define VANISH_STILL_MS   5000 /* nothing through the tunnel, to be woken */
#define VANISH_FORGET_MS  30000
#define VANISH_WITNESS_MS 10000
#define VANISH_AGAIN_MS   300000

struct vanish_row {
    int64_t rx_bytes;
    int64_t grown_ms; /* when more had come through the tunnel; 0: not looked yet */
    int64_t up_ms;    /* since when it is up; -1: it is not */
    int64_t woke_ms;  /* last time; -1: never */
    bool waked;       /* since it was up last */
    bool forgotten;
};

struct vanish {
    struct vanish_row rows[CM_GATEWAYS_MAX + 1]; /* by number */
};

void vanish_init(struct vanish *vanish);

enum vanish_deed { VANISH_WAKE, VANISH_FORGET };
typedef void (*vanish_cb)(int number, enum vanish_deed deed, void *ctx);
/* To be called every second or so. since_ms: counted as the last report of one that
 * never reported. facts: of each tunnel, as read last. */
void vanish_judge(struct vanish *vanish, const struct health *health,
                  const struct px_state *state, int64_t since_ms,
                  const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                  vanish_cb cb, void *ctx, int64_t now_ms);
/* Nobody was connected through it: VANISH_AGAIN_MS does not count from this time. */
void vanish_woke_nobody(struct vanish *vanish, int number);

#endif
