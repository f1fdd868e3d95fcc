#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#include "header.h"
#include "pipes.h"

#define TICK_MS     500
#define BURST       8 /* pipefuls for one side, then others get their turn */
#define PIPES_LEAST 64
#define REST        4096 /* less than this at once: no more has come yet */

enum end { CLIENT, STORE };

/* From one end to the other. */
struct flow {
    struct pipe_ends pipe; /* lent while held > 0 */
    uint32_t held;         /* bytes in it */
    bool ended;            /* the sender has closed its half */
    bool done;             /* and the receiver has been told */
};

struct relay {
    struct relays *all;
    struct relay *next, *prev;
    struct sockaddr_storage client;
    int fd[2];
    struct cm_io *io[2];
    struct flow from[2];   /* by the end that sends */
    int64_t connect_until; /* 0: connected */
    unsigned char header_len;
    unsigned char header[HEADER_MAX];
};

struct relays {
    struct cm_loop *loop;
    struct cm_timer *tick;
    struct pipes *pipes;
    struct relay *first;
    size_t connecting;
    size_t max;
    bool starved; /* somebody waits for a pipe */
    struct relay_counts counts;
    void (*gone)(const struct sockaddr_storage *client, void *ctx);
    void *ctx;
};

void relay_reset_fd(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void tune(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, RELAY_STALLED_MS);
}

/* Keep-alives to clients only: whether the store lives is the pulse's business. */
void relay_tune_door(int fd)
{
    tune(fd);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, RELAY_KEEPALIVE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, RELAY_ASK_AGAIN_S);
}

static void unlink_relay(struct relay *r)
{
    if (r->prev != NULL) {
        r->prev->next = r->next;
    } else {
        r->all->first = r->next;
    }
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
}

/* The end of a relay: with a close when both halves said so, else with a reset. */
static void end_relay(struct relay *r, bool reset)
{
    struct relays *all = r->all;

    unlink_relay(r);
    all->connecting -= r->connect_until != 0;
    all->counts.open--;
    all->counts.reset += reset;
    for (int e = CLIENT; e <= STORE; e++) {
        struct flow *f = &r->from[e];
        cm_io_free(&r->io[e]);
        if (f->pipe.in >= 0) {
            pipes_return(all->pipes, &f->pipe, f->held == 0);
        }
        if (reset) {
            relay_reset_fd(r->fd[e]);
        } else {
            close(r->fd[e]);
        }
    }
    if (all->gone != NULL) {
        all->gone(&r->client, all->ctx);
    }
    free(r);
}

/* ---- bytes ---- */

enum moved { MOVED_SOME, MOVED_NONE, MOVED_ERROR };

static enum moved fill(struct relay *r, enum end from)
{
    struct flow *f = &r->from[from];

    if (f->ended || f->held > 0) {
        return MOVED_NONE;
    }
    if (f->pipe.in < 0 && !pipes_borrow(r->all->pipes, &f->pipe)) {
        r->all->starved = true;
        return MOVED_NONE;
    }
    ssize_t n = splice(r->fd[from], NULL, f->pipe.in, NULL, PIPE_BYTES,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
        f->held = (uint32_t)n;
        *(from == CLIENT ? &r->all->counts.bytes_up : &r->all->counts.bytes_down) +=
            (uint64_t)n;
        return MOVED_SOME;
    }
    if (n == 0) {
        f->ended = true;
        return MOVED_SOME;
    }
    return errno == EAGAIN || errno == EINTR ? MOVED_NONE : MOVED_ERROR;
}

static enum moved drain(struct relay *r, enum end from)
{
    struct flow *f = &r->from[from];
    enum moved moved = MOVED_NONE;

    while (f->held > 0) {
        ssize_t n = splice(f->pipe.out, NULL, r->fd[!from], NULL, f->held,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && errno != EINTR) {
            return errno == EAGAIN ? moved : MOVED_ERROR;
        }
        f->held -= n > 0 ? (uint32_t)n : 0;
        moved = MOVED_SOME;
    }
    if (f->ended && !f->done) {
        f->done = true;
        return shutdown(r->fd[!from], SHUT_WR) == 0 ? MOVED_SOME : MOVED_ERROR;
    }
    return moved;
}

/* What has come from one end goes to the other, as far as it takes it. */
static enum moved carry(struct relay *r, enum end from)
{
    struct flow *f = &r->from[from];
    enum moved moved = drain(r, from);

    bool more = true;

    for (int i = 0;
         i < BURST && more && moved != MOVED_ERROR && !f->done && f->held == 0; i++) {
        moved = fill(r, from);
        if (moved != MOVED_SOME) {
            break;
        }
        more = f->held >= REST;
        moved = drain(r, from);
    }
    if (f->pipe.in >= 0 && f->held == 0) {
        pipes_return(r->all->pipes, &f->pipe, true);
    }
    return moved;
}

/* A side is read while nothing of it waits, written while something does. */
static void set_interest(struct relay *r)
{
    for (int e = CLIENT; e <= STORE; e++) {
        unsigned want = 0;
        if (!r->from[e].ended && r->from[e].held == 0 && !r->all->starved) {
            want |= CM_IO_READ;
        }
        if (r->from[!e].held > 0) {
            want |= CM_IO_WRITE;
        }
        cm_io_want(r->io[e], want);
    }
}

/* At that end something has come (READ), or there is room again (WRITE). */
static void turn(struct relay *r, enum end at, unsigned events)
{
    if (((events & CM_IO_READ) && carry(r, at) == MOVED_ERROR) ||
        ((events & CM_IO_WRITE) && carry(r, !at) == MOVED_ERROR)) {
        end_relay(r, true);
    } else if (r->from[CLIENT].done && r->from[STORE].done) {
        end_relay(r, false);
    } else {
        set_interest(r);
    }
}

/* ---- the store's side ---- */

static void connected(struct relay *r)
{
    int why = 0;
    socklen_t len = sizeof(why);

    if (getsockopt(r->fd[STORE], SOL_SOCKET, SO_ERROR, &why, &len) != 0 || why != 0) {
        r->all->counts.unconnected++;
        end_relay(r, true);
        return;
    }
    r->connect_until = 0;
    r->all->connecting--;
    /* It is the first on an empty socket, so it fits. */
    if (r->header_len > 0 &&
        send(r->fd[STORE], r->header, r->header_len, MSG_NOSIGNAL) != r->header_len) {
        end_relay(r, true);
        return;
    }
    turn(r, CLIENT, CM_IO_READ);
}

static void on_store(int fd, unsigned events, void *ctx)
{
    struct relay *r = ctx;

    (void)fd;
    if (r->connect_until != 0) {
        connected(r);
    } else {
        turn(r, STORE, events);
    }
}

static void on_client(int fd, unsigned events, void *ctx)
{
    (void)fd;
    turn(ctx, CLIENT, events);
}

/* The same address as the client's, any port: the 4-tuple is chosen at connect(). */
static bool bind_as(int fd, const struct sockaddr_storage *client)
{
    struct sockaddr_storage from = *client;
    socklen_t len;

    if (from.ss_family == AF_INET) {
        ((struct sockaddr_in *)&from)->sin_port = 0;
        len = sizeof(struct sockaddr_in);
        set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    } else {
        ((struct sockaddr_in6 *)&from)->sin6_port = 0;
        len = sizeof(struct sockaddr_in6);
        set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
    }
    set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, (struct sockaddr *)&from, len) == 0;
}

static int dial(const struct sockaddr_storage *client,
                const struct relay_target *target)
{
    int fd = socket(target->address.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    tune(fd);
    if ((target->transparent && !bind_as(fd, client)) ||
        (connect(fd, (const struct sockaddr *)&target->address, target->address_len) !=
             0 &&
         errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- all of them ---- */

/* Late connections end, and who waited for a pipe looks again. */
static void on_tick(void *ctx)
{
    struct relays *all = ctx;
    int64_t now = cm_now_mono_ms();
    bool starved = all->starved;
    struct relay *next;

    all->starved = false;
    for (struct relay *r = all->first; r != NULL && (starved || all->connecting > 0);
         r = next) {
        next = r->next;
        if (r->connect_until != 0 && now >= r->connect_until) {
            all->counts.unconnected++;
            end_relay(r, true);
        } else if (starved && r->connect_until == 0) {
            set_interest(r);
        }
    }
    cm_timer_set(all->tick, TICK_MS);
}

struct relays *
relays_new(struct cm_loop *loop, size_t max,
           void (*gone)(const struct sockaddr_storage *client, void *ctx), void *ctx)
{
    struct relays *all = cm_calloc(1, sizeof(*all));
    size_t pipes = max / RELAY_PIPES_SHARE;

    all->loop = loop;
    all->max = max;
    all->gone = gone;
    all->ctx = ctx;
    all->pipes = pipes_new(pipes < PIPES_LEAST ? PIPES_LEAST : pipes);
    all->tick = cm_timer_new(loop, on_tick, all);
    cm_timer_set(all->tick, TICK_MS);
    return all;
}

void relays_free(struct relays **relays)
{
    if (*relays == NULL) {
        return;
    }
    (*relays)->gone = NULL;
    relays_reset_all(*relays);
    cm_timer_free(&(*relays)->tick);
    pipes_free(&(*relays)->pipes);
    free(*relays);
    *relays = NULL;
}

/* What the store would see if the client came by itself: its own address of this
 * tunnel, by which it tells the gateways apart. */
static void make_header(struct relay *r, const struct relay_target *target)
{
    if (!target->transparent) {
        r->header_len =
            (unsigned char)header_v2(&r->client, &target->address, r->header);
    }
}

bool relays_add(struct relays *relays, int fd, const struct sockaddr_storage *client,
                const struct relay_target *target)
{
    if (relays->counts.open >= relays->max) {
        relays->counts.refused++;
        relay_reset_fd(fd);
        return false;
    }
    int store = dial(client, target);
    if (store < 0) {
        relays->counts.unconnected++;
        relay_reset_fd(fd);
        return false;
    }
    struct relay *r = cm_calloc(1, sizeof(*r));
    *r = (struct relay){.all = relays,
                        .client = *client,
                        .fd = {fd, store},
                        .from = {{.pipe = {-1, -1}}, {.pipe = {-1, -1}}},
                        .next = relays->first,
                        .connect_until = cm_now_mono_ms() + RELAY_CONNECT_MS};
    if (r->next != NULL) {
        r->next->prev = r;
    }
    relays->first = r;
    relays->connecting++;
    relays->counts.accepted++;
    relays->counts.open++;
    make_header(r, target);
    /* The client is read when there is somebody to hand its bytes to. */
    r->io[CLIENT] = cm_io_new(relays->loop, fd, 0, on_client, r);
    r->io[STORE] = cm_io_new(relays->loop, store, CM_IO_WRITE, on_store, r);
    return true;
}

size_t relays_reset_all(struct relays *relays)
{
    size_t n = 0;

    for (; relays->first != NULL; n++) {
        end_relay(relays->first, true);
    }
    return n;
}

const struct relay_counts *relays_counts(const struct relays *relays)
{
    return &relays->counts;
}
