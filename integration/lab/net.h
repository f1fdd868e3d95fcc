/* net: namespaces, bridges and cables of the lab; silence on demand. */
#ifndef LAB_NET_H
#define LAB_NET_H

#include <stdbool.h>

#include "common/err.h"

#include "state.h"
#include "topology.h"

/* The namespace of the internet: bridges, router, and the table that net_cut() uses. */
CM_MUSTUSE int net_inet_up(struct lab *lab, struct cm_err *err);

/* A fresh namespace for a node, with its cables, addresses and routes. What was there
 * before is removed: a namespace that outlives a boot keeps rules, routes and sockets.
 */
CM_MUSTUSE int net_node_up(struct lab *lab, const struct topology_node *node,
                           struct cm_err *err);
void net_node_down(struct lab *lab, const struct topology_node *node);
/* Pulls the cables only: nothing that the node still says is heard. */
void net_node_unplug(struct lab *lab, const struct topology_node *node);

/* IP stops in both directions while ARP and neighbour discovery go on, so that peers
 * see silence and not "no route". */
CM_MUSTUSE int net_cut(struct lab *lab, const struct topology_node *node, bool cut,
                       struct cm_err *err);
bool net_is_cut(struct lab *lab, const struct topology_node *node);

/* "/run/netns/TAG-NAME". Caller frees. */
char *net_ns_path(const struct lab *lab, const char *name);
/* Does the sshd in this namespace say its greeting within a second? */
bool net_ssh_answers(struct lab *lab, const struct topology_node *node);

/* Removes every namespace with the lab's tag. */
void net_clean(struct lab *lab);

#endif
