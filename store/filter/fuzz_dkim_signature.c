/* A message with the keys of RFC 8463 in DNS: tag list, header choice, canonical forms,
 * body hash and signature check. However the body is cut up, the verdict is the same
 * (tried with a quarter of the inputs). */
#include <stdint.h>
#include <string.h>

#include "common/mem.h"

#include "dkim.h"

#define DOMAIN "football.example.com"
#define LINES  64

static const char *const records[] = {
    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
    "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
    "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"};

static int lookup(void *ctx, const char *name, struct dkim_answer *out,
                  struct cm_err *err)
{
    (void)ctx;
    (void)err;
    cm_assert(strlen(name) <= DKIM_DNS_NAME_MAX);
    *out = (struct dkim_answer){.count = 2, .ttl_s = 86400};
    for (int i = 0; i < 2; i++) {
        out->len[i] = strlen(records[i]);
        out->record[i] = cm_strdup(records[i]);
    }
    return 1;
}

/* Header fields end at a line end that no blank follows. Returns where the body is. */
static size_t feed_header(struct dkim *d, const char *p, size_t len)
{
    size_t at = 0;
    for (int i = 0; i < LINES && at < len && p[at] != '\r' && p[at] != '\n'; i++) {
        size_t end = at;
        while (end < len &&
               (p[end] != '\n' ||
                (end + 1 < len && (p[end + 1] == ' ' || p[end + 1] == '\t')))) {
            end++;
        }
        size_t n = end > at && p[end - 1] == '\r' ? end - 1 - at : end - at;
        const char *colon = memchr(p + at, ':', n);
        size_t name = colon != NULL ? (size_t)(colon - p) - at : n;
        size_t value = colon != NULL ? name + 1 : n;
        dkim_header(d, p + at, name, p + at + value, n - value);
        at = end < len ? end + 1 : len;
    }
    size_t blank = at < len && p[at] == '\r' ? 1 : 0;
    return at + blank < len ? at + blank + 1 : len;
}

static enum dkim_verdict verify(struct dkim_keys *keys, const char *p, size_t len,
                                size_t chunk)
{
    const char *reason = NULL;
    struct dkim *d = dkim_new();
    size_t at = feed_header(d, p, len);
    dkim_headers_end(d, DOMAIN);
    while (at < len) {
        size_t n = len - at < chunk ? len - at : chunk;
        dkim_body(d, p + at, n);
        at += n;
    }
    enum dkim_verdict v = dkim_end(d, keys, &reason);
    cm_assert(reason != NULL && v != DKIM_RETRY);
    dkim_free(&d);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dkim_keys *keys;
    if (keys == NULL) {
        struct dkim_keys_options o = {.servers = "127.0.0.1", .lookup = lookup};
        struct cm_err err;
        keys = dkim_keys_new(&o, &err);
    }
    const char *p = (const char *)data;
    enum dkim_verdict v = verify(keys, p, size, SIZE_MAX);
    if (size % 4 == 0 || v == DKIM_PASS) {
        cm_assert(v == verify(keys, p, size, 1 + size % 7));
    }
    return 0;
}
