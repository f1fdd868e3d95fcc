#include "say.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "common/buf.h"
#include "common/clock.h"

#define PROGRESS_MS 10000
#define WIDTH       79
#define WRAPPED_MAX (16 * 1024)
#define KEPT_MAX    (1 << 20)

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

static void put_wrapped(FILE *stream, size_t at, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* A sentence for a terminal, of which `at` columns are taken: no word is cut. */
static void put_wrapped(FILE *stream, size_t at, const char *fmt, va_list ap)
{
    struct cm_buf b;

    cm_buf_init(&b, KEPT_MAX);
    cm_buf_vfmt(&b, fmt, ap);
    for (const char *p = b.len > 0 ? b.data : ""; *p != '\0';) {
        size_t word = strcspn(p, " ");
        if (at + word > WIDTH) {
            fputs("\n  ", stream);
            at = 2;
        }
        fprintf(stream, "%.*s%s", (int)word, p, p[word] == ' ' ? " " : "");
        at += word + 1;
        p += word + (p[word] == ' ');
    }
    cm_buf_clear(&b);
}

static void say_line(FILE *stream, enum op_colour colour, const char *head,
                     const char *fmt, va_list ap)
{
    bool paint = colour != OP_PLAIN && op_say_colour(stream);

    op_wait_end();
    fputs(paint ? escapes[colour] : "", stream);
    fputs(head, stream);
    if (head[0] != '\0' && isatty(fileno(stream))) {
        put_wrapped(stream, strlen(head), fmt, ap);
    } else {
        vfprintf(stream, fmt, ap);
    }
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
        cm_buf_init(&text, KEPT_MAX);
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
