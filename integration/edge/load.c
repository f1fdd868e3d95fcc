#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/mem.h"

#define CHUNK       (256 * 1024)
#define WINDOW      (8 * 1024)
#define PING        64
#define WAIT_S      10
#define THREADS_MAX 64

/* ---- the store's end ---- */

struct host {
    struct cm_loop *loop;
    uint16_t port;
};

struct guest {
    const struct host *host;
    struct cm_io *io;
    int fd;
    uint64_t count;
};

static char chunk[CHUNK]; /* one process, one use at a time */

static void guest_end(struct guest *g)
{
    cm_io_free(&g->io);
    close(g->fd);
    free(g);
}

static void on_taker(int fd, unsigned events, void *ctx)
{
    struct guest *g = ctx;

    (void)events;
    if (send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        errno != EAGAIN) {
        guest_end(g);
    }
}

/* Echoes are small and fit into an empty socket. */
static void on_giver(int fd, unsigned events, void *ctx)
{
    struct guest *g = ctx;
    ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    (void)events;
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        if (n == 0 && g->host->port == LOAD_SINK) {
            (void)!send(fd, &g->count, sizeof(g->count), MSG_NOSIGNAL);
        }
        guest_end(g);
        return;
    }
    g->count += (uint64_t)n;
    if (g->host->port == LOAD_ECHO && send(fd, chunk, (size_t)n, MSG_NOSIGNAL) != n) {
        guest_end(g);
    }
}

static void on_knock(int fd, unsigned events, void *ctx)
{
    const struct host *host = ctx;
    bool gives = host->port == LOAD_SOURCE;
    int conn, on = 1;

    (void)events;
    while ((conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct guest *g = cm_calloc(1, sizeof(*g));
        setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        *g = (struct guest){.host = host, .fd = conn};
        g->io = cm_io_new(host->loop, conn, gives ? CM_IO_WRITE : CM_IO_READ,
                          gives ? on_taker : on_giver, g);
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    cm_assert(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0);
    cm_assert(listen(fd, 4096) == 0);
    return fd;
}

_Noreturn void load_serve(void)
{
    static const uint16_t ports[] = {LOAD_ECHO, LOAD_SINK, LOAD_SOURCE};
    struct host hosts[3];
    struct cm_loop *loop = cm_loop_new();

    for (size_t i = 0; i < 3; i++) {
        hosts[i] = (struct host){loop, ports[i]};
        cm_io_new(loop, listen_on(ports[i]), CM_IO_READ, on_knock, &hosts[i]);
    }
    cm_loop_run(loop);
    _exit(0);
}

/* ---- clients ---- */

/* What is under way fits into the socket of a wireguard-go, 90 packets: a stream that
 * loses some is measured by how it happens to lose them. */
static int dial(const char *address, uint16_t port)
{
    struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, window = WINDOW;

    cm_assert(inet_pton(AF_INET, address, &to4.sin_addr) == 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window, sizeof(window));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&to4, sizeof(to4)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A reset leaves no TIME_WAIT behind, of which a bench would run out of ports. */
static void hang_up(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

struct runner {
    pthread_t thread;
    const char *address;
    int64_t until;
    uint64_t count;
};

static double run(const char *address, unsigned n, int64_t ms, void *(*body)(void *))
{
    struct runner runners[THREADS_MAX];
    int64_t from = cm_now_mono_ms();
    uint64_t sum = 0;

    cm_assert(n <= THREADS_MAX);
    for (unsigned i = 0; i < n; i++) {
        runners[i] = (struct runner){.address = address, .until = from + ms};
        cm_assert(pthread_create(&runners[i].thread, NULL, body, &runners[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(runners[i].thread, NULL);
        sum += runners[i].count;
    }
    return (double)sum * 1000 / (double)(cm_now_mono_ms() - from);
}

/* What the other end says it got. */
static void *upload(void *arg)
{
    struct runner *r = arg;
    char *data = cm_calloc(1, CHUNK);
    int fd = dial(r->address, LOAD_SINK);

    while (fd >= 0 && cm_now_mono_ms() < r->until) {
        if (send(fd, data, CHUNK, MSG_NOSIGNAL) <= 0) {
            break;
        }
    }
    if (fd >= 0) {
        shutdown(fd, SHUT_WR);
        if (recv(fd, &r->count, sizeof(r->count), MSG_WAITALL) != sizeof(r->count)) {
            r->count = 0;
        }
        close(fd);
    }
    free(data);
    return NULL;
}

static void *connects(void *arg)
{
    struct runner *r = arg;
    char byte = 'x';

    while (cm_now_mono_ms() < r->until) {
        int fd = dial(r->address, LOAD_ECHO);
        if (fd < 0) {
            usleep(1000);
            continue;
        }
        if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1) {
            r->count++;
        }
        hang_up(fd);
    }
    return NULL;
}

static void *download(void *arg)
{
    struct runner *r = arg;
    char *data = cm_malloc(CHUNK);
    int fd = dial(r->address, LOAD_SOURCE);

    while (fd >= 0 && cm_now_mono_ms() < r->until) {
        ssize_t n = recv(fd, data, CHUNK, 0);
        if (n <= 0) {
            break;
        }
        r->count += (uint64_t)n;
    }
    if (fd >= 0) {
        hang_up(fd);
    }
    free(data);
    return NULL;
}

double load_upload(const char *address, unsigned streams, int64_t ms)
{
    return run(address, streams, ms, upload);
}

double load_download(const char *address, unsigned streams, int64_t ms)
{
    return run(address, streams, ms, download);
}

double load_connections(const char *address, unsigned threads, int64_t ms)
{
    return run(address, threads, ms, connects);
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void load_latency(const char *address, unsigned rounds, double *p50_ms, double *p99_ms)
{
    double *ms = cm_calloc(rounds, sizeof(*ms));
    char text[PING] = "";
    int fd = dial(address, LOAD_ECHO);

    for (unsigned i = 0; fd >= 0 && i < rounds; i++) {
        int64_t from = now_ns();
        if (send(fd, text, PING, MSG_NOSIGNAL) != PING ||
            recv(fd, text, PING, MSG_WAITALL) != PING) {
            break;
        }
        ms[i] = (double)(now_ns() - from) / 1e6;
    }
    qsort(ms, rounds, sizeof(*ms), by_size);
    *p50_ms = ms[rounds / 2];
    *p99_ms = ms[rounds - 1 - rounds / 100];
    free(ms);
    if (fd >= 0) {
        close(fd);
    }
}

static int echo(int fd)
{
    char byte = 'y';
    return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
}

size_t load_open(const char *address, size_t n, int *fds)
{
    size_t open = 0;

    for (size_t i = 0; i < n; i++) {
        fds[i] = dial(address, LOAD_ECHO);
        if (fds[i] >= 0 && echo(fds[i])) {
            open++;
        } else {
            fprintf(stderr, "bench-edge: connection %zu: %s: %s\n", i,
                    fds[i] < 0 ? "connect" : "a byte there and back", strerror(errno));
        }
    }
    return open;
}

void load_speak(int *fd)
{
    if (*fd >= 0 && !echo(*fd)) {
        hang_up(*fd);
        *fd = -1;
    }
}

size_t load_check(const int *fds, size_t n)
{
    size_t alive = 0;

    for (size_t i = 0; i < n; i++) {
        alive += fds[i] >= 0 && echo(fds[i]);
        if (fds[i] >= 0) {
            hang_up(fds[i]);
        }
    }
    return alive;
}
