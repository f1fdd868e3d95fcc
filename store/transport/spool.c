#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"

struct spool {
    const char *dir;
    struct cm_buf memory; /* all of it, or what is not in the file yet */
    int fd;               /* -1: all is in memory */
    uint64_t written;
    bool failed;
};

struct spool *spool_new(const char *dir)
{
    struct spool *s = cm_calloc(1, sizeof(*s));
    s->dir = dir;
    s->fd = -1;
    cm_buf_init(&s->memory, SPOOL_MEMORY_MAX);
    return s;
}

void spool_free(struct spool **spool)
{
    if (*spool == NULL) {
        return;
    }
    if ((*spool)->fd >= 0) {
        close((*spool)->fd);
    }
    cm_buf_clear(&(*spool)->memory);
    free(*spool);
    *spool = NULL;
}

static int fail(struct spool *s, struct cm_err *err)
{
    s->failed = true;
    return cm_err_set(err, CM_ERR_RETRY, "%s: %s", s->dir, strerror(errno));
}

static int write_out(struct spool *s, struct cm_err *err)
{
    if (s->fd < 0) {
        s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (s->fd < 0) {
            return fail(s, err);
        }
    }
    for (size_t done = 0; done < s->memory.len;) {
        ssize_t n = write(s->fd, s->memory.data + done, s->memory.len - done);
        if (n < 0 && errno != EINTR) {
            return fail(s, err);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    s->written += s->memory.len;
    cm_buf_reset(&s->memory);
    return 0;
}

int spool_add(struct spool *s, const char *data, size_t len, struct cm_err *err)
{
    if (s->failed) {
        return cm_err_set(err, CM_ERR_RETRY, "the spool has failed");
    }
    while (len > 0) {
        size_t room = SPOOL_MEMORY_MAX - s->memory.len;
        size_t n = len < room ? len : room;
        cm_buf_add(&s->memory, data, n);
        data += n;
        len -= n;
        if (len > 0 && write_out(s, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int spool_close(struct spool *s, struct cm_err *err)
{
    if (s->failed || (s->fd >= 0 && write_out(s, err) != 0)) {
        return cm_err_set(err, CM_ERR_RETRY, "the spool has failed");
    }
    if (s->fd >= 0) {
        cm_buf_clear(&s->memory);
    }
    return 0;
}

uint64_t spool_size(const struct spool *s)
{
    return s->written + s->memory.len;
}

int64_t spool_read(const struct spool *s, uint64_t offset, char *out, size_t size)
{
    if (s->fd >= 0) {
        ssize_t n;
        do {
            n = pread(s->fd, out, size, (off_t)offset);
        } while (n < 0 && errno == EINTR);
        return n;
    }
    if (offset >= s->memory.len) {
        return 0;
    }
    size_t left = s->memory.len - (size_t)offset;
    size_t n = left < size ? left : size;
    memcpy(out, s->memory.data + offset, n);
    return (int64_t)n;
}
