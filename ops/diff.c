#include "diff.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define CONTEXT 3

struct line {
    const char *text;
    size_t len;
};

struct side {
    struct line *lines;
    size_t count;
};

/* One line of the result: ' ' in both, '-' only before, '+' only after. */
struct edit {
    char kind;
    struct line line;
    size_t old_no; /* lines consumed before this one */
    size_t new_no;
};

static struct side split(const char *text)
{
    struct side s = {.lines = NULL, .count = 0};
    size_t cap = 0;

    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "\n");
        if (s.count == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            s.lines = cm_realloc_array(s.lines, cap, sizeof(*s.lines));
        }
        s.lines[s.count++] = (struct line){text, len};
        text += len + (text[len] == '\n' ? 1 : 0);
    }
    return s;
}

static bool same(const struct line *a, const struct line *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* lengths[i][j]: longest common subsequence of a[i..] and b[j..]. Configuration files
 * are small, so the plain quadratic table is the shortest thing that is right. */
static unsigned short *common_lengths(const struct side *a, const struct side *b)
{
    size_t w = b->count + 1;
    unsigned short *t = cm_calloc((a->count + 1) * w, sizeof(*t));

    for (size_t i = a->count; i-- > 0;) {
        for (size_t j = b->count; j-- > 0;) {
            unsigned short down = t[(i + 1) * w + j];
            unsigned short right = t[i * w + j + 1];
            unsigned short best = down > right ? down : right;
            if (same(&a->lines[i], &b->lines[j])) {
                best = (unsigned short)(t[(i + 1) * w + j + 1] + 1);
            }
            t[i * w + j] = best;
        }
    }
    return t;
}

static struct edit *walk(const struct side *a, const struct side *b, size_t *count_r)
{
    unsigned short *t = common_lengths(a, b);
    struct edit *edits = cm_calloc(a->count + b->count + 1, sizeof(*edits));
    size_t w = b->count + 1, i = 0, j = 0, n = 0;

    while (i < a->count || j < b->count) {
        struct edit *e = &edits[n++];
        e->old_no = i;
        e->new_no = j;
        if (i < a->count && j < b->count && same(&a->lines[i], &b->lines[j])) {
            e->kind = ' ';
            e->line = a->lines[i];
            i++, j++;
        } else if (j == b->count ||
                   (i < a->count && t[(i + 1) * w + j] >= t[i * w + j + 1])) {
            e->kind = '-';
            e->line = a->lines[i++];
        } else {
            e->kind = '+';
            e->line = b->lines[j++];
        }
    }
    free(t);
    *count_r = n;
    return edits;
}

static void put_hunk(struct cm_buf *out, const struct edit *edits, size_t from,
                     size_t to)
{
    size_t old_len = 0, new_len = 0;

    for (size_t i = from; i < to; i++) {
        old_len += edits[i].kind != '+';
        new_len += edits[i].kind != '-';
    }
    cm_buf_fmt(out, "@@ -%zu,%zu +%zu,%zu @@\n", edits[from].old_no + (old_len > 0),
               old_len, edits[from].new_no + (new_len > 0), new_len);
    for (size_t i = from; i < to; i++) {
        cm_buf_add(out, &edits[i].kind, 1);
        cm_buf_add(out, edits[i].line.text, edits[i].line.len);
        cm_buf_str(out, "\n");
    }
}

static void put_hunks(struct cm_buf *out, const struct edit *edits, size_t count)
{
    for (size_t i = 0; i < count;) {
        if (edits[i].kind == ' ') {
            i++;
            continue;
        }
        size_t from = i > CONTEXT ? i - CONTEXT : 0;
        size_t last = i; /* last changed line of this hunk */
        for (size_t j = i; j < count && j <= last + 2 * CONTEXT; j++) {
            if (edits[j].kind != ' ') {
                last = j;
            }
        }
        size_t to = last + 1 + CONTEXT < count ? last + 1 + CONTEXT : count;
        put_hunk(out, edits, from, to);
        i = to;
    }
}

void op_diff(struct cm_buf *out, const char *name, const char *before,
             const char *after)
{
    struct side a = split(before), b = split(after);

    if (before != NULL && strcmp(before, after) == 0) {
        goto out;
    }
    cm_buf_fmt(out, "--- %s (%s)\n+++ %s (new)\n", name,
               before == NULL ? "does not exist" : "on the node", name);
    if (a.count > OP_DIFF_LINES_MAX || b.count > OP_DIFF_LINES_MAX) {
        cm_buf_fmt(out, "(%zu lines become %zu lines)\n", a.count, b.count);
        goto out;
    }
    size_t count;
    struct edit *edits = walk(&a, &b, &count);
    put_hunks(out, edits, count);
    free(edits);
out:
    free(a.lines);
    free(b.lines);
}
