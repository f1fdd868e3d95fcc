/* tattle: everything that a thief can say on the bus (docs/bus.md) from edge1's end of
 * the tunnel: reports and questions that are nonsense, too long, in another's name, of
 * an epoch that there is not; bytes that are no nanomsg at all; many connections. */
#ifndef SCENARIOS_TATTLE_H
#define SCENARIOS_TATTLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* From that namespace, in a process of its own. *kinds_r: how many kinds of messages
 * were sent. -1 when they could not be sent; what they do is for the caller to see. */
CM_MUSTUSE int tattle_all(const char *netns, int64_t epoch, size_t *kinds_r,
                          struct cm_err *err);

#endif
