/* figures: what /metrics tells of this program. */
#ifndef TRANSPORT_FIGURES_H
#define TRANSPORT_FIGURES_H

#include "common/buf.h"
#include "env.h"

void figures_write(struct cm_buf *out, const struct counters *counters);

#endif
