/* control: a running notifier is asked and told over a unix socket, one line at a time.
 *
 * The answer is any number of lines and then "ok", or one line "error: why". Commands
 * and their answers are a table in control.c; "help" prints it. */
#ifndef NOTIFIER_CONTROL_H
#define NOTIFIER_CONTROL_H

#include "common/buf.h"
#include "common/err.h"
#include "common/loop.h"

#include "notifier.h"

#define CONTROL_LINE_MAX     512
#define CONTROL_VISITORS     16
#define CONTROL_LIST_AT_ONCE 1000

struct control;

/* path: a socket of this name is replaced. */
struct control *control_new(struct cm_loop *loop, struct notifier *notifier,
                            const char *path, struct cm_err *err);
void control_free(struct control **control);

/* One command, without a socket: appends the whole answer. */
void control_do(struct notifier *notifier, const char *line, struct cm_buf *out);

/* For the other side: says a command, appends the answer without its "ok". Blocks for
 * at most 10 s. An "error:" is REFUSE, nobody there RETRY. */
CM_MUSTUSE int control_ask(const char *path, const char *line, struct cm_buf *out,
                           struct cm_err *err);

#endif
