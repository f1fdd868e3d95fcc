/* planes: throughput, connections and latency by every carrier, and what they cost. */
#ifndef EDGE_PLANES_H
#define EDGE_PLANES_H

#include "benchrows/rows.h"
#include "path.h"

CM_MUSTUSE int planes_compare(struct path *path, bool quick, struct rows *rows,
                              struct cm_err *err);

#endif
