/* former: the files that a unit last ran with, kept on its node until it runs with the
 * next ones, so that what does not start can be put back.
 *
 * OP_FORMER_DIR/UNIT/ has them under files/, the names of those that did not exist in
 * `absent`, and the unit's stamp. Kept when the first of them is replaced; gone when
 * the unit has started with the new ones (units.c). A unit that never ran with files of
 * ours has none. */
#ifndef OP_FORMER_H
#define OP_FORMER_H

#include <stdbool.h>

#include "cluster.h"

#define OP_FORMER_DIR "/var/lib/portico/former"

/* Before the files are written for which changed[i] is true: keeps what they replace,
 * and marks the stamps of their units, so that these start anew even when the file was
 * edited by hand and is put back as it was. */
CM_MUSTUSE int op_former_keep(struct op_node *node, const bool *changed,
                              struct cm_err *err);
/* Puts the unit's former files back, starts it with them when it does not run, and
 * forgets them. 1 done (*files_r: how many), 0 there are none, -1. */
CM_MUSTUSE int op_former_restore(struct op_node *node, const struct op_unit *unit,
                                 unsigned *files_r, struct cm_err *err);

#endif
