/* reach: whether anything still comes through the tunnel. Pure; the caller brings the
 * time (monotonic milliseconds).
 *
 * The report goes to the store every second, and its kernel acknowledges each, or
 * refuses the connection when chatmail-cluster is not there: a tunnel whose counter of
 * received bytes stands still is cut, or the machine behind it is off. Data of clients
 * counts as well, so a lossy tunnel is not taken for a dead one. */
#ifndef GW_REACH_H
#define GW_REACH_H

#include <stdbool.h>
#include <stdint.h>

#define GW_GONE_MS 5000

struct gw_reach {
    int64_t rx_bytes;
    int64_t grown_ms; /* 0: not measured yet */
    bool gone;
};

/* rx_bytes: as measured now; -1: there is no tunnel. True when `gone` has turned. */
bool gw_reach_measure(struct gw_reach *reach, int64_t rx_bytes, int64_t now_ms);

#endif
