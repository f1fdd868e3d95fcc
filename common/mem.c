#include "common/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: cannot allocate %zu bytes\n", size);
    abort();
}

static size_t array_size(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        out_of_memory(SIZE_MAX);
    }
    return total > 0 ? total : 1;
}

void *cm_malloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    if (p == NULL) {
        out_of_memory(size);
    }
    return p;
}

void *cm_calloc(size_t count, size_t size)
{
    size_t total = array_size(count, size);
    void *p = calloc(1, total);
    if (p == NULL) {
        out_of_memory(total);
    }
    return p;
}

void *cm_realloc_array(void *p, size_t count, size_t size)
{
    size_t total = array_size(count, size);
    void *q = realloc(p, total);
    if (q == NULL) {
        out_of_memory(total);
    }
    return q;
}

char *cm_strdup(const char *s)
{
    return s != NULL ? cm_strndup(s, strlen(s)) : NULL;
}

char *cm_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = cm_malloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *cm_asprintf(const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        out_of_memory(strlen(fmt));
    }
    return text;
}

void cm_wipe(void *p, size_t n)
{
    if (n > 0) {
        explicit_bzero(p, n);
    }
}

void cm_wipe_str(char **s)
{
    if (*s != NULL) {
        cm_wipe(*s, strlen(*s));
        free(*s);
        *s = NULL;
    }
}
