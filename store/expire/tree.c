#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dir.h"

#define TRIES 4 /* somebody may still write into it */

static int remove_below(int at, const char *name, unsigned depth, int64_t *files_r);

static int remove_entry(int at, const struct dir_entry *entry, unsigned depth,
                        int64_t *files_r)
{
    if (entry->type != DT_DIR) {
        if (unlinkat(at, entry->name, 0) == 0) {
            (*files_r)++;
            return 0;
        }
        if (errno == ENOENT) {
            return 0;
        }
        if (errno != EISDIR && errno != EPERM) {
            return -1;
        }
    }
    return remove_below(at, entry->name, depth + 1, files_r);
}

static int empty(int at, const char *name, unsigned depth, int64_t *files_r)
{
    struct dir dir;
    struct dir_entry entry;
    int rc;
    if (dir_open(&dir, at, name) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    while ((rc = dir_next(&dir, &entry)) == 1) {
        if (remove_entry(dir.fd, &entry, depth, files_r) != 0) {
            rc = -1;
            break;
        }
    }
    int saved = errno;
    dir_close(&dir);
    errno = saved;
    return rc;
}

static int remove_below(int at, const char *name, unsigned depth, int64_t *files_r)
{
    if (depth > TREE_DEPTH) {
        errno = ELOOP;
        return -1;
    }
    for (int i = 0; i < TRIES; i++) {
        if (empty(at, name, depth, files_r) != 0) {
            return -1;
        }
        if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            return -1;
        }
    }
    return -1;
}

int tree_remove(int at, const char *name, int64_t *files_r, struct cm_err *err)
{
    if (remove_below(at, name, 0, files_r) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot remove %s: %s", name,
                          strerror(errno));
    }
    return 0;
}
