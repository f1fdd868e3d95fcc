#include "common/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define FIRST_CAP 64

/* A fresh buffer borrows this until its first append: data is never NULL, and a buffer
 * that stays empty costs no allocation. cap is 0 while it is borrowed. */
static char empty[1];

void cm_buf_init(struct cm_buf *b, size_t max)
{
    cm_assert(max < SIZE_MAX / 4);
    *b = (struct cm_buf){.data = empty, .max = max};
}

void cm_buf_clear(struct cm_buf *b)
{
    if (b->cap > 0) {
        free(b->data);
    }
    *b = (struct cm_buf){.data = empty, .max = b->max};
}

void cm_buf_reset(struct cm_buf *b)
{
    if (b->cap > 0) {
        b->data[0] = 0;
    }
    b->len = 0;
    b->overflow = false;
}

/* Makes room for n more bytes and the NUL. */
static bool reserve(struct cm_buf *b, size_t n)
{
    if (n > b->max - b->len) {
        b->overflow = true;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap) {
        return true;
    }
    size_t cap = b->cap > 0 ? b->cap : FIRST_CAP;
    while (cap < need) {
        cap *= 2;
    }
    if (cap > b->max + 1) {
        cap = b->max + 1;
    }
    b->data = cm_realloc_array(b->cap > 0 ? b->data : NULL, cap, 1);
    b->cap = cap;
    b->data[b->len] = '\0';
    return true;
}

void cm_buf_add(struct cm_buf *b, const void *data, size_t n)
{
    if (n == 0 || !reserve(b, n)) {
        return;
    }
    memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void cm_buf_str(struct cm_buf *b, const char *s)
{
    cm_buf_add(b, s, strlen(s));
}

void cm_buf_fmt(struct cm_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cm_buf_vfmt(b, fmt, ap);
    va_end(ap);
}

void cm_buf_vfmt(struct cm_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    cm_assert(n >= 0);
    if (n > 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        b->len += (size_t)n;
    }
}

void cm_buf_consume(struct cm_buf *b, size_t n)
{
    cm_assert(n <= b->len);
    if (n > 0) {
        memmove(b->data, b->data + n, b->len - n + 1);
        b->len -= n;
    }
}

char *cm_buf_steal(struct cm_buf *b)
{
    char *data = b->cap > 0 ? b->data : cm_strdup("");
    b->cap = 0;
    cm_buf_clear(b);
    return data;
}
