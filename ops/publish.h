/* publish: the desired state as chatops makes it, and who has not applied it. */
#ifndef OP_PUBLISH_H
#define OP_PUBLISH_H

#include <stddef.h>

#include "cluster.h"

/* px_state with epoch 0 as JSON, from the conf and the keys read from the nodes. Caller
 * frees. */
char *op_publish_state(const struct op_cluster *c);

/* Reads the answer of "ctl status". 1 every gateway has the newest epoch, 0 late names
 * those that have not and why. */
CM_MUSTUSE int op_publish_lag(const char *status, char *late, size_t size,
                              struct cm_err *err);

#endif
