#include "screen.h"

#include <stdarg.h>
#include <stdlib.h>

#include "common/mem.h"

#define LINE_MAX_BYTES 4096
#define HOME           "\033[H"
#define CLEAR_LINE     "\033[K"
#define CLEAR_BELOW    "\033[J"

static const char *const escapes[] = {
    [OP_PLAIN] = "",
    [OP_GREEN] = "\033[32m",
    [OP_RED] = "\033[31m",
    [OP_YELLOW] = "\033[33m",
};

void op_screen_add(struct op_screen *s, enum op_colour colour, const char *fmt, ...)
{
    struct cm_buf b;
    va_list ap;

    cm_buf_init(&b, LINE_MAX_BYTES);
    va_start(ap, fmt);
    cm_buf_vfmt(&b, fmt, ap);
    va_end(ap);
    s->lines = cm_realloc_array(s->lines, s->count + 1, sizeof(*s->lines));
    s->lines[s->count++] =
        (struct op_screen_line){.colour = colour, .text = cm_buf_steal(&b)};
}

void op_screen_clear(struct op_screen *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->lines[i].text);
    }
    free(s->lines);
    *s = (struct op_screen){.count = 0};
}

void op_screen_print(const struct op_screen *s)
{
    for (size_t i = 0; i < s->count; i++) {
        op_say(s->lines[i].colour, "%s", s->lines[i].text);
    }
}

/* Bytes of the first `columns` characters; a character is not cut in two. Control
 * characters, which could move the cursor, become '?'. */
static void put_cut(struct cm_buf *out, const char *text, int columns)
{
    int at = 0;

    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        bool begins = (c & 0xc0) != 0x80;
        if (begins && ++at > columns) {
            return;
        }
        cm_buf_add(out, c < 0x20 || c == 0x7f ? "?" : p, 1);
    }
}

static void put_line(struct cm_buf *out, const struct op_screen_line *l, int columns,
                     bool colour)
{
    bool paint = colour && l->colour != OP_PLAIN;

    cm_buf_str(out, paint ? escapes[l->colour] : "");
    put_cut(out, l->text, columns);
    cm_buf_str(out, paint ? "\033[0m" CLEAR_LINE : CLEAR_LINE);
}

void op_screen_frame(const struct op_screen *s, int rows, int columns, bool colour,
                     struct cm_buf *out)
{
    size_t room = rows > 1 ? (size_t)rows : 2;
    bool fits = s->count <= room;
    size_t shown = fits ? s->count : room - 1;

    cm_buf_str(out, HOME);
    for (size_t i = 0; i < shown; i++) {
        cm_buf_str(out, i > 0 ? "\r\n" : "");
        put_line(out, &s->lines[i], columns - 1, colour);
    }
    if (!fits) {
        cm_buf_fmt(out, "\r\n... %zu more lines" CLEAR_LINE, s->count - shown);
    }
    cm_buf_str(out, CLEAR_BELOW);
}
