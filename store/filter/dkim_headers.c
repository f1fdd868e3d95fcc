#include "dkim_headers.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"

#include "dkim.h"
#include "dkim_canon.h"

#define FIRST_FIELDS 32

static struct dkim_span bare_name(struct dkim_span name)
{
    return dkim_trim(name); /* "Subject : x" is obsolete syntax, and legal */
}

static uint32_t name_sum(struct dkim_span name)
{
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        c = c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
        sum = (sum ^ c) * 16777619u;
    }
    return sum;
}

void dkim_headers_init(struct dkim_headers *h)
{
    *h = (struct dkim_headers){0};
    cm_buf_init(&h->text, DKIM_HEADERS_MAX);
}

void dkim_headers_clear(struct dkim_headers *h)
{
    cm_buf_clear(&h->text);
    free(h->field);
    *h = (struct dkim_headers){.text = h->text};
}

void dkim_headers_add(struct dkim_headers *h, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    size_t at = h->text.len;
    /* Once one field is missing no hash can be right, so none is made at all. */
    if (h->overflow || h->count == DKIM_FIELDS_MAX || name_len > DKIM_HEADERS_MAX ||
        value_len > DKIM_HEADERS_MAX - name_len ||
        name_len + value_len > DKIM_HEADERS_MAX - at) {
        h->overflow = true;
        return;
    }
    if (h->count % FIRST_FIELDS == 0) {
        h->field =
            cm_realloc_array(h->field, h->count + FIRST_FIELDS, sizeof(*h->field));
    }
    cm_buf_add(&h->text, name, name_len);
    cm_buf_add(&h->text, value, value_len);
    h->field[h->count++] = (struct dkim_field){
        .name = {NULL, name_len}, .value = {NULL, value_len}, .at = at};
}

/* Only now: the text moves while it grows. */
void dkim_headers_seal(struct dkim_headers *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        struct dkim_field *f = &h->field[i];
        f->name.p = h->text.data + f->at;
        f->value.p = f->name.p + f->name.len;
        f->sum = name_sum(bare_name(f->name));
    }
}

bool dkim_h_check(struct dkim_span h, unsigned *from)
{
    struct dkim_span name;
    unsigned count = 0;
    *from = 0;
    while (dkim_list_next(&h, &name)) {
        if (name.len == 0 || ++count > DKIM_H_MAX) {
            return false;
        }
        for (size_t i = 0; i < name.len; i++) {
            if (name.p[i] <= ' ' || name.p[i] == 0x7f) {
                return false;
            }
        }
        *from += dkim_span_is(name, "from");
    }
    return true;
}

static bool named(const struct dkim_field *f, struct dkim_span name, uint32_t sum)
{
    struct dkim_span own = f->sum == sum ? bare_name(f->name) : (struct dkim_span){0};
    return f->sum == sum && own.len == name.len &&
           strncasecmp(own.p, name.p, name.len) == 0;
}

unsigned dkim_headers_count(const struct dkim_headers *headers, const char *name)
{
    struct dkim_span span = {name, strlen(name)};
    uint32_t sum = name_sum(span);
    unsigned n = 0;
    for (unsigned i = 0; i < headers->count; i++) {
        n += named(&headers->field[i], span, sum);
    }
    return n;
}

static void hash_field(struct dkim_hash *hash, struct cm_buf *work, bool relaxed,
                       const struct dkim_field *f)
{
    cm_buf_reset(work);
    dkim_canon_field(work, relaxed, f->name.p, f->name.len, f->value.p, f->value.len);
    cm_buf_str(work, "\r\n");
    dkim_hash_add(hash, work->data, work->len);
}

/* The lowest field with this name that was not taken yet; -1: none, which is how a
 * signer says that there must be none. */
static int pick(const struct dkim_headers *headers, struct dkim_span name, bool *taken)
{
    uint32_t sum = name_sum(name);
    for (unsigned i = headers->count; i-- > 0;) {
        if (!taken[i] && named(&headers->field[i], name, sum)) {
            taken[i] = true;
            return (int)i;
        }
    }
    return -1;
}

static void hash_own(struct dkim_hash *hash, struct cm_buf *work, bool relaxed,
                     const struct dkim_field *f, struct dkim_span b)
{
    struct cm_buf value;
    cm_buf_init(&value, DKIM_HEADERS_MAX);
    size_t front = (size_t)(b.p - f->value.p);
    cm_buf_add(&value, f->value.p, front);
    cm_buf_add(&value, b.p + b.len, f->value.len - front - b.len);
    cm_buf_reset(work);
    dkim_canon_field(work, relaxed, f->name.p, f->name.len, value.data, value.len);
    dkim_hash_add(hash, work->data, work->len);
    cm_buf_clear(&value);
}

void dkim_headers_hash(const struct dkim_headers *headers, bool relaxed,
                       struct dkim_span h, unsigned own, struct dkim_span b,
                       unsigned char out[DKIM_HASH_SIZE])
{
    struct dkim_hash *hash = dkim_hash_new();
    bool *taken = cm_calloc(headers->count, sizeof(*taken));
    struct dkim_span name;
    struct cm_buf work;
    cm_buf_init(&work, 2 * DKIM_HEADERS_MAX + 16); /* LF may become CRLF */
    taken[own] = true; /* h= may name DKIM-Signature, but never means this one */
    while (dkim_list_next(&h, &name)) {
        int i = pick(headers, name, taken);
        if (i >= 0) {
            hash_field(hash, &work, relaxed, &headers->field[i]);
        }
    }
    hash_own(hash, &work, relaxed, &headers->field[own], b);
    dkim_hash_take(hash, out);
    dkim_hash_free(&hash);
    free(taken);
    cm_buf_clear(&work);
}
