#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dir.h"

struct walk {
    walk_fn *each;
    void *ctx;
    struct cm_err *err;
    bool failed;
    char path[PATH_MAX];
};

enum walk_kind walk_kind_of(const char *name)
{
    if (strcmp(name, "cur") == 0) {
        return WALK_CUR;
    }
    if (strcmp(name, "new") == 0) {
        return WALK_NEW;
    }
    return strcmp(name, "tmp") == 0 ? WALK_TMP : WALK_EXTRA;
}

static void trouble(struct walk *walk, const char *name)
{
    if (errno == ENOENT || walk->failed) {
        return;
    }
    walk->failed = true;
    (void)cm_err_set(walk->err, CM_ERR_WORLD, "cannot read %s/%s: %s", walk->path, name,
                     strerror(errno));
}

static void enter(struct walk *walk, int at, const char *name, unsigned depth);

static void visit(struct walk *walk, struct walk_file *file, unsigned char type,
                  unsigned depth)
{
    if (type == DT_DIR) {
        enter(walk, file->at, file->name, depth + 1);
        return;
    }
    if (type != DT_REG && type != DT_UNKNOWN) {
        return;
    }
    struct statx st;
    if (statx(file->at, file->name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC,
              STATX_TYPE | STATX_MTIME | STATX_SIZE, &st) != 0) {
        trouble(walk, file->name);
    } else if (S_ISDIR(st.stx_mode)) {
        enter(walk, file->at, file->name, depth + 1);
    } else if (S_ISREG(st.stx_mode)) {
        file->mtime = st.stx_mtime.tv_sec;
        file->size = (int64_t)st.stx_size;
        walk->each(file, walk->ctx);
    }
}

/* Appends to the path; what does not fit is not entered. */
static bool push(struct walk *walk, const char *name, size_t *len_r)
{
    size_t len = strlen(walk->path);
    size_t room = sizeof(walk->path) - len;
    int n = snprintf(walk->path + len, room, "%s%s", len > 0 ? "/" : "", name);
    if (n < 0 || (size_t)n >= room) {
        walk->path[len] = '\0';
        return false;
    }
    *len_r = len;
    return true;
}

static void enter(struct walk *walk, int at, const char *name, unsigned depth)
{
    struct dir dir;
    struct dir_entry entry;
    size_t len;
    int rc;
    if (depth > WALK_DEPTH || !push(walk, name, &len)) {
        return;
    }
    if (dir_open(&dir, at, name) != 0) {
        walk->path[len] = '\0';
        trouble(walk, name);
        return;
    }
    struct walk_file file = {
        .at = dir.fd,
        .dir = walk->path,
        .kind = depth == 0 ? WALK_EXTRA : walk_kind_of(name),
        .inbox = depth == 1,
    };
    while ((rc = dir_next(&dir, &entry)) == 1) {
        file.name = entry.name;
        visit(walk, &file, entry.type, depth);
    }
    if (rc < 0) {
        trouble(walk, ".");
    }
    dir_close(&dir);
    walk->path[len] = '\0';
}

int walk_mailbox(int base, const char *mailbox, walk_fn *each, void *ctx,
                 struct cm_err *err)
{
    struct walk walk = {.each = each, .ctx = ctx, .err = err};
    enter(&walk, base, mailbox, 0);
    return walk.failed ? -1 : 0;
}
