#include "snapshot.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#include "image.h"
#include "mirror.h"
#include "topology.h"

#define FILE_MAX   16384
#define LAYERS_MAX 16 /* as many as node_lower() stacks */

bool snapshot_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 40 || name[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    return true;
}

/* 1 read, 0 absent, -1 error. */
static int read_snapshot(struct lab *lab, const char *name, char **text_r,
                         struct cm_err *err)
{
    if (!snapshot_name_ok(name))
        return cm_err_set(
            err, CM_ERR_REFUSE,
            "\"%s\" is no snapshot name: letters, digits, '-' and '_', at "
            "most 40",
            name);
    char *path = state_path(lab, "snapshots/%s", name);
    size_t len;
    int found = cm_file_read(path, FILE_MAX, text_r, &len, err);
    free(path);
    return found;
}

int snapshot_load(struct lab *lab, const char *name, struct state_stack *stack_r,
                  struct cm_err *err)
{
    char *text = NULL;
    int found = read_snapshot(lab, name, &text, err);
    if (found < 1)
        return found;
    char *image = state_field(text, "image");
    char *layers = state_field(text, "layers");
    free(text);
    char *path = state_path(lab, "image/%s/root", image ? image : "");
    bool there = image && layers && access(path, F_OK) == 0;
    free(path);
    if (!there) {
        free(image);
        free(layers);
        return 0;
    }
    *stack_r = (struct state_stack){
        .snapshot = cm_strdup(name), .image = image, .layers = layers};
    return 1;
}

bool lab_snapshot_fits(struct lab *lab, const char *name)
{
    char *text = NULL;
    char own[65];
    struct cm_err ignored;
    if (read_snapshot(lab, name, &text, &ignored) < 1)
        return false;
    char *image = state_field(text, "image");
    char *packages = state_field(text, "packages");
    bool fits = image && packages && image_name(lab, &ignored) == 0 &&
                strcmp(image, lab->image) == 0 &&
                mirror_built_hash(lab, own, &ignored) == 0 &&
                strcmp(own, packages) == 0;
    free(image);
    free(packages);
    free(text);
    return fits;
}

static size_t count_words(const char *text)
{
    size_t n = 0;
    for (text += strspn(text, " "); *text; text += strspn(text, " "), n++)
        text += strcspn(text, " ");
    return n;
}

static int move_disks(struct lab *lab, const char *id, struct cm_err *err)
{
    char *layer = state_path(lab, "layers/%s", id);
    int rc = cm_file_mkdirs(layer, 0755, err);
    for (const struct topology_node *n = topology_nodes; rc == 0 && n->name; n++) {
        char *from = state_path(lab, "nodes/%s/upper", n->name);
        char *to = cm_asprintf("%s/%s", layer, n->name);
        if (rename(from, to) < 0)
            rc = cm_err_set(err, CM_ERR_WORLD, "rename %s: %s", from, strerror(errno));
        free(to);
        free(from);
    }
    free(layer);
    return rc;
}

static int write_snapshot(struct lab *lab, const struct state_stack *stack,
                          struct cm_err *err)
{
    char own[65];
    char *dir = state_path(lab, "snapshots");
    char *path = state_path(lab, "snapshots/%s", stack->snapshot);
    int rc = cm_file_mkdirs(dir, 0755, err);
    if (rc == 0)
        rc = mirror_published_hash(lab, own, err);
    if (rc == 0) {
        char *text = cm_asprintf("image %s\npackages %s\nlayers %s\n", stack->image,
                                 own, stack->layers);
        rc = cm_file_replace(path, text, strlen(text), 0644, err);
        free(text);
    }
    free(path);
    free(dir);
    return rc;
}

int snapshot_take(struct lab *lab, const char *name, struct state_stack *stack,
                  struct cm_err *err)
{
    if (count_words(stack->layers) >= LAYERS_MAX)
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%d snapshots stand on each other already: start one from "
                          "`lab up --bare`",
                          LAYERS_MAX);
    char *id = cm_asprintf("%" PRIx64, (uint64_t)cm_now_wall_ms());
    int rc = move_disks(lab, id, err);
    if (rc == 0) {
        char *layers =
            cm_asprintf("%s%s%s", stack->layers, *stack->layers ? " " : "", id);
        free(stack->layers);
        free(stack->snapshot);
        stack->layers = layers;
        stack->snapshot = cm_strdup(name);
        rc = write_snapshot(lab, stack, err);
    }
    if (rc == 0)
        rc = state_write(lab, stack, err);
    free(id);
    return rc;
}

static void collect_used(const char *path, struct cm_buf *used)
{
    char *text = NULL;
    size_t len;
    struct cm_err ignored;
    if (cm_file_read(path, FILE_MAX, &text, &len, &ignored) < 1)
        return;
    char *layers = state_field(text, "layers");
    if (layers)
        cm_buf_fmt(used, " %s ", layers);
    free(layers);
    free(text);
}

static void remove_unused(struct lab *lab, const char *used)
{
    char *dir_path = state_path(lab, "layers");
    DIR *dir = opendir(dir_path);
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        char *word = cm_asprintf(" %s ", e->d_name);
        char *layer = cm_asprintf("%s/%s", dir_path, e->d_name);
        if (!strstr(used, word))
            tool_quietly("rm", "-rf", "--one-file-system", layer, NULL);
        free(layer);
        free(word);
    }
    if (dir)
        closedir(dir);
    free(dir_path);
}

void snapshot_collect(struct lab *lab)
{
    struct cm_buf used;
    cm_buf_init(&used, 1 << 20);
    char *up = state_path(lab, "up");
    collect_used(up, &used);
    free(up);
    char *dir_path = state_path(lab, "snapshots");
    DIR *dir = opendir(dir_path);
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        char *path = cm_asprintf("%s/%s", dir_path, e->d_name);
        collect_used(path, &used);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(dir_path);
    if (!used.overflow)
        remove_unused(lab, used.data);
    cm_buf_clear(&used);
}
