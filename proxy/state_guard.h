/* state_guard: the members of the desired state that keep others out: "limits" and
 * "bans" (docs/bus.md). Private to proxy/: state.c. */
#ifndef PX_STATE_GUARD_H
#define PX_STATE_GUARD_H

#include <jansson.h>

#include "fields.h"
#include "state.h"

/* What is empty is left out. */
void px_guard_dump(const struct px_state *state, json_t *root);
/* Both absent before 1.2. */
CM_MUSTUSE int px_guard_read(const struct px_object *o, struct px_state *state,
                             struct cm_err *err);

#endif
