/* arrivals: to which ports packets have come on a link, seen before anything judges
 * them (packet(7)). */
#ifndef SCENARIO_ARRIVALS_H
#define SCENARIO_ARRIVALS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

#define ARRIVALS_PORTS 65535

struct arrivals {
    bool tcp[ARRIVALS_PORTS + 1]; /* a SYN without ACK */
    bool odd[ARRIVALS_PORTS + 1]; /* of TCP, and none of those */
    bool udp[ARRIVALS_PORTS + 1];
    bool ready;
};

/* netns: its file; source: numeric, of either family. *seen_r grows by itself until
 * arrivals_end, which frees it. */
CM_MUSTUSE int arrivals_begin(const char *netns, const char *link, const char *source,
                              struct arrivals **seen_r, pid_t *pid_r,
                              struct cm_err *err);
void arrivals_end(struct arrivals **seen, pid_t *pid);

#endif
