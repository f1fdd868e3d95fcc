#include "take.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/tar.h"
#include "database.h"
#include "uidlist.h"

#define PIECE       65536
#define SMALL_MAX   (64 << 20) /* of what is changed before it is written */
#define STAGING     ".restore" /* below mailboxes_dir */
#define UIDLIST_END "/dovecot-uidlist"

/* What is to be done with each entry of the part. */
struct taker {
    const char *part; /* what its paths begin with */
    const struct place *p;
    struct take_counts *n;
    /* rest: the path behind "PART/". 1 its bytes are wanted, 0 not. */
    int (*begin)(struct taker *t, const struct cm_tar_entry *e, const char *rest,
                 struct cm_err *err);
    int (*end)(struct taker *t, const struct cm_tar_entry *e, struct cm_err *err);
    int fd; /* where its bytes go, -1: into text */
    struct cm_buf text;
    char path[PATH_MAX], temporary[PATH_MAX + 8];
    char *roles; /* database only */
    int dump;
};

static int failed(struct cm_err *err, const char *path)
{
    return cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
}

static int write_piece(struct taker *t, const char *data, size_t n, struct cm_err *err)
{
    if (t->fd < 0) {
        cm_buf_add(&t->text, data, n);
        return t->text.overflow
                   ? cm_err_set(err, CM_ERR_REFUSE, "%s is too long", t->path)
                   : 0;
    }
    while (n > 0) {
        ssize_t done = write(t->fd, data, n);
        if (done < 0 && errno != EINTR) {
            return failed(err, t->path);
        }
        data += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

static const char *rest_of(const struct taker *t, const char *path)
{
    size_t n = strlen(t->part);

    if (strncmp(path, t->part, n) != 0) {
        return NULL;
    }
    return path[n] == '/' ? path + n + 1 : path[n] == '\0' ? path + n : NULL;
}

struct reading {
    struct cm_tar tar;
    bool wanted;
};

static int on_event(struct taker *t, struct reading *r, enum cm_tar_event event,
                    const char *piece, size_t len, struct cm_err *err)
{
    int rc = 0;

    if (event == CM_TAR_ENTRY) {
        const char *rest = rest_of(t, r->tar.entry.path);
        rc = rest != NULL ? t->begin(t, &r->tar.entry, rest, err) : 0;
        r->wanted = rc > 0;
    } else if (event == CM_TAR_DATA && r->wanted) {
        rc = write_piece(t, piece, len, err);
    } else if (event == CM_TAR_DONE && r->wanted) {
        r->wanted = false;
        t->n->files += r->tar.entry.type == CM_TAR_FILE;
        rc = t->end(t, &r->tar.entry, err);
    }
    return rc < 0 ? -1 : 0;
}

/* chatops has looked at the whole archive before; it ends where the input does. */
static int read_all(struct taker *t, int in, struct cm_err *err)
{
    char *data = cm_malloc(PIECE);
    struct reading r = {.wanted = false};
    enum cm_tar_event event = CM_TAR_MORE;
    int rc = 0;

    cm_tar_init(&r.tar);
    t->fd = -1;
    cm_buf_init(&t->text, SMALL_MAX);
    for (ssize_t n; rc == 0 && event != CM_TAR_END;) {
        n = read(in, data, PIECE);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            rc = n < 0 ? failed(err, "standard input") : 0;
            break;
        }
        const char *at = data, *piece = NULL;
        size_t left = (size_t)n, len = 0;
        do {
            rc = cm_tar_next(&r.tar, &at, &left, &event, &piece, &len, err);
            if (rc == 0) {
                rc = on_event(t, &r, event, piece, len, err);
            }
        } while (rc == 0 && event != CM_TAR_MORE && event != CM_TAR_END);
    }
    if (rc == 0 && r.wanted) {
        rc = cm_err_set(err, CM_ERR_RETRY, "only a part arrived");
    }
    if (t->fd >= 0) {
        close(t->fd);
        unlink(t->temporary);
    }
    cm_wipe(t->text.data, t->text.len);
    cm_buf_clear(&t->text);
    free(data);
    return rc;
}

/* ---- what entries become ---- */

static int own(const char *path, const struct cm_tar_entry *e, struct cm_err *err)
{
    const struct passwd *pw = getpwnam(e->user);
    const struct group *gr = getgrnam(e->group);

    if (pw == NULL || gr == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: there is no %s here", path,
                          pw == NULL ? e->user : e->group);
    }
    if (lchown(path, pw->pw_uid, gr->gr_gid) != 0 ||
        (e->type != CM_TAR_LINK && chmod(path, e->mode) != 0)) {
        return failed(err, path);
    }
    return 0;
}

static int parents_of(const char *path, struct cm_err *err)
{
    char *dir = cm_strndup(path, (size_t)(strrchr(path, '/') - path));
    int rc = dir[0] == '\0' ? 0 : cm_file_mkdirs(dir, 0755, err);

    free(dir);
    return rc;
}

static int make_dir(const char *path, const struct cm_tar_entry *e, struct cm_err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return failed(err, path);
    }
    return own(path, e, err);
}

static int make_link(const char *path, const struct cm_tar_entry *e, struct cm_err *err)
{
    if ((unlink(path) != 0 && errno != ENOENT) || symlink(e->link, path) != 0) {
        return failed(err, path);
    }
    return own(path, e, err);
}

static int begin_file(struct taker *t, struct cm_err *err)
{
    snprintf(t->temporary, sizeof(t->temporary), "%s.new", t->path);
    t->fd =
        open(t->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return t->fd >= 0 ? 1 : failed(err, t->temporary);
}

static int end_file(struct taker *t, const struct cm_tar_entry *e, bool sync,
                    struct cm_err *err)
{
    const struct timespec times[] = {{.tv_sec = e->mtime_s}, {.tv_sec = e->mtime_s}};
    int rc = own(t->temporary, e, err);

    if (rc == 0 && (futimens(t->fd, times) != 0 || (sync && fsync(t->fd) != 0))) {
        rc = failed(err, t->path);
    }
    close(t->fd);
    t->fd = -1;
    if (rc == 0 && rename(t->temporary, t->path) != 0) {
        rc = failed(err, t->path);
    }
    return rc;
}

/* ---- keys ---- */

static int begin_store(struct taker *t, const struct cm_tar_entry *e, const char *rest,
                       struct cm_err *err)
{
    if (!place_holds(t->p, rest)) {
        return 0;
    }
    snprintf(t->path, sizeof(t->path), "%s/%s", t->p->root, rest);
    if (parents_of(t->path, err) != 0) {
        return -1;
    }
    switch (e->type) {
    case CM_TAR_DIR:
        return make_dir(t->path, e, err);
    case CM_TAR_LINK:
        return make_link(t->path, e, err);
    case CM_TAR_FILE:
        break;
    }
    return begin_file(t, err);
}

static int end_store(struct taker *t, const struct cm_tar_entry *e, struct cm_err *err)
{
    return end_file(t, e, true, err);
}

int take_store(const struct place *p, int fd, struct take_counts *n, struct cm_err *err)
{
    struct taker t = {
        .part = PLACE_STORE, .p = p, .n = n, .begin = begin_store, .end = end_store};

    return read_all(&t, fd, err);
}

/* ---- database ---- */

static int begin_database(struct taker *t, const struct cm_tar_entry *e,
                          const char *rest, struct cm_err *err)
{
    (void)rest;
    (void)err;
    snprintf(t->path, sizeof(t->path), "%s", e->path);
    if (strcmp(t->part, PLACE_DATABASE) == 0) {
        t->fd = dup(t->dump);
    }
    return 1;
}

static int end_database(struct taker *t, const struct cm_tar_entry *e,
                        struct cm_err *err)
{
    (void)e;
    (void)err;
    if (t->fd >= 0) {
        close(t->fd);
        t->fd = -1;
        return 0;
    }
    free(t->roles);
    t->roles = cm_strdup(t->text.data);
    cm_buf_reset(&t->text);
    t->part = PLACE_DATABASE; /* the one behind the other */
    return 0;
}

int take_database(const struct place *p, int fd, int64_t made_s, struct take_counts *n,
                  struct cm_err *err)
{
    char *dir = cm_asprintf("%s/var/lib/portico", p->root);
    struct taker t = {.part = PLACE_ROLES,
                      .p = p,
                      .n = n,
                      .begin = begin_database,
                      .end = end_database,
                      .dump = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    int rc = t.dump >= 0 ? read_all(&t, fd, err) : failed(err, dir);

    free(dir);
    if (rc == 0 && n->files != 2) {
        rc = cm_err_set(err, CM_ERR_RETRY, "only a part arrived");
    }
    if (rc == 0) {
        rc = database_take(p, t.roles, t.dump, made_s, err);
    }
    free(t.roles);
    if (t.dump >= 0) {
        close(t.dump);
    }
    return rc;
}

/* ---- mail ---- */

static bool is_uidlist(const char *path)
{
    size_t n = strlen(path), end = strlen(UIDLIST_END);

    return n > end && strcmp(path + n - end, UIDLIST_END) == 0;
}

/* As Dovecot makes them: the mailbox's own. */
static int mail_parents(struct taker *t, const struct cm_tar_entry *e,
                        struct cm_err *err)
{
    char *slash = strrchr(t->path, '/');
    struct cm_tar_entry dir = *e;
    int rc = 0;

    dir.type = CM_TAR_DIR;
    dir.mode = 0700;
    *slash = '\0';
    if (access(t->path, F_OK) != 0) {
        rc = make_dir(t->path, &dir, err);
    }
    *slash = '/';
    return rc;
}

static int begin_mail(struct taker *t, const struct cm_tar_entry *e, const char *rest,
                      struct cm_err *err)
{
    if (rest[0] == '\0' || rest[0] == '.' || e->type == CM_TAR_LINK) {
        return 0;
    }
    snprintf(t->path, sizeof(t->path), "%s%s/" STAGING "/%s", t->p->root,
             t->p->conf.mailboxes_dir, rest);
    if (e->type == CM_TAR_DIR) {
        return make_dir(t->path, e, err);
    }
    if (mail_parents(t, e, err) != 0) {
        return -1;
    }
    return is_uidlist(t->path) ? 1 : begin_file(t, err);
}

static int end_mail(struct taker *t, const struct cm_tar_entry *e, struct cm_err *err)
{
    size_t len;

    if (t->fd >= 0) {
        return end_file(t, e, false, err);
    }
    char *raised = uidlist_make(t->text.data, t->text.len, UIDLIST_MARGIN, true, &len);
    cm_buf_reset(&t->text);
    if (raised == NULL) {
        return 0;
    }
    int rc = begin_file(t, err);
    if (rc > 0) {
        rc = write_piece(t, raised, len, err) == 0 ? end_file(t, e, false, err) : -1;
    }
    free(raised);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int remove_staging(const char *staging, struct cm_err *err)
{
    if (nftw(staging, remove_one, 32, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return failed(err, staging);
    }
    return 0;
}

/* One that is there already has what its owner got since: it is not touched. */
static int move_boxes(const char *staging, const char *dir, struct take_counts *n,
                      struct cm_err *err)
{
    DIR *d = opendir(staging);
    struct dirent *e;
    int rc = 0;

    if (d == NULL) {
        return failed(err, staging);
    }
    sync(); /* the messages, before they are called there */
    while (rc == 0 && (e = readdir(d)) != NULL) {
        char *from = cm_asprintf("%s/%s", staging, e->d_name);
        char *to = cm_asprintf("%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.') {
            /* nothing of ours */
        } else if (access(to, F_OK) == 0) {
            n->present++;
        } else if (rename(from, to) == 0) {
            n->boxes++;
        } else {
            rc = failed(err, to);
        }
        free(from);
        free(to);
    }
    closedir(d);
    sync();
    return rc;
}

static int make_mail_dirs(const struct place *p, const char *dir, const char *staging,
                          struct cm_err *err)
{
    struct cm_tar_entry vmail = {.type = CM_TAR_DIR, .mode = 0700};

    snprintf(vmail.user, sizeof(vmail.user), "%s", p->mail_owner);
    snprintf(vmail.group, sizeof(vmail.group), "%s", p->mail_owner);

    if (access(dir, F_OK) != 0 &&
        (parents_of(dir, err) != 0 || make_dir(dir, &vmail, err) != 0)) {
        return -1;
    }
    return remove_staging(staging, err) == 0 ? make_dir(staging, &vmail, err) : -1;
}

int take_mail(const struct place *p, int fd, struct take_counts *n, struct cm_err *err)
{
    char *dir = cm_asprintf("%s%s", p->root, p->conf.mailboxes_dir);
    char *staging = cm_asprintf("%s/" STAGING, dir);
    struct taker t = {
        .part = PLACE_MAIL, .p = p, .n = n, .begin = begin_mail, .end = end_mail};
    int rc = make_mail_dirs(p, dir, staging, err);

    if (rc == 0) {
        rc = read_all(&t, fd, err);
    }
    if (rc == 0) {
        rc = move_boxes(staging, dir, n, err);
    }
    if (rc == 0) {
        rc = remove_staging(staging, err);
    }
    free(staging);
    free(dir);
    return rc;
}
