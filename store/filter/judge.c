#include "judge.h"

static size_t judge_header(struct verdict *v, const char *text, size_t len)
{
    struct header_reader r;
    enum header_event event = HEADER_MORE;
    size_t at = 0;
    header_reader_init(&r);
    while (at < len && event != HEADER_END && event != HEADER_BAD) {
        at += header_read(&r, text + at, len - at, &event);
        if (event == HEADER_FIELD) {
            verdict_header(v, r.name, r.name_len, r.value, r.value_len);
        }
    }
    if (event != HEADER_END && header_read_end(&r) == HEADER_FIELD) {
        verdict_header(v, r.name, r.name_len, r.value, r.value_len);
    }
    return event == HEADER_END ? at : len;
}

void judge_message(struct verdict *v, enum verdict_side side, const char *text,
                   size_t len, size_t chunk)
{
    verdict_init(v, side);
    size_t at = judge_header(v, text, len);
    verdict_headers_end(v);
    bool more = true;
    for (; at < len && more; at += chunk) {
        more = verdict_body(v, text + at, len - at < chunk ? len - at : chunk);
    }
    verdict_end(v);
}
