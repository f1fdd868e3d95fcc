#include "dkim_canon.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- header fields ---- */

static void relaxed_field(struct cm_buf *out, const char *name, size_t name_len,
                          const char *value, size_t value_len)
{
    for (size_t i = 0; i < name_len; i++) {
        char c = name[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        cm_buf_add(out, &c, 1);
    }
    cm_buf_add(out, ":", 1);
    bool blank = false, text = false;
    for (size_t i = 0; i < value_len; i++) {
        char c = value[i];
        if (c == '\n' || (c == '\r' && i + 1 < value_len && value[i + 1] == '\n')) {
            continue;
        }
        if (is_blank(c)) {
            blank = true;
            continue;
        }
        if (blank && text) {
            cm_buf_add(out, " ", 1);
        }
        cm_buf_add(out, &c, 1);
        blank = false;
        text = true;
    }
}

static void simple_field(struct cm_buf *out, const char *name, size_t name_len,
                         const char *value, size_t value_len)
{
    cm_buf_add(out, name, name_len);
    cm_buf_add(out, ":", 1);
    for (size_t i = 0; i < value_len; i++) {
        if (value[i] == '\n' && (i == 0 || value[i - 1] != '\r')) {
            cm_buf_add(out, "\r", 1);
        }
        cm_buf_add(out, &value[i], 1);
    }
}

void dkim_canon_field(struct cm_buf *out, bool relaxed, const char *name,
                      size_t name_len, const char *value, size_t value_len)
{
    if (!relaxed) {
        simple_field(out, name, name_len, value, value_len);
        return;
    }
    while (name_len > 0 && is_blank(name[name_len - 1])) {
        name_len--;
    }
    relaxed_field(out, name, name_len, value, value_len);
}

/* ---- body ---- */

static void flush(struct dkim_canon *c)
{
    if (c->used > 0) {
        c->sink(c->ctx, c->out, c->used);
        c->used = 0;
    }
}

/* Small pieces are gathered: a hash call per word would cost more than the hash. */
static void put(struct dkim_canon *c, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = DKIM_CANON_CHUNK - c->used;
        n = n < len ? n : len;
        memcpy(c->out + c->used, data, n);
        c->used += n;
        data += n;
        len -= n;
        if (c->used == DKIM_CANON_CHUNK) {
            flush(c);
        }
    }
}

/* Text comes: what was held back in front of it counts. */
static void text(struct dkim_canon *c, const char *data, size_t len)
{
    for (; c->lines > 0; c->lines--) {
        put(c, "\r\n", 2);
    }
    if (c->blank) {
        put(c, " ", 1);
        c->blank = false;
    }
    put(c, data, len);
    c->text = true;
}

void dkim_canon_begin(struct dkim_canon *c, bool relaxed, dkim_canon_sink sink,
                      void *ctx)
{
    c->relaxed = relaxed;
    c->blank = c->cr = c->text = false;
    c->lines = 0;
    c->used = 0;
    c->sink = sink;
    c->ctx = ctx;
}

/* Bytes up to the next that needs a decision. */
static size_t run_length(const struct dkim_canon *c, const char *p, size_t len)
{
    if (!c->relaxed) {
        const char *cr = memchr(p, '\r', len);
        return cr != NULL ? (size_t)(cr - p) : len;
    }
    size_t n = 0;
    while (n < len && p[n] != '\r' && !is_blank(p[n])) {
        n++;
    }
    return n;
}

void dkim_canon_body(struct dkim_canon *c, const void *data, size_t len)
{
    const char *p = data, *end = p + len;
    while (p < end) {
        if (c->cr) {
            c->cr = false;
            if (*p == '\n') {
                c->blank = false;
                c->lines++;
                p++;
                continue;
            }
            text(c, "\r", 1);
        }
        if (*p == '\r') {
            c->cr = true;
            p++;
        } else if (c->relaxed && is_blank(*p)) {
            c->blank = true;
            p++;
        } else {
            size_t n = run_length(c, p, (size_t)(end - p));
            text(c, p, n);
            p += n;
        }
    }
}

/* The body ends in one CRLF, even if it had none. Only in the relaxed form an empty
 * body stays empty. */
void dkim_canon_end(struct dkim_canon *c)
{
    if (c->cr) {
        text(c, "\r", 1);
    }
    if (c->text || !c->relaxed) {
        put(c, "\r\n", 2);
    }
    flush(c);
}
