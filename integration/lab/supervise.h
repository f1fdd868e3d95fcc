/* supervise: the process that holds one node. */
#ifndef LAB_SUPERVISE_H
#define LAB_SUPERVISE_H

#include "state.h"
#include "topology.h"

/* Runs in a process of its own, detached from its parent's terminal and descriptors,
 * until the node is off; then exits. lock_fd is the locked DIR/nodes/NAME/pid. */
_Noreturn void supervise(struct lab *lab, const struct topology_node *node,
                         int lock_fd);

#endif
