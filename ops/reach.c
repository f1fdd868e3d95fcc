#include "reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/run.h"

#define CONNECT_MS 5000
#define SETTLE_MS  20000 /* a fresh gateway or daemon may need a moment */
#define TLS_MS     10000
#define MAIL_MS    4000 /* 993 and 443 have answered by then: silence is a block */

/* ---- one address ---- */

static enum op_reach from_errno(int e, char *said, size_t size)
{
    snprintf(said, size, "%s", strerror(e));
    if (e == ENETUNREACH || e == EAFNOSUPPORT || e == EADDRNOTAVAIL) {
        return OP_REACH_NO_ROUTE;
    }
    return e == ETIMEDOUT || e == EHOSTUNREACH ? OP_REACH_TIMEOUT : OP_REACH_BAD;
}

bool op_reach_route(const char *address)
{
    bool v6 = strchr(address, ':') != NULL;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(53)};
    const struct sockaddr *to =
        v6 ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool way = fd >= 0 &&
               (v6 ? inet_pton(AF_INET6, address, &six.sin6_addr)
                   : inet_pton(AF_INET, address, &four.sin_addr)) == 1 &&
               connect(fd, to, v6 ? sizeof(six) : sizeof(four)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return way;
}

static bool wait_for(int fd, short events, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left = until_ms - cm_now_mono_ms();

    return left > 0 && poll(&p, 1, (int)left) > 0;
}

int op_reach_start(const char *address, uint16_t port, int *fd_r)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *ai;
    char service[8];

    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(address, service, &hints, &ai) != 0) {
        return EINVAL;
    }
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int e = fd < 0 ? errno : 0;
    if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 &&
        errno != EINPROGRESS) {
        e = errno;
        close(fd);
    }
    freeaddrinfo(ai);
    if (e == 0) {
        *fd_r = fd;
    }
    return e;
}

static enum op_reach read_greeting(int fd, const char *greeting, int64_t until,
                                   char *said, size_t size)
{
    char text[256];

    if (!wait_for(fd, POLLIN, until)) {
        snprintf(said, size, "connected, but no greeting");
        return OP_REACH_TIMEOUT;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n <= 0) {
        snprintf(said, size, "connected, but closed without a greeting");
        return OP_REACH_BAD;
    }
    text[n] = '\0';
    if (strncmp(text, greeting, strlen(greeting)) == 0) {
        return OP_REACH_OK;
    }
    snprintf(said, size, "said \"%.*s\"", (int)strcspn(text, "\r\n"), text);
    return OP_REACH_BAD;
}

int op_reach_error(int fd)
{
    int e;
    socklen_t len = sizeof(e);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0 ? errno : e;
}

bool op_reach_readable(int fd, int64_t until_ms)
{
    return wait_for(fd, POLLIN, until_ms);
}

enum op_reach op_reach_open(const char *address, uint16_t port, int64_t timeout_ms,
                            int *fd_r, char *said, size_t size)
{
    int fd, e = op_reach_start(address, port, &fd);
    socklen_t len = sizeof(e);

    said[0] = '\0';
    if (e != 0) {
        return from_errno(e, said, size);
    }
    if (!wait_for(fd, POLLOUT, cm_now_mono_ms() + timeout_ms)) {
        e = ETIMEDOUT;
    } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) {
        e = errno;
    }
    if (e != 0) {
        close(fd);
        return from_errno(e, said, size);
    }
    *fd_r = fd;
    return OP_REACH_OK;
}

enum op_reach op_reach_tcp(const char *address, uint16_t port, const char *greeting,
                           int64_t timeout_ms, char *said, size_t size)
{
    int64_t until = cm_now_mono_ms() + timeout_ms;
    int fd;
    enum op_reach result = op_reach_open(address, port, timeout_ms, &fd, said, size);

    if (result == OP_REACH_OK) {
        result = greeting != NULL ? read_greeting(fd, greeting, until, said, size)
                                  : OP_REACH_OK;
        close(fd);
    }
    return result;
}

enum op_reach op_reach_tls(const char *address, uint16_t port, const char *name,
                           const char *request, const char *greeting, char *said,
                           size_t size)
{
    enum op_reach result = op_reach_tcp(address, port, NULL, CONNECT_MS, said, size);
    struct cm_run_result res;
    struct cm_err err;

    if (result != OP_REACH_OK) {
        return result;
    }
    bool v6 = strchr(address, ':') != NULL;
    char *connect_to =
        cm_asprintf("%s%s%s:%u", v6 ? "[" : "", address, v6 ? "]" : "", port);
    const char *argv[] = {"openssl",       "s_client", "-quiet",
                          "-verify_quiet", "-connect", connect_to,
                          "-servername",   name,       NULL};
    struct cm_run run = {.argv = argv, .input = request, .timeout_ms = TLS_MS};
    if (cm_run(&run, &res, &err) != 0) {
        snprintf(said, size, "no answer over TLS: %.100s", err.text);
        result = OP_REACH_TIMEOUT;
    } else if (strncmp(res.out.data, greeting, strlen(greeting)) != 0) {
        snprintf(said, size, "no proper answer over TLS");
        result = OP_REACH_BAD;
    }
    cm_run_result_clear(&res);
    free(connect_to);
    return result;
}

/* ---- as the last steps of a run ---- */

static enum op_reach try_port(const char *address, int port, const char *domain,
                              char *said, size_t size)
{
    switch (port) {
    case 25:
        return op_reach_tcp(address, 25, "220", MAIL_MS, said, size);
    case 993:
        return op_reach_tls(address, 993, domain, "a LOGOUT\r\n", "* OK", said, size);
    default:
        return op_reach_tls(address, 443, domain, "HEAD / HTTP/1.0\r\n\r\n", "HTTP/",
                            said, size);
    }
}

static void add_note(struct op_step *step, const char *text)
{
    char before[sizeof(step->note)];

    snprintf(before, sizeof(before), "%s", step->note);
    if (strstr(before, text) == NULL) {
        op_step_note(step, "%s%s%s", before, before[0] != '\0' ? ", " : "", text);
    }
}

/* 993 and 443 first: when they answer and 25 is silent, it is the operator's own line
 * that blocks 25, as most home lines do. */
static int check_address(struct op_step *step, const char *address, const char *domain,
                         struct cm_err *err)
{
    const struct op_node *node = step->ctx;
    bool mail = !node->cluster->cli->disable_mail;
    static const int ports[] = {993, 443, 25};
    char said[160];

    for (size_t i = mail ? 0 : 1; i < (mail ? 3 : 2); i++) {
        enum op_reach r = try_port(address, ports[i], domain, said, sizeof(said));
        if (r == OP_REACH_OK) {
            continue;
        }
        if (r == OP_REACH_NO_ROUTE) {
            add_note(step, strchr(address, ':') != NULL ? "no v6 here" : "no v4 here");
            return 0;
        }
        if (ports[i] == 25 && r == OP_REACH_TIMEOUT) {
            add_note(step, "no 25");
            return 0;
        }
        return cm_err_set(err, CM_ERR_RETRY, "%s port %d: %s", address, ports[i], said);
    }
    return 0;
}

static int check_reach(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct cm_conf *conf = &node->cluster->conf;
    const char *list =
        node->gateway != NULL ? node->gateway->addresses : conf->store.addresses;
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(list, words, CM_ADDRESSES_MAX);
    int64_t until = cm_now_mono_ms() + SETTLE_MS;

    for (size_t i = 0; i < n; i++) {
        while (check_address(step, words[i], conf->mail_domain, err) != 0) {
            if (cm_now_mono_ms() > until) {
                return cm_err_prefix(err, "does not answer");
            }
            usleep(500 * 1000);
        }
    }
    if (step->note[0] == '\0') {
        op_step_note(step, "%zu address%s", n, n == 1 ? "" : "es");
    }
    return 1;
}

void op_add_reach(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "answers in public",
                        .check = check_reach,
                        .live = true,
                        .ctx = node};
    const struct op_cluster *c = node->cluster;
    bool serves = node->gateway != NULL
                      ? node->gateway->mode == CM_MODE_ACTIVE
                      : c->conf.gateway_count == 0 && c->conf.store.addresses != NULL &&
                            c->conf.store.addresses[0] != '\0';

    if (serves) {
        op_plan_add(plan, &s);
    }
}
