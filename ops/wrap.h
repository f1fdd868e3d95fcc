/* wrap: text for a screen of 80 columns. Pure. */
#ifndef OP_WRAP_H
#define OP_WRAP_H

#include <stddef.h>

#include "common/buf.h"

#define OP_WIDTH                                                                       \
    79 /* the last column stays free: some terminals break the line there */

/* Adds text to b, of whose line `at` columns are taken. No word is cut; lines that
 * begin here are indented by `indent`. Line feeds in it stay, and so do blanks between
 * words that stay together. */
void op_wrap(struct cm_buf *b, const char *text, size_t at, size_t indent);

/* The same for whole lines; those that fit into 80 columns stay as they are. A longer
 * one goes on below its second column, which two blanks set off, else two columns in.
 */
void op_wrap_lines(struct cm_buf *b, const char *text);

#endif
