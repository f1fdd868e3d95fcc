#include "families.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define DIGITS     "0123456789"
#define ALPHA      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define LABELS_MAX 32

struct family {
    char *name;
    char *help; /* as it stands behind the name; NULL: none came */
    char *type;
    struct cm_buf samples;
};

struct families {
    struct family *items[FAMILIES_MAX];
    size_t count;
    size_t bytes;
};

struct families *families_new(void)
{
    return cm_calloc(1, sizeof(struct families));
}

static void family_free(struct family *f)
{
    free(f->name);
    free(f->help);
    free(f->type);
    cm_buf_clear(&f->samples);
    free(f);
}

void families_free(struct families **familiesp)
{
    struct families *families = *familiesp;
    if (families == NULL) {
        return;
    }
    for (size_t i = 0; i < families->count; i++) {
        family_free(families->items[i]);
    }
    free(families);
    *familiesp = NULL;
}

static struct family *find(const struct families *families, const char *name,
                           size_t len)
{
    for (size_t i = 0; i < families->count; i++) {
        struct family *f = families->items[i];
        if (strncmp(f->name, name, len) == 0 && f->name[len] == '\0') {
            return f;
        }
    }
    return NULL;
}

/* Reading. Each takes a position and returns the one behind, or NULL. */

static const char *skip_name(const char *p, bool colon)
{
    size_t n = strspn(p, colon ? ALPHA DIGITS ":" : ALPHA DIGITS);
    return n > 0 && strchr(DIGITS, *p) == NULL ? p + n : NULL;
}

static const char *skip_label_value(const char *p)
{
    if (*p++ != '"') {
        return NULL;
    }
    for (; *p != '"'; p++) {
        if (*p == '\0' || (*p == '\\' && strchr("\\\"n", p[1]) == NULL) ||
            (*p == '\\' && p[1] == '\0')) {
            return NULL;
        }
        p += *p == '\\';
    }
    return p + 1;
}

/* "{a="b",c="d"}"; a name may come once. */
static const char *skip_labels(const char *p)
{
    const char *names[LABELS_MAX];
    size_t lens[LABELS_MAX], n = 0;
    if (*p != '{') {
        return p;
    }
    p++;
    while (*p != '}') {
        const char *end = skip_name(p, false);
        if (end == NULL || *end != '=' || n == LABELS_MAX) {
            return NULL;
        }
        lens[n] = (size_t)(end - p);
        names[n] = p;
        for (size_t i = 0; i < n; i++) {
            if (lens[i] == lens[n] && memcmp(names[i], p, lens[n]) == 0) {
                return NULL;
            }
        }
        n++;
        p = skip_label_value(end + 1);
        if (p == NULL || (*p != ',' && *p != '}')) {
            return NULL;
        }
        p += *p == ',';
    }
    return p + 1;
}

static bool is_value(const char *p)
{
    static const char *const words[] = {"NaN", "+Inf", "-Inf", "Inf"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(p, words[i]) == 0) {
            return true;
        }
    }
    char *end;
    if (*p == '\0' || p[strspn(p, DIGITS "+-.eE")] != '\0') {
        return false;
    }
    strtod(p, &end);
    return *end == '\0';
}

static bool is_type(const char *p)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary",
                                        "untyped"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(p, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A text is read into families of its own first; a good one is then merged. */

static struct family *family_of(struct families *into, const char *name, size_t len,
                                struct cm_err *err)
{
    struct family *f = find(into, name, len);
    if (f != NULL) {
        return f;
    }
    if (into->count == FAMILIES_MAX) {
        (void)cm_err_set(err, CM_ERR_REFUSE, "too many families");
        return NULL;
    }
    f = cm_calloc(1, sizeof(*f));
    f->name = cm_strndup(name, len);
    cm_buf_init(&f->samples, FAMILIES_PAGE_MAX);
    into->items[into->count++] = f;
    return f;
}

/* "HELP name text" or "TYPE name type" behind "# ". Other comments say nothing. */
static int read_comment(struct families *into, const char *p, struct cm_err *err)
{
    bool help = strncmp(p, "HELP ", 5) == 0;
    if (!help && strncmp(p, "TYPE ", 5) != 0) {
        return 0;
    }
    const char *name = p + 5, *end = skip_name(name, true);
    if (end == NULL || *end != ' ') {
        return cm_err_set(err, CM_ERR_REFUSE, "no name behind %.4s", p);
    }
    struct family *f = family_of(into, name, (size_t)(end - name), err);
    if (f == NULL) {
        return -1;
    }
    char **field = help ? &f->help : &f->type;
    if (*field != NULL || f->samples.len > 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "%.4s of %s twice or too late", p,
                          f->name);
    }
    if (!help && !is_type(end + 1)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: no such type: %.40s", f->name,
                          end + 1);
    }
    *field = cm_strdup(end + 1);
    return 0;
}

/* A histogram's name_bucket, name_sum and name_count belong to name. */
static struct family *family_of_sample(struct families *into, const char *name,
                                       size_t len, struct cm_err *err)
{
    static const char *const ends[] = {"_bucket", "_sum", "_count"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t n = strlen(ends[i]);
        if (len > n && memcmp(name + len - n, ends[i], n) == 0) {
            struct family *f = find(into, name, len - n);
            if (f != NULL && f->type != NULL &&
                (strcmp(f->type, "histogram") == 0 ||
                 strcmp(f->type, "summary") == 0)) {
                return f;
            }
        }
    }
    return family_of(into, name, len, err);
}

/* Is the series line[0..len) among the samples? */
static bool has_series(const struct family *f, const char *line, size_t len)
{
    const char *p = f->samples.data;
    while (p != NULL && *p != '\0') {
        if (strncmp(p, line, len) == 0 && p[len] == ' ') {
            return true;
        }
        p = strchr(p, '\n');
        p = p != NULL ? p + 1 : NULL;
    }
    return false;
}

static int read_sample(struct families *into, const char *line, struct cm_err *err)
{
    const char *end = skip_name(line, true);
    const char *labels = end != NULL ? skip_labels(end) : NULL;
    if (labels == NULL || *labels != ' ' || !is_value(labels + 1)) {
        return cm_err_set(err, CM_ERR_REFUSE, "no sample: %.80s", line);
    }
    struct family *f = family_of_sample(into, line, (size_t)(end - line), err);
    if (f == NULL) {
        return -1;
    }
    if (has_series(f, line, (size_t)(labels - line))) {
        return cm_err_set(err, CM_ERR_REFUSE, "a series twice: %.80s", line);
    }
    cm_buf_fmt(&f->samples, "%s\n", line);
    return 0;
}

static int read_line(struct families *into, const char *line, struct cm_err *err)
{
    if (line[0] == '\0') {
        return 0;
    }
    return strncmp(line, "# ", 2) == 0 ? read_comment(into, line + 2, err)
           : line[0] == '#'            ? 0
                                       : read_sample(into, line, err);
}

static int read_text(struct families *into, const char *text, size_t len,
                     struct cm_err *err)
{
    char line[FAMILIES_LINE_MAX + 1];
    unsigned number = 1;
    for (const char *p = text, *end = text + len; p < end; number++) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t n = lf != NULL ? (size_t)(lf - p) : 0;
        if (lf == NULL || n > FAMILIES_LINE_MAX || memchr(p, '\0', n) != NULL) {
            return cm_err_set(err, CM_ERR_REFUSE, "line %u: too long or cut off",
                              number);
        }
        memcpy(line, p, n);
        line[n] = '\0';
        if (read_line(into, line, err) != 0) {
            return cm_err_prefix(err, "line %u", number);
        }
        p = lf + 1;
    }
    return 0;
}

/* Merging */

static int check_merge(const struct families *to, const struct families *from,
                       size_t bytes, struct cm_err *err)
{
    size_t fresh = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct family *a = from->items[i],
                            *b = find(to, a->name, strlen(a->name));
        fresh += b == NULL;
        if (b != NULL && a->type != NULL && b->type != NULL &&
            strcmp(a->type, b->type) != 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s is a %s elsewhere", a->name,
                              b->type);
        }
    }
    if (to->count + fresh > FAMILIES_MAX || to->bytes + bytes > FAMILIES_PAGE_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "the page is full");
    }
    return 0;
}

static void merge_family(struct families *to, const struct family *from)
{
    struct cm_err err;
    struct family *f = family_of(to, from->name, strlen(from->name), &err);
    cm_assert(f != NULL); /* counted before */
    if (f->help == NULL) {
        f->help = cm_strdup(from->help);
    }
    if (f->type == NULL) {
        f->type = cm_strdup(from->type);
    }
    for (const char *p = from->samples.data; *p != '\0';) {
        size_t n = strcspn(p, "\n") + 1;
        const char *series = skip_labels(skip_name(p, true));
        if (!has_series(f, p, (size_t)(series - p))) {
            cm_buf_add(&f->samples, p, n);
        }
        p += n;
    }
}

int families_add(struct families *families, const char *text, size_t len,
                 struct cm_err *err)
{
    struct families *own = families_new();
    int rc = read_text(own, text, len, err);
    if (rc == 0) {
        rc = check_merge(families, own, len, err);
    }
    for (size_t i = 0; rc == 0 && i < own->count; i++) {
        merge_family(families, own->items[i]);
    }
    if (rc == 0) {
        families->bytes += len;
    }
    families_free(&own);
    return rc;
}

void families_write(const struct families *families, struct cm_buf *out)
{
    for (size_t i = 0; i < families->count; i++) {
        const struct family *f = families->items[i];
        if (f->samples.len == 0) {
            continue;
        }
        if (f->help != NULL) {
            cm_buf_fmt(out, "# HELP %s %s\n", f->name, f->help);
        }
        if (f->type != NULL) {
            cm_buf_fmt(out, "# TYPE %s %s\n", f->name, f->type);
        }
        cm_buf_add(out, f->samples.data, f->samples.len);
    }
}
