/* A header in any chunking gives the same fields, and each value can be read. */
#include <stdint.h>
#include <string.h>

#include "common/err.h"

#include "content_type.h"
#include "header.h"

static uint64_t digest; /* of all fields, in order */

static void mix(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        digest = (digest ^ (unsigned char)p[i]) * 1099511628211u;
    }
}

static void on_field(const struct header_reader *r)
{
    static char text[FIELD_TEXT_MAX];
    static struct fields fields;
    struct ctype ctype;
    mix(r->name, r->name_len);
    mix(r->value, r->value_len);
    fields_init(&fields);
    fields_add(&fields, r->name, r->name_len, r->value, r->value_len, r->cut);
    size_t n = header_unfold(r->value, r->value_len, text, sizeof(text));
    if (n < sizeof(text)) {
        cm_assert(strlen(text) == n);
        if (ctype_parse(text, &ctype)) {
            cm_assert(strlen(ctype.boundary) <= CTYPE_BOUNDARY_MAX);
        }
    }
}

/* Returns how much of it is header. */
static size_t read_in(const char *data, size_t size, size_t chunk)
{
    static struct header_reader r;
    enum header_event event = HEADER_MORE;
    size_t at = 0;
    header_reader_init(&r);
    digest = 14695981039346656037u;
    while (at < size && event != HEADER_END && event != HEADER_BAD) {
        size_t n = size - at < chunk ? size - at : chunk;
        size_t taken = header_read(&r, data + at, n, &event);
        cm_assert(taken <= n);
        at += taken;
        if (event == HEADER_FIELD) {
            on_field(&r);
        }
    }
    if (event == HEADER_MORE || event == HEADER_FIELD) {
        event = header_read_end(&r);
        if (event == HEADER_FIELD) {
            on_field(&r);
        }
    }
    mix((const char *)&event, sizeof(event));
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t whole = read_in((const char *)data, size, size + 1);
    uint64_t first = digest;
    cm_assert(read_in((const char *)data, size, 1 + size % 7) == whole);
    cm_assert(digest == first);
    return 0;
}
