#include "txt.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* "\034" or "\"" as in a zone file; *p at the backslash. */
static char unescape(const char **p)
{
    const char *s = *p + 1;

    if (isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]) &&
        isdigit((unsigned char)s[2])) {
        *p += 3;
        return (char)((s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0'));
    }
    *p += 1;
    return s[0];
}

void op_txt_join(const char *data, char *out, size_t size)
{
    bool inside = strchr(data, '"') == NULL;
    size_t n = 0;

    for (const char *p = data; *p != '\0' && n + 1 < size; p++) {
        if (*p == '\\' && p[1] != '\0') {
            out[n++] = unescape(&p);
        } else if (*p == '"') {
            inside = !inside;
        } else if (inside) {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
}

bool op_txt_is(const char *text, const char *version)
{
    size_t n = strlen(version);

    text += strspn(text, " \t");
    return strncasecmp(text, version, n) == 0 &&
           (text[n] == '\0' || strchr(" \t;", text[n]) != NULL);
}

void op_txt_tag(const char *text, const char *tag, char *out, size_t size)
{
    size_t n = strlen(tag), len = 0;

    out[0] = '\0';
    for (const char *p = text; *p != '\0';) {
        p += strspn(p, " \t;");
        size_t whole = strcspn(p, ";"), name = strcspn(p, "= \t;");
        const char *equals = memchr(p, '=', whole);
        if (name == n && strncmp(p, tag, n) == 0 && equals != NULL) {
            for (const char *v = equals + 1; v < p + whole && len + 1 < size; v++) {
                if (!isspace((unsigned char)*v)) {
                    out[len++] = *v;
                }
            }
            out[len] = '\0';
            return;
        }
        p += whole;
    }
}

/* Tags that count, with what stands for one that is not there; the values of all but
 * DKIM's p= are compared without case. */
struct tag {
    const char *name, *fallback;
    bool exact;
    bool any_of; /* a list with ':': the wanted one, or "*", is among it */
    bool any_id; /* whatever 1 to 32 letters and digits (RFC 8461 3.1): it says that a
                  * policy is another one, and ours is fetched and looked at itself */
};

static const struct kind {
    const char *version;
    struct tag tags[6];
} kinds[] = {
    {"v=DKIM1",
     {{"k", "rsa", false, false, false},
      {"p", "", true, false, false},
      {"s", "*", false, true, false},
      {"h", "sha256", false, true, false}}},
    {"v=DMARC1",
     {{"p", "none", false, false, false},
      {"adkim", "r", false, false, false},
      {"aspf", "r", false, false, false},
      {"pct", "100", false, false, false}}},
    {"v=STSv1", {{.name = "id", .fallback = "", .any_id = true}}},
    {"dkim=", {{"dkim", "", false, false, false}}},
};

static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (*list != '\0') {
        size_t len = strcspn(list, ":");
        if ((len == 1 && *list == '*') ||
            (len == n && strncasecmp(list, word, n) == 0)) {
            return true;
        }
        list += len + (list[len] == ':');
    }
    return false;
}

static bool is_id(const char *text)
{
    size_t n = 0;

    while (isalnum((unsigned char)text[n])) {
        n++;
    }
    return n >= 1 && n <= 32 && text[n] == '\0';
}

static bool same_tag(const struct tag *t, const char *wanted, const char *published)
{
    char a[OP_TXT_MAX], b[OP_TXT_MAX];

    op_txt_tag(wanted, t->name, a, sizeof(a));
    op_txt_tag(published, t->name, b, sizeof(b));
    if (a[0] == '\0') {
        snprintf(a, sizeof(a), "%s", t->fallback);
    }
    if (b[0] == '\0') {
        snprintf(b, sizeof(b), "%s", t->fallback);
    }
    return t->any_id   ? is_id(b)
           : t->any_of ? list_has(b, a)
           : t->exact  ? strcmp(a, b) == 0
                       : strcasecmp(a, b) == 0;
}

static const struct kind *kind_of(const char *text)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *v = kinds[i].version;
        if (v[strlen(v) - 1] == '=' ? strncasecmp(text, v, strlen(v)) == 0
                                    : op_txt_is(text, v)) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool op_txt_serves(const char *wanted, const char *published)
{
    const struct kind *k = kind_of(wanted);
    char version[16];

    if (k == NULL) {
        return strcmp(wanted, published) == 0;
    }
    /* Of DKIM alone v= may be left out (RFC 6376 3.6.1). */
    op_txt_tag(published, "v", version, sizeof(version));
    bool bare = strcmp(k->version, "v=DKIM1") == 0 && version[0] == '\0';
    if (!bare && strncmp(k->version, "v=", 2) == 0 &&
        strcasecmp(version, k->version + 2) != 0) {
        return false;
    }
    /* A key under test counts as none. */
    op_txt_tag(published, "t", version, sizeof(version));
    if (strcmp(k->version, "v=DKIM1") == 0 && list_has(version, "y")) {
        return false;
    }
    for (const struct tag *t = k->tags; t->name != NULL; t++) {
        if (!same_tag(t, wanted, published)) {
            return false;
        }
    }
    return true;
}
