#include "say.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"

#define PROGRESS_MS 10000
#define WRAPPED_MAX (16 * 1024)
#define WIDTH       79

static const char *const escapes[] = {
    [OP_PLAIN] = "",
    [OP_GREEN] = "\033[32m",
    [OP_RED] = "\033[31m",
    [OP_YELLOW] = "\033[33m",
};

void op_plain_text(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        *text = (c >= 0x20 && c < 0x7f) || c == '\n' ? *text : '?';
    }
}

bool op_say_colour(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    if (no_colour != NULL && no_colour[0] != '\0') {
        return false;
    }
    return isatty(fileno(stream)) && term != NULL && strcmp(term, "dumb") != 0;
}

static void say_line(FILE *stream, enum op_colour colour, const char *head,
                     const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

static void say_line(FILE *stream, enum op_colour colour, const char *head,
                     const char *fmt, va_list ap)
{
    bool paint = colour != OP_PLAIN && op_say_colour(stream);

    fputs(paint ? escapes[colour] : "", stream);
    fputs(head, stream);
    vfprintf(stream, fmt, ap);
    fputs(paint ? "\033[0m\n" : "\n", stream);
    fflush(stream);
}

void op_say(enum op_colour colour, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say_line(stdout, colour, "", fmt, ap);
    va_end(ap);
}

void op_say_wrapped(enum op_colour colour, const char *head, const char *text)
{
    size_t indent = strlen(head);
    struct cm_buf b;

    cm_buf_init(&b, WRAPPED_MAX);
    cm_buf_str(&b, head);
    for (size_t at = indent; *text != '\0';) {
        size_t word = strcspn(text, " ");
        if (at > indent && at + 1 + word > WIDTH) {
            cm_buf_fmt(&b, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            cm_buf_str(&b, " ");
            at++;
        }
        cm_buf_add(&b, text, word);
        at += word;
        text += word + (text[word] == ' ');
    }
    op_say(colour, "%s", b.data);
    cm_buf_clear(&b);
}

void op_progress(int64_t elapsed_ms, const char *fmt, ...)
{
    static int64_t said_ms;
    bool tty = isatty(STDOUT_FILENO);
    va_list ap;

    said_ms = elapsed_ms < said_ms ? 0 : said_ms;
    if (!tty && elapsed_ms - said_ms < PROGRESS_MS) {
        return;
    }
    said_ms = elapsed_ms;
    fputs(tty ? "\r\033[K        " : "        ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf(" (%lld s)%s", (long long)(elapsed_ms / 1000), tty ? "" : "\n");
    fflush(stdout);
}

void op_warn(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    va_start(ap, fmt);
    say_line(stderr, OP_YELLOW, "chatops: warning: ", fmt, ap);
    va_end(ap);
}

void op_complain(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    va_start(ap, fmt);
    say_line(stderr, OP_RED, "chatops: ", fmt, ap);
    va_end(ap);
}
