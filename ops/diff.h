/* diff: two texts as a unified diff, for --dry-run. */
#ifndef OP_DIFF_H
#define OP_DIFF_H

#include "common/buf.h"

/* More lines than this on one side and only the sizes are told. */
#define OP_DIFF_LINES_MAX 4000

/* Appends "--- name (node)" / "+++ name (new)" and the hunks with three lines of
 * context; nothing when the texts are equal. before may be NULL: the file does not
 * exist. */
void op_diff(struct cm_buf *out, const char *name, const char *before,
             const char *after);

#endif
