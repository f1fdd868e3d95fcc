/* router: shell commands in the two routers of the lab, with this machine's tools: the
 * nodes that stand for them have no nft of their own. */
#ifndef SCENARIOS_ROUTER_H
#define SCENARIOS_ROUTER_H

#include "common/err.h"

#include "stage.h"

CM_MUSTUSE int router_internet(struct stage *stage, const char *command,
                               struct cm_err *err);
CM_MUSTUSE int router_home(struct stage *stage, const char *command,
                           struct cm_err *err);

#endif
