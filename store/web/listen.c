#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#define BACKLOG 64

struct door {
    struct listen *home;
    char address[INET6_ADDRSTRLEN]; /* "": free */
    int port;
    int fd;
    struct cm_io *io;
    bool wanted;
};

struct listen {
    struct cm_loop *loop;
    void (*accept)(int fd, void *ctx);
    void *ctx;
    struct door doors[LISTEN_MAX];
};

struct listen *listen_new(struct cm_loop *loop, void (*accept)(int fd, void *ctx),
                          void *ctx)
{
    struct listen *listen = cm_calloc(1, sizeof(*listen));
    listen->loop = loop;
    listen->accept = accept;
    listen->ctx = ctx;
    return listen;
}

static void door_close(struct door *door)
{
    if (door->address[0] != '\0') {
        cm_io_free(&door->io);
        close(door->fd);
        door->address[0] = '\0';
    }
}

void listen_free(struct listen **listenp)
{
    struct listen *listen = *listenp;
    if (listen == NULL) {
        return;
    }
    for (size_t i = 0; i < LISTEN_MAX; i++) {
        door_close(&listen->doors[i]);
    }
    free(listen);
    *listenp = NULL;
}

static void on_connection(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct door *door = ctx;
    int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (conn >= 0) {
        door->home->accept(conn, door->home->ctx);
    }
}

static int bind_at(const char *address, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port)};
    bool six = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    if (!six && inet_pton(AF_INET, address, &v4.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int on = 1;
    int fd =
        socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, six ? SOL_IPV6 : SOL_IP, six ? IPV6_FREEBIND : IP_FREEBIND, &on,
               sizeof(on));
    if (bind(fd, six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
             six ? sizeof(v6) : sizeof(v4)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void want(struct listen *listen, const char *address, int port)
{
    struct door *empty = NULL;
    for (size_t i = 0; i < LISTEN_MAX; i++) {
        struct door *door = &listen->doors[i];
        if (strcmp(door->address, address) == 0 && door->port == port) {
            door->wanted = true;
            return;
        }
        if (empty == NULL && door->address[0] == '\0') {
            empty = door;
        }
    }
    /* Full only while doors of an old port are open: they are closed first. */
    cm_assert(empty != NULL);
    int fd = bind_at(address, port);
    if (fd < 0) {
        cm_log(CM_LOG_WARNING, "metrics_not_bound", "address", address, "reason",
               strerror(errno), NULL);
        return;
    }
    *empty = (struct door){.home = listen, .port = port, .fd = fd, .wanted = true};
    snprintf(empty->address, sizeof(empty->address), "%s", address);
    empty->io = cm_io_new(listen->loop, fd, CM_IO_READ, on_connection, empty);
}

void listen_set(struct listen *listen, const struct cm_conf *conf)
{
    int port = (int)conf->store.metrics_port;
    for (size_t i = 0; i < LISTEN_MAX; i++) {
        listen->doors[i].wanted = false;
        if (listen->doors[i].port != port) {
            door_close(&listen->doors[i]);
        }
    }
    want(listen, "127.0.0.1", port);
    want(listen, "::1", port);
    for (size_t i = 0; i < conf->gateway_count; i++) {
        char address[INET6_ADDRSTRLEN];
        int n = (int)conf->gateways[i].number;
        snprintf(address, sizeof(address), "10.77.%d.2", n);
        want(listen, address, port);
        snprintf(address, sizeof(address), "fd77:%d::2", n);
        want(listen, address, port);
    }
    for (size_t i = 0; i < LISTEN_MAX; i++) {
        if (!listen->doors[i].wanted) {
            door_close(&listen->doors[i]);
        }
    }
}

size_t listen_count(const struct listen *listen)
{
    size_t n = 0;
    for (size_t i = 0; i < LISTEN_MAX; i++) {
        n += listen->doors[i].address[0] != '\0';
    }
    return n;
}
