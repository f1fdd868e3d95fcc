#include "common/template.h"

#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#define SHOWN 40 /* characters of a bad tag that an error repeats */

struct tag {
    char kind; /* '#', '^', '/', '!', or 0 for a value */
    const char *name;
    size_t name_len;
    const char *start; /* of "{{" */
    const char *end;   /* behind "}}" */
};

struct section {
    struct tag opened_by;
    bool shown; /* itself and all around it */
};

struct render {
    const char *file;
    const char *text;
    const struct cm_template_var *vars;
    size_t n;
    bool *used; /* may be NULL */
    struct section open[CM_TEMPLATE_DEPTH];
    size_t depth;
    struct cm_buf out;
};

/* "FILE:LINE:COLUMN: " in front of what is wrong there. */
static int blame(const struct render *r, const char *at, struct cm_err *err)
{
    unsigned line = 1;
    const char *line_start = r->text;
    for (const char *c = r->text; c < at; c++) {
        if (*c == '\n') {
            line++;
            line_start = c + 1;
        }
    }
    return cm_err_prefix(err, "%s:%u:%zu", r->file, line,
                         (size_t)(at - line_start) + 1);
}

static int shown_len(const struct tag *tag)
{
    return (int)(tag->name_len < SHOWN ? tag->name_len : SHOWN);
}

static bool is_name(const char *s, size_t n)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-.";
    return n > 0 && strspn(s, chars) >= n;
}

static void trim(struct tag *tag)
{
    while (tag->name_len > 0 && tag->name[0] == ' ') {
        tag->name++;
        tag->name_len--;
    }
    while (tag->name_len > 0 && tag->name[tag->name_len - 1] == ' ') {
        tag->name_len--;
    }
}

/* start points at "{{". A comment may hold anything but "}}", line ends too. */
static int read_tag(const struct render *r, const char *start, struct tag *tag,
                    struct cm_err *err)
{
    *tag = (struct tag){.start = start, .name = start + 2};
    const char *close = strstr(tag->name, "}}");
    if (close == NULL) {
        cm_err_set(err, CM_ERR_WORLD, "\"{{\" without \"}}\"");
        return blame(r, start, err);
    }
    tag->end = close + 2;
    if (strchr("#^/!", *tag->name) != NULL) {
        tag->kind = *tag->name++;
    }
    tag->name_len = (size_t)(close - tag->name);
    trim(tag);
    if (tag->kind != '!' && !is_name(tag->name, tag->name_len)) {
        cm_err_set(err, CM_ERR_WORLD, "bad name in {{%.*s}}", shown_len(tag),
                   tag->name);
        return blame(r, start, err);
    }
    return 0;
}

static bool same_name(const struct tag *tag, const char *name)
{
    return strlen(name) == tag->name_len && memcmp(name, tag->name, tag->name_len) == 0;
}

static int find_value(struct render *r, const struct tag *tag, const char **value_r,
                      struct cm_err *err)
{
    for (size_t i = 0; i < r->n; i++) {
        if (same_name(tag, r->vars[i].name) && r->vars[i].value != NULL) {
            if (r->used != NULL) {
                r->used[i] = true;
            }
            *value_r = r->vars[i].value;
            return 0;
        }
    }
    cm_err_set(err, CM_ERR_WORLD, "no value for {{%.*s}}", shown_len(tag), tag->name);
    return blame(r, tag->start, err);
}

static bool shown(const struct render *r)
{
    return r->depth == 0 || r->open[r->depth - 1].shown;
}

static int open_section(struct render *r, const struct tag *tag, struct cm_err *err)
{
    const char *value;
    if (find_value(r, tag, &value, err) != 0) {
        return -1;
    }
    if (r->depth == CM_TEMPLATE_DEPTH) {
        cm_err_set(err, CM_ERR_WORLD, "more than %d sections inside each other",
                   CM_TEMPLATE_DEPTH);
        return blame(r, tag->start, err);
    }
    bool filled = *value != '\0' && strcmp(value, "no") != 0;
    bool stays = filled == (tag->kind == '#');
    r->open[r->depth] = (struct section){*tag, stays && shown(r)};
    r->depth++;
    return 0;
}

static int close_section(struct render *r, const struct tag *tag, struct cm_err *err)
{
    if (r->depth == 0) {
        cm_err_set(err, CM_ERR_WORLD, "{{/%.*s}} closes nothing", shown_len(tag),
                   tag->name);
        return blame(r, tag->start, err);
    }
    const struct tag *opened_by = &r->open[r->depth - 1].opened_by;
    if (opened_by->name_len != tag->name_len ||
        memcmp(opened_by->name, tag->name, tag->name_len) != 0) {
        cm_err_set(err, CM_ERR_WORLD, "{{/%.*s}} where {{/%.*s}} is due",
                   shown_len(tag), tag->name, shown_len(opened_by), opened_by->name);
        return blame(r, tag->start, err);
    }
    r->depth--;
    return 0;
}

static int put_value(struct render *r, const struct tag *tag, struct cm_err *err)
{
    const char *value;
    if (find_value(r, tag, &value, err) != 0) {
        return -1;
    }
    if (shown(r)) {
        cm_buf_str(&r->out, value);
    }
    return 0;
}

static int do_tag(struct render *r, const struct tag *tag, struct cm_err *err)
{
    switch (tag->kind) {
    case '#':
    case '^':
        return open_section(r, tag, err);
    case '/':
        return close_section(r, tag, err);
    case '!':
        return 0;
    default:
        return put_value(r, tag, err);
    }
}

/* When nothing but blanks stands beside the tag, widens it to the whole line. */
static void take_line(const struct render *r, struct tag *tag)
{
    const char *start = tag->start;
    while (start > r->text && (start[-1] == ' ' || start[-1] == '\t')) {
        start--;
    }
    const char *end = tag->end + strspn(tag->end, " \t\r");
    if ((start == r->text || start[-1] == '\n') && (*end == '\n' || *end == '\0')) {
        tag->start = start;
        tag->end = *end == '\n' ? end + 1 : end;
    }
}

static int render_all(struct render *r, struct cm_err *err)
{
    const char *at = r->text;
    for (;;) {
        const char *start = strstr(at, "{{");
        struct tag tag = {.start = start != NULL ? start : at + strlen(at)};
        if (start != NULL && read_tag(r, start, &tag, err) != 0) {
            return -1;
        }
        struct tag span = tag; /* messages point at the tag itself, not at its line */
        if (tag.kind != 0) {
            take_line(r, &span);
        }
        if (shown(r)) {
            cm_buf_add(&r->out, at, (size_t)(span.start - at));
        }
        if (start == NULL) {
            return 0;
        }
        if (do_tag(r, &tag, err) != 0) {
            return -1;
        }
        at = span.end;
    }
}

static int check_end(const struct render *r, struct cm_err *err)
{
    if (r->depth > 0) {
        const struct tag *tag = &r->open[r->depth - 1].opened_by;
        cm_err_set(err, CM_ERR_WORLD, "{{%c%.*s}} is never closed", tag->kind,
                   shown_len(tag), tag->name);
        return blame(r, tag->start, err);
    }
    if (r->out.overflow) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: the result is longer than %u bytes",
                          r->file, CM_TEMPLATE_MAX);
    }
    return 0;
}

int cm_template_render_used(const char *file, const char *text,
                            const struct cm_template_var *vars, size_t n, bool *used,
                            char **out_r, struct cm_err *err)
{
    struct render r = {.file = file, .text = text, .vars = vars, .n = n, .used = used};
    cm_buf_init(&r.out, CM_TEMPLATE_MAX);
    int rc = render_all(&r, err);
    if (rc == 0) {
        rc = check_end(&r, err);
    }
    if (rc == 0) {
        *out_r = cm_buf_steal(&r.out);
    }
    cm_buf_clear(&r.out);
    return rc;
}

int cm_template_render(const char *file, const char *text,
                       const struct cm_template_var *vars, size_t n, char **out_r,
                       struct cm_err *err)
{
    return cm_template_render_used(file, text, vars, n, NULL, out_r, err);
}

int cm_template_unused(const struct cm_template_var *vars, size_t n, const bool *used,
                       struct cm_err *err)
{
    struct cm_buf names;
    cm_buf_init(&names, sizeof(err->text));
    for (size_t i = 0; i < n; i++) {
        if (!used[i] && vars[i].value != NULL) {
            cm_buf_fmt(&names, "%s%s", names.len > 0 ? ", " : "", vars[i].name);
        }
    }
    int rc = 0;
    if (names.len > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "values that no template uses: %s",
                        names.data);
    }
    cm_buf_clear(&names);
    return rc;
}
