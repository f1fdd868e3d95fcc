/* cgroup: each node gets a control group of its own in every hierarchy that systemd
 * uses, else units of the same name in two nodes would share one (feasibility 8). The
 * groups are also the proof that a process is ours when leftovers are killed.
 *
 * Works with the unified hierarchy and with the hybrid one. */
#ifndef LAB_CGROUP_H
#define LAB_CGROUP_H

#include "common/err.h"

#include "state.h"

/* Moves the calling process into TAG/NAME everywhere. */
CM_MUSTUSE int cgroup_join(const struct lab *lab, const char *name, struct cm_err *err);
/* Kills everything below TAG/NAME (NULL: below TAG) until nothing is left, at most five
 * seconds. Returns how many there were; a process counts once per hierarchy. */
size_t cgroup_kill(const struct lab *lab, const char *name);
/* Removes the empty groups below TAG/NAME (NULL: TAG itself). */
void cgroup_remove(const struct lab *lab, const char *name);

#endif
