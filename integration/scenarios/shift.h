/* shift: a wall clock that moves, for some units of a node (integration/clock). Nodes
 * may not set theirs, so a library in each process does it. */
#ifndef SCENARIOS_SHIFT_H
#define SCENARIOS_SHIFT_H

#include <stdint.h>

#include "common/err.h"

#include "stage.h"

/* The library in base64, for a shell's stdin; caller frees. And what its file holds,
 * for printf. */
CM_MUSTUSE int shift_library(char **text_r, struct cm_err *err);
#define SHIFT_BYTES (8 * 4 + 1)
void shift_bytes(int64_t seconds, char text[SHIFT_BYTES]);

/* From now on those units (services, blanks between) run with a clock of the right
 * time; those that run are restarted. */
CM_MUSTUSE int shift_on(struct stage *stage, const char *node, const char *units,
                        struct cm_err *err);
/* Seconds off the right time, at once, for all of them. */
CM_MUSTUSE int shift_to(struct stage *stage, const char *node, int64_t seconds,
                        struct cm_err *err);
/* All as it was; nothing when nothing was moved. */
CM_MUSTUSE int shift_off(struct stage *stage, const char *node, struct cm_err *err);

#endif
