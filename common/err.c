#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line is the contract, and texts quote what peers and programs said. */
static void flatten(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        text[--len] = '\0';
    }
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }
}

/* Formatted aside first: an argument may be err->text itself. */
int cm_err_set(struct cm_err *err, enum cm_err_kind kind, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    flatten(text);
    memcpy(err->text, text, sizeof(text));
    err->kind = kind;
    return -1;
}

int cm_err_prefix(struct cm_err *err, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text) - 2, fmt, ap);
    va_end(ap);
    size_t len = strlen(text);
    text[len++] = ':';
    text[len++] = ' ';
    size_t rest = strnlen(err->text, sizeof(text) - len - 1);
    memcpy(text + len, err->text, rest);
    text[len + rest] = '\0';
    flatten(text);
    memcpy(err->text, text, sizeof(text));
    return -1;
}

_Noreturn void cm_assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}
