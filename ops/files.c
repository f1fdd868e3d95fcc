/* Configuration files on a node: compared by hash, owner and mode in one round trip;
 * what differs is shown as a diff and replaced atomically. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/mem.h"
#include "diff.h"
#include "former.h"
#include "hash.h"
#include "pages.h"
#include "say.h"

#define NOT_YET "made-by-the-first-run"

/* The operator's file goes to the store as it is: chatmail-auth and chatmail-cluster
 * read it. It belongs to no single unit; units.c adds it to the stamps of ours. */
void op_files_add_ini(struct op_files *f, const char *text)
{
    f->items = cm_realloc_array(f->items, f->count + 1, sizeof(*f->items));
    f->items[f->count++] = (struct op_file){
        .path = cm_strdup(OP_INI_PATH),
        .content = cm_strdup(text),
        .len = strlen(text),
        .owner = OP_INI_OWNER,
        .mode = OP_INI_MODE,
    };
}

/* Pages and what they show come from the folder of chatmail.ini. */
static int add_pages(struct op_node *node, struct cm_err *err)
{
    char *config = cm_strdup(node->cluster->cli->config);
    int rc =
        op_pages_build(&node->cluster->conf, dirname(config), false, &node->files, err);
    free(config);
    return rc < 0 ? -1 : 0;
}

int op_node_render(struct op_node *node, struct cm_err *err)
{
    struct op_cluster *c = node->cluster;
    const char *store_key = c->nodes[0].wg_key;

    op_files_clear(&node->files);
    if (node->gateway == NULL) {
        if (op_stack_store(&c->conf, &node->facts, &node->files, err) != 0) {
            return -1;
        }
        op_files_add_ini(&node->files, c->ini);
        return add_pages(node, err);
    }
    snprintf(node->facts.cluster_key, sizeof(node->facts.cluster_key), "%s",
             c->cluster_key[0] != '\0' ? c->cluster_key : NOT_YET);
    snprintf(node->facts.store_wg_key, sizeof(node->facts.store_wg_key), "%s",
             store_key[0] != '\0' ? store_key : NOT_YET);
    return op_stack_gateway(&c->conf, node->gateway, &node->facts, &node->files, err);
}

static bool differs(const struct op_file *want, const struct op_file_state *have)
{
    char hash[OP_HASH_TEXT];

    op_hash(want->content, want->len, hash);
    return !have->present || strcmp(hash, have->hash) != 0 ||
           strcmp(want->owner, have->owner) != 0 || want->mode != have->mode;
}

static int read_states(struct op_node *node, struct op_file_state **states_r,
                       struct cm_err *err)
{
    size_t n = node->files.count;
    const char **paths = cm_calloc(n, sizeof(*paths));
    struct op_file_state *states = cm_calloc(n, sizeof(*states));

    for (size_t i = 0; i < n; i++) {
        paths[i] = node->files.items[i].path;
    }
    int rc = op_host_states(&node->host, paths, n, states, err);
    free(paths);
    if (rc != 0) {
        free(states);
        return -1;
    }
    *states_r = states;
    return 0;
}

/* Those rendered last, against those on the node. */
static int compare_files(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_file_state *states;
    size_t n = 0, last = 0;

    if (read_states(node, &states, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < node->files.count; i++) {
        if (differs(&node->files.items[i], &states[i])) {
            n++;
            last = i;
        }
    }
    free(states);
    if (n == 1) {
        op_step_note(step, "%s", node->files.items[last].path);
    } else if (n > 0) {
        op_step_note(step, "%zu of %zu files", n, node->files.count);
    }
    return n == 0;
}

static int check_files(struct op_step *step, struct cm_err *err)
{
    return op_node_render(step->ctx, err) == 0 ? compare_files(step, err) : -1;
}

static int check_pages(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;

    op_files_clear(&node->files);
    return add_pages(node, err) == 0 ? compare_files(step, err) : -1;
}

/* One file's difference, after rendering. A file that differs only in owner or mode is
 * told in a line. */
static int diff_one(struct op_node *node, const struct op_file *want,
                    const struct op_file_state *have, struct cm_buf *out,
                    struct cm_err *err)
{
    char *before = NULL;
    int found = have->present ? op_host_get(&node->host, want->path, &before, err) : 0;

    if (found < 0) {
        return -1;
    }
    if (strlen(want->content) == want->len) {
        op_diff(out, want->path, before, want->content);
    } else {
        cm_buf_fmt(out, "%s: %zu bytes that are no text\n", want->path, want->len);
    }
    if (have->present &&
        (strcmp(want->owner, have->owner) != 0 || want->mode != have->mode)) {
        cm_buf_fmt(out, "%s: %s %04o becomes %s %04o\n", want->path, have->owner,
                   (unsigned)have->mode, want->owner, (unsigned)want->mode);
    }
    free(before);
    return 0;
}

static int diff_files(struct op_step *step, struct cm_buf *out, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_file_state *states;
    int rc = read_states(node, &states, err);

    if (rc != 0) {
        return -1;
    }
    for (size_t i = 0; i < node->files.count && rc == 0; i++) {
        if (differs(&node->files.items[i], &states[i])) {
            rc = diff_one(node, &node->files.items[i], &states[i], out, err);
        }
    }
    free(states);
    return rc;
}

static int put_files(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_file_state *states;
    size_t n = 0, last = 0;

    if (read_states(node, &states, err) != 0) {
        return -1;
    }
    bool *changed = cm_calloc(node->files.count + 1, sizeof(*changed));
    for (size_t i = 0; i < node->files.count; i++) {
        changed[i] = differs(&node->files.items[i], &states[i]);
        n += changed[i];
        last = changed[i] ? i : last;
    }
    free(states);
    int rc = op_former_keep(node, changed, err);
    for (size_t i = 0; i < node->files.count && rc == 0; i++) {
        const struct op_file *f = &node->files.items[i];
        if (changed[i]) {
            rc = op_host_put(&node->host, f->path, f->content, f->len, f->owner,
                             f->mode, err);
        }
    }
    free(changed);
    if (n == 1) {
        op_step_note(step, "wrote %s", node->files.items[last].path);
    } else if (n <= 4) {
        op_step_note(step, "wrote %s and %zu more", node->files.items[last].path,
                     n - 1);
    } else {
        op_step_note(step, "%zu files written", n);
    }
    return rc;
}

void op_add_pages(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "web pages",
                        .check = check_pages,
                        .diff = diff_files,
                        .act = put_files,
                        .ctx = node};

    op_plan_add(plan, &s);
}

void op_add_files(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "configuration files",
                        .check = check_files,
                        .diff = diff_files,
                        .act = put_files,
                        .ctx = node};

    op_plan_add(plan, &s);
}
