#include "checker.h"

#include <string.h>

#include "common/mem.h"

void ck_set(struct ck_zone *z, const char *name, const char *record, int result)
{
    unsigned i = 0;
    while (i < z->count && strcmp(z->row[i].name, name) != 0) {
        i++;
    }
    cm_assert(i < CK_NAMES_MAX);
    z->count = i == z->count ? i + 1 : z->count;
    z->row[i].name = name;
    z->row[i].record[0] = record;
    z->row[i].result = result;
    z->row[i].ttl_s = 300;
}

static int lookup(void *ctx, const char *name, struct dkim_answer *out,
                  struct cm_err *err)
{
    struct ck_zone *z = ctx;
    z->asked++;
    for (unsigned i = 0; i < z->count; i++) {
        if (strcmp(z->row[i].name, name) != 0) {
            continue;
        }
        z->row[i].asked++;
        if (z->row[i].result < 0) {
            return cm_err_set(err, CM_ERR_RETRY, "as told");
        }
        for (unsigned k = 0; k < DKIM_RECORDS_MAX && z->row[i].record[k] != NULL; k++) {
            out->record[k] = cm_strdup(z->row[i].record[k]);
            out->len[k] = strlen(out->record[k]);
            out->count++;
        }
        out->ttl_s = z->row[i].ttl_s;
        return z->row[i].result;
    }
    return 0;
}

struct dkim_keys *ck_keys(struct ck_zone *z)
{
    struct dkim_keys_options options = {
        .servers = "127.0.0.1", .lookup = lookup, .ctx = z};
    struct cm_err err;
    struct dkim_keys *keys = dkim_keys_new(&options, &err);
    cm_assert(keys != NULL);
    return keys;
}

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

enum dkim_verdict ck_verify(const char *message, size_t len, const char *from_domain,
                            struct dkim_keys *keys, size_t chunk, const char **reason)
{
    struct dkim *d = dkim_new();
    const char *p = message;
    while (len > 0 && !(len >= 2 && p[0] == '\r' && p[1] == '\n')) {
        size_t n = field_length(p, len);
        const char *colon = memchr(p, ':', n);
        size_t name = colon != NULL ? (size_t)(colon - p) : n;
        dkim_header(d, p, name, p + name + (colon != NULL), n - name - (colon != NULL));
        n += n < len ? 2 : 0;
        p += n;
        len -= n;
    }
    dkim_headers_end(d, from_domain);
    p += len > 0 ? 2 : 0;
    len -= len > 0 ? 2 : 0;
    while (len > 0) {
        size_t n = chunk > 0 && chunk < len ? chunk : len;
        dkim_body(d, p, n);
        p += n;
        len -= n;
    }
    enum dkim_verdict verdict = dkim_end(d, keys, reason);
    dkim_free(&d);
    return verdict;
}
