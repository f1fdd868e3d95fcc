#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "archive.h"
#include "common/mem.h"
#include "hash.h"

#define MANIFEST_MAX (1u << 30)
#define HEADER_MAX   (8u * CM_TAR_BLOCK)

static int failed(const struct op_archive_out *o, struct cm_err *err)
{
    return cm_err_set(err, CM_ERR_WORLD, "%s cannot be written: %s", o->path,
                      strerror(errno));
}

static int put(struct op_archive_out *o, const void *data, size_t len,
               struct cm_err *err)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(o->fd, at, len);
        if (n < 0 && errno != EINTR) {
            return failed(o, err);
        }
        if (n > 0) {
            at += n;
            len -= (size_t)n;
            o->bytes += (uint64_t)n;
        }
    }
    return 0;
}

static int put_header(struct op_archive_out *o, const struct cm_tar_entry *e,
                      struct cm_err *err)
{
    struct cm_buf head;

    cm_buf_init(&head, HEADER_MAX);
    int rc = cm_tar_put(&head, e, err);
    if (rc == 0) {
        rc = put(o, head.data, head.len, err);
    }
    cm_buf_clear(&head);
    cm_assert(EVP_DigestInit_ex(o->sum, EVP_sha256(), NULL) == 1);
    return rc;
}

static int put_data(struct op_archive_out *o, const void *data, size_t len,
                    struct cm_err *err)
{
    cm_assert(EVP_DigestUpdate(o->sum, data, len) == 1);
    return put(o, data, len, err);
}

static int put_end(struct op_archive_out *o, const struct cm_tar_entry *e,
                   struct cm_err *err)
{
    static const char zeros[CM_TAR_BLOCK];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (e->type != CM_TAR_FILE) {
        return 0;
    }
    cm_assert(EVP_DigestFinal_ex(o->sum, digest, &n) == 1 && n == 32);
    for (unsigned i = 0; i < n; i++) {
        cm_buf_fmt(&o->manifest, "%02x", digest[i]);
    }
    cm_buf_fmt(&o->manifest, " %" PRId64 " %s\n", e->size, e->path);
    o->files++;
    return put(o, zeros, cm_tar_padding(e->size), err);
}

int op_archive_add(struct op_archive_out *o, const char *name, const void *data,
                   size_t len, struct cm_err *err)
{
    struct cm_tar_entry e = {.type = CM_TAR_FILE,
                             .mode = 0600,
                             .user = "root",
                             .group = "root",
                             .mtime_s = time(NULL),
                             .size = (int64_t)len};

    snprintf(e.path, sizeof(e.path), "%s", name);
    return put_header(o, &e, err) == 0 && put_data(o, data, len, err) == 0
               ? put_end(o, &e, err)
               : -1;
}

static int add_about(struct op_archive_out *o, const struct op_archive_about *about,
                     struct cm_err *err)
{
    json_t *j = json_pack("{s:i, s:s, s:I, s:s, s:b}", "format", 1, "domain",
                          about->domain, "made", (json_int_t)about->made_s, "version",
                          about->version, "mail", about->mail);
    char *text = json_dumps(j, JSON_COMPACT);
    int rc = op_archive_add(o, "BACKUP", text, strlen(text), err);

    free(text);
    json_decref(j);
    return rc;
}

static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL   ? cm_strdup(".")
           : slash == path ? cm_strdup("/")
                           : cm_strndup(path, (size_t)(slash - path));
}

static void begin(struct op_archive_out *o, const char *path)
{
    *o = (struct op_archive_out){
        .fd = -1, .path = cm_strdup(path), .sum = EVP_MD_CTX_new()};
    cm_assert(o->sum != NULL);
    cm_buf_init(&o->manifest, MANIFEST_MAX);
    cm_tar_init(&o->tar);
}

static int open_named(struct op_archive_out *o, const struct op_archive_about *about,
                      struct cm_err *err)
{
    char *beside = cm_asprintf("%s.XXXXXX", o->path);

    o->fd = mkostemp(beside, O_CLOEXEC);
    if (o->fd < 0) {
        free(beside);
        return failed(o, err);
    }
    o->beside = beside;
    return add_about(o, about, err);
}

int op_archive_begin_named(struct op_archive_out *o, const char *path,
                           const struct op_archive_about *about, struct cm_err *err)
{
    begin(o, path);
    return open_named(o, about, err);
}

int op_archive_begin(struct op_archive_out *o, const char *path,
                     const struct op_archive_about *about, struct cm_err *err)
{
    char *dir = dir_of(path);

    begin(o, path);
    o->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    free(dir);
    if (o->fd >= 0) {
        return add_about(o, about, err);
    }
    return errno == EOPNOTSUPP || errno == EISDIR ? open_named(o, about, err)
                                                  : failed(o, err);
}

static int on_event(struct op_archive_out *o, enum cm_tar_event event,
                    const char *piece, size_t len, struct cm_err *err)
{
    switch (event) {
    case CM_TAR_ENTRY:
        return put_header(o, &o->tar.entry, err);
    case CM_TAR_DATA:
        return put_data(o, piece, len, err);
    case CM_TAR_DONE:
        return put_end(o, &o->tar.entry, err);
    case CM_TAR_END:
        o->ended = true;
        break;
    case CM_TAR_MORE:
        break;
    }
    return 0;
}

void op_archive_feed(struct op_archive_out *o, const char *data, size_t n)
{
    enum cm_tar_event event;
    const char *piece = NULL;
    size_t len = 0;

    while (o->failed == 0 && !o->ended) {
        if (cm_tar_next(&o->tar, &data, &n, &event, &piece, &len, &o->err) != 0) {
            o->failed = cm_err_prefix(&o->err, "what the store sent");
        } else {
            o->failed = on_event(o, event, piece, len, &o->err);
            if (event == CM_TAR_MORE) {
                return;
            }
        }
    }
}

static int finish(struct op_archive_out *o, struct cm_err *err)
{
    static const char zeros[CM_TAR_END_SIZE];
    struct cm_tar_entry e = {.type = CM_TAR_FILE,
                             .path = "MANIFEST",
                             .mode = 0600,
                             .user = "root",
                             .group = "root",
                             .mtime_s = time(NULL),
                             .size = (int64_t)o->manifest.len};

    if (o->failed != 0) {
        *err = o->err;
        return -1;
    }
    if (!o->ended || o->manifest.overflow) {
        return cm_err_set(err, CM_ERR_RETRY, "what the store sent is not whole");
    }
    if (put_header(o, &e, err) != 0 ||
        put(o, o->manifest.data, o->manifest.len, err) != 0 ||
        put(o, zeros, cm_tar_padding(e.size), err) != 0 ||
        put(o, zeros, sizeof(zeros), err) != 0) {
        return -1;
    }
    return fsync(o->fd) == 0 ? 0 : failed(o, err);
}

/* A name beside its place, so that there is always the one file or the other. */
static int name_beside(struct op_archive_out *o, struct cm_err *err)
{
    char own[64], *beside;

    if (o->beside != NULL) {
        return 0;
    }
    beside = cm_asprintf("%s.new", o->path);
    snprintf(own, sizeof(own), "/proc/self/fd/%d", o->fd);
    unlink(beside);
    if (linkat(AT_FDCWD, own, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) != 0) {
        free(beside);
        return failed(o, err);
    }
    o->beside = beside;
    return 0;
}

static int give_name(struct op_archive_out *o, struct cm_err *err)
{
    char *dir = dir_of(o->path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;

    free(dir);
    if (fd < 0) {
        return failed(o, err);
    }
    if (name_beside(o, err) == 0) {
        rc = rename(o->beside, o->path) == 0 ? 0 : failed(o, err);
    }
    if (rc == 0) {
        free(o->beside);
        o->beside = NULL;
        rc = fsync(fd) == 0 ? 0 : failed(o, err);
    }
    close(fd);
    return rc;
}

int op_archive_keep(struct op_archive_out *o, struct op_archive *a, struct cm_err *err)
{
    *a = (struct op_archive){.len = 0};
    if (finish(o, err) != 0 || op_archive_read(o->fd, o->path, a, err) != 0) {
        return -1;
    }
    if (give_name(o, err) != 0) {
        op_archive_close(a);
        return -1;
    }
    return 0;
}

void op_archive_drop(struct op_archive_out *o)
{
    if (o->fd >= 0) {
        close(o->fd);
    }
    if (o->beside != NULL) {
        unlink(o->beside);
        free(o->beside);
    }
    EVP_MD_CTX_free(o->sum);
    cm_buf_clear(&o->manifest);
    free(o->path);
    *o = (struct op_archive_out){.fd = -1};
}
