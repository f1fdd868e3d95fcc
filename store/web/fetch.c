#include "fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"

struct fetch {
    struct fetch_hooks hooks;
    int fd;
    struct cm_io *io;
    struct cm_timer *timer; /* the limit */
    size_t left;
};

static void end(struct fetch *f, bool whole)
{
    cm_io_free(&f->io);
    cm_timer_stop(f->timer);
    f->hooks.end(whole, f->hooks.ctx);
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct fetch *f = ctx;
    char chunk[16384];
    ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || (size_t)n > f->left) {
        end(f, n == 0);
        return;
    }
    f->left -= (size_t)n;
    f->hooks.data(chunk, (size_t)n, f->hooks.ctx);
}

static void on_limit(void *ctx)
{
    end(ctx, false);
}

struct fetch *fetch_new(struct cm_loop *loop, const char *path, int64_t limit_ms,
                        size_t max_bytes, const struct fetch_hooks *hooks)
{
    struct fetch *f = cm_calloc(1, sizeof(*f));
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    f->hooks = *hooks;
    f->left = max_bytes;
    f->timer = cm_timer_new(loop, on_limit, f);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool fits = strlen(path) < sizeof(to.sun_path);
    memcpy(to.sun_path, path, fits ? strlen(path) : 0);
    if (f->fd < 0 || !fits ||
        connect(f->fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        cm_timer_set(f->timer, 0);
        return f;
    }
    f->io = cm_io_new(loop, f->fd, CM_IO_READ, on_io, f);
    cm_timer_set(f->timer, limit_ms);
    return f;
}

void fetch_free(struct fetch **fp)
{
    struct fetch *f = *fp;
    if (f == NULL) {
        return;
    }
    *fp = NULL;
    cm_io_free(&f->io);
    cm_timer_free(&f->timer);
    if (f->fd >= 0) {
        close(f->fd);
    }
    free(f);
}
