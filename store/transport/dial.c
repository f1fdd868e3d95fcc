#include "dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include "common/mem.h"

struct attempt {
    struct dial *dial;
    struct peer_address address;
    struct cm_io *io; /* NULL: not begun, or over */
    int fd;
};

struct dial {
    struct cm_loop *loop;
    struct peer_source source;
    uint16_t port;
    dial_cb cb;
    void *ctx;
    struct cm_timer *next_timer, *limit;
    size_t count, begun, running;
    int why; /* errno of the newest failure */
    struct attempt attempts[PEER_ADDRESSES_MAX];
};

static void attempt_end(struct attempt *a)
{
    if (a->io != NULL) {
        cm_io_free(&a->io);
        close(a->fd);
        a->dial->running--;
    }
}

void dial_cancel(struct dial **dialp)
{
    struct dial *d = *dialp;
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->begun; i++) {
        attempt_end(&d->attempts[i]);
    }
    cm_timer_free(&d->next_timer);
    cm_timer_free(&d->limit);
    free(d);
    *dialp = NULL;
}

static void give_up(struct dial *d, const char *reason)
{
    struct cm_err err;
    dial_cb cb = d->cb;
    void *ctx = d->ctx;
    (void)cm_err_set(&err, CM_ERR_RETRY, "%s", reason);
    dial_cancel(&d);
    cb(-1, NULL, &err, ctx);
}

static void on_limit(void *ctx)
{
    give_up(ctx, "connection timed out");
}

static void on_writable(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct attempt *a = ctx;
    struct dial *d = a->dial;
    int why = 0;
    socklen_t len = sizeof(why);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0) {
        why = errno;
    }
    if (why != 0) {
        attempt_end(a);
        d->why = why;
        cm_timer_set(d->next_timer, 0);
        return;
    }
    struct peer_address address = a->address;
    dial_cb cb = d->cb;
    void *cb_ctx = d->ctx;
    struct cm_err none = {.kind = CM_ERR_NONE};
    cm_io_free(&a->io);
    d->running--;
    dial_cancel(&d);
    cb(fd, &address, &none, cb_ctx);
}

static int begin(struct dial *d, struct attempt *a)
{
    union peer_sockaddr to;
    socklen_t len = peer_sockaddr_set(&to, &a->address, d->port);
    int fd = socket(a->address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (peer_source_bind(&d->source, a->address.family, fd) != 0 ||
        (connect(fd, &to.any, len) != 0 && errno != EINPROGRESS)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    a->fd = fd;
    a->dial = d;
    a->io = cm_io_new(d->loop, fd, CM_IO_WRITE, on_writable, a);
    d->running++;
    return 0;
}

static void on_next(void *ctx)
{
    struct dial *d = ctx;
    while (d->begun < d->count) {
        struct attempt *a = &d->attempts[d->begun++];
        if (begin(d, a) == 0) {
            cm_timer_set(d->next_timer, DIAL_STAGGER_MS);
            return;
        }
        d->why = errno;
    }
    if (d->running == 0) {
        give_up(d, d->why != 0 ? strerror(d->why) : "no address that can be used");
    }
}

/* IPv6 first, then by turns. */
static void order(struct dial *d, const struct peer_address *addresses, size_t n)
{
    size_t next[2] = {0, 0};
    static const int families[2] = {AF_INET6, AF_INET};
    for (int turn = 0; d->count < PEER_ADDRESSES_MAX; turn ^= 1) {
        size_t *i = &next[turn];
        while (*i < n && addresses[*i].family != families[turn]) {
            (*i)++;
        }
        if (*i < n) {
            if (peer_source_fits(&d->source, families[turn])) {
                d->attempts[d->count++].address = addresses[*i];
            }
            (*i)++;
        } else if (next[0] >= n && next[1] >= n) {
            return;
        }
    }
}

struct dial *dial_start(struct cm_loop *loop, const struct peer_address *addresses,
                        size_t n, uint16_t port, const struct peer_source *source,
                        int64_t limit_ms, dial_cb cb, void *ctx)
{
    struct dial *d = cm_calloc(1, sizeof(*d));
    d->loop = loop;
    d->source = *source;
    d->port = port;
    d->cb = cb;
    d->ctx = ctx;
    order(d, addresses, n);
    d->next_timer = cm_timer_new(loop, on_next, d);
    d->limit = cm_timer_new(loop, on_limit, d);
    cm_timer_set(d->next_timer, 0);
    cm_timer_set(d->limit, limit_ms);
    return d;
}
