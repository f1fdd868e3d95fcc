#include "versions.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/file.h"
#include "common/mem.h"

#define FILE_MAX (256u << 10)

struct versions {
    char *path;
    char *line; /* NULL until there was a good file */
    struct stat of;
};

struct versions *versions_new(const char *path)
{
    struct versions *versions = cm_calloc(1, sizeof(*versions));
    versions->path = cm_strdup(path);
    return versions;
}

void versions_free(struct versions **versions)
{
    if (*versions != NULL) {
        free((*versions)->path);
        free((*versions)->line);
        free(*versions);
        *versions = NULL;
    }
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int compact(const char *path, const char *text, size_t len, char **line_r,
                   struct cm_err *err)
{
    json_error_t why;
    json_t *json = json_loadb(text, len, 0, &why);
    if (!json_is_object(json)) {
        json_decref(json);
        return cm_err_set(err, CM_ERR_WORLD, "%s is no JSON object%s%s", path,
                          json == NULL ? ": " : "", json == NULL ? why.text : "");
    }
    char *line = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(json);
    if (line == NULL || strlen(line) > VERSIONS_MAX) {
        free(line);
        return cm_err_set(err, CM_ERR_WORLD, "%s is longer than %d bytes", path,
                          VERSIONS_MAX);
    }
    *line_r = line;
    return 0;
}

int versions_line(struct versions *versions, const char **line_r, struct cm_err *err)
{
    struct stat now;
    if (versions->line != NULL && stat(versions->path, &now) == 0 &&
        same_file(&now, &versions->of)) {
        *line_r = versions->line;
        return 1;
    }
    free(versions->line);
    versions->line = NULL;
    char *text = NULL;
    size_t len;
    /* Asked before it is read: a file replaced in between is read once more. */
    bool known = stat(versions->path, &versions->of) == 0;
    int rc = cm_file_read(versions->path, FILE_MAX, &text, &len, err);
    if (rc == 1 && compact(versions->path, text, len, &versions->line, err) != 0) {
        rc = -1;
    }
    free(text);
    if (rc == 1) {
        *line_r = versions->line;
        if (!known) {
            versions->of = (struct stat){0};
        }
    }
    return rc;
}
