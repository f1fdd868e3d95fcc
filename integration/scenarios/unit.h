/* unit: since when each of a node's daemons has been running. */
#ifndef SCENARIOS_UNIT_H
#define SCENARIOS_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#include "stage.h"

/* "NODE UNIT STATE STARTED MAINPID" lines for all units of the cluster, ours and the
 * stock daemons. A daemon that was restarted in between, by whomever, makes two such
 * texts differ. A unit that is not active is an error. Caller frees. */
CM_MUSTUSE int units_since(struct stage *stage, char **text_r, struct cm_err *err);
/* The same text twice? Else an error with the first line that changed. */
CM_MUSTUSE int units_same(const char *before, const char *after, struct cm_err *err);

/* Main process of an active unit, 0 while it has none. */
CM_MUSTUSE int unit_pid(struct stage *stage, const char *node, const char *unit,
                        int64_t *pid_r, struct cm_err *err);
/* Kills it with SIGKILL and waits until another process has taken its place. *ms_r is
 * how long that took; more than limit_ms is an error. */
CM_MUSTUSE int unit_kill(struct stage *stage, const char *node, const char *unit,
                         int64_t limit_ms, int64_t *ms_r, struct cm_err *err);

#endif
