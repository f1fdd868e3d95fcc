#include "dkim_sign.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#include "dkim_body.h"
#include "dkim_headers.h"

#define SIGNATURE     "DKIM-Signature"
#define SIGNATURE_MAX 16384
#define COLUMNS       72 /* columns of a line of h= or b=, the blanks in front aside */

static const struct {
    const char *name;
    bool once_more;
} signed_fields[] = {
    {"From", true},
    {"Reply-To", true},
    {"Subject", true},
    {"Date", true},
    {"To", true},
    {"Cc", true},
    {"Resent-Date", true},
    {"Resent-From", true},
    {"Resent-Sender", true},
    {"Resent-To", true},
    {"Resent-Cc", true},
    {"In-Reply-To", true},
    {"References", true},
    {"List-Id", true},
    {"List-Help", true},
    {"List-Unsubscribe", true},
    {"List-Subscribe", true},
    {"List-Post", true},
    {"List-Owner", true},
    {"List-Archive", true},
    {"Autocrypt", true},
    {"Content-Type", false},
};
#define SIGNED_FIELDS (sizeof(signed_fields) / sizeof(signed_fields[0]))

_Static_assert(DKIM_SIGN_FIELDS_MAX + SIGNED_FIELDS <= DKIM_H_MAX, "h= is too long");

struct dkim_sign {
    struct dkim_headers headers; /* those that are signed */
    bool too_many;
    struct dkim_body *body;
    unsigned all; /* number of the body's hash */
};

struct dkim_sign *dkim_sign_new(void)
{
    struct dkim_sign *s = cm_calloc(1, sizeof(*s));
    dkim_headers_init(&s->headers);
    s->body = dkim_body_new();
    s->all = dkim_body_want(s->body, false, DKIM_BODY_ALL);
    return s;
}

void dkim_sign_free(struct dkim_sign **sp)
{
    struct dkim_sign *s = *sp;
    if (s == NULL) {
        return;
    }
    dkim_headers_clear(&s->headers);
    dkim_body_free(&s->body);
    free(s);
    *sp = NULL;
}

static bool is_signed(struct dkim_span name)
{
    for (size_t i = 0; i < SIGNED_FIELDS; i++) {
        if (dkim_span_is(name, signed_fields[i].name)) {
            return true;
        }
    }
    return false;
}

void dkim_sign_header(struct dkim_sign *s, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    if (!is_signed(dkim_trim((struct dkim_span){name, name_len}))) {
        return;
    }
    if (s->headers.count == DKIM_SIGN_FIELDS_MAX) {
        s->too_many = true;
        return;
    }
    dkim_headers_add(&s->headers, name, name_len, value, value_len);
}

void dkim_sign_body(struct dkim_sign *s, const void *data, size_t len)
{
    dkim_body_add(s->body, data, len);
}

/* ---- the field ---- */

static void add_name(struct cm_buf *out, size_t *column, const char *name)
{
    size_t len = strlen(name);
    if (*column > 0) {
        cm_buf_str(out, ":");
    }
    if (*column + len + 1 > COLUMNS) {
        cm_buf_str(out, "\n\t ");
        *column = 0;
    }
    cm_buf_str(out, name);
    *column += len + 1;
}

static void add_h(struct cm_buf *out, const struct dkim_headers *headers)
{
    size_t column = 0;
    for (size_t i = 0; i < SIGNED_FIELDS; i++) {
        unsigned n = dkim_headers_count(headers, signed_fields[i].name) +
                     signed_fields[i].once_more;
        for (; n > 0; n--) {
            add_name(out, &column, signed_fields[i].name);
        }
    }
}

static void add_base64(struct cm_buf *out, const unsigned char *data, size_t len)
{
    char text[DKIM_BASE64_SIZE(DKIM_SIG_SIZE_MAX)];
    size_t n = dkim_base64_text(data, len, text);
    for (size_t at = 0; at < n; at += COLUMNS) {
        size_t left = n - at;
        cm_buf_str(out, at > 0 ? "\n\t " : "");
        cm_buf_add(out, text + at, left < COLUMNS ? left : COLUMNS);
    }
}

/* Where the list of names stands; no pointer, because the text moves while it grows. */
struct list {
    size_t at, len;
};

/* All of the field but what b= says. */
static struct list write_front(struct dkim_sign *s, const struct dkim_sign_as *as,
                               struct cm_buf *out)
{
    struct list h;
    cm_buf_fmt(out,
               " v=1; a=rsa-sha256; c=relaxed/simple;\n\td=%s; s=%s;\n\tt=%lld; bh=",
               as->domain, as->selector, (long long)as->now_s);
    add_base64(out, dkim_body_hash(s->body, s->all), DKIM_HASH_SIZE);
    cm_buf_str(out, ";\n\th=");
    h.at = out->len;
    add_h(out, &s->headers);
    h.len = out->len - h.at;
    cm_buf_str(out, ";\n\tb=");
    return h;
}

/* The signature is a field of the message like the others, with nothing behind b=.
 * False: the header is too large. */
static bool hash_header(struct dkim_sign *s, const struct cm_buf *front, struct list h,
                        unsigned char hash[DKIM_HASH_SIZE])
{
    unsigned own = s->headers.count;
    dkim_headers_add(&s->headers, SIGNATURE, strlen(SIGNATURE), front->data,
                     front->len);
    if (s->too_many || s->headers.overflow) {
        return false;
    }
    dkim_headers_seal(&s->headers);
    const struct dkim_span value = s->headers.field[own].value;
    dkim_headers_hash(&s->headers, true, (struct dkim_span){value.p + h.at, h.len}, own,
                      (struct dkim_span){value.p + value.len, 0}, hash);
    return true;
}

int dkim_sign_end(struct dkim_sign *s, const struct dkim_sign_as *as, char **value_r,
                  struct cm_err *err)
{
    unsigned char hash[DKIM_HASH_SIZE], sig[DKIM_SIG_SIZE_MAX];
    size_t sig_len;
    struct cm_buf out;
    int rc = 0;
    cm_buf_init(&out, SIGNATURE_MAX);
    dkim_body_end(s->body);
    dkim_headers_seal(&s->headers);
    struct list h = write_front(s, as, &out);
    if (!hash_header(s, &out, h, hash)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "the header is too large to be signed");
    } else if (!dkim_privkey_sign(as->key, hash, sig, &sig_len)) {
        rc = cm_err_set(err, CM_ERR_RETRY, "OpenSSL does not sign");
    } else {
        add_base64(&out, sig, sig_len);
        cm_assert(!out.overflow);
        *value_r = cm_buf_steal(&out);
    }
    cm_buf_clear(&out);
    return rc;
}
