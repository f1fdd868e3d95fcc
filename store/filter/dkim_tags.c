#include "dkim_tags.h"

#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

struct dkim_span dkim_trim(struct dkim_span s)
{
    while (s.len > 0 && is_space(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.p[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool dkim_span_is(struct dkim_span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.p, text, s.len) == 0;
}

/* Cuts the text in front of the first `mark` off *rest; all of it when there is none.
 */
static struct dkim_span cut(struct dkim_span *rest, char mark)
{
    const char *end = rest->len > 0 ? memchr(rest->p, mark, rest->len) : NULL;
    struct dkim_span head = {rest->p,
                             end != NULL ? (size_t)(end - rest->p) : rest->len};
    if (end == NULL) {
        *rest = (struct dkim_span){NULL, 0};
    } else {
        rest->p = end + 1;
        rest->len -= head.len + 1;
    }
    return head;
}

static bool good_name(struct dkim_span s)
{
    if (s.len == 0 || !is_alpha(s.p[0])) {
        return false;
    }
    for (size_t i = 1; i < s.len; i++) {
        char c = s.p[i];
        if (!is_alpha(c) && !(c >= '0' && c <= '9') && c != '_') {
            return false;
        }
    }
    return true;
}

static bool good_value(struct dkim_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && !is_space((char)c)) || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool known(const struct dkim_tags *tags, struct dkim_span name)
{
    for (unsigned i = 0; i < tags->count; i++) {
        const struct dkim_span *n = &tags->tag[i].name;
        if (n->len == name.len && memcmp(n->p, name.p, name.len) == 0) {
            return true;
        }
    }
    return false;
}

enum added { ADDED, NO_TAG, BAD_LIST };

static enum added add_tag(struct dkim_tags *tags, struct dkim_span spec)
{
    if (memchr(spec.p, '=', spec.len) == NULL) {
        return NO_TAG;
    }
    struct dkim_span raw = spec;
    struct dkim_tag tag = {.name = dkim_trim(cut(&raw, '=')), .raw = raw};
    tag.value = dkim_trim(raw);
    if (!good_name(tag.name) || !good_value(raw)) {
        return NO_TAG;
    }
    if (known(tags, tag.name) || tags->count == DKIM_TAGS_MAX) {
        return BAD_LIST;
    }
    tags->tag[tags->count++] = tag;
    return ADDED;
}

static bool parse(struct dkim_tags *tags, const char *text, size_t len, bool loose)
{
    struct dkim_span rest = {text, len};
    tags->count = 0;
    while (rest.p != NULL) {
        struct dkim_span spec = cut(&rest, ';');
        /* The last ';' may have nothing but blanks behind it. */
        if (rest.p == NULL && tags->count > 0 && dkim_trim(spec).len == 0) {
            break;
        }
        enum added added = add_tag(tags, spec);
        if (added == BAD_LIST || (added == NO_TAG && !loose)) {
            return false;
        }
    }
    return tags->count > 0;
}

bool dkim_tags_parse(struct dkim_tags *tags, const char *text, size_t len)
{
    return parse(tags, text, len, false);
}

bool dkim_tags_parse_loose(struct dkim_tags *tags, const char *text, size_t len)
{
    return parse(tags, text, len, true);
}

const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, const char *name)
{
    for (unsigned i = 0; i < tags->count; i++) {
        const struct dkim_tag *t = &tags->tag[i];
        if (t->name.len == strlen(name) && memcmp(t->name.p, name, t->name.len) == 0) {
            return t;
        }
    }
    return NULL;
}

bool dkim_list_next(struct dkim_span *rest, struct dkim_span *item)
{
    if (rest->p == NULL) {
        return false;
    }
    *item = dkim_trim(cut(rest, ':'));
    return true;
}

bool dkim_number(struct dkim_span s, int64_t *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(n, (int64_t)10, &n) ||
            __builtin_add_overflow(n, (int64_t)(s.p[i] - '0'), &n)) {
            n = INT64_MAX; /* RFC 6376 3.5: may be taken for infinite */
        }
    }
    *out = n;
    return s.len > 0;
}

/* Not OpenSSL's decoder: signatures are folded anywhere, and records lose their
 * padding. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool dkim_base64(struct dkim_span s, unsigned char *out, size_t cap, size_t *len)
{
    uint32_t bits = 0;
    unsigned have = 0; /* bits not yet written */
    size_t n = 0;
    bool padded = false;
    for (size_t i = 0; i < s.len; i++) {
        if (is_space(s.p[i])) {
            continue;
        }
        if (s.p[i] == '=') {
            padded = true;
            continue;
        }
        int v = sextet(s.p[i]);
        if (v < 0 || padded) {
            return false;
        }
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            if (n == cap) {
                return false;
            }
            have -= 8;
            out[n++] = (unsigned char)(bits >> have);
        }
    }
    *len = n;
    return have < 6;
}
