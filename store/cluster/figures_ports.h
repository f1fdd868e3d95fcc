/* figures_ports: what /metrics shows of the traffic through the gateways, for each
 * port, from their reports. A gateway begins anew from zero when its agent starts.
 * Pure. */
#ifndef FIGURES_PORTS_H
#define FIGURES_PORTS_H

#include "common/buf.h"
#include "health.h"
#include "proxy/state.h"

/* What is not known has no sample, and what no port of the state has neither. */
void figures_ports_write(struct cm_buf *out, const struct px_state *state,
                         const struct health *health);

#endif
