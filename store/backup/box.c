#include "box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/mem.h"
#include "place.h"

#define NOBODY    ((uid_t)-1)
#define PIECE     65536
#define DEPTH_MAX 8 /* of directories with keys */

void box_init(struct box *b, int fd)
{
    *b = (struct box){.fd = fd, .uid = NOBODY, .gid = NOBODY};
}

static int put(struct box *b, const void *data, size_t len, struct cm_err *err)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(b->fd, at, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cm_err_set(err, CM_ERR_WORLD, "the archive cannot be written: %s",
                              strerror(errno));
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int pad(struct box *b, int64_t size, struct cm_err *err)
{
    static const char zeros[CM_TAR_BLOCK];

    return put(b, zeros, cm_tar_padding(size), err);
}

/* Numbers mean nothing on another machine. */
static int name_owner(struct box *b, const struct stat *st, struct cm_tar_entry *e,
                      struct cm_err *err)
{
    if (st->st_uid != b->uid) {
        struct passwd *pw = getpwuid(st->st_uid);
        if (pw == NULL) {
            return cm_err_set(err, CM_ERR_WORLD, "%s: its owner %u has no name",
                              e->path, (unsigned)st->st_uid);
        }
        snprintf(b->user, sizeof(b->user), "%s", pw->pw_name);
        b->uid = st->st_uid;
    }
    if (st->st_gid != b->gid) {
        struct group *gr = getgrgid(st->st_gid);
        if (gr == NULL) {
            return cm_err_set(err, CM_ERR_WORLD, "%s: its group %u has no name",
                              e->path, (unsigned)st->st_gid);
        }
        snprintf(b->group, sizeof(b->group), "%s", gr->gr_name);
        b->gid = st->st_gid;
    }
    memcpy(e->user, b->user, sizeof(e->user));
    memcpy(e->group, b->group, sizeof(e->group));
    return 0;
}

static int begin(struct box *b, struct cm_tar_entry *e, const char *name,
                 const struct stat *st, struct cm_err *err)
{
    struct cm_buf head;

    snprintf(e->path, sizeof(e->path), "%s", name);
    e->mode = st->st_mode & 07777;
    e->mtime_s = st->st_mtime;
    if (name_owner(b, st, e, err) != 0) {
        return -1;
    }
    cm_buf_init(&head, 8192);
    int rc = cm_tar_put(&head, e, err);
    if (rc == 0) {
        rc = put(b, head.data, head.len, err);
    }
    cm_buf_clear(&head);
    b->files += e->type == CM_TAR_FILE;
    return rc;
}

int box_data(struct box *b, const char *name, const struct stat *st, const void *data,
             size_t len, struct cm_err *err)
{
    struct cm_tar_entry e = {.type = CM_TAR_FILE, .size = (int64_t)len};

    return begin(b, &e, name, st, err) == 0 && put(b, data, len, err) == 0
               ? pad(b, e.size, err)
               : -1;
}

int box_text(struct box *b, const char *name, const void *data, size_t len,
             struct cm_err *err)
{
    struct stat st = {.st_mode = 0600,
                      .st_uid = getuid(),
                      .st_gid = getgid(),
                      .st_mtime = time(NULL)};

    return box_data(b, name, &st, data, len, err);
}

int box_dir(struct box *b, const char *name, const struct stat *st, struct cm_err *err)
{
    struct cm_tar_entry e = {.type = CM_TAR_DIR};

    return begin(b, &e, name, st, err);
}

static int copy(struct box *b, const char *name, int fd, int64_t size,
                struct cm_err *err)
{
    char piece[PIECE];
    int rc = 0;

    for (int64_t left = size; left > 0 && rc == 0;) {
        ssize_t n = read(fd, piece, left < PIECE ? (size_t)left : PIECE);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            rc = cm_err_set(err, CM_ERR_WORLD, "%s cannot be read: %s", name,
                            n == 0 ? "it became shorter" : strerror(errno));
        } else {
            rc = put(b, piece, (size_t)n, err);
            left -= n;
        }
    }
    cm_wipe(piece, sizeof(piece));
    return rc == 0 ? pad(b, size, err) : -1;
}

int box_file(struct box *b, const char *name, int fd, struct cm_err *err)
{
    struct cm_tar_entry e = {.type = CM_TAR_FILE};
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", name, strerror(errno));
    }
    e.size = st.st_size;
    return begin(b, &e, name, &st, err) == 0 ? copy(b, name, fd, e.size, err) : -1;
}

static int put_link(struct box *b, const char *full, const char *name,
                    const struct stat *st, struct cm_err *err)
{
    struct cm_tar_entry e = {.type = CM_TAR_LINK};
    ssize_t n = readlink(full, e.link, sizeof(e.link));

    if (n < 0 || (size_t)n >= sizeof(e.link)) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: the link is too long", full);
    }
    e.link[n] = '\0';
    return begin(b, &e, name, st, err);
}

static int put_one(struct box *b, const struct place *p, const char *path, int depth,
                   struct cm_err *err);

static int not_dots(const struct dirent *d)
{
    return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int put_below(struct box *b, const struct place *p, const char *full,
                     const char *path, int depth, struct cm_err *err)
{
    struct dirent **list;
    int n = scandir(full, &list, not_dots, alphasort), rc = 0;

    if (n < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", full, strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        char *below = cm_asprintf("%s/%s", path, list[i]->d_name);
        if (rc == 0) {
            rc = put_one(b, p, below, depth + 1, err);
        }
        free(below);
        free(list[i]);
    }
    free(list);
    return rc;
}

static int put_regular(struct box *b, const char *full, const char *name,
                       struct cm_err *err)
{
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", full, strerror(errno));
    }
    int rc = box_file(b, name, fd, err);
    close(fd);
    return rc;
}

static int put_one(struct box *b, const struct place *p, const char *path, int depth,
                   struct cm_err *err)
{
    struct stat st;
    int rc = 0;

    if (!place_holds(p, path) || depth > DEPTH_MAX) {
        return 0;
    }
    char *full = cm_asprintf("%s/%s", p->root, path);
    char *name = cm_asprintf(PLACE_STORE "/%s", path);
    if (lstat(full, &st) != 0) {
        rc = errno == ENOENT
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD, "%s: %s", full, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        rc = box_dir(b, name, &st, err) == 0 ? put_below(b, p, full, path, depth, err)
                                             : -1;
    } else if (S_ISLNK(st.st_mode)) {
        rc = put_link(b, full, name, &st, err);
    } else if (S_ISREG(st.st_mode)) {
        rc = put_regular(b, full, name, err);
    }
    free(full);
    free(name);
    return rc;
}

int box_tree(struct box *b, const struct place *p, const char *path, struct cm_err *err)
{
    return put_one(b, p, path, 0, err);
}

int box_end(struct box *b, struct cm_err *err)
{
    static const char zeros[CM_TAR_END_SIZE];

    return put(b, zeros, sizeof(zeros), err);
}
