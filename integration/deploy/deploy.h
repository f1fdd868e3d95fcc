/* deploy: turns bare lab nodes into two relays, as an operator would: everything goes
 * through chatops in node operator. */
#ifndef DEPLOY_DEPLOY_H
#define DEPLOY_DEPLOY_H

#include <stdbool.h>

#include "common/err.h"
#include "lab/lab.h"

#define DEPLOY_SNAPSHOT "deployed"

struct deploy_options {
    bool no_snapshot;
};

/* The lab must be up and bare. Prints a line per step with its time. Ends with the
 * snapshot "deployed" unless told otherwise. */
CM_MUSTUSE int deploy_all(struct lab *lab, const struct deploy_options *options,
                          struct cm_err *err);

#endif
