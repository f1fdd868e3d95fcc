/* reach: whether the store is still reached through the tunnel, both ways. Pure; the
 * caller brings the time (monotonic milliseconds).
 *
 * The report goes to the store every second, and its kernel acknowledges each, or
 * refuses the connection when chatmail-cluster is not there: a tunnel whose counter of
 * received bytes stands still is cut, or the machine behind it is off. Data of clients
 * counts as well, so a lossy tunnel is not taken for a dead one.
 *
 * What comes in says nothing about what goes out: while only that way is cut, the store
 * says everything again and again. So something must be answered too: an echo, or a
 * question over the bus. It may take longer, for a lossy tunnel's sake. */
#ifndef GW_REACH_H
#define GW_REACH_H

#include <stdbool.h>
#include <stdint.h>

#define GW_GONE_MS       5000
#define GW_UNANSWERED_MS 7000

struct gw_reach {
    int64_t rx_bytes;
    int64_t grown_ms; /* 0: not measured yet */
    bool gone;
};

/* rx_bytes: as measured now; -1: there is no tunnel. answered_ms: when the store last
 * answered, or we began to ask; -1: nobody asks. True when `gone` has turned. */
bool gw_reach_measure(struct gw_reach *reach, int64_t rx_bytes, int64_t answered_ms,
                      int64_t now_ms);

#endif
