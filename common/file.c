#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"

static int read_all(int fd, const char *path, size_t max, struct cm_buf *out,
                    struct cm_err *err)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cm_err_set(err, CM_ERR_WORLD, "cannot read %s: %s", path,
                              strerror(errno));
        }
        if (n == 0) {
            break;
        }
        cm_buf_add(out, chunk, (size_t)n);
        if (out->overflow) {
            cm_wipe(chunk, sizeof(chunk));
            return cm_err_set(err, CM_ERR_WORLD, "%s is longer than %zu bytes", path,
                              max);
        }
    }
    /* The file may have been a key. */
    cm_wipe(chunk, sizeof(chunk));
    return 0;
}

int cm_file_read(const char *path, size_t max, char **data_r, size_t *len_r,
                 struct cm_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT) {
        return 0;
    }
    if (fd < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot open %s: %s", path,
                          strerror(errno));
    }
    struct cm_buf out;
    cm_buf_init(&out, max);
    int rc = read_all(fd, path, max, &out, err);
    close(fd);
    if (rc < 0) {
        cm_wipe(out.data, out.len);
        cm_buf_clear(&out);
        return -1;
    }
    if (len_r != NULL) {
        *len_r = out.len;
    }
    *data_r = cm_buf_steal(&out);
    return 1;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int fill(int fd, const void *data, size_t len, mode_t mode)
{
    return write_all(fd, data, len) == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0
               ? 0
               : -1;
}

/* Without this the rename itself may be lost with the power. */
static int sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL   ? cm_strdup(".")
                : slash == path ? cm_strdup("/")
                                : cm_strndup(path, (size_t)(slash - path));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (fd < 0) {
        return -1;
    }
    int rc = fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

int cm_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct cm_err *err)
{
    char *temporary = cm_asprintf("%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* 0600 until it is complete */
    if (fd < 0) {
        cm_err_set(err, CM_ERR_WORLD, "cannot create %s: %s", temporary,
                   strerror(errno));
        free(temporary);
        return -1;
    }
    int rc = fill(fd, data, len, mode);
    int saved = errno;
    if (close(fd) != 0 && rc == 0) {
        rc = -1;
        saved = errno;
    }
    if (rc == 0 && rename(temporary, path) != 0) {
        rc = -1;
        saved = errno;
    }
    if (rc != 0) {
        unlink(temporary);
    } else if (sync_parent(path) != 0) {
        rc = -1;
        saved = errno;
    }
    if (rc != 0) {
        cm_err_set(err, CM_ERR_WORLD, "cannot write %s: %s", path, strerror(saved));
    }
    free(temporary);
    return rc;
}

static int make_dir(const char *path, mode_t mode, struct cm_err *err)
{
    if (mkdir(path, mode) == 0) {
        return 0;
    }
    int saved = errno;
    struct stat st;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return 0;
        }
        saved = ENOTDIR;
    }
    return cm_err_set(err, CM_ERR_WORLD, "cannot make directory %s: %s", path,
                      strerror(saved));
}

int cm_file_mkdirs(const char *path, mode_t mode, struct cm_err *err)
{
    char *partial = cm_strdup(path);
    int rc = 0;
    for (char *p = partial; rc == 0 && *p != '\0'; p++) {
        if (*p == '/' && p != partial) {
            *p = '\0';
            rc = make_dir(partial, mode, err);
            *p = '/';
        }
    }
    if (rc == 0) {
        rc = make_dir(partial, mode, err);
    }
    free(partial);
    return rc;
}
