/* longway: a bad line between the store and one gateway: late, lossy, narrow. The home
 * router sends the tunnel's packets through a relay of ours, as this machine's kernel
 * may have no netem. Both ways alike; order is kept. */
#ifndef SCENARIOS_LONGWAY_H
#define SCENARIOS_LONGWAY_H

#include <stdint.h>

#include "common/err.h"

#include "stage.h"

struct longway_like {
    int64_t delay_ms;
    int64_t jitter_ms; /* 0 to that much more */
    unsigned lost_percent;
    int64_t bits_per_s;
    int64_t queue_ms; /* what waits longer for its turn is dropped */
};

struct longway_counts {
    uint64_t passed, lost, overflowed; /* packets, both ways */
};

struct longway;

/* From now on the tunnel to that gateway goes this way. */
struct longway *longway_start(struct stage *stage, const char *gateway,
                              const struct longway_like *like, struct cm_err *err);
/* Ends the relay; the tunnel then goes nowhere until longway_over. */
void longway_stop(struct longway **longway, struct longway_counts *counts_r);
/* The straight way again, whatever was left. Nothing when it is straight. */
CM_MUSTUSE int longway_over(struct stage *stage, struct cm_err *err);

#endif
