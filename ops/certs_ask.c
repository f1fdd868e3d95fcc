/* The questions of certs.h: many connections, one poll. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certs.h"
#include "common/clock.h"
#include "common/mem.h"
#include "reach.h"

#define HEARD_MAX  1024 /* of what is said before TLS */
#define CONNECT_MS 3000 /* a SYN is sent a second time after one second */
/* Home lines drop what goes to port 25: a status should not wait for that each time. */
#define CONNECT_25_MS 1500

/* What a server says before TLS, line for line, and what is answered. A line that goes
 * on ("250-") has another byte after the code than the last one. */
struct turn {
    const char *expect;
    const char *answer; /* NULL: TLS begins */
};
static const struct turn smtp_turns[] = {
    {"220 ", "EHLO chatops.invalid\r\n"}, {"250 ", "STARTTLS\r\n"}, {"220 ", NULL}};
static const struct turn imap_turns[] = {{"* OK", "a STARTTLS\r\n"}, {"a OK", NULL}};

struct call {
    struct op_cert_at *at;
    int fd; /* -1: over */
    bool connecting;
    const struct turn *turn; /* NULL: in the handshake */
    SSL *ssl;
    char heard[HEARD_MAX];
    size_t heard_len;
    short events;
};

struct asking {
    const char *name;
    const struct cm_roots *roots;
    SSL_CTX *ctx;
    struct call *calls;
    size_t count, open;
};

static void hang_up(struct asking *a, struct call *c, enum op_cert_state state,
                    const char *why)
{
    c->at->state = state;
    snprintf(c->at->why, sizeof(c->at->why), "%s", why);
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
    a->open--;
}

static void take_certificate(struct asking *a, struct call *c)
{
    X509 *leaf = SSL_get1_peer_certificate(c->ssl);

    if (leaf == NULL) {
        hang_up(a, c, OP_CERT_BAD, "TLS without one");
        return;
    }
    struct cm_cert *cert = cm_cert_of_peer(leaf, SSL_get_peer_cert_chain(c->ssl));
    cm_cert_look(cert, a->name, a->roots, &c->at->is);
    cm_cert_free(&cert);
    X509_free(leaf);
    hang_up(a, c, OP_CERT_SHOWN, "");
}

static void shake(struct asking *a, struct call *c)
{
    ERR_clear_error();
    int rc = SSL_connect(c->ssl);

    if (rc == 1) {
        take_certificate(a, c);
        return;
    }
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        c->events = POLLIN;
        break;
    case SSL_ERROR_WANT_WRITE:
        c->events = POLLOUT;
        break;
    default:
        hang_up(a, c, OP_CERT_BAD, "the TLS handshake failed");
    }
    ERR_clear_error();
}

static void begin_tls(struct asking *a, struct call *c)
{
    unsigned char ip[4];

    c->turn = NULL;
    c->ssl = SSL_new(a->ctx);
    cm_assert(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
    if (inet_pton(AF_INET, a->name, ip) != 1) {
        /* The macro for this drops const; OpenSSL copies the name. */
        SSL_ctrl(c->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)a->name);
    }
    shake(a, c);
}

static void answer_line(struct asking *a, struct call *c, const char *line)
{
    size_t n = strlen(c->turn->expect);
    char why[sizeof(c->at->why)];

    if (c->at->how == OP_TLS_SMTP && strncmp(line, c->turn->expect, 3) == 0 &&
        line[3] == '-') {
        return;
    }
    if (strncmp(line, c->turn->expect, n) != 0) {
        snprintf(why, sizeof(why), "before TLS it said \"%.100s\"", line);
        hang_up(a, c, OP_CERT_BAD, why);
    } else if (c->turn->answer == NULL) {
        begin_tls(a, c);
    } else {
        ssize_t len = (ssize_t)strlen(c->turn->answer);
        if (write(c->fd, c->turn->answer, (size_t)len) != len) {
            hang_up(a, c, OP_CERT_BAD, "closed before TLS");
            return;
        }
        c->turn++;
    }
}

/* What comes after the last line belongs to TLS, and no honest server sends any. */
static void hear(struct asking *a, struct call *c)
{
    ssize_t n =
        read(c->fd, c->heard + c->heard_len, sizeof(c->heard) - c->heard_len - 1);
    char *end;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        hang_up(a, c, OP_CERT_BAD, n == 0 ? "closed before TLS" : strerror(errno));
        return;
    }
    c->heard_len += (size_t)n;
    c->heard[c->heard_len] = '\0';
    while (c->fd >= 0 && c->turn != NULL &&
           (end = memchr(c->heard, '\n', c->heard_len)) != NULL) {
        size_t used = (size_t)(end - c->heard) + 1;
        c->heard[used - (used > 1 && end[-1] == '\r' ? 2 : 1)] = '\0';
        answer_line(a, c, c->heard);
        memmove(c->heard, c->heard + used, c->heard_len - used);
        c->heard_len -= used;
        c->heard[c->heard_len] = '\0';
    }
    if (c->fd >= 0 && c->heard_len == sizeof(c->heard) - 1) {
        hang_up(a, c, OP_CERT_BAD, "it says too much before TLS");
    }
}

static void connected(struct asking *a, struct call *c)
{
    int e = op_reach_error(c->fd);

    c->connecting = false;
    if (e != 0) {
        bool path = e == ENETUNREACH || e == EADDRNOTAVAIL;
        bool late = e == ETIMEDOUT || e == EHOSTUNREACH;
        hang_up(a, c,
                path   ? OP_CERT_NO_PATH
                : late ? OP_CERT_SILENT
                       : OP_CERT_BAD,
                strerror(e));
    } else if (c->at->how == OP_TLS_AT_ONCE) {
        begin_tls(a, c);
    } else {
        c->turn = c->at->how == OP_TLS_SMTP ? smtp_turns : imap_turns;
        c->events = POLLIN;
    }
}

static void start(struct asking *a, struct call *c, struct op_cert_at *at)
{
    int fd, e = op_reach_start(at->address, at->port, &fd);

    *c = (struct call){.at = at, .fd = -1, .connecting = true, .events = POLLOUT};
    if (e == 0) {
        c->fd = fd;
        a->open++;
        return;
    }
    at->state = e == ENETUNREACH || e == EAFNOSUPPORT || e == EADDRNOTAVAIL
                    ? OP_CERT_NO_PATH
                    : OP_CERT_BAD;
    snprintf(at->why, sizeof(at->why), "%s", strerror(e));
}

static void step(struct asking *a, struct call *c)
{
    if (c->connecting) {
        connected(a, c);
    } else if (c->turn != NULL) {
        hear(a, c);
    } else {
        shake(a, c);
    }
}

static void turn_once(struct asking *a, struct pollfd *fds, int64_t left)
{
    for (size_t i = 0; i < a->count; i++) {
        fds[i] = (struct pollfd){.fd = a->calls[i].fd, .events = a->calls[i].events};
    }
    if (poll(fds, (nfds_t)a->count, (int)left) <= 0) {
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->calls[i].fd >= 0 && fds[i].revents != 0) {
            step(a, &a->calls[i]);
        }
    }
}

static const char *too_late(const struct call *c)
{
    return c->connecting ? "no connection" : "connected, but silent";
}

/* Gives up those that do not connect. Milliseconds to the next such moment, or to the
 * end. */
static int64_t lose_patience(struct asking *a, int64_t from, int64_t until)
{
    int64_t now = cm_now_mono_ms(), next = until;

    for (size_t i = 0; i < a->count; i++) {
        struct call *c = &a->calls[i];
        int64_t limit = from + (c->at->port == 25 ? CONNECT_25_MS : CONNECT_MS);
        if (c->fd < 0 || !c->connecting) {
            continue;
        }
        if (now >= limit) {
            hang_up(a, c, OP_CERT_SILENT, too_late(c));
        } else if (limit < next) {
            next = limit;
        }
    }
    return next - now;
}

void op_certs_ask(struct op_certs *certs, const char *name,
                  const struct cm_roots *roots, int64_t limit_ms)
{
    int64_t from = cm_now_mono_ms(), until = from + limit_ms, left;
    struct asking a = {.name = name,
                       .roots = roots,
                       .ctx = SSL_CTX_new(TLS_client_method()),
                       .calls = cm_calloc(certs->count + 1, sizeof(*a.calls)),
                       .count = certs->count};
    struct pollfd *fds = cm_calloc(certs->count + 1, sizeof(*fds));

    cm_assert(a.ctx != NULL);
    for (size_t i = 0; i < certs->count; i++) {
        start(&a, &a.calls[i], &certs->items[i]);
    }
    while (a.open > 0 && (left = lose_patience(&a, from, until)) > 0 && a.open > 0) {
        turn_once(&a, fds, left);
    }
    for (size_t i = 0; i < certs->count; i++) {
        if (a.calls[i].fd >= 0) {
            hang_up(&a, &a.calls[i], OP_CERT_SILENT, too_late(&a.calls[i]));
        }
    }
    SSL_CTX_free(a.ctx);
    free(fds);
    free(a.calls);
}
