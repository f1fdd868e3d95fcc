/* agent: the real chatmail-gateway with many connections through its gateway. */
#ifndef EDGE_AGENT_H
#define EDGE_AGENT_H

#include "benchrows/rows.h"
#include "path.h"

CM_MUSTUSE int agent_memory(struct path *path, bool quick, struct rows *rows,
                            struct cm_err *err);

#endif
