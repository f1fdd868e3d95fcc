#include "wrap.h"

#include <string.h>

#define HANG_MAX 24 /* a second column further right leaves no room */

void op_wrap(struct cm_buf *b, const char *text, size_t at, size_t indent)
{
    while (*text != '\0') {
        if (*text == '\n') {
            cm_buf_str(b, "\n");
            at = 0;
            text++;
            continue;
        }
        size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " \n");
        if (at > indent && word > 0 && at + blanks + word > OP_WIDTH) {
            cm_buf_fmt(b, "\n%*s", (int)indent, "");
            at = indent;
        } else {
            cm_buf_add(b, text, blanks);
            at += blanks;
        }
        cm_buf_add(b, text + blanks, word);
        at += word;
        text += blanks + word;
    }
}

static size_t hang(const char *line, size_t n)
{
    size_t lead = strspn(line, " ");

    for (size_t i = lead + 1; i + 1 < n && i < HANG_MAX; i++) {
        if (line[i] == ' ' && line[i + 1] == ' ') {
            i += strspn(line + i, " ");
            return i < HANG_MAX ? i : lead + 2;
        }
    }
    return lead + 2;
}

void op_wrap_lines(struct cm_buf *b, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        if (n <= OP_WIDTH + 1) {
            cm_buf_add(b, text, n);
        } else {
            struct cm_buf line;
            cm_buf_init(&line, n + 1);
            cm_buf_add(&line, text, n);
            op_wrap(b, line.data, 0, hang(text, n));
            cm_buf_clear(&line);
        }
        text += n;
        if (*text == '\n') {
            cm_buf_str(b, "\n");
            text++;
        }
    }
}
