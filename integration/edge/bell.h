/* bell: how long an epoch takes to all gateways. */
#ifndef EDGE_BELL_H
#define EDGE_BELL_H

#include "benchrows/rows.h"
#include "path.h"

/* From the store's end handing it out (store/cluster/desk.c) until the last of 200
 * gateway ends (gateway/fetch.c) has verified the signature and read the document,
 * which names as many gateways as a cluster may have (CM_GATEWAYS_MAX, 32): so more
 * than one of these ends is behind each of its numbers. Over a wire between two
 * namespaces, with reports going the other way, without WireGuard. */
CM_MUSTUSE int bell_reach(struct path *path, bool quick, struct rows *rows,
                          struct cm_err *err);

#endif
