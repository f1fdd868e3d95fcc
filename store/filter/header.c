#include "header.h"

#include <string.h>
#include <strings.h>

void header_reader_init(struct header_reader *r)
{
    r->len = r->total = 0;
    r->cut = r->folded = r->bad = false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Printable and no colon (RFC 5322, 2.2). */
static bool is_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] > '~' || name[i] == ':') {
            return false;
        }
    }
    return len > 0;
}

/* What is collected is a whole field. */
static enum header_event give_field(struct header_reader *r)
{
    size_t len = r->len;
    r->len = 0;
    r->folded = false;
    while (len > 0 && (r->text[len - 1] == '\n' || r->text[len - 1] == '\r')) {
        len--;
    }
    const char *colon = memchr(r->text, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - r->text) : 0;
    while (name_len > 0 && is_blank(r->text[name_len - 1])) {
        name_len--;
    }
    if (colon == NULL || !is_name(r->text, name_len)) {
        r->bad = true;
        return HEADER_BAD;
    }
    r->name = r->text;
    r->name_len = name_len;
    r->value = colon + 1;
    r->value_len = (size_t)(r->text + len - r->value);
    return HEADER_FIELD;
}

static void collect(struct header_reader *r, const char *data, size_t len)
{
    size_t room = sizeof(r->text) - r->len;
    size_t n = len < room ? len : room;
    memcpy(r->text + r->len, data, n);
    r->len += n;
    r->cut = r->cut || n < len;
}

static bool is_line_end(const struct header_reader *r)
{
    return r->len == 1 || (r->len == 2 && r->text[0] == '\r');
}

size_t header_read(struct header_reader *r, const char *data, size_t len,
                   enum header_event *event_r)
{
    size_t at = 0;
    *event_r = r->bad ? HEADER_BAD : HEADER_MORE;
    while (at < len && !r->bad) {
        if (r->folded && !is_blank(data[at])) {
            *event_r = give_field(r);
            break;
        }
        if (r->len == 0) {
            r->cut = false;
        }
        r->folded = false;
        const char *lf = memchr(data + at, '\n', len - at);
        size_t n = lf != NULL ? (size_t)(lf - data) + 1 - at : len - at;
        collect(r, data + at, n);
        at += n;
        if (lf != NULL && !r->cut && is_line_end(r)) {
            r->len = 0;
            *event_r = HEADER_END;
            break;
        }
        r->folded = lf != NULL;
    }
    r->total += at;
    return at;
}

enum header_event header_read_end(struct header_reader *r)
{
    if (r->bad) {
        return HEADER_BAD;
    }
    return r->len > 0 ? give_field(r) : HEADER_END;
}

size_t header_unfold(const char *value, size_t len, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = value[i] == '\t' ? ' ' : value[i];
        if (((unsigned char)c < 0x20) || c == 0x7f || (n == 0 && c == ' ')) {
            continue;
        }
        if (n + 1 >= size) {
            out[0] = '\0';
            return size;
        }
        out[n++] = c;
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
    return n;
}

bool header_is(const char *name, size_t name_len, const char *wanted)
{
    return strlen(wanted) == name_len && strncasecmp(name, wanted, name_len) == 0;
}

static const char *const field_names[FIELDS] = {
    [FIELD_FROM] = "From",
    [FIELD_SUBJECT] = "Subject",
    [FIELD_CONTENT_TYPE] = "Content-Type",
    [FIELD_ENCODING] = "Content-Transfer-Encoding",
    [FIELD_SECURE_JOIN] = "Secure-Join",
    [FIELD_AUTO_SUBMITTED] = "Auto-Submitted",
};

void fields_init(struct fields *fields)
{
    for (size_t i = 0; i < FIELDS; i++) {
        fields->field[i].count = 0;
        fields->field[i].too_long = false;
        fields->field[i].text[0] = '\0';
    }
}

void fields_add(struct fields *fields, const char *name, size_t name_len,
                const char *value, size_t value_len, bool cut)
{
    while (name_len > 0 && is_blank(name[name_len - 1])) {
        name_len--;
    }
    for (size_t i = 0; i < FIELDS; i++) {
        struct field_text *field = &fields->field[i];
        if (header_is(name, name_len, field_names[i])) {
            if (field->count++ == 0) {
                size_t size = sizeof(field->text);
                field->too_long =
                    cut || header_unfold(value, value_len, field->text, size) == size;
            }
            return;
        }
    }
}

const char *fields_once(const struct fields *fields, enum field field)
{
    const struct field_text *f = &fields->field[field];
    return f->count == 1 && !f->too_long ? f->text : NULL;
}
