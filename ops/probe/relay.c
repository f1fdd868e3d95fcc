#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#include "netns.h"
#include "stun.h"

#define TIMEOUT_MS 4000
#define REPEAT_MS  700
#define UDP        17u

struct relay {
    struct relay_to to;
    int fd;
    bool allocated;
    bool software;
    char realm[128];
    char nonce[256];
};

/* ---- addresses ---- */

static int to_sockaddr(const struct relay_end *end, struct sockaddr_storage *ss,
                       socklen_t *len_r, struct cm_err *err)
{
    struct sockaddr_in *in = (void *)ss;
    struct sockaddr_in6 *in6 = (void *)ss;
    memset(ss, 0, sizeof *ss);
    if (inet_pton(AF_INET, end->host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)end->port);
        *len_r = sizeof *in;
    } else if (inet_pton(AF_INET6, end->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)end->port);
        *len_r = sizeof *in6;
    } else {
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\" is no address", end->host);
    }
    return 0;
}

static void from_sockaddr(const struct sockaddr_storage *ss, struct relay_end *end)
{
    const struct sockaddr_in *in = (const void *)ss;
    const struct sockaddr_in6 *in6 = (const void *)ss;
    bool v6 = ss->ss_family == AF_INET6;
    inet_ntop(ss->ss_family, v6 ? (const void *)&in6->sin6_addr : &in->sin_addr,
              end->host, sizeof end->host);
    end->port = ntohs(v6 ? in6->sin6_port : in->sin_port);
}

/* ---- datagrams ---- */

static int failed(struct cm_err *err, const char *what)
{
    return cm_err_set(err, CM_ERR_RETRY, "%s: %s", what, strerror(errno));
}

/* 1 something came or the socket has an error to tell, 0 not in time. */
static int wait_for(int fd, int64_t until_ms)
{
    int64_t left = until_ms - cm_now_mono_ms();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, left > 0 ? (int)left : 0) > 0;
}

/* 1 with m, 0 not in time, -1 as when the port is closed. What is no STUN is passed
 * over. */
static int next_message(struct relay *relay, int64_t until_ms, struct stun *m,
                        struct cm_err *err)
{
    while (wait_for(relay->fd, until_ms)) {
        ssize_t n = recv(relay->fd, m->data, sizeof m->data, 0);
        if (n < 0) {
            return failed(err, relay->to.server.host);
        }
        if (stun_check(m, (size_t)n)) {
            return 1;
        }
    }
    return 0;
}

/* Sends and repeats until the answer is there. */
static int ask(struct relay *relay, const struct stun *request, struct stun *answer,
               struct cm_err *err)
{
    int64_t limit = relay->to.timeout_ms > 0 ? relay->to.timeout_ms : TIMEOUT_MS;
    int64_t until = cm_now_mono_ms() + limit;
    while (cm_now_mono_ms() < until) {
        if (send(relay->fd, request->data, request->len, 0) < 0) {
            return failed(err, relay->to.server.host);
        }
        int64_t repeat = cm_now_mono_ms() + REPEAT_MS;
        int rc = next_message(relay, repeat < until ? repeat : until, answer, err);
        while (rc == 1 && !stun_answers(answer, request)) {
            rc = next_message(relay, repeat, answer, err);
        }
        if (rc != 0) {
            size_t ignored;
            relay->software = stun_find(answer, STUN_SOFTWARE, &ignored) != NULL;
            return rc < 0 ? -1 : 0;
        }
    }
    return cm_err_set(err, CM_ERR_RETRY, "%s port %d: no answer", relay->to.server.host,
                      relay->to.server.port);
}

/* ---- questions ---- */

static void sign(const struct relay *relay, struct stun *m)
{
    if (relay->nonce[0] == '\0') {
        return;
    }
    stun_add(m, STUN_USERNAME, relay->to.user, strlen(relay->to.user));
    stun_add(m, STUN_REALM, relay->realm, strlen(relay->realm));
    stun_add(m, STUN_NONCE, relay->nonce, strlen(relay->nonce));
    stun_sign(m, relay->to.user, relay->realm, relay->to.password);
}

/* `fill` adds what this question has of its own. The server's first refusal tells realm
 * and nonce; a second one is its answer. */
static int question(struct relay *relay, unsigned type,
                    void (*fill)(struct stun *m, const void *arg), const void *arg,
                    struct stun *answer, int *code_r, struct cm_err *err)
{
    for (int round = 0;; round++) {
        struct stun request;
        stun_begin(&request, type);
        fill(&request, arg);
        sign(relay, &request);
        if (ask(relay, &request, answer, err) != 0) {
            return -1;
        }
        *code_r =
            (stun_type(answer) & STUN_CLASSES) == STUN_ERROR ? stun_error(answer) : 0;
        bool again = round == 0 &&
                     (*code_r == 438 || (*code_r == 401 && relay->nonce[0] == '\0'));
        if (!again) {
            return 0;
        }
        stun_text(answer, STUN_REALM, relay->realm, sizeof relay->realm);
        stun_text(answer, STUN_NONCE, relay->nonce, sizeof relay->nonce);
    }
}

static void fill_allocate(struct stun *m, const void *arg)
{
    const int *family = arg;
    stun_add_number(m, STUN_TRANSPORT, UDP << 24);
    stun_add_number(m, STUN_FAMILY, (*family == AF_INET6 ? 2u : 1u) << 24);
}

int relay_allocate(struct relay *relay, int family, struct relay_end *end_r,
                   int *code_r, struct cm_err *err)
{
    struct stun answer;
    struct sockaddr_storage address;
    if (question(relay, STUN_ALLOCATE, fill_allocate, &family, &answer, code_r, err) !=
        0) {
        return -1;
    }
    if (*code_r != 0) {
        return 0;
    }
    if (!stun_address(&answer, STUN_RELAYED, &address)) {
        return cm_err_set(err, CM_ERR_REFUSE, "an allocation without an address");
    }
    relay->allocated = true;
    from_sockaddr(&address, end_r);
    return 0;
}

static void fill_permit(struct stun *m, const void *arg)
{
    stun_add_address(m, STUN_PEER, arg);
}

int relay_permit(struct relay *relay, const struct relay_end *peer, int *code_r,
                 struct cm_err *err)
{
    struct stun answer;
    struct sockaddr_storage address;
    socklen_t len;
    if (to_sockaddr(peer, &address, &len, err) != 0) {
        return -1;
    }
    return question(relay, STUN_PERMIT, fill_permit, &address, &answer, code_r, err);
}

int relay_send(struct relay *relay, const struct relay_end *peer, const char *text,
               struct cm_err *err)
{
    struct stun m;
    struct sockaddr_storage address;
    socklen_t len;
    cm_assert(strlen(text) <= RELAY_DATA);
    if (to_sockaddr(peer, &address, &len, err) != 0) {
        return -1;
    }
    stun_begin(&m, STUN_SEND);
    stun_add_address(&m, STUN_PEER, &address);
    stun_add(&m, STUN_PAYLOAD, text, strlen(text));
    return send(relay->fd, m.data, m.len, 0) < 0 ? failed(err, "relay") : 0;
}

int relay_receive(struct relay *relay, int64_t timeout_ms, char text[RELAY_DATA + 1],
                  struct relay_end *peer_r, struct cm_err *err)
{
    struct stun m;
    struct sockaddr_storage address;
    int64_t until = cm_now_mono_ms() + timeout_ms;
    int rc;
    do {
        rc = next_message(relay, until, &m, err);
    } while (rc == 1 &&
             (stun_type(&m) != STUN_DATA || !stun_address(&m, STUN_PEER, &address)));
    if (rc == 1) {
        stun_text(&m, STUN_PAYLOAD, text, RELAY_DATA + 1);
        from_sockaddr(&address, peer_r);
    }
    return rc;
}

/* ---- open and close ---- */

struct relay *relay_open(const struct relay_to *to, struct cm_err *err)
{
    struct sockaddr_storage ss;
    socklen_t len;
    if (to_sockaddr(&to->server, &ss, &len, err) != 0) {
        return NULL;
    }
    int fd = netns_socket(to->netns, ss.ss_family, SOCK_DGRAM, err);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) != 0) {
        failed(err, to->server.host);
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        return NULL;
    }
    struct relay *relay = cm_calloc(1, sizeof *relay);
    relay->to = *to;
    relay->fd = fd;
    return relay;
}

static void fill_end(struct stun *m, const void *arg)
{
    (void)arg;
    stun_add_number(m, STUN_LIFETIME, 0);
}

void relay_close(struct relay **relay)
{
    struct relay *r = *relay;
    if (r == NULL) {
        return;
    }
    if (r->allocated) {
        struct stun answer;
        struct cm_err ignored;
        int code;
        (void)!question(r, STUN_REFRESH, fill_end, NULL, &answer, &code, &ignored);
    }
    close(r->fd);
    free(r);
    *relay = NULL;
}

bool relay_told_software(const struct relay *relay)
{
    return relay->software;
}

/* ---- the other side ---- */

int relay_peer(const char *netns, const char *host, struct relay_end *end_r,
               struct cm_err *err)
{
    struct relay_end end = {.port = 0};
    struct sockaddr_storage ss;
    socklen_t len;
    snprintf(end.host, sizeof end.host, "%s", host);
    if (to_sockaddr(&end, &ss, &len, err) != 0) {
        return -1;
    }
    int fd = netns_socket(netns, ss.ss_family, SOCK_DGRAM, err);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&ss, len) != 0 ||
                    getsockname(fd, (struct sockaddr *)&ss, &len) != 0)) {
        failed(err, host);
        close(fd);
        return -1;
    }
    if (fd >= 0) {
        from_sockaddr(&ss, end_r);
    }
    return fd;
}

int relay_peer_send(int fd, const struct relay_end *to, const char *text,
                    struct cm_err *err)
{
    struct sockaddr_storage ss;
    socklen_t len;
    if (to_sockaddr(to, &ss, &len, err) != 0) {
        return -1;
    }
    ssize_t n = sendto(fd, text, strlen(text), 0, (struct sockaddr *)&ss, len);
    return n < 0 ? failed(err, to->host) : 0;
}

int relay_peer_receive(int fd, int64_t timeout_ms, char text[RELAY_DATA + 1],
                       struct relay_end *from_r, struct cm_err *err)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (!wait_for(fd, cm_now_mono_ms() + timeout_ms)) {
        return 0;
    }
    ssize_t n = recvfrom(fd, text, RELAY_DATA, 0, (struct sockaddr *)&ss, &len);
    if (n < 0) {
        return failed(err, "peer");
    }
    text[n] = '\0';
    from_sockaddr(&ss, from_r);
    return 1;
}
