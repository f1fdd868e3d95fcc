#include "dkim_dns.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#define REPLY_MAX 65535

/* One server within one lookup. */
struct peer {
    int fd; /* -1: not asked yet; connected, so the kernel drops what others send */
    uint16_t id;
    bool plain;   /* without EDNS */
    bool waiting; /* for the answer to a question */
    unsigned refusals;
};

struct lookup {
    const struct dkim_servers *servers;
    const char *name;
    struct dkim_answer *out;
    int64_t deadline_ms, resend_ms; /* by the monotonic clock */
    unsigned sent, next;            /* questions sent; the server whose turn it is */
    struct peer peer[DKIM_SERVERS_MAX];
    unsigned char reply[REPLY_MAX];
};

static int open_socket(const struct lookup *l, unsigned i, int type)
{
    const struct sockaddr *to = (const struct sockaddr *)&l->servers->address[i];
    int fd = socket(to->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* connect() takes a source port that the kernel draws at random. */
    if (fd >= 0 && connect(fd, to, l->servers->len[i]) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void refused(struct lookup *l, unsigned i)
{
    struct peer *p = &l->peer[i];
    p->refusals++;
    p->waiting = false;
    /* Another server is asked at once, the same one only when its time comes. */
    for (unsigned k = 1; k < l->servers->count; k++) {
        unsigned other = (i + k) % l->servers->count;
        if (!l->peer[other].waiting && l->peer[other].refusals < p->refusals) {
            l->next = other;
            l->resend_ms = cm_now_mono_ms();
            return;
        }
    }
}

/* A socket that failed is made anew at the next try. */
static void drop_socket(struct peer *p)
{
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
}

static void send_question(struct lookup *l, unsigned i)
{
    unsigned char query[DKIM_QUERY_MAX];
    struct peer *p = &l->peer[i];
    if (p->fd < 0) {
        cm_assert(getrandom(&p->id, sizeof(p->id), 0) == sizeof(p->id));
        p->fd = open_socket(l, i, SOCK_DGRAM);
    }
    /* A question sent again keeps its id and port, so that a late answer to the first
     * still counts. */
    size_t n = dkim_query_make(query, p->id, l->name, !p->plain);
    p->waiting = true;
    if (p->fd < 0 || send(p->fd, query, n, MSG_NOSIGNAL) != (ssize_t)n) {
        drop_socket(p);
        refused(l, i);
    }
}

static bool give_up(const struct lookup *l)
{
    for (unsigned i = 0; i < l->servers->count; i++) {
        if (l->peer[i].refusals < DKIM_DNS_REFUSALS_MAX) {
            return false;
        }
    }
    return true;
}

/* ---- TCP ---- */

static bool wait_fd(int fd, short events, int64_t until_ms)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = until_ms - cm_now_mono_ms();
        int rc = left > 0 ? poll(&pfd, 1, (int)left) : 0;
        if (rc >= 0 || errno != EINTR) {
            return rc == 1;
        }
    }
}

static bool tcp_all(int fd, bool out, unsigned char *data, size_t len, int64_t until_ms)
{
    while (len > 0) {
        if (!wait_fd(fd, out ? POLLOUT : POLLIN, until_ms)) {
            return false;
        }
        ssize_t n = out ? send(fd, data, len, MSG_NOSIGNAL) : recv(fd, data, len, 0);
        if (n <= 0 && !(n < 0 && (errno == EAGAIN || errno == EINTR))) {
            return false;
        }
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* A message over TCP has its length in front (RFC 1035 4.2.2). */
static enum dkim_reply ask_tcp(struct lookup *l, unsigned i)
{
    unsigned char query[2 + DKIM_QUERY_MAX], head[2];
    struct peer *p = &l->peer[i];
    size_t n = dkim_query_make(query + 2, p->id, l->name, !p->plain);
    query[0] = (unsigned char)(n >> 8);
    query[1] = (unsigned char)n;
    int64_t until = cm_now_mono_ms() + DKIM_DNS_TCP_MS;
    until = until < l->deadline_ms ? until : l->deadline_ms;
    enum dkim_reply reply = DKIM_REPLY_BAD;
    int fd = open_socket(l, i, SOCK_STREAM);
    if (fd < 0) {
        return DKIM_REPLY_BAD;
    }
    if (tcp_all(fd, true, query, 2 + n, until) &&
        tcp_all(fd, false, head, sizeof(head), until)) {
        size_t len = (size_t)head[0] << 8 | head[1];
        if (tcp_all(fd, false, l->reply, len, until)) {
            reply = dkim_reply_read(l->reply, len, p->id, l->name, l->out);
        }
    }
    close(fd);
    return reply;
}

/* ---- UDP ---- */

/* True when the lookup is decided. */
static bool judge(struct lookup *l, unsigned i, enum dkim_reply reply, int *result)
{
    struct peer *p = &l->peer[i];
    switch (reply) {
    case DKIM_REPLY_FOUND:
    case DKIM_REPLY_ABSENT:
        *result = reply == DKIM_REPLY_FOUND;
        return true;
    case DKIM_REPLY_NO_EDNS:
        if (!p->plain) {
            p->plain = true;
            send_question(l, i);
            return false;
        }
        break;
    default:
        break;
    }
    refused(l, i);
    return false;
}

static bool receive(struct lookup *l, unsigned i, int *result)
{
    struct peer *p = &l->peer[i];
    ssize_t n = recv(p->fd, l->reply, sizeof(l->reply), 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) { /* nobody listens there, ... */
            drop_socket(p);
            refused(l, i);
        }
        return false;
    }
    enum dkim_reply reply =
        dkim_reply_read(l->reply, (size_t)n, p->id, l->name, l->out);
    if (reply == DKIM_REPLY_OTHER) {
        return false;
    }
    if (reply == DKIM_REPLY_TRUNCATED) {
        reply = ask_tcp(l, i);
    }
    return judge(l, i, reply, result);
}

static void listen_once(struct lookup *l, bool *decided, int *result)
{
    struct pollfd pfd[DKIM_SERVERS_MAX];
    int64_t until = l->resend_ms < l->deadline_ms ? l->resend_ms : l->deadline_ms;
    int64_t left = until - cm_now_mono_ms();
    for (unsigned i = 0; i < l->servers->count; i++) {
        pfd[i] = (struct pollfd){.fd = l->peer[i].fd, .events = POLLIN};
    }
    if (left <= 0 || poll(pfd, l->servers->count, (int)left) <= 0) {
        return;
    }
    for (unsigned i = 0; i < l->servers->count && !*decided; i++) {
        if (pfd[i].revents != 0 && pfd[i].fd == l->peer[i].fd) {
            *decided = receive(l, i, result);
        }
    }
}

static void send_turn(struct lookup *l)
{
    unsigned turn = l->next;
    l->resend_ms = cm_now_mono_ms() +
                   (l->sent++ == 0 ? DKIM_DNS_FIRST_WAIT_MS : DKIM_DNS_NEXT_WAIT_MS);
    l->next = (turn + 1) % l->servers->count;
    send_question(l, turn);
}

int dkim_dns_txt(const struct dkim_servers *servers, const char *name,
                 int64_t deadline_ms, struct dkim_answer *out, struct cm_err *err)
{
    unsigned char query[DKIM_QUERY_MAX];
    if (dkim_query_make(query, 0, name, true) == 0) {
        return 0; /* what is no name has no records */
    }
    struct dkim_answer found = {0};
    struct lookup *l = cm_calloc(1, sizeof(*l));
    l->servers = servers;
    l->name = name;
    l->out = &found;
    l->deadline_ms = cm_now_mono_ms() + deadline_ms;
    for (unsigned i = 0; i < DKIM_SERVERS_MAX; i++) {
        l->peer[i].fd = -1;
    }
    bool decided = false;
    int result = -1;
    while (!decided && !give_up(l) && cm_now_mono_ms() < l->deadline_ms) {
        if (cm_now_mono_ms() >= l->resend_ms) {
            send_turn(l);
        }
        listen_once(l, &decided, &result);
    }
    for (unsigned i = 0; i < servers->count; i++) {
        drop_socket(&l->peer[i]);
    }
    bool bad = give_up(l);
    free(l);
    if (result == 1) {
        *out = found;
    } else if (result < 0) {
        cm_err_set(err, CM_ERR_RETRY,
                   bad ? "no resolver could answer" : "no resolver answered in time");
    }
    return result;
}
