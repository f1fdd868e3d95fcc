/* snapshot: the disks of all nodes, kept by moving them, never copied.
 *
 * A snapshot is a small file DIR/snapshots/NAME that lists the layers it consists of,
 * oldest first; a layer is DIR/layers/ID with one directory per node. Layers that
 * neither a snapshot nor the running lab uses are removed. */
#ifndef LAB_SNAPSHOT_H
#define LAB_SNAPSHOT_H

#include <stdbool.h>

#include "common/err.h"

#include "state.h"

bool snapshot_name_ok(const char *name);

/* 1 there (stack_r filled, its snapshot member is NAME), 0 no such snapshot or its
 * image is gone, -1 error. */
CM_MUSTUSE int snapshot_load(struct lab *lab, const char *name,
                             struct state_stack *stack_r, struct cm_err *err);
/* Moves the disks of the stopped nodes into a new layer on top of `stack`, records the
 * result as NAME and makes `stack` point to it. */
CM_MUSTUSE int snapshot_take(struct lab *lab, const char *name,
                             struct state_stack *stack, struct cm_err *err);
/* Removes unused layers. */
void snapshot_collect(struct lab *lab);

#endif
