/* gcra: the rate limit as arithmetic (relay-spec.md 2.9.7 and 2.9.12). Pure.
 *
 * A key's whole state is one time, its theoretical arrival time. A fresh key lets
 * `burst` through at once, then one each interval. */
#ifndef FILTER_GCRA_H
#define FILTER_GCRA_H

#include <stdbool.h>
#include <stdint.h>

struct gcra {
    int64_t interval_us; /* 60 s / max_user_send_per_minute */
    int64_t burst;       /* at least 1 */
};

struct gcra gcra_of(int64_t per_minute, int64_t burst);

/* tat_us: 0 for a fresh key; else changed when allowed, or when it lies further ahead
 * than these settings and this clock could bring it: another rate, or a clock set back,
 * costs an interval. A key may be forgotten when its tat has passed. */
bool gcra_take(const struct gcra *gcra, int64_t *tat_us, int64_t now_us);

#endif
