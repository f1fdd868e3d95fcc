/* dispatch: a command line from its words to its exit status. */
#ifndef OP_DISPATCH_H
#define OP_DISPATCH_H

#include "cli.h"

/* Parses, and does what was asked. Returns the exit status. */
int op_main(int argc, char **argv);
/* Runs a verb and says how it ended; with --json the envelope too. err: why it failed,
 * when it did and has not said so itself. Returns the exit status: a refusal
 * (CM_ERR_REFUSE) is OP_EXIT_USAGE, what was asked for cannot be done. */
int op_dispatch(const struct op_verb *verb, const struct op_cli *cli,
                struct cm_err *err);

#endif
