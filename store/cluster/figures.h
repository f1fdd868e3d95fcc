/* figures: what /metrics shows of the cluster. Pure; the caller brings the time. */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

#include "common/buf.h"
#include "health.h"
#include "proxy/apply.h"
#include "proxy/state.h"

/* refused and facts as in status.h. What is not known has no sample. */
void figures_write(struct cm_buf *out, const struct px_state *state,
                   const char *refused, const struct health *health,
                   const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                   void *ctx, int64_t now_ms);

#endif
