#include "longway.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "probe/netns.h"
#include "router.h"

#define RELAY_PORT 5999
#define WG_PORT    51820
#define QUEUE      1024
#define PACKET     2048
#define TABLE      "ip lab_longway"
/* Another port makes it a flow that the router does not know yet; a word from the store
 * then tells the gateway where that is. */
#define NEW_FLOW                                                                       \
    "wg set wg%s listen-port 0; for i in 1 2 3; do bash -c 'echo "                     \
    ">/dev/udp/10.77.%s.1/9';"                                                         \
    " sleep 0.3; done"

struct packet {
    int64_t due_ms;
    size_t len;
    char data[PACKET];
};

/* One direction. */
struct lane {
    int64_t free_us; /* when the line is free again */
    int64_t last_ms; /* what came before leaves then */
    struct packet queue[QUEUE];
    size_t head, count;
};

struct longway {
    struct longway_like like;
    struct longway_counts counts;
    int near, far; /* towards the store, towards the gateway */
    struct sockaddr_in store;
    struct lane lanes[2]; /* 0: to the gateway, 1: to the store */
    pthread_t thread;
    atomic_bool ends;
};

static uint32_t chance(uint32_t below)
{
    uint32_t n;
    cm_assert(getrandom(&n, sizeof n, 0) == (ssize_t)sizeof n);
    return below == 0 ? 0 : n % below;
}

static void take(struct longway *w, struct lane *lane, const char *data, size_t len)
{
    int64_t now_us = cm_now_mono_ms() * 1000;
    int64_t begins = lane->free_us > now_us ? lane->free_us : now_us;
    if (chance(100) < w->like.lost_percent) {
        w->counts.lost++;
        return;
    }
    if (lane->count == QUEUE || begins - now_us > w->like.queue_ms * 1000) {
        w->counts.overflowed++;
        return;
    }
    lane->free_us = begins + (int64_t)len * 8 * 1000000 / w->like.bits_per_s;
    int64_t due = lane->free_us / 1000 + w->like.delay_ms +
                  chance((uint32_t)w->like.jitter_ms + 1);
    struct packet *p = &lane->queue[(lane->head + lane->count++) % QUEUE];
    p->due_ms = due > lane->last_ms ? due : lane->last_ms;
    lane->last_ms = p->due_ms;
    p->len = len;
    memcpy(p->data, data, len);
}

/* Sends what is due; ms until the next is, at most 50. */
static int64_t let_go(struct longway *w)
{
    int64_t next = 50, now = cm_now_mono_ms();
    for (int i = 0; i < 2; i++) {
        struct lane *lane = &w->lanes[i];
        for (; lane->count > 0 && lane->queue[lane->head].due_ms <= now;
             lane->head = (lane->head + 1) % QUEUE, lane->count--) {
            const struct packet *p = &lane->queue[lane->head];
            ssize_t n = i == 0 ? send(w->far, p->data, p->len, MSG_DONTWAIT)
                               : sendto(w->near, p->data, p->len, MSG_DONTWAIT,
                                        (struct sockaddr *)&w->store, sizeof w->store);
            w->counts.passed += n >= 0;
            w->counts.lost += n < 0;
        }
        if (lane->count > 0 && lane->queue[lane->head].due_ms - now < next) {
            next = lane->queue[lane->head].due_ms - now;
        }
    }
    return next;
}

static void *relay(void *arg)
{
    struct longway *w = arg;
    char data[PACKET];
    while (!atomic_load(&w->ends)) {
        struct pollfd fds[] = {{.fd = w->near, .events = POLLIN},
                               {.fd = w->far, .events = POLLIN}};
        (void)poll(fds, 2, (int)let_go(w));
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t n;
        while ((n = recvfrom(w->near, data, sizeof data, MSG_DONTWAIT,
                             (struct sockaddr *)&from, &size)) > 0) {
            w->store = from;
            take(w, &w->lanes[0], data, (size_t)n);
        }
        while ((n = recv(w->far, data, sizeof data, MSG_DONTWAIT)) > 0) {
            take(w, &w->lanes[1], data, (size_t)n);
        }
    }
    return NULL;
}

static int open_ends(struct longway *w, const char *netns, const char *gateway,
                     struct cm_err *err)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(RELAY_PORT)};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(WG_PORT)};
    inet_pton(AF_INET, lab_address(gateway, AF_INET), &there.sin_addr);
    if ((w->near = netns_socket(netns, AF_INET, SOCK_DGRAM, err)) < 0 ||
        (w->far = netns_socket(netns, AF_INET, SOCK_DGRAM, err)) < 0) {
        return -1;
    }
    return bind(w->near, (struct sockaddr *)&here, sizeof here) == 0 &&
                   connect(w->far, (struct sockaddr *)&there, sizeof there) == 0
               ? 0
               : cm_err_set(err, CM_ERR_WORLD, "the relay of the long way: %m");
}

static void close_ends(struct longway *w)
{
    if (w->near >= 0) {
        close(w->near);
    }
    if (w->far >= 0) {
        close(w->far);
    }
}

static int lead_there(struct stage *stage, const char *gateway, struct cm_err *err)
{
    char *command = cm_asprintf(
        "nft -f - <<'EOF'\ntable " TABLE " {\n chain in {\n  type nat hook prerouting "
        "priority dstnat - 1\n  ip daddr %s udp dport %d redirect to :%d\n }\n}\nEOF\n",
        lab_address(gateway, AF_INET), WG_PORT, RELAY_PORT);
    int rc = router_home(stage, command, err);
    free(command);
    return rc != 0 ? -1
                   : scene_sh(&stage->scene, "store", 0, NULL, err, NEW_FLOW,
                              gateway + strlen("edge"), gateway + strlen("edge"));
}

struct longway *longway_start(struct stage *stage, const char *gateway,
                              const struct longway_like *like, struct cm_err *err)
{
    char netns[64];
    struct longway *w = cm_calloc(1, sizeof *w);
    w->like = *like;
    w->near = w->far = -1;
    if (longway_over(stage, err) != 0 ||
        scene_netns(&stage->scene, "home", netns, err) != 0 ||
        open_ends(w, netns, gateway, err) != 0) {
        close_ends(w);
        free(w);
        return NULL;
    }
    cm_assert(pthread_create(&w->thread, NULL, relay, w) == 0);
    if (lead_there(stage, gateway, err) != 0) {
        longway_stop(&w, NULL);
    }
    return w;
}

void longway_stop(struct longway **longway, struct longway_counts *counts_r)
{
    struct longway *w = *longway;
    if (w == NULL) {
        return;
    }
    atomic_store(&w->ends, true);
    pthread_join(w->thread, NULL);
    close_ends(w);
    if (counts_r != NULL) {
        *counts_r = w->counts;
    }
    free(w);
    *longway = NULL;
}

int longway_over(struct stage *stage, struct cm_err *err)
{
    struct cm_err none;
    if (router_home(stage, "nft list table " TABLE " >/dev/null", &none) != 0) {
        return 0;
    }
    return router_home(stage, "nft delete table " TABLE, err) != 0
               ? -1
               : scene_sh(&stage->scene, "store", 0, NULL, err, NEW_FLOW "; " NEW_FLOW,
                          "1", "1", "2", "2");
}
