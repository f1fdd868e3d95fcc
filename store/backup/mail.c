#include "mail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "uidlist.h"

#define UIDLIST     "dovecot-uidlist"
#define UIDLIST_MAX (64 << 20)
#define DEPTH_MAX   4 /* of folders; ours are flat */

/* Names of a directory as they were read at once. */
struct names {
    char **items;
    size_t count, cap;
};

static void names_add(struct names *n, const char *name)
{
    if (n->count == n->cap) {
        n->cap = n->cap == 0 ? 64 : n->cap * 2;
        n->items = cm_realloc_array(n->items, n->cap, sizeof(*n->items));
    }
    n->items[n->count++] = cm_strdup(name);
}

static void names_clear(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->items[i]);
    }
    free(n->items);
    *n = (struct names){.count = 0};
}

static int open_dir(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Those that go into an archive. fd stays open. */
static int names_read(int fd, struct names *n, struct cm_err *err)
{
    int own = open_dir(fd, ".");
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    struct dirent *e;

    *n = (struct names){.count = 0};
    if (d == NULL) {
        if (own >= 0) {
            close(own);
        }
        return cm_err_set(err, CM_ERR_WORLD, "a mailbox cannot be read: %s",
                          strerror(errno));
    }
    while ((e = readdir(d)) != NULL) {
        if (cm_tar_path_ok(e->d_name)) {
            names_add(n, e->d_name);
        }
    }
    closedir(d);
    return 0;
}

/* 1 put, 0 it is gone, -1. */
static int put_at(struct box *b, int at, const char *path, const char *name,
                  struct cm_err *err)
{
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? 0
                               : cm_err_set(err, CM_ERR_WORLD, "%s/%s: %s", path, name,
                                            strerror(errno));
    }
    char *full = cm_asprintf("%s/%s", path, name);
    int rc = box_file(b, full, fd, err);
    free(full);
    close(fd);
    return rc == 0 ? 1 : -1;
}

/* ---- messages ---- */

/* A message's name up to its flags, which change. */
static size_t base_len(const char *name)
{
    return strcspn(name, ":");
}

static bool same_message(const char *a, const char *b)
{
    size_t n = base_len(a);

    return n == base_len(b) && memcmp(a, b, n) == 0;
}

/* It was there a moment ago: has it got other flags? */
static int put_renamed(struct box *b, int at, const char *path, const char *name,
                       struct cm_err *err)
{
    struct names now;
    int rc = 0;

    if (names_read(at, &now, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < now.count && rc == 0; i++) {
        if (same_message(now.items[i], name)) {
            rc = put_at(b, at, path, now.items[i], err);
        }
    }
    names_clear(&now);
    return rc < 0 ? -1 : 0;
}

static bool has_message(const struct names *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (same_message(list->items[i], name)) {
            return true;
        }
    }
    return false;
}

/* already: messages of "new", which may have moved to "cur" since. */
static int put_messages(struct box *b, int box_fd, const char *path, const char *kind,
                        const struct names *already, struct names *put_r,
                        struct cm_err *err)
{
    int fd = open_dir(box_fd, kind), rc = 0;
    char *below = cm_asprintf("%s/%s", path, kind);

    *put_r = (struct names){.count = 0};
    if (fd < 0 || names_read(fd, put_r, err) != 0) {
        rc = fd < 0 && errno == ENOENT
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD, "%s cannot be read", below);
    }
    for (size_t i = 0; i < put_r->count && rc == 0; i++) {
        const char *name = put_r->items[i];
        if (already != NULL && has_message(already, name)) {
            continue;
        }
        rc = put_at(b, fd, below, name, err);
        if (rc == 0 && already != NULL) {
            rc = put_renamed(b, fd, below, name, err);
        } else if (rc == 0) {
            put_r->items[i][0] = '\0'; /* it is in "cur" by now, or gone */
        }
        rc = rc < 0 ? -1 : 0;
    }
    free(below);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int put_all_messages(struct box *b, int fd, const char *path, struct cm_err *err)
{
    struct names fresh, seen = {.count = 0};
    int rc = put_messages(b, fd, path, "new", NULL, &fresh, err);

    if (rc == 0) {
        rc = put_messages(b, fd, path, "cur", &fresh, &seen, err);
    }
    names_clear(&fresh);
    names_clear(&seen);
    return rc;
}

/* ---- what Dovecot knows of a mailbox ---- */

static bool is_state(const char *name)
{
    static const char *const names[] = {"subscriptions", "maildirfolder",
                                        "dovecot-keywords"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "dovecot-uidvalidity", 19) == 0;
}

static char *read_open(int fd, size_t size)
{
    char *text = cm_malloc(size + 1);
    size_t have = 0;

    for (ssize_t n = 1; have < size && n > 0;) {
        n = read(fd, text + have, size - have);
        have += n > 0 ? (size_t)n : 0;
    }
    text[have] = '\0';
    return text;
}

static int put_uidlist(struct box *b, int at, const char *path, bool with_messages,
                       struct cm_err *err)
{
    int fd = openat(at, UIDLIST, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
    struct stat st;
    size_t len;

    if (fd < 0) {
        return errno == ENOENT ? 0
                               : cm_err_set(err, CM_ERR_WORLD, "%s/" UIDLIST ": %s",
                                            path, strerror(errno));
    }
    if (fstat(fd, &st) != 0 || st.st_size > UIDLIST_MAX) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s/" UIDLIST " is too long", path);
    } else {
        char *text = read_open(fd, (size_t)st.st_size);
        char *kept = uidlist_make(text, strlen(text), 0, with_messages, &len);
        char *name = cm_asprintf("%s/" UIDLIST, path);
        if (kept != NULL) {
            rc = box_data(b, name, &st, kept, len, err);
        }
        free(name);
        free(kept);
        free(text);
    }
    close(fd);
    return rc;
}

static int put_mailbox(struct box *b, int at, const char *path, const char *name,
                       bool with_messages, int depth, struct cm_err *err);

static int put_entry(struct box *b, int fd, const char *path, const char *name,
                     bool with_messages, int depth, struct cm_err *err)
{
    struct stat st;

    if (is_state(name)) {
        return put_at(b, fd, path, name, err) < 0 ? -1 : 0;
    }
    if (name[0] == '.' && depth < DEPTH_MAX &&
        fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
        return put_mailbox(b, fd, path, name, with_messages, depth + 1, err);
    }
    return 0;
}

static int put_mailbox(struct box *b, int at, const char *path, const char *name,
                       bool with_messages, int depth, struct cm_err *err)
{
    int fd = open_dir(at, name), rc;
    struct names names;
    struct stat st;

    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : cm_err_set(err, CM_ERR_WORLD, "%s/%s: %s", path, name,
                                strerror(errno));
    }
    char *full = cm_asprintf("%s/%s", path, name);
    names.count = 0;
    rc = fstat(fd, &st) != 0
             ? cm_err_set(err, CM_ERR_WORLD, "%s: %s", full, strerror(errno))
             : box_dir(b, full, &st, err);
    if (rc == 0 && put_uidlist(b, fd, full, with_messages, err) == 0 &&
        names_read(fd, &names, err) == 0) {
        for (size_t i = 0; i < names.count && rc == 0; i++) {
            rc = put_entry(b, fd, full, names.items[i], with_messages, depth, err);
        }
        names_clear(&names);
        if (rc == 0 && with_messages) {
            rc = put_all_messages(b, fd, full, err);
        }
    } else {
        rc = -1;
    }
    free(full);
    close(fd);
    return rc;
}

int mail_send(struct box *b, const struct place *p, bool with_messages,
              struct cm_err *err)
{
    char *dir = cm_asprintf("%s%s", p->root, p->conf.mailboxes_dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    struct names names;

    if (fd < 0) {
        rc = errno == ENOENT
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD, "%s: %s", dir, strerror(errno));
        free(dir);
        return rc;
    }
    rc = names_read(fd, &names, err);
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        if (names.items[i][0] != '.') {
            rc = put_mailbox(b, fd, PLACE_MAIL, names.items[i], with_messages, 0, err);
        }
    }
    names_clear(&names);
    close(fd);
    free(dir);
    return rc;
}
