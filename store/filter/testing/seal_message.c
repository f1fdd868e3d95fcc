#include "seal_message.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#define TEXT_MAX (64u << 20)

static size_t field_length(const char *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (p[i] == '\r' && p[i + 1] == '\n' &&
            (i + 2 == len || (p[i + 2] != ' ' && p[i + 2] != '\t'))) {
            return i;
        }
    }
    return len;
}

static void feed(struct dkim_sign *s, const char *p, size_t len, size_t chunk)
{
    while (len > 0 && !(len >= 2 && p[0] == '\r' && p[1] == '\n')) {
        size_t n = field_length(p, len);
        const char *colon = memchr(p, ':', n);
        size_t name = colon != NULL ? (size_t)(colon - p) : n;
        size_t value = name + (colon != NULL);
        dkim_sign_header(s, p, name, p + value, n - value);
        n += n < len ? 2 : 0;
        p += n;
        len -= n;
    }
    p += len > 0 ? 2 : 0;
    len -= len > 0 ? 2 : 0;
    while (len > 0) {
        size_t n = chunk > 0 && chunk < len ? chunk : len;
        dkim_sign_body(s, p, n);
        p += n;
        len -= n;
    }
}

int seal_message(const struct dkim_sign_as *as, const char *message, size_t len,
                 size_t chunk, char **data_r, size_t *len_r, struct cm_err *err)
{
    struct dkim_sign *s = dkim_sign_new();
    struct cm_buf out;
    char *value = NULL;
    feed(s, message, len, chunk);
    int rc = dkim_sign_end(s, as, &value, err);
    dkim_sign_free(&s);
    if (rc != 0) {
        return rc;
    }
    cm_buf_init(&out, TEXT_MAX);
    cm_buf_str(&out, "DKIM-Signature:");
    for (const char *p = value; *p != '\0'; p++) {
        cm_buf_add(&out, *p == '\n' ? "\r\n" : p, *p == '\n' ? 2 : 1);
    }
    cm_buf_str(&out, "\r\n");
    cm_buf_add(&out, message, len);
    free(value);
    *len_r = out.len;
    *data_r = cm_buf_steal(&out);
    return 0;
}
