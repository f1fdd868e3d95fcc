/* completion: the table of verbs and options (cli.h) as a shell and as man(1) read it.
 */
#ifndef OP_COMPLETION_H
#define OP_COMPLETION_H

#include "common/err.h"

/* The bash-completion script of chatops. Caller frees. */
char *op_completion_bash(void);

/* The man page: `template` is mdoc, in which a line "@synopsis" and a line "@options"
 * stand for what the table says, and each "@verb NAME" for an item of that verb with
 * its options; behind it comes what only the page says. A verb of the table without
 * such a line, or the other way round, is an error. Caller frees. */
CM_MUSTUSE int op_man(const char *template, char **page_r, struct cm_err *err);

#endif
