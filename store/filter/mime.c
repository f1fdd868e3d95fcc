#include "mime.h"

#include <string.h>

void mime_init(struct mime *m, const char *boundary)
{
    size_t len = strlen(boundary);
    m->delimiter[0] = m->delimiter[1] = '-';
    memcpy(m->delimiter + 2, boundary, len + 1);
    m->delimiter_len = len + 2;
    m->where = MIME_IN_PREAMBLE;
    m->bad = m->give_held = m->give_line = false;
    m->at_start = true;
    m->held_len = m->line_len = 0;
    m->data = m->end = NULL;
    m->parts = 0;
}

void mime_push(struct mime *m, const char *data, size_t len)
{
    m->data = data;
    m->end = data + len;
}

static enum mime_event fail(struct mime *m)
{
    m->bad = true;
    return MIME_BAD;
}

/* Header of a part. A line of dashes there is a delimiter in the wrong place. */
static enum mime_event next_field(struct mime *m)
{
    struct header_reader *r = &m->reader;
    for (;;) {
        enum header_event event;
        m->data += header_read(r, m->data, (size_t)(m->end - m->data), &event);
        if (r->total > MIME_PART_HEADER_MAX || event == HEADER_BAD ||
            (event == HEADER_FIELD && r->name[0] == '-')) {
            return fail(m);
        }
        if (event == HEADER_MORE) {
            return MIME_MORE;
        }
        if (event == HEADER_END && ++m->parts > MIME_PARTS_MAX) {
            return fail(m);
        }
        if (event == HEADER_END) {
            m->where = MIME_IN_BODY;
            m->at_start = true;
            return MIME_PART;
        }
        fields_add(&m->fields, r->name, r->name_len, r->value, r->value_len, r->cut);
    }
}

static enum mime_event text_event(const struct mime *m)
{
    switch (m->where) {
    case MIME_IN_PREAMBLE:
        return MIME_PREAMBLE;
    case MIME_IN_EPILOGUE:
        return MIME_EPILOGUE;
    case MIME_IN_HEADER:
    case MIME_IN_BODY:
        break;
    }
    return MIME_DATA;
}

static enum mime_event give(struct mime *m, const char *piece, size_t len)
{
    m->piece = piece;
    m->piece_len = len;
    return text_event(m);
}

static void begin_part(struct mime *m)
{
    m->where = MIME_IN_HEADER;
    header_reader_init(&m->reader);
    fields_init(&m->fields);
}

/* `line` is a whole line that begins with the delimiter. MIME_MORE: go on. */
static enum mime_event end_part(struct mime *m)
{
    const char *tail = m->line + m->delimiter_len;
    size_t len = m->line_len - m->delimiter_len;
    while (len > 0 && strchr("\r \t", tail[len - 1]) != NULL) {
        len--;
    }
    bool closing = len == 2 && tail[0] == '-' && tail[1] == '-';
    bool in_body = m->where == MIME_IN_BODY;
    if ((len > 0 && !closing) || m->where == MIME_IN_EPILOGUE) {
        return fail(m);
    }
    m->held_len = m->line_len = 0;
    if (closing) {
        m->where = MIME_IN_EPILOGUE;
    } else {
        begin_part(m);
    }
    return in_body ? MIME_PART_END : MIME_MORE;
}

/* At the start of a line: is it a delimiter? MIME_MORE: no, or not known yet. */
static enum mime_event match_line(struct mime *m)
{
    while (m->data < m->end) {
        char c = *m->data;
        if (m->line_len >= m->delimiter_len) {
            m->data++;
            if (c == '\n') {
                return end_part(m);
            }
            if (m->line_len == sizeof(m->line)) {
                return fail(m);
            }
            m->line[m->line_len++] = c;
        } else if (c == m->delimiter[m->line_len]) {
            m->line[m->line_len++] = c;
            m->data++;
        } else {
            m->at_start = false;
            m->give_held = m->held_len > 0;
            m->give_line = m->line_len > 0;
            break;
        }
    }
    return MIME_MORE;
}

/* A CR at the end of the last chunk: part of a line end? */
static void settle_cr(struct mime *m)
{
    if (*m->data == '\n') {
        m->held[m->held_len++] = *m->data++;
        m->at_start = true;
    } else {
        m->give_held = true;
    }
}

/* A run of text up to the chunk's end, or to a line that may be a delimiter. Its last
 * line end is held back. */
static enum mime_event scan_text(struct mime *m)
{
    const char *start = m->data, *p = m->data, *lf;
    while ((lf = memchr(p, '\n', (size_t)(m->end - p))) != NULL) {
        p = lf + 1;
        if (p == m->end || *p == '-') {
            break;
        }
    }
    const char *stop = lf != NULL ? lf : m->end;
    m->held_len = 0;
    if (stop > start && stop[-1] == '\r') {
        stop--;
        m->held[m->held_len++] = '\r';
    }
    if (lf != NULL) {
        m->held[m->held_len++] = '\n';
        m->at_start = true;
    }
    m->data = lf != NULL ? p : m->end;
    return give(m, start, (size_t)(stop - start));
}

static enum mime_event next_text(struct mime *m)
{
    if (m->give_held) {
        size_t len = m->held_len;
        m->give_held = false;
        m->held_len = 0;
        return give(m, m->held, len);
    }
    if (m->give_line) {
        size_t len = m->line_len;
        m->give_line = false;
        m->line_len = 0;
        return give(m, m->line, len);
    }
    if (m->at_start) {
        return match_line(m);
    }
    if (m->held_len > 0) {
        settle_cr(m);
        return MIME_MORE;
    }
    return scan_text(m);
}

enum mime_event mime_next(struct mime *m)
{
    if (m->bad) {
        return MIME_BAD;
    }
    while (m->data < m->end || m->give_held || m->give_line) {
        enum mime_event event =
            m->where == MIME_IN_HEADER ? next_field(m) : next_text(m);
        bool empty = event == text_event(m) && event != MIME_PART_END &&
                     event != MIME_PART && m->piece_len == 0;
        if (event != MIME_MORE && !empty) {
            return event;
        }
    }
    return MIME_MORE;
}

/* A line end closes a last line that has none, and else stays held. */
void mime_end(struct mime *m)
{
    mime_push(m, "\r\n", 2);
}

bool mime_closed(const struct mime *m)
{
    return !m->bad && m->where == MIME_IN_EPILOGUE;
}
