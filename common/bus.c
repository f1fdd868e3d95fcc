#include "common/bus.h"

#include <errno.h>
#include <stdlib.h>

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>

#include "bus_pub.h"
#include "common/mem.h"

/* Messages taken in one turn of the loop, so that a chatty peer cannot starve the rest.
 */
#define PER_TURN 64

#define RECONNECT_MS     200
#define RECONNECT_MAX_MS 2000

struct cm_bus {
    struct bus_pub *pub; /* of PUB, which has nothing of nanomsg's */
    int sock;
    struct cm_io *io; /* NULL for PUSH */
    cm_bus_cb cb;
    void *ctx;
    bool *gone; /* set while in the callback: says that it freed us */
};

static const struct {
    int protocol;
    bool receives;
} kinds[] = {
    [CM_BUS_PUB] = {-1, false},       [CM_BUS_SUB] = {NN_SUB, true},
    [CM_BUS_REQ] = {NN_REQ, true},    [CM_BUS_REP] = {NN_REP, true},
    [CM_BUS_PUSH] = {NN_PUSH, false}, [CM_BUS_PULL] = {NN_PULL, true},
};

static int fail(struct cm_err *err, const char *what)
{
    return cm_err_set(err, CM_ERR_RETRY, "bus: %s: %s", what, nn_strerror(nn_errno()));
}

static int set_int(int sock, int level, int option, int value)
{
    return nn_setsockopt(sock, level, option, &value, sizeof(value));
}

static int set_options(int sock, enum cm_bus_kind kind)
{
    if (set_int(sock, NN_SOL_SOCKET, NN_RECONNECT_IVL, RECONNECT_MS) < 0 ||
        set_int(sock, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) < 0 ||
        set_int(sock, NN_TCP, NN_TCP_NODELAY, 1) < 0) {
        return -1;
    }
    if (kinds[kind].receives &&
        set_int(sock, NN_SOL_SOCKET, NN_RCVMAXSIZE, CM_BUS_MAX) < 0) {
        return -1;
    }
    return kind == CM_BUS_SUB ? nn_setsockopt(sock, NN_SUB, NN_SUB_SUBSCRIBE, "", 0)
                              : 0;
}

static void readable(int fd, unsigned events, void *ctx)
{
    (void)fd;
    (void)events;
    struct cm_bus *bus = ctx;
    bool gone = false;
    for (int i = 0; i < PER_TURN && !gone; i++) {
        char *data;
        int n = nn_recv(bus->sock, &data, NN_MSG, NN_DONTWAIT);
        if (n < 0) {
            /* EAGAIN: all read. EFSM: a REQ whose answer has been taken. */
            return;
        }
        bus->gone = &gone;
        bus->cb(bus, data, (size_t)n, bus->ctx);
        if (!gone) {
            bus->gone = NULL;
        }
        nn_freemsg(data);
    }
}

static struct cm_bus *new_pub(struct cm_loop *loop)
{
    struct cm_bus *bus = cm_calloc(1, sizeof(*bus));
    bus->pub = bus_pub_new(loop);
    return bus;
}

struct cm_bus *cm_bus_new(struct cm_loop *loop, enum cm_bus_kind kind, cm_bus_cb cb,
                          void *ctx, struct cm_err *err)
{
    if (kind == CM_BUS_PUB) {
        return new_pub(loop);
    }
    int sock = nn_socket(AF_SP, kinds[kind].protocol);
    if (sock < 0) {
        fail(err, "socket");
        return NULL;
    }
    int fd = -1;
    size_t fd_size = sizeof(fd);
    if (set_options(sock, kind) < 0 ||
        (kinds[kind].receives &&
         nn_getsockopt(sock, NN_SOL_SOCKET, NN_RCVFD, &fd, &fd_size) < 0)) {
        fail(err, "options");
        nn_close(sock);
        return NULL;
    }
    struct cm_bus *bus = cm_calloc(1, sizeof(*bus));
    bus->sock = sock;
    bus->cb = cb;
    bus->ctx = ctx;
    if (kinds[kind].receives) {
        cm_assert(cb != NULL);
        bus->io = cm_io_new(loop, fd, CM_IO_READ, readable, bus);
    }
    return bus;
}

void cm_bus_free(struct cm_bus **busp)
{
    struct cm_bus *bus = *busp;
    if (bus == NULL) {
        return;
    }
    if (bus->gone != NULL) {
        *bus->gone = true;
    }
    /* First the watch: nn_close closes the descriptor under it. */
    cm_io_free(&bus->io);
    if (bus->pub == NULL) {
        nn_close(bus->sock);
    }
    bus_pub_free(&bus->pub);
    free(bus);
    *busp = NULL;
}

int cm_bus_bind(struct cm_bus *bus, const char *url, int *endpoint_r,
                struct cm_err *err)
{
    if (bus->pub != NULL) {
        *endpoint_r = 0;
        return bus_pub_bind(bus->pub, url, err);
    }
    int endpoint = nn_bind(bus->sock, url);
    if (endpoint < 0) {
        return fail(err, url);
    }
    *endpoint_r = endpoint;
    return 0;
}

int cm_bus_connect(struct cm_bus *bus, const char *url, int *endpoint_r,
                   struct cm_err *err)
{
    cm_assert(bus->pub == NULL);
    int endpoint = nn_connect(bus->sock, url);
    if (endpoint < 0) {
        return fail(err, url);
    }
    *endpoint_r = endpoint;
    return 0;
}

void cm_bus_unbind(struct cm_bus *bus, int endpoint)
{
    if (bus->pub != NULL) {
        bus_pub_unbind(bus->pub);
    } else {
        nn_shutdown(bus->sock, endpoint);
    }
}

int cm_bus_send(struct cm_bus *bus, const char *data, size_t len, struct cm_err *err)
{
    if (len > CM_BUS_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "bus: message of %zu bytes, at most %d",
                          len, CM_BUS_MAX);
    }
    if (bus->pub != NULL) {
        bus_pub_send(bus->pub, data, len);
        return 0;
    }
    if (nn_send(bus->sock, data, len, NN_DONTWAIT) < 0) {
        return nn_errno() == EAGAIN
                   ? cm_err_set(err, CM_ERR_RETRY, "bus: nobody takes it")
                   : fail(err, "send");
    }
    return 0;
}
