#include "doors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#include "sources.h"

#define BACKLOG  4096
#define BURST    64
#define PAUSE_MS 100 /* after EMFILE and its like */

struct door {
    struct doors *all;
    struct sockaddr_storage address; /* with port */
    size_t port;                     /* index in settings.ports */
    bool wanted;
    int fd;
    struct cm_io *io;
    struct cm_timer *resume;
};

struct doors {
    struct cm_loop *loop;
    struct relays *relays;
    struct sources *sources;
    struct settings settings;
    struct door *open[CM_ADDRESSES_MAX * SETTINGS_PORTS_MAX];
    size_t count;
    bool serve;
    struct door_counts counts;
};

/* ---- addresses ---- */

static in_port_t *port_of(struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? &((struct sockaddr_in *)address)->sin_port
                                         : &((struct sockaddr_in6 *)address)->sin6_port;
}

static socklen_t length_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                         : sizeof(struct sockaddr_in6);
}

static bool target_of(const struct doors *doors, const struct door *door,
                      struct relay_target *target)
{
    const struct settings *s = &doors->settings;
    bool v6 = door->address.ss_family == AF_INET6;

    if (!(v6 ? s->has_store6 : s->has_store4)) {
        return false;
    }
    *target = (struct relay_target){.transparent = s->transparent};
    target->address.ss_family = door->address.ss_family;
    target->address_len = length_of(&target->address);
    if (v6) {
        ((struct sockaddr_in6 *)&target->address)->sin6_addr = s->store6;
    } else {
        ((struct sockaddr_in *)&target->address)->sin_addr = s->store4;
    }
    *port_of(&target->address) = htons((
        uint16_t)(s->ports[door->port] + (s->transparent ? 0 : SETTINGS_HEADER_PORTS)));
    return true;
}

/* ---- who knocks ---- */

static void admit(struct door *door, int fd, const struct sockaddr_storage *client)
{
    struct doors *doors = door->all;
    struct relay_target target;

    doors->counts.knocks[door->port]++;
    if (!doors->serve || !target_of(doors, door, &target)) {
        doors->counts.unserved++;
        relay_reset_fd(fd);
    } else if (!sources_take(doors->sources, client)) {
        doors->counts.crowded++;
        relay_reset_fd(fd);
    } else if (!relays_add(doors->relays, fd, client, &target)) {
        sources_give(doors->sources, client);
    }
}

static void on_gone(const struct sockaddr_storage *client, void *ctx)
{
    struct doors *doors = ctx;
    sources_give(doors->sources, client);
}

static void on_resume(void *ctx)
{
    struct door *door = ctx;
    cm_io_want(door->io, CM_IO_READ);
}

static void on_knock(int fd, unsigned events, void *ctx)
{
    struct door *door = ctx;

    (void)events;
    for (int i = 0; i < BURST; i++) {
        struct sockaddr_storage client;
        socklen_t len = sizeof(client);
        int conn =
            accept4(fd, (struct sockaddr *)&client, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn >= 0) {
            admit(door, conn, &client);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno != EAGAIN) {
                cm_log(CM_LOG_WARNING, "accept_failed", "reason", strerror(errno),
                       NULL);
                cm_io_want(door->io, 0);
                cm_timer_set(door->resume, PAUSE_MS);
            }
            return;
        }
    }
}

/* ---- listeners ---- */

static int set_on(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on));
}

/* As large as what the tunnel carries (1280 without headers): the kernel plane tells
 * clients the same, and a client whose path is narrower than it knows gets on. */
#define SEGMENT4 1240
#define SEGMENT6 1220

/* The address may come to the machine after us, hence FREEBIND. */
static int listen_at(const struct sockaddr_storage *address)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    (void)set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    (void)set_on(fd, IPPROTO_IP, IP_FREEBIND);
    relay_tune_door(fd);
    int segment = address->ss_family == AF_INET6 ? SEGMENT6 : SEGMENT4;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
    if (address->ss_family == AF_INET6) {
        (void)set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    }
    if (bind(fd, (const struct sockaddr *)address, length_of(address)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void close_door(struct door *door)
{
    cm_io_free(&door->io);
    cm_timer_free(&door->resume);
    close(door->fd);
    free(door);
}

static struct door *find(struct doors *doors, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < doors->count; i++) {
        if (memcmp(&doors->open[i]->address, address, sizeof(*address)) == 0) {
            return doors->open[i];
        }
    }
    return NULL;
}

static int cannot_listen(const struct sockaddr_storage *address, unsigned port, int why,
                         struct cm_err *err)
{
    const void *bytes =
        address->ss_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
    char text[INET6_ADDRSTRLEN] = "";

    inet_ntop(address->ss_family, bytes, text, sizeof(text));
    return cm_err_set(err, CM_ERR_WORLD, "cannot listen on %s port %u: %s", text, port,
                      strerror(why));
}

static int open_door(struct doors *doors, const struct sockaddr_storage *address,
                     size_t port, struct cm_err *err)
{
    int fd = listen_at(address);

    if (fd < 0) {
        return cannot_listen(address, doors->settings.ports[port], errno, err);
    }
    struct door *door = cm_calloc(1, sizeof(*door));
    *door = (struct door){
        .all = doors, .address = *address, .port = port, .wanted = true, .fd = fd};
    door->io = cm_io_new(doors->loop, fd, CM_IO_READ, on_knock, door);
    door->resume = cm_timer_new(doors->loop, on_resume, door);
    doors->open[doors->count++] = door;
    return 0;
}

static void close_unwanted(struct doors *doors)
{
    size_t kept = 0;

    for (size_t i = 0; i < doors->count; i++) {
        if (doors->open[i]->wanted) {
            doors->open[kept++] = doors->open[i];
        } else {
            close_door(doors->open[i]);
        }
    }
    doors->count = kept;
}

/* Marks the listeners that stay, or opens those that are missing. */
static int each_door(struct doors *doors, bool mark, struct cm_err *err)
{
    const struct settings *s = &doors->settings;
    int rc = 0;

    for (size_t a = 0; a < s->listen_count; a++) {
        for (size_t p = 0; p < s->port_count; p++) {
            struct sockaddr_storage address = s->listen[a];
            *port_of(&address) = htons(s->ports[p]);
            struct door *door = find(doors, &address);
            if (door != NULL) {
                door->wanted = true;
                door->port = p;
            } else if (!mark && open_door(doors, &address, p, err) != 0) {
                rc = -1;
            }
        }
    }
    return rc;
}

int doors_set(struct doors *doors, const struct settings *settings, struct cm_err *err)
{
    doors->settings = *settings;
    sources_limit(doors->sources, (unsigned)settings->per_source);
    for (size_t i = 0; i < doors->count; i++) {
        doors->open[i]->wanted = false;
    }
    /* Old ones go first, for their places in the table. */
    (void)!each_door(doors, true, err);
    close_unwanted(doors);
    return each_door(doors, false, err);
}

struct doors *doors_new(struct cm_loop *loop, size_t max)
{
    struct doors *doors = cm_calloc(1, sizeof(*doors));

    doors->loop = loop;
    doors->serve = true;
    doors->sources = sources_new(max, 1);
    doors->relays = relays_new(loop, max, on_gone, doors);
    return doors;
}

void doors_free(struct doors **doors)
{
    if (*doors == NULL) {
        return;
    }
    for (size_t i = 0; i < (*doors)->count; i++) {
        close_door((*doors)->open[i]);
    }
    relays_free(&(*doors)->relays);
    sources_free(&(*doors)->sources);
    free(*doors);
    *doors = NULL;
}

void doors_serve(struct doors *doors, bool serve)
{
    doors->serve = serve;
}

struct relays *doors_relays(struct doors *doors)
{
    return doors->relays;
}

const struct door_counts *doors_counts(const struct doors *doors)
{
    return &doors->counts;
}
