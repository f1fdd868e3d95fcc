/* plane: which data plane the gateways are on, by an edit of the published state;
 * chatmail.ini is not touched. A change takes two seconds, where `chatops run` looks at
 * everything. */
#ifndef SCENARIOS_PLANE_H
#define SCENARIOS_PLANE_H

#include <stdbool.h>

#include "common/err.h"

#include "stage.h"

/* For grep -E in a gateway's table: only the rules of the kernel plane lead to the
 * store, with programs that carry what is open or without. */
#define PLANE_KERNEL "'tcp.*dnat|notrack meta mark set'"

/* Both gateways, and waits until they report it. */
CM_MUSTUSE int plane_set(struct stage *stage, bool by_proxy, struct cm_err *err);
/* edge2 by proxy, edge1 by the kernel: for what takes too long to be shown one after
 * the other. */
CM_MUSTUSE int plane_set_second(struct stage *stage, struct cm_err *err);
/* The same document once more, under a new epoch. */
CM_MUSTUSE int plane_publish(struct stage *stage, struct cm_err *err);
/* Back on the kernel plane. Nothing when they are. For `restore` of a scenario. */
CM_MUSTUSE int plane_back(struct stage *stage, struct cm_err *err);

/* Whether edge1 carries what is open by programs, or its kernel does not take them. */
CM_MUSTUSE int plane_carries(struct stage *stage, bool *yes_r, struct cm_err *err);

/* The same on both planes, the kernel's first; what fails is named. */
CM_MUSTUSE int plane_each(struct stage *stage,
                          int (*play)(struct stage *stage, struct cm_err *err),
                          struct cm_err *err);

#endif
