/* buf: a growing byte buffer that is always NUL-terminated, with a maximum from birth.
 *
 * An append that would pass `max` adds nothing and sets `overflow`; check it once at
 * the end instead of at each append. */
#ifndef CM_BUF_H
#define CM_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct cm_buf {
    char *data; /* never NULL after init; data[len] == 0 */
    size_t len;
    size_t cap;
    size_t max;
    bool overflow;
};

void cm_buf_init(struct cm_buf *b, size_t max);
void cm_buf_clear(struct cm_buf *b); /* frees; b may be initialised again */
void cm_buf_reset(struct cm_buf *b); /* len = 0, keeps memory, clears overflow */
void cm_buf_add(struct cm_buf *b, const void *data, size_t n);
void cm_buf_str(struct cm_buf *b, const char *s);
void cm_buf_fmt(struct cm_buf *b, const char *fmt, ...) CM_PRINTF(2, 3);
void cm_buf_vfmt(struct cm_buf *b, const char *fmt, va_list ap) CM_PRINTF(2, 0);
void cm_buf_consume(struct cm_buf *b, size_t n); /* drops n bytes at the front */
char *cm_buf_steal(struct cm_buf *b);            /* caller frees; b is cleared */

#endif
