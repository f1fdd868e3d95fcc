#include "reach.h"

bool gw_reach_measure(struct gw_reach *r, int64_t rx_bytes, int64_t answered_ms,
                      int64_t now_ms)
{
    bool was = r->gone;
    bool deaf = answered_ms >= 0 && now_ms - answered_ms >= GW_UNANSWERED_MS;
    if (r->grown_ms == 0) {
        r->grown_ms = now_ms;
    } else if (rx_bytes > r->rx_bytes) {
        r->grown_ms = now_ms;
        r->gone = deaf;
    } else if (now_ms - r->grown_ms >= GW_GONE_MS) {
        r->gone = true;
    }
    r->gone = r->gone || deaf;
    /* A link that was made anew counts from 0. */
    r->rx_bytes = rx_bytes;
    return r->gone != was;
}
