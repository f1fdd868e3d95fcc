/* The same events in whatever pieces the bytes come, within the limits. */
#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"

#include "request.h"

#define SEEN_MAX (4u << 20)

static void note(struct cm_buf *seen, const struct request *r,
                 const struct request_event *e)
{
    switch (e->type) {
    case REQUEST_LINE:
        cm_assert(strlen(r->method) > 0 && r->target[0] == '/');
        cm_buf_fmt(seen, "%s %s\n", r->method, r->target);
        break;
    case REQUEST_FIELD:
        cm_assert(strlen(e->name) > 0 && strchr(e->value, '\n') == NULL);
        cm_buf_fmt(seen, "%s=%s\n", e->name, e->value);
        break;
    case REQUEST_HEAD:
        cm_assert(r->length >= -1 && r->fields <= REQUEST_FIELDS_MAX);
        cm_buf_fmt(seen, "length %lld\n", (long long)r->length);
        break;
    case REQUEST_BODY:
        cm_assert(e->len > 0);
        cm_buf_add(seen, e->data, e->len); /* pieces differ, their sum does not */
        break;
    case REQUEST_BAD:
        cm_assert(r->status >= 400 && r->reason != NULL);
        cm_buf_fmt(seen, "bad %d %s\n", r->status, r->reason);
        break;
    default:
        break;
    }
}

static void read_all(const char *data, size_t len, size_t step, struct cm_buf *seen)
{
    struct request r;
    request_init(&r);
    struct request_event e = {.type = REQUEST_MORE};
    for (size_t at = 0; at < len && e.type < REQUEST_END;) {
        size_t piece = len - at < step ? len - at : step, used;
        do {
            request_next(&r, data + at, piece, &used, &e);
            cm_assert(used <= piece);
            note(seen, &r, &e);
            at += used;
            piece -= used;
        } while (e.type != REQUEST_MORE && e.type < REQUEST_END);
        cm_assert(piece == 0 || e.type >= REQUEST_END);
        cm_assert(r.line.cap <= REQUEST_LINE_MAX + 64);
    }
    request_clear(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7, SIZE_MAX};
    struct cm_buf first, seen;
    cm_buf_init(&first, SEEN_MAX);
    cm_buf_init(&seen, SEEN_MAX);
    read_all((const char *)data, size, steps[0], &first);
    for (size_t i = 1; i < sizeof(steps) / sizeof(steps[0]); i++) {
        cm_buf_reset(&seen);
        read_all((const char *)data, size, steps[i], &seen);
        cm_assert(seen.len == first.len &&
                  memcmp(seen.data, first.data, seen.len) == 0);
    }
    cm_buf_clear(&first);
    cm_buf_clear(&seen);
    return 0;
}
