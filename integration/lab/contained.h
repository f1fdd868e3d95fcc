/* contained: work in a child process inside the control group TAG/build, so that
 * whatever it starts can be found and killed by the next command when this one is
 * interrupted. */
#ifndef LAB_CONTAINED_H
#define LAB_CONTAINED_H

#include "common/err.h"

#include "state.h"

/* Runs fn(lab, ctx, err) in the child and returns what it returned, 0 or -1, with its
 * error text. What fn changes in memory is lost. */
CM_MUSTUSE int contained(struct lab *lab,
                         int (*fn)(struct lab *lab, const void *ctx,
                                   struct cm_err *err),
                         const void *ctx, struct cm_err *err);

#endif
