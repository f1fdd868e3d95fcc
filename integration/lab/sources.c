#include "sources.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/file.h"
#include "common/mem.h"

#define SOURCES_MAX (256 * 1024)

struct stanza {
    char *types, *uris, *suites, *components, *signed_by;
    bool disabled;
};

static void stanza_clear(struct stanza *s)
{
    free(s->types);
    free(s->uris);
    free(s->suites);
    free(s->components);
    free(s->signed_by);
    *s = (struct stanza){0};
}

/* Is `word` one of the blank-separated words of text? */
static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; p && (p = strstr(p, word)); p += n) {
        bool starts = p == text || isspace((unsigned char)p[-1]);
        if (starts && (p[n] == 0 || isspace((unsigned char)p[n])))
            return true;
    }
    return false;
}

/* The next blank-separated word at *p, which moves behind it; NULL at the end. */
static const char *next_word(const char **p, size_t *len)
{
    const char *word = *p + strspn(*p, " \t\n");
    *len = strcspn(word, " \t\n");
    *p = word + *len;
    return *len ? word : NULL;
}

static bool suite_is_debian(const char *suite, size_t len, const char *codename)
{
    static const char *const endings[] = {"", "-updates", "-security"};
    size_t n = strlen(codename);
    if (len < n || strncmp(suite, codename, n) != 0)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strlen(endings[i]) == len - n &&
            strncmp(suite + n, endings[i], len - n) == 0)
            return true;
    return false;
}

static void add_entries(const struct stanza *s, const char *codename,
                        const char *keyring, struct cm_buf *out)
{
    if (s->disabled || !s->types || !s->uris || !s->suites || !s->components)
        return;
    if (!has_word(s->types, "deb") || !has_word(s->components, "main"))
        return;
    if (s->signed_by && !strstr(s->signed_by, "debian-archive"))
        return;
    const char *uris = s->uris;
    size_t uri_len, suite_len;
    for (const char *uri; (uri = next_word(&uris, &uri_len));) {
        const char *suites = s->suites;
        for (const char *suite; (suite = next_word(&suites, &suite_len));)
            if (suite_is_debian(suite, suite_len, codename))
                cm_buf_fmt(out, "deb [signed-by=%s] %.*s %.*s main\n", keyring,
                           (int)uri_len, uri, (int)suite_len, suite);
    }
}

static char *trimmed(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    return cm_strndup(from, (size_t)(to - from));
}

static void stanza_line(struct stanza *s, const char *line, const char *end)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon || *line == '#' || isspace((unsigned char)*line))
        return;
    char *key = trimmed(line, colon);
    char *value = trimmed(colon + 1, end);
    struct {
        const char *key;
        char **where;
    } fields[] = {
        {"Types", &s->types},         {"URIs", &s->uris},
        {"Suites", &s->suites},       {"Components", &s->components},
        {"Signed-By", &s->signed_by},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcasecmp(key, fields[i].key) == 0) {
            free(*fields[i].where);
            *fields[i].where = value;
            value = NULL;
            break;
        }
    if (value && strcasecmp(key, "Enabled") == 0)
        s->disabled = strcasecmp(value, "no") == 0;
    free(value);
    free(key);
}

void sources_from_deb822(const char *text, const char *codename, const char *keyring,
                         struct cm_buf *out)
{
    struct stanza s = {0};
    for (const char *p = text; *p;) {
        const char *end = strchrnul(p, '\n');
        if (end == p || (end == p + 1 && *p == '\r')) {
            add_entries(&s, codename, keyring, out);
            stanza_clear(&s);
        } else {
            stanza_line(&s, p, end);
        }
        p = *end ? end + 1 : end;
    }
    add_entries(&s, codename, keyring, out);
    stanza_clear(&s);
}

/* "deb [signed-by=X arch=Y] URI SUITE COMPONENT..." */
static void one_line(const char *line, const char *end, const char *codename,
                     const char *keyring, struct cm_buf *out)
{
    struct stanza s = {0};
    char *copy = trimmed(line, end);
    char *p = copy;
    if (strncmp(p, "deb", 3) == 0 && isspace((unsigned char)p[3])) {
        p += 3 + strspn(p + 3, " \t");
        if (*p == '[') {
            char *close = strchr(p, ']');
            char *rest = close ? close + 1 : p + strlen(p);
            char *key = strstr(p, "signed-by=");
            if (key && key < rest)
                s.signed_by = trimmed(key, rest);
            p = rest + strspn(rest, " \t");
        }
        size_t uri = strcspn(p, " \t");
        size_t gap = uri + strspn(p + uri, " \t");
        size_t suite = strcspn(p + gap, " \t");
        s.types = cm_strdup("deb");
        s.uris = cm_strndup(p, uri);
        s.suites = cm_strndup(p + gap, suite);
        s.components = cm_strdup(p + gap + suite);
        add_entries(&s, codename, keyring, out);
    }
    free(copy);
    stanza_clear(&s);
}

void sources_from_list(const char *text, const char *codename, const char *keyring,
                       struct cm_buf *out)
{
    for (const char *p = text; *p;) {
        const char *end = strchrnul(p, '\n');
        one_line(p, end, codename, keyring, out);
        p = *end ? end + 1 : end;
    }
}

static int read_one(const char *path, const char *codename, const char *keyring,
                    struct cm_buf *out, struct cm_err *err)
{
    const char *dot = strrchr(path, '.');
    bool deb822 = dot && strcmp(dot, ".sources") == 0;
    if (!deb822 && !(dot && strcmp(dot, ".list") == 0))
        return 0;
    char *text = NULL;
    size_t len;
    int found = cm_file_read(path, SOURCES_MAX, &text, &len, err);
    if (found < 1)
        return found;
    if (deb822)
        sources_from_deb822(text, codename, keyring, out);
    else
        sources_from_list(text, codename, keyring, out);
    free(text);
    return 0;
}

int sources_of_host(const char *codename, const char *keyring, struct cm_buf *out,
                    struct cm_err *err)
{
    if (read_one("/etc/apt/sources.list", codename, keyring, out, err) < 0)
        return -1;
    const char *dir = "/etc/apt/sources.list.d";
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, alphasort);
    int rc = 0;
    for (int i = 0; i < n; i++) {
        char *path = cm_asprintf("%s/%s", dir, names[i]->d_name);
        if (rc == 0)
            rc = read_one(path, codename, keyring, out, err);
        free(path);
        free(names[i]);
    }
    free(names);
    if (rc == 0 && out->len == 0)
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "no apt source for Debian %s on this machine; the lab builds "
                        "its nodes from the sources in /etc/apt",
                        codename);
    return rc;
}
