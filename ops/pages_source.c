#include "pages_source.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/mem.h"
#include "embed.h"

#define DEPTH_MAX 8

static const char name_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct op_source *)a)->name,
                  ((const struct op_source *)b)->name);
}

static void add(struct op_sources *sources, char *name, char *data, size_t len)
{
    sources->items =
        cm_realloc_array(sources->items, sources->count + 1, sizeof(*sources->items));
    sources->items[sources->count++] =
        (struct op_source){.name = name, .data = data, .len = len};
}

void op_sources_own(struct op_sources *sources)
{
    *sources = (struct op_sources){0};
    for (const struct op_embedded *e = op_embedded_www; e->name != NULL; e++) {
        add(sources, cm_strdup(e->name), cm_strndup(e->data, e->len), e->len);
    }
}

/* Editors leave "x~", "#x#", "x.swp" behind. */
static bool passed_over(const char *name)
{
    size_t n = strlen(name);
    return name[0] == '.' || name[0] == '#' || name[n - 1] == '~' ||
           (n > 4 && strcmp(name + n - 4, ".swp") == 0);
}

struct walk {
    const char *folder;
    struct op_sources *sources;
};

static int read_dir(const struct walk *walk, const char *below, int depth,
                    struct cm_err *err);

static int read_one(const struct walk *walk, const char *below, const char *entry,
                    int depth, struct cm_err *err)
{
    char *name = cm_asprintf("%s%s%s", below, below[0] != '\0' ? "/" : "", entry);
    char *path = cm_asprintf("%s/%s", walk->folder, name);
    struct stat st;
    char *data = NULL;
    size_t len = 0;
    int rc = 0;

    if (lstat(path, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        goto out;
    }
    if (entry[strspn(entry, name_bytes)] != '\0') {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "%s: a web page's file name is of A-Z a-z 0-9 . _ and -", path);
    } else if (S_ISDIR(st.st_mode)) {
        rc = read_dir(walk, name, depth + 1, err);
    } else if (walk->sources->count >= OP_SOURCES_MAX) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s has more than %d files", walk->folder,
                        OP_SOURCES_MAX);
    } else if ((rc = cm_file_read(path, OP_SOURCE_MAX, &data, &len, err)) == 1) {
        add(walk->sources, name, data, len);
        name = NULL;
        rc = 0;
    }
out:
    free(name);
    free(path);
    return rc;
}

static int read_dir(const struct walk *walk, const char *below, int depth,
                    struct cm_err *err)
{
    char *path = cm_asprintf("%s/%s", walk->folder, below);
    DIR *dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    int rc = 0;

    if (dir == NULL) {
        rc = cm_err_set(err, CM_ERR_WORLD, "cannot read the web pages in %s: %s", path,
                        depth < DEPTH_MAX ? strerror(errno) : "too deep");
    }
    while (rc == 0 && dir != NULL) {
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        if (!passed_over(entry->d_name)) {
            rc = read_one(walk, below, entry->d_name, depth, err);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    free(path);
    return rc;
}

int op_sources_read(const char *folder, struct op_sources *sources, struct cm_err *err)
{
    struct stat st;
    struct walk walk = {folder, sources};

    *sources = (struct op_sources){0};
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return 0;
    }
    if (read_dir(&walk, "", 0, err) != 0) {
        op_sources_clear(sources);
        return -1;
    }
    if (sources->count > 0) {
        qsort(sources->items, sources->count, sizeof(*sources->items), by_name);
    }
    return 1;
}

void op_sources_clear(struct op_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        free(sources->items[i].name);
        free(sources->items[i].data);
    }
    free(sources->items);
    *sources = (struct op_sources){0};
}

const struct op_source *op_sources_find(const struct op_sources *sources,
                                        const char *name)
{
    for (size_t i = 0; i < sources->count; i++) {
        if (strcmp(sources->items[i].name, name) == 0) {
            return &sources->items[i];
        }
    }
    return NULL;
}
