#include "bus_pub.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"

#define HEADER       8
#define BACKLOG      64
#define QUIET_MS     30000 /* what was sent and never acknowledged */
#define ACCEPT_BURST 16

static const unsigned char our_header[HEADER] = {0, 'S', 'P', 0, 0, 0x20, 0, 0};
static const unsigned char their_header[HEADER] = {0, 'S', 'P', 0, 0, 0x21, 0, 0};

/* One text for all peers, with its length in front. */
struct message {
    unsigned uses;
    size_t len;
    char data[];
};

struct peer {
    struct bus_pub *pub;
    int fd;
    struct cm_io *io;
    uint64_t since; /* the lowest is the oldest */
    unsigned char heard[HEADER];
    size_t heard_len;           /* all of it: it may have messages */
    struct message *now, *next; /* being sent, and after that */
    size_t sent;                /* of now */
};

struct bus_pub {
    struct cm_loop *loop;
    int fd; /* -1: not bound */
    struct cm_io *io;
    uint64_t count;
    struct peer *peers[BUS_PUB_PEERS_MAX];
};

/* ---- messages ---- */

static struct message *message_new(const void *data, size_t len, bool counted)
{
    size_t head = counted ? 8 : 0;
    struct message *m = cm_malloc(sizeof(*m) + head + len);

    *m = (struct message){.len = head + len};
    for (size_t i = 0; i < head; i++) {
        m->data[i] = (char)((uint64_t)len >> (56 - 8 * i));
    }
    memcpy(m->data + head, data, len);
    return m;
}

static void let_go(struct message **m)
{
    if (*m != NULL && --(*m)->uses == 0) {
        free(*m);
    }
    *m = NULL;
}

/* ---- peers ---- */

static void peer_end(struct peer *p)
{
    for (size_t i = 0; i < BUS_PUB_PEERS_MAX; i++) {
        if (p->pub->peers[i] == p) {
            p->pub->peers[i] = NULL;
        }
    }
    cm_io_free(&p->io);
    close(p->fd);
    let_go(&p->now);
    let_go(&p->next);
    free(p);
}

/* False when it is gone. */
static bool flush(struct peer *p)
{
    while (p->now != NULL) {
        ssize_t n = send(p->fd, p->now->data + p->sent, p->now->len - p->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            peer_end(p);
            return false;
        }
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        p->sent += n > 0 ? (size_t)n : 0;
        if (p->sent == p->now->len) {
            let_go(&p->now);
            p->now = p->next;
            p->next = NULL;
            p->sent = 0;
        }
    }
    cm_io_want(p->io, CM_IO_READ | (p->now != NULL ? CM_IO_WRITE : 0));
    return true;
}

static void give(struct peer *p, struct message *m)
{
    struct message **place = p->now == NULL ? &p->now : &p->next;

    let_go(place);
    m->uses++;
    *place = m;
    (void)flush(p);
}

/* A subscriber says its header and nothing else, ever. */
static bool listen_to(struct peer *p)
{
    unsigned char more[HEADER + 1];
    ssize_t n = recv(p->fd, more, sizeof(more), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n <= 0 || p->heard_len + (size_t)n > HEADER) {
        return false;
    }
    memcpy(p->heard + p->heard_len, more, (size_t)n);
    p->heard_len += (size_t)n;
    return memcmp(p->heard, their_header, p->heard_len) == 0;
}

static void on_peer(int fd, unsigned events, void *ctx)
{
    struct peer *p = ctx;

    (void)fd;
    if ((events & CM_IO_READ) != 0 && !listen_to(p)) {
        peer_end(p);
        return;
    }
    (void)flush(p);
}

/* ---- who comes ---- */

static size_t free_place(struct bus_pub *pub)
{
    size_t oldest = 0;

    for (size_t i = 0; i < BUS_PUB_PEERS_MAX; i++) {
        if (pub->peers[i] == NULL) {
            return i;
        }
        oldest = pub->peers[i]->since < pub->peers[oldest]->since ? i : oldest;
    }
    peer_end(pub->peers[oldest]);
    return oldest;
}

static void welcome(struct bus_pub *pub, int fd)
{
    int on = 1, quiet_ms = QUIET_MS;
    struct peer *p = cm_calloc(1, sizeof(*p));
    struct message *header = message_new(our_header, HEADER, false);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &quiet_ms, sizeof(quiet_ms));
    *p = (struct peer){.pub = pub, .fd = fd, .since = pub->count++};
    pub->peers[free_place(pub)] = p;
    p->io = cm_io_new(pub->loop, fd, CM_IO_READ, on_peer, p);
    give(p, header);
}

static void on_knock(int fd, unsigned events, void *ctx)
{
    struct bus_pub *pub = ctx;

    (void)events;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn < 0) {
            return;
        }
        welcome(pub, conn);
    }
}

/* ---- the socket ---- */

struct bus_pub *bus_pub_new(struct cm_loop *loop)
{
    struct bus_pub *pub = cm_calloc(1, sizeof(*pub));

    pub->loop = loop;
    pub->fd = -1;
    return pub;
}

void bus_pub_free(struct bus_pub **pubp)
{
    struct bus_pub *pub = *pubp;

    if (pub == NULL) {
        return;
    }
    bus_pub_unbind(pub);
    for (size_t i = 0; i < BUS_PUB_PEERS_MAX; i++) {
        if (pub->peers[i] != NULL) {
            peer_end(pub->peers[i]);
        }
    }
    free(pub);
    *pubp = NULL;
}

static int parse(const char *url, struct sockaddr_in *at, struct cm_err *err)
{
    char host[46];
    int port = 0;

    *at = (struct sockaddr_in){.sin_family = AF_INET};
    if (sscanf(url, "tcp://%45[0-9.]:%d", host, &port) != 2 || port < 1 ||
        port > 65535 || inet_pton(AF_INET, host, &at->sin_addr) != 1) {
        return cm_err_set(err, CM_ERR_REFUSE, "bus: %.80s: not an address", url);
    }
    at->sin_port = htons((uint16_t)port);
    return 0;
}

int bus_pub_bind(struct bus_pub *pub, const char *url, struct cm_err *err)
{
    struct sockaddr_in at;
    int on = 1;

    cm_assert(pub->fd < 0);
    if (parse(url, &at, err) != 0) {
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        cm_err_set(err, CM_ERR_RETRY, "bus: %.80s: %s", url, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    pub->fd = fd;
    pub->io = cm_io_new(pub->loop, fd, CM_IO_READ, on_knock, pub);
    return 0;
}

void bus_pub_unbind(struct bus_pub *pub)
{
    if (pub->fd >= 0) {
        cm_io_free(&pub->io);
        close(pub->fd);
        pub->fd = -1;
    }
}

void bus_pub_send(struct bus_pub *pub, const char *data, size_t len)
{
    struct message *m = message_new(data, len, true);

    m->uses++; /* ours, until all have it */
    for (size_t i = 0; i < BUS_PUB_PEERS_MAX; i++) {
        if (pub->peers[i] != NULL && pub->peers[i]->heard_len == HEADER) {
            give(pub->peers[i], m);
        }
    }
    let_go(&m);
}
