/* decide: which gateways' addresses shall be in DNS. Pure; the caller brings the time.
 *
 * A gateway that is drained or off leaves at once. One that is down leaves when it was
 * so for settle_ms without a break, and comes back when it was well, and meant to
 * serve, for as long. Until one of these is so nothing is known of it, and its records
 * stay as they are: after a start too. A gateway that is no longer in the cluster
 * leaves. Never the last: nothing leaves while no gateway is known to serve. */
#ifndef DECIDE_H
#define DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "feed.h"

#define DECIDE_ROWS (2 * CM_GATEWAYS_MAX) /* with those that are gone */

enum decide_place { DECIDE_UNKNOWN, DECIDE_IN, DECIDE_OUT };

struct decide_row {
    struct feed_gateway gateway; /* name "": free */
    enum decide_place place;
    int64_t since_ms; /* it says the same (well or not) since */
    bool well;        /* that */
    bool gone;
};

struct decide {
    struct decide_row rows[DECIDE_ROWS];
};

/* A place that changed; reason in words. */
typedef void (*decide_cb)(const struct decide_row *row, const char *reason, void *ctx);

/* True when a place, or an address, has changed. A feed without domain says nothing. */
bool decide_step(struct decide *decide, const struct feed *feed, int64_t now_ms,
                 int64_t settle_ms, decide_cb cb, void *ctx);
/* Is there one that is known to serve? Else nothing may leave. */
bool decide_may_remove(const struct decide *decide);
/* Is this address that of a gateway that stays or may stay? Two gateways may share. */
bool decide_keeps(const struct decide *decide, const char *address);

#endif
