/* publish: the desired state as chatops makes it. */
#ifndef OP_PUBLISH_H
#define OP_PUBLISH_H

#include <stddef.h>

#include "cluster.h"
#include "plan.h"

struct px_state;
/* The desired state, epoch 0, from the conf and the nodes' keys, without those that are
 * left out. */
void op_publish_fill(const struct op_cluster *c, struct px_state *state_r);

/* px_state with epoch 0 as JSON, from the conf and the keys read from the nodes. Caller
 * frees. */
char *op_publish_state(const struct op_cluster *c);

/* Lines "NAME KEY" of what is published; none before the first time. */
extern const char op_publish_keys_sql[];

/* A step that publishes `*document` (as op_publish_state makes it) instead of what
 * chatmail.ini says. `name` and `document` are borrowed. */
void op_add_publish_of(struct op_plan *plan, struct op_cluster *c, const char *name,
                       char *const *document);

#endif
