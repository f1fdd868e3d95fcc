/* enrol: how a gateway that stands in chatmail.ini becomes part of the cluster. */
#ifndef OP_ENROL_H
#define OP_ENROL_H

#include "cli.h"
#include "common/err.h"

/* Reads chatmail.ini anew; does on the store and on that gateway what `run` would,
 * publishes, waits until it serves, measures, and prints it all. Other gateways are not
 * touched, so it does not matter whether they can be reached. Level-triggered: a call
 * that was interrupted goes on. Returns as a verb does. */
CM_MUSTUSE int op_enrol_finish(const struct op_cli *cli, const char *name,
                               struct cm_err *err);

#endif
