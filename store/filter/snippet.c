#include "snippet.h"

#include <string.h>

void snippet_init(struct snippet *s)
{
    s->len = 0;
    s->too_long = false;
}

void snippet_add(struct snippet *s, const char *data, size_t len)
{
    if (s->too_long || len > SNIPPET_MAX - s->len) {
        s->too_long = true;
        return;
    }
    memcpy(s->text + s->len, data, len);
    s->len += len;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

const char *snippet_trimmed(struct snippet *s)
{
    char *p = s->text;
    if (s->too_long || memchr(p, '\0', s->len) != NULL) {
        return NULL;
    }
    while (s->len > 0 && is_blank(p[s->len - 1])) {
        s->len--;
    }
    p[s->len] = '\0';
    while (is_blank(*p)) {
        p++;
    }
    return p;
}
