#include "dns_trouble.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "probe/relay.h"

#define RESOLVER   "198.51.100.53"
#define TABLE      "inet portico_testdns"
#define PACKET_MAX 4096
#define HEADER     12
#define ASKED_MAX  256 /* questions under way; older ones are forgotten */
#define HELD_MAX   64  /* answers held back; what comes on top is dropped */
#define TURN_MS    50
#define LABELS     3
#define SERVFAIL   2
#define ID(packet) ((uint16_t)((packet)[0] << 8 | (packet)[1]))

static const char *const labels[LABELS] = {DNS_TROUBLE_DROP, DNS_TROUBLE_FAIL,
                                           DNS_TROUBLE_LATE};
enum { DROP, FAIL, LATE };

struct asker {
    uint16_t id;
    struct sockaddr_in from;
};

struct held {
    int64_t due_ms; /* 0: free */
    struct sockaddr_in to;
    size_t len;
    unsigned char data[PACKET_MAX];
};

struct dns_trouble {
    pthread_t thread;
    int front, back; /* towards who asks, and towards the resolver */
    struct sockaddr_in resolver;
    atomic_bool stop, over;
    atomic_uint asked[LABELS];
    struct asker asker[ASKED_MAX];
    unsigned next;
    struct held held[HELD_MAX];
};

/* The number of the first label of the name that is asked for, LABELS when another. */
static int label_of(const unsigned char *packet, size_t len)
{
    for (int i = 0; i < LABELS; i++) {
        size_t n = strlen(labels[i]);
        if (len > HEADER + n && packet[HEADER] == n &&
            strncasecmp((const char *)packet + HEADER + 1, labels[i], n) == 0) {
            return i;
        }
    }
    return LABELS;
}

static void reply(const struct dns_trouble *t, const unsigned char *data, size_t len,
                  const struct sockaddr_in *to)
{
    sendto(t->front, data, len, 0, (const struct sockaddr *)to, sizeof *to);
}

static void on_question(struct dns_trouble *t)
{
    unsigned char data[PACKET_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t n =
        recvfrom(t->front, data, sizeof data, 0, (struct sockaddr *)&from, &from_len);
    if (n <= HEADER) {
        return;
    }
    int label = label_of(data, (size_t)n);
    if (label < LABELS) {
        atomic_fetch_add(&t->asked[label], 1);
    }
    if (!atomic_load(&t->over) && label == DROP) {
        return;
    }
    if (!atomic_load(&t->over) && label == FAIL) {
        data[2] |= 0x80;
        data[3] = (unsigned char)(0x80 | SERVFAIL);
        reply(t, data, (size_t)n, &from);
        return;
    }
    t->asker[t->next++ % ASKED_MAX] = (struct asker){.id = ID(data), .from = from};
    sendto(t->back, data, (size_t)n, 0, (const struct sockaddr *)&t->resolver,
           sizeof t->resolver);
}

static void hold(struct dns_trouble *t, const unsigned char *data, size_t len,
                 const struct sockaddr_in *to)
{
    for (size_t i = 0; i < HELD_MAX; i++) {
        struct held *h = &t->held[i];
        if (h->due_ms == 0) {
            h->due_ms = cm_now_mono_ms() + DNS_TROUBLE_LATE_MS;
            h->to = *to;
            h->len = len;
            memcpy(h->data, data, len);
            return;
        }
    }
}

static void on_answer(struct dns_trouble *t)
{
    unsigned char data[PACKET_MAX];
    ssize_t n = recv(t->back, data, sizeof data, 0);
    for (unsigned i = 0; n > HEADER && i < ASKED_MAX; i++) {
        struct asker *asker = &t->asker[i];
        if (asker->id != ID(data) || asker->from.sin_port == 0) {
            continue;
        }
        if (!atomic_load(&t->over) && label_of(data, (size_t)n) == LATE) {
            hold(t, data, (size_t)n, &asker->from);
        } else {
            reply(t, data, (size_t)n, &asker->from);
        }
        asker->from.sin_port = 0;
        return;
    }
}

static void on_due(struct dns_trouble *t)
{
    int64_t now = cm_now_mono_ms();
    for (size_t i = 0; i < HELD_MAX; i++) {
        struct held *h = &t->held[i];
        if (h->due_ms != 0 && h->due_ms <= now) {
            reply(t, h->data, h->len, &h->to);
            h->due_ms = 0;
        }
    }
}

static void *run(void *arg)
{
    struct dns_trouble *t = arg;
    while (!atomic_load(&t->stop)) {
        struct pollfd pfd[] = {{.fd = t->front, .events = POLLIN},
                               {.fd = t->back, .events = POLLIN}};
        poll(pfd, 2, TURN_MS);
        if (pfd[0].revents != 0) {
            on_question(t);
        }
        if (pfd[1].revents != 0) {
            on_answer(t);
        }
        on_due(t);
    }
    return NULL;
}

static int lead_here(struct stage *stage, int port, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "nft delete table " TABLE " 2>/dev/null; nft -f - <<'E'\n"
                    "table " TABLE " {\n"
                    "  chain leave { type nat hook output priority -100;\n"
                    "    meta skuid chatmail-filter udp dport 53"
                    " dnat ip to " RESOLVER ":%d\n"
                    "  }\n"
                    "}\nE",
                    port);
}

int dns_trouble_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "nft delete table " TABLE " 2>/dev/null || true");
}

struct dns_trouble *dns_trouble_start(struct stage *stage, struct cm_err *err)
{
    struct dns_trouble *t = cm_calloc(1, sizeof *t);
    struct relay_end front, back;
    char netns[64];
    t->front = t->back = -1;
    t->resolver = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53)};
    cm_assert(inet_pton(AF_INET, RESOLVER, &t->resolver.sin_addr) == 1);
    if (scene_netns(&stage->scene, "dns", netns, err) != 0 ||
        (t->front = relay_peer(netns, RESOLVER, &front, err)) < 0 ||
        (t->back = relay_peer(netns, RESOLVER, &back, err)) < 0 ||
        lead_here(stage, front.port, err) != 0) {
        dns_trouble_stop(&t);
        return NULL;
    }
    cm_assert(pthread_create(&t->thread, NULL, run, t) == 0);
    return t;
}

void dns_trouble_over(struct dns_trouble *trouble)
{
    atomic_store(&trouble->over, true);
}

unsigned dns_trouble_asked(struct dns_trouble *trouble, const char *label)
{
    for (int i = 0; i < LABELS; i++) {
        if (strcmp(labels[i], label) == 0) {
            return atomic_load(&trouble->asked[i]);
        }
    }
    return 0;
}

void dns_trouble_stop(struct dns_trouble **trouble)
{
    struct dns_trouble *t = *trouble;
    if (t == NULL) {
        return;
    }
    atomic_store(&t->stop, true);
    if (t->thread != 0) {
        pthread_join(t->thread, NULL);
    }
    if (t->front >= 0) {
        close(t->front);
    }
    if (t->back >= 0) {
        close(t->back);
    }
    free(t);
    *trouble = NULL;
}
