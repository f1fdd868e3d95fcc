/* screen: lines with a colour, printed one after the other or drawn in place.
 *
 * In place nothing is cleared before it is written again, so nothing flickers: the
 * cursor goes home, each line is followed by "clear to its end", the last by "clear
 * what is below", all in one write. */
#ifndef OP_SCREEN_H
#define OP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "say.h"

struct op_screen {
    struct op_screen_line {
        enum op_colour colour;
        char *text;
    } * lines;
    size_t count;
};

void op_screen_add(struct op_screen *s, enum op_colour colour, const char *fmt, ...)
    CM_PRINTF(3, 4);
void op_screen_clear(struct op_screen *s);

/* On stdout, by op_say(). */
void op_screen_print(const struct op_screen *s);

/* The bytes that draw it on a terminal of that size; lines too long are cut, those too
 * many are counted in the last. Pure. */
void op_screen_frame(const struct op_screen *s, int rows, int columns, bool colour,
                     struct cm_buf *out);

#endif
