/* node: one Debian machine: its disk, its supervising process, its boot and its end.
 *
 * The disk of a node is DIR/nodes/NAME/upper over the layers of the snapshot it stands
 * on, over what the lab itself installed for the role, over the base image. A
 * supervising process per node holds systemd-nspawn, boots it again after a reboot, and
 * removes the namespace when it ends. While it lives it holds a lock on
 * DIR/nodes/NAME/pid. */
#ifndef LAB_NODE_H
#define LAB_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#include "state.h"
#include "topology.h"

struct node_pids {
    pid_t supervisor;
    pid_t init;        /* 0: not there yet */
    int64_t booted_ms; /* monotonic */
};

/* Starts the supervising process and returns at once. */
CM_MUSTUSE int node_boot(struct lab *lab, const struct topology_node *node,
                         struct cm_err *err);
/* Waits until systemd in the node says running or degraded. Failed units are named on
 * stderr. */
CM_MUSTUSE int node_wait(struct lab *lab, const struct topology_node *node,
                         struct cm_err *err);

/* True while the supervising process lives; pids_r may be NULL. */
bool node_alive(struct lab *lab, const struct topology_node *node,
                struct node_pids *pids_r);
/* Asks init to power off (crash false) or kills it; does not wait. */
void node_signal(struct lab *lab, const struct topology_node *node, bool crash);
/* Waits for the end of the supervising process; kills what is left after the time. */
void node_wait_gone(struct lab *lab, const struct topology_node *node,
                    int64_t timeout_ms);

/* The directories that the node's disk is stacked from, top first, separated by ':', as
 * overlayfs wants them. Caller frees. */
CM_MUSTUSE int node_lower(struct lab *lab, const struct topology_node *node,
                          char **lower_r, struct cm_err *err);

/* A clean upper directory; on bare ground also the files that make it this node: host
 * name, machine id, operator's key. */
CM_MUSTUSE int node_new_disk(struct lab *lab, const struct topology_node *node,
                             bool bare, struct cm_err *err);

#endif
