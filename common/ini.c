#include "common/ini.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define MAX_FILE (1024u * 1024)
#define MAX_LINE (64u * 1024) /* and value */
#define SHOWN    40           /* characters of a bad line that an error repeats */

struct span {
    const char *text;
    size_t len;
};

struct parser {
    const char *name;
    unsigned line;
    struct cm_ini ini;
    bool may_continue; /* the last thing read was a value or its continuation */
};

static int fail(const struct parser *p, struct cm_err *err, const char *what,
                struct span shown)
{
    int n = (int)(shown.len < SHOWN ? shown.len : SHOWN);
    return cm_err_set(err, CM_ERR_WORLD, "%s:%u: %s: \"%.*s%s\"", p->name, p->line,
                      what, n, shown.text, shown.len > SHOWN ? "..." : "");
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.text[0])) {
        s.text++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.text[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-' || c == '.';
}

static char *lower_copy(struct span s)
{
    char *copy = cm_strndup(s.text, s.len);
    for (char *c = copy; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
    return copy;
}

/* "gateway   edge1" and "gateway edge1" are the same section. */
static char *squeeze_copy(struct span s)
{
    char *copy = cm_malloc(s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_blank(s.text[i])) {
            copy[n++] = s.text[i];
        } else if (n > 0 && copy[n - 1] != ' ') {
            copy[n++] = ' ';
        }
    }
    copy[n] = '\0';
    return copy;
}

static int add_section(struct parser *p, struct span s, struct cm_err *err)
{
    const char *end = memchr(s.text, ']', s.len);
    if (end != s.text + s.len - 1) {
        return fail(p, err, "a section is one [name] on its line", s);
    }
    struct span inside = trim((struct span){s.text + 1, s.len - 2});
    if (inside.len == 0 || memchr(inside.text, '[', inside.len) != NULL) {
        return fail(p, err, "a section is one [name] on its line", s);
    }
    struct cm_ini *ini = &p->ini;
    char *name = squeeze_copy(inside);
    for (size_t i = 0; i < ini->section_count; i++) {
        if (strcmp(ini->sections[i].name, name) == 0) {
            cm_err_set(err, CM_ERR_WORLD,
                       "%s:%u: section [%s] is there twice, first on line %u; allowed: "
                       "each section once",
                       p->name, p->line, name, ini->sections[i].line);
            free(name);
            return -1;
        }
    }
    if (ini->section_count >= CM_INI_ITEMS_MAX) {
        free(name);
        return fail(p, err, "too many sections", s);
    }
    ini->sections =
        cm_realloc_array(ini->sections, ini->section_count + 1, sizeof(*ini->sections));
    ini->sections[ini->section_count++] = (struct cm_ini_section){name, p->line};
    p->may_continue = false;
    return 0;
}

static int add_item(struct parser *p, struct span key, struct span value,
                    struct cm_err *err)
{
    struct cm_ini *ini = &p->ini;
    const char *section = ini->sections[ini->section_count - 1].name;
    char *name = lower_copy(key);
    const struct cm_ini_item *twin = cm_ini_find(ini, section, name);
    if (twin != NULL) {
        cm_err_set(err, CM_ERR_WORLD,
                   "%s:%u: [%s] %s is there twice, first on line %u; allowed: each key "
                   "once in a section",
                   p->name, p->line, section, name, twin->line);
        free(name);
        return -1;
    }
    if (ini->count >= CM_INI_ITEMS_MAX) {
        free(name);
        return fail(p, err, "too many values", key);
    }
    ini->items = cm_realloc_array(ini->items, ini->count + 1, sizeof(*ini->items));
    ini->items[ini->count++] = (struct cm_ini_item){
        .section = cm_strdup(section),
        .key = name,
        .value = cm_strndup(value.text, value.len),
        .line = p->line,
    };
    p->may_continue = true;
    return 0;
}

static int continue_value(struct parser *p, struct span s, struct cm_err *err)
{
    if (!p->may_continue) {
        return fail(p, err, "an indented line continues a value, but there is none", s);
    }
    struct cm_ini_item *last = &p->ini.items[p->ini.count - 1];
    if (strlen(last->value) + s.len > MAX_LINE) {
        return fail(p, err, "value longer than 64 KiB", s);
    }
    size_t len = strlen(last->value);
    last->value = cm_realloc_array(last->value, len + s.len + 2, 1);
    if (len > 0) {
        last->value[len++] = '\n';
    }
    memcpy(last->value + len, s.text, s.len);
    last->value[len + s.len] = '\0';
    return 0;
}

static int take_pair(struct parser *p, struct span s, struct cm_err *err)
{
    size_t n = 0;
    while (n < s.len && is_key_char(s.text[n])) {
        n++;
    }
    struct span key = {s.text, n};
    while (n < s.len && is_blank(s.text[n])) {
        n++;
    }
    if (key.len == 0 || n == s.len || (s.text[n] != '=' && s.text[n] != ':')) {
        return fail(p, err, "neither \"[section]\" nor \"key = value\"", s);
    }
    if (p->ini.section_count == 0) {
        return fail(p, err, "a value before the first [section]", s);
    }
    return add_item(p, key, trim((struct span){s.text + n + 1, s.len - n - 1}), err);
}

static int take_line(struct parser *p, struct span raw, struct cm_err *err)
{
    if (raw.len > MAX_LINE) {
        return fail(p, err, "line longer than 64 KiB", raw);
    }
    if (memchr(raw.text, '\0', raw.len) != NULL) {
        return fail(p, err, "a NUL byte in the text", raw);
    }
    struct span s = trim(raw);
    if (s.len == 0 || s.text[0] == '#' || s.text[0] == ';') {
        return 0;
    }
    if (is_blank(raw.text[0])) {
        return continue_value(p, s, err);
    }
    if (s.text[0] == '[') {
        return add_section(p, s, err);
    }
    return take_pair(p, s, err);
}

static struct span without_bom(struct span s)
{
    if (s.len >= 3 && memcmp(s.text, "\xef\xbb\xbf", 3) == 0) {
        return (struct span){s.text + 3, s.len - 3};
    }
    return s;
}

int cm_ini_parse(const char *name, const char *text, size_t len, struct cm_ini *ini_r,
                 struct cm_err *err)
{
    if (len > MAX_FILE) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: longer than 1 MiB", name);
    }
    struct parser p = {.name = name};
    struct span rest = without_bom((struct span){text, len});
    while (rest.len > 0) {
        const char *newline = memchr(rest.text, '\n', rest.len);
        size_t n = newline != NULL ? (size_t)(newline - rest.text) : rest.len;
        p.line++;
        if (take_line(&p, (struct span){rest.text, n}, err) != 0) {
            cm_ini_clear(&p.ini);
            return -1;
        }
        n += newline != NULL ? 1 : 0;
        rest = (struct span){rest.text + n, rest.len - n};
    }
    *ini_r = p.ini;
    return 0;
}

void cm_ini_clear(struct cm_ini *ini)
{
    for (size_t i = 0; i < ini->count; i++) {
        free(ini->items[i].section);
        free(ini->items[i].key);
        free(ini->items[i].value);
    }
    for (size_t i = 0; i < ini->section_count; i++) {
        free(ini->sections[i].name);
    }
    free(ini->items);
    free(ini->sections);
    *ini = (struct cm_ini){0};
}

const struct cm_ini_item *cm_ini_find(const struct cm_ini *ini, const char *section,
                                      const char *key)
{
    for (size_t i = 0; i < ini->count; i++) {
        if (strcmp(ini->items[i].key, key) == 0 &&
            strcmp(ini->items[i].section, section) == 0) {
            return &ini->items[i];
        }
    }
    return NULL;
}
