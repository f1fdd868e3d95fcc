#include "say.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "common/buf.h"
#include "common/clock.h"
#include "wrap.h"

#define PROGRESS_MS 10000
#define SAID_MAX    (1 << 20)

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

/* A message is wrapped on a terminal only: elsewhere it is one line to search for. A
 * result is wrapped everywhere. */
static void put_text(FILE *stream, const char *head, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void put_text(FILE *stream, const char *head, const char *fmt, va_list ap)
{
    struct cm_buf text, lines;

    cm_buf_init(&text, SAID_MAX);
    cm_buf_init(&lines, SAID_MAX);
    cm_buf_vfmt(&text, fmt, ap);
    if (head[0] == '\0') {
        op_wrap_lines(&lines, text.data);
    } else if (isatty(fileno(stream))) {
        op_wrap(&lines, text.data, strlen(head), 2);
    } else {
        cm_buf_str(&lines, text.data);
    }
    fputs(lines.data, stream);
    cm_buf_clear(&text);
    cm_buf_clear(&lines);
}

static void say_line(FILE *stream, enum op_colour colour, const char *head,
                     const char *fmt, va_list ap)
{
    bool paint = colour != OP_PLAIN && op_say_colour(stream);

    op_wait_end();
    fputs(paint ? escapes[colour] : "", stream);
    fputs(head, stream);
    put_text(stream, head, fmt, ap);
    fputs(paint ? "\033[0m\n" : "\n", stream);
    fflush(stream);
}

/* Keeps what --json shows in its envelope. */
static void keep(void (*into)(const char *text), const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void keep(void (*into)(const char *text), const char *fmt, va_list ap)
{
    if (op_answer_json()) {
        struct cm_buf text;
        cm_buf_init(&text, SAID_MAX);
        cm_buf_vfmt(&text, fmt, ap);
        into(text.len > 0 ? text.data : "");
        cm_buf_clear(&text);
    }
}

void op_say(enum op_colour colour, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (op_answer_json()) {
        keep(op_answer_note, fmt, ap);
    } else {
        say_line(stdout, colour, "", fmt, ap);
    }
    va_end(ap);
}

void op_print(enum op_colour colour, const char *text)
{
    bool paint = colour != OP_PLAIN && op_say_colour(stdout);

    if (op_answer_json()) {
        op_answer_note(text);
        return;
    }
    op_wait_end();
    printf("%s%s%s\n", paint ? escapes[colour] : "", text, paint ? "\033[0m" : "");
    fflush(stdout);
}

void op_say_wrapped(enum op_colour colour, const char *head, const char *text)
{
    struct cm_buf b;

    cm_buf_init(&b, SAID_MAX);
    cm_buf_str(&b, head);
    op_wrap(&b, text, strlen(head), strlen(head));
    op_print(colour, b.data);
    cm_buf_clear(&b);
}

void op_progress(int64_t elapsed_ms, const char *fmt, ...)
{
    static int64_t said_ms;
    bool tty = isatty(STDOUT_FILENO);
    va_list ap;

    said_ms = elapsed_ms < said_ms ? 0 : said_ms;
    if (op_answer_json()) {
        return;
    }
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

/* ---- what takes more than a second ---- */

static struct {
    char line[160]; /* of the step under way, without its end; "": none */
    int64_t from_ms;
    bool shown; /* a time stands on the terminal */
    int64_t said_ms;
    bool quiet;
} busy;

void op_wait_quiet(bool quiet)
{
    busy.quiet = quiet;
}

void op_busy(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(busy.line, sizeof(busy.line), fmt, ap);
    va_end(ap);
    busy.from_ms = cm_now_mono_ms();
    if (busy.line[0] != '\0' && !op_answer_json() && isatty(STDOUT_FILENO)) {
        fputs(busy.line, stdout);
        fflush(stdout);
    }
}

void op_busy_end(void)
{
    if (busy.line[0] != '\0' && !op_answer_json() && isatty(STDOUT_FILENO)) {
        fputs("\r\033[K", stdout);
    }
    busy.line[0] = '\0';
}

/* The terminal that is looked at; NULL when there is none. */
static FILE *terminal(void)
{
    if (!op_answer_json() && isatty(STDOUT_FILENO)) {
        return stdout;
    }
    return isatty(STDERR_FILENO) ? stderr : NULL;
}

void op_wait_tick(int64_t elapsed_ms, const char *what)
{
    FILE *to = terminal();

    if (busy.quiet) {
        return;
    }
    if (busy.line[0] != '\0') {
        elapsed_ms = cm_now_mono_ms() - busy.from_ms;
    }
    if (to != NULL) {
        fprintf(to, "\r\033[K%s%s%s(%lld s)", busy.line,
                busy.line[0] == '\0' ? what : "", busy.line[0] == '\0' ? " ... " : "",
                (long long)(elapsed_ms / 1000));
        fflush(to);
        busy.shown = true;
    } else if (elapsed_ms - busy.said_ms >= PROGRESS_MS) {
        busy.said_ms = elapsed_ms;
        fprintf(stderr, "chatops: waiting for %s (%lld s)\n", what,
                (long long)(elapsed_ms / 1000));
    }
}

void op_wait_note(const char *what)
{
    int64_t elapsed_ms = op_answer_elapsed_ms();

    if (elapsed_ms >= 1000) {
        op_wait_tick(elapsed_ms, what);
    }
}

void op_wait_end(void)
{
    FILE *to = terminal();

    busy.said_ms = 0;
    if (busy.shown && to != NULL) {
        fprintf(to, "\r\033[K%s", busy.line);
        fflush(to);
    }
    busy.shown = false;
}

void op_warn(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    va_start(ap, fmt);
    say_line(stderr, OP_YELLOW, "chatops: warning: ", fmt, ap);
    va_end(ap);
    va_start(ap, fmt);
    keep(op_answer_warning, fmt, ap);
    va_end(ap);
}

void op_complain(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    va_start(ap, fmt);
    say_line(stderr, OP_RED, "chatops: ", fmt, ap);
    va_end(ap);
    va_start(ap, fmt);
    keep(op_answer_error, fmt, ap);
    va_end(ap);
}
