#include "probe.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#define HEADER      20
#define ANSWER_MAX  1500
#define BINDING     0x0001
#define BINDING_OK  0x0101
#define ID_OFFSET   8
#define ID_SIZE     12
#define COOKIE_SIZE 4

static const uint8_t cookie[COOKIE_SIZE] = {0x21, 0x12, 0xa4, 0x42};

struct probe {
    struct cm_loop *loop;
    struct sockaddr_storage server;
    int64_t every_ms;
    probe_cb cb;
    void *ctx;
    struct cm_timer *timer;
    int fd; /* -1: none; the same for as long as it is answered */
    struct cm_io *io;
    uint8_t question[HEADER];
    int64_t asked_ms;
    bool waiting;
};

static void hang_up(struct probe *p)
{
    cm_io_free(&p->io);
    if (p->fd >= 0) {
        close(p->fd);
    }
    p->fd = -1;
}

static bool is_answer(const struct probe *p, const uint8_t *data, ssize_t n)
{
    return n >= HEADER && data[0] == BINDING_OK >> 8 &&
           data[1] == (BINDING_OK & 0xff) &&
           memcmp(data + 4, p->question + 4, COOKIE_SIZE + ID_SIZE) == 0;
}

static void on_readable(int fd, unsigned events, void *ctx)
{
    struct probe *p = ctx;
    uint8_t data[ANSWER_MAX];
    ssize_t n = recv(fd, data, sizeof(data), 0); /* a refusal counts as silence */
    (void)events;
    if (p->waiting && is_answer(p, data, n)) {
        p->waiting = false;
        p->cb(cm_now_mono_ms() - p->asked_ms, p->ctx);
    }
}

static void call(struct probe *p)
{
    socklen_t len = p->server.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                   : sizeof(struct sockaddr_in6);
    p->fd = socket(p->server.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd >= 0 && connect(p->fd, (const void *)&p->server, len) == 0) {
        p->io = cm_io_new(p->loop, p->fd, CM_IO_READ, on_readable, p);
    } else {
        hang_up(p);
    }
}

static void ask(struct probe *p)
{
    memset(p->question, 0, sizeof(p->question));
    p->question[1] = BINDING;
    memcpy(p->question + 4, cookie, COOKIE_SIZE);
    cm_assert(getrandom(p->question + ID_OFFSET, ID_SIZE, 0) == ID_SIZE);
    p->asked_ms = cm_now_mono_ms();
    p->waiting = true;
    if (p->fd >= 0) {
        (void)!send(p->fd, p->question, sizeof(p->question), MSG_NOSIGNAL);
    }
}

static void on_turn(void *ctx)
{
    struct probe *p = ctx;
    if (p->waiting) {
        hang_up(p);
        p->waiting = false;
        p->cb(-1, p->ctx);
    }
    if (p->fd < 0) {
        call(p);
    }
    ask(p);
    cm_timer_set(p->timer, p->every_ms);
}

struct probe *probe_new(struct cm_loop *loop, const struct sockaddr_storage *server,
                        int64_t every_ms, probe_cb cb, void *ctx)
{
    struct probe *p = cm_calloc(1, sizeof(*p));
    p->loop = loop;
    p->server = *server;
    p->every_ms = every_ms;
    p->cb = cb;
    p->ctx = ctx;
    p->fd = -1;
    p->timer = cm_timer_new(loop, on_turn, p);
    cm_timer_set(p->timer, 0);
    return p;
}

void probe_free(struct probe **probe)
{
    if (*probe == NULL) {
        return;
    }
    hang_up(*probe);
    cm_timer_free(&(*probe)->timer);
    free(*probe);
    *probe = NULL;
}
