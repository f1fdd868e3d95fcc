/* restore: the steps that a restore puts into the plan of `run`. The file has been
 * looked at whole before; on the store, RESTORE_NOTE says which backup is being put
 * back, and which parts of it are there, so that a restore that was cut off goes on. */
#ifndef OP_RESTORE_H
#define OP_RESTORE_H

#include <stdbool.h>

#include "archive.h"
#include "cluster.h"
#include "defects.h"
#include "plan.h"

#define OP_RESTORE_NOTE "/var/lib/portico/restore"

struct op_restore {
    struct op_archive archive;
    const char *config; /* where chatmail.ini belongs */
    bool overwrite;
    char former[256]; /* where the store was, when that is another place; "" */
    struct op_defects defects;
};

/* Is this store one that may be overwritten? A survey: comes before all else. */
void op_add_restore_survey(struct op_plan *plan, struct op_cluster *c);
/* The rest is nothing but in a restore (c->restore). In this order: the services stop,
 * the package, the keys; behind PostgreSQL the database, then mail; once all nodes are
 * set up and the desired state is published, the end. */
void op_add_restore_begin(struct op_plan *plan, struct op_node *store);
void op_add_restore_keys(struct op_plan *plan, struct op_node *store);
void op_add_restore_data(struct op_plan *plan, struct op_node *store);
void op_add_restore_end(struct op_plan *plan, struct op_node *store);

/* What the survey's script said: the note's words in one line, then a number of
 * accounts or "unknown". Pure, for tests. */
void op_restore_judge(const char *said, const char *id, bool overwrite,
                      struct op_defects *d);

#endif
