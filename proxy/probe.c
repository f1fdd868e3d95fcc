#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/clock.h"
#include "common/mem.h"

#define LINE_MAX_LEN 512

const struct px_probe_speech px_speech_smtp = {false, "220", "QUIT\r\n"};
const struct px_probe_speech px_speech_imap = {false, "* OK", "x LOGOUT\r\n"};
const struct px_probe_speech px_speech_tls = {true, NULL, NULL};
const struct px_probe_speech px_speech_imaps = {true, "* OK", "x LOGOUT\r\n"};
const struct px_probe_speech px_speech_connect = {false, NULL, NULL};

static const char *const names[] = {"none", "ok", "refused", "silent", "wrong"};

enum step { CONNECTING, SHAKING, LISTENING };

struct probe {
    TAILQ_ENTRY(probe) all;
    struct px_prober *prober;
    const struct px_probe_speech *speech;
    char name[256];
    int fd;
    struct cm_io *io;
    struct cm_timer *limit;
    enum step step;
    SSL *ssl;
    char line[LINE_MAX_LEN];
    size_t len;
    int64_t start_ms;
    enum px_probe_result early; /* known before it began; told by the timer */
    px_probe_cb cb;
    void *ctx;
};

struct px_prober {
    struct cm_loop *loop;
    SSL_CTX *tls; /* made at the first need */
    TAILQ_HEAD(, probe) all;
};

const char *px_probe_name(enum px_probe_result result)
{
    return names[result];
}

bool px_probe_parse(const char *name, enum px_probe_result *out)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum px_probe_result)i;
            return true;
        }
    }
    return false;
}

bool px_probe_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof(v4));
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof(v6));
        return true;
    }
    return false;
}

static void probe_free(struct probe *p)
{
    TAILQ_REMOVE(&p->prober->all, p, all);
    cm_io_free(&p->io);
    cm_timer_free(&p->limit);
    SSL_free(p->ssl);
    if (p->fd >= 0) {
        close(p->fd);
    }
    free(p);
}

static void finish(struct probe *p, enum px_probe_result result)
{
    px_probe_cb cb = p->cb;
    void *ctx = p->ctx;
    int64_t ms = cm_now_mono_ms() - p->start_ms;
    probe_free(p);
    cb(result, ms, ctx);
}

static enum px_probe_result of_errno(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return PX_PROBE_REFUSED;
    case ETIMEDOUT:
        return PX_PROBE_SILENT;
    default: /* no route, no such family, no such address here */
        return PX_PROBE_NONE;
    }
}

/* ---- TLS ---- */

static bool certificate_fits(const struct probe *p)
{
    X509 *cert = SSL_get1_peer_certificate(p->ssl);
    struct in_addr v4;
    bool fits = false;
    if (cert != NULL) {
        fits = (inet_pton(AF_INET, p->name, &v4) == 1
                    ? X509_check_ip_asc(cert, p->name, 0)
                    : X509_check_host(cert, p->name, 0, 0, NULL)) == 1 &&
               X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
    }
    X509_free(cert);
    return fits;
}

static SSL *tls_new(struct px_prober *prober, int fd, const char *name)
{
    struct in_addr v4;
    if (prober->tls == NULL) {
        prober->tls = SSL_CTX_new(TLS_client_method());
        cm_assert(prober->tls != NULL);
    }
    SSL *ssl = SSL_new(prober->tls);
    cm_assert(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
    if (inet_pton(AF_INET, name, &v4) != 1) {
        (void)SSL_set_tlsext_host_name(ssl, name);
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

/* True while it wants more; what it waits for is set. */
static bool tls_waits(struct probe *p, int rc)
{
    switch (SSL_get_error(p->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        cm_io_want(p->io, CM_IO_READ);
        return true;
    case SSL_ERROR_WANT_WRITE:
        cm_io_want(p->io, CM_IO_WRITE);
        return true;
    default:
        return false;
    }
}

/* ---- speech ---- */

static void say_goodbye(const struct probe *p)
{
    const char *text = p->speech->goodbye;
    if (text == NULL) {
        return;
    }
    /* Whether it arrives is nobody's business. */
    if (p->ssl != NULL) {
        (void)SSL_write(p->ssl, text, (int)strlen(text));
        (void)SSL_shutdown(p->ssl);
    } else {
        (void)!send(p->fd, text, strlen(text), MSG_NOSIGNAL);
    }
}

static void judge_line(struct probe *p)
{
    size_t want = strlen(p->speech->greeting);
    bool right = p->len >= want && memcmp(p->line, p->speech->greeting, want) == 0;
    if (right) {
        say_goodbye(p);
    }
    finish(p, right ? PX_PROBE_OK : PX_PROBE_WRONG);
}

static void hear(struct probe *p)
{
    size_t room = sizeof(p->line) - p->len;
    ssize_t n;
    if (p->ssl != NULL) {
        int got = SSL_read(p->ssl, p->line + p->len, (int)room);
        if (got <= 0 && tls_waits(p, got)) {
            return;
        }
        n = got > 0 ? got : 0;
    } else {
        n = recv(p->fd, p->line + p->len, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n < 0) {
            finish(p, of_errno(errno));
            return;
        }
    }
    p->len += (size_t)n;
    if (n == 0 || memchr(p->line, '\n', p->len) != NULL || p->len == sizeof(p->line)) {
        judge_line(p);
    }
}

static void begin_speech(struct probe *p)
{
    if (p->speech->greeting == NULL) {
        finish(p, PX_PROBE_OK);
        return;
    }
    p->step = LISTENING;
    cm_io_want(p->io, CM_IO_READ);
    hear(p); /* TLS may have read it already */
}

static void shake(struct probe *p)
{
    int rc = SSL_do_handshake(p->ssl);
    if (rc != 1 && tls_waits(p, rc)) {
        return;
    }
    if (rc != 1) {
        finish(p, errno == ECONNRESET ? PX_PROBE_REFUSED : PX_PROBE_WRONG);
    } else if (!certificate_fits(p)) {
        finish(p, PX_PROBE_WRONG);
    } else {
        begin_speech(p);
    }
}

static void connected(struct probe *p)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        finish(p, of_errno(error));
    } else if (p->speech->tls) {
        p->step = SHAKING;
        p->ssl = tls_new(p->prober, p->fd, p->name);
        shake(p);
    } else {
        begin_speech(p);
    }
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    (void)events;
    static void (*const steps[])(struct probe * p) = {connected, shake, hear};
    struct probe *p = ctx;
    errno = 0;
    steps[p->step](p);
}

static void on_limit(void *ctx)
{
    struct probe *p = ctx;
    finish(p, p->io != NULL ? PX_PROBE_SILENT : p->early);
}

static socklen_t length(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                   : sizeof(struct sockaddr_in6);
}

/* 0 when it is under way. */
static int dial(struct probe *p, const struct px_probe_order *o)
{
    p->fd = socket(o->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0 ||
        (o->from.ss_family != 0 &&
         bind(p->fd, (const struct sockaddr *)&o->from, length(&o->from)) != 0)) {
        return -1;
    }
    return connect(p->fd, (const struct sockaddr *)&o->to, length(&o->to)) == 0 ||
                   errno == EINPROGRESS
               ? 0
               : -1;
}

void px_probe(struct px_prober *prober, const struct px_probe_order *o, px_probe_cb cb,
              void *ctx)
{
    struct probe *p = cm_calloc(1, sizeof(*p));
    *p = (struct probe){.prober = prober,
                        .speech = o->speech,
                        .start_ms = cm_now_mono_ms(),
                        .cb = cb,
                        .ctx = ctx};
    TAILQ_INSERT_TAIL(&prober->all, p, all);
    strncpy(p->name, o->name != NULL ? o->name : "", sizeof(p->name) - 1);
    p->limit = cm_timer_new(prober->loop, on_limit, p);
    if (dial(p, o) != 0) {
        p->early = of_errno(errno);
        cm_timer_set(p->limit, 0);
        return;
    }
    p->io = cm_io_new(prober->loop, p->fd, CM_IO_WRITE, on_io, p);
    cm_timer_set(p->limit, PX_PROBE_MS);
}

struct px_prober *px_prober_new(struct cm_loop *loop)
{
    struct px_prober *prober = cm_calloc(1, sizeof(*prober));
    prober->loop = loop;
    TAILQ_INIT(&prober->all);
    return prober;
}

void px_prober_free(struct px_prober **proberp)
{
    struct px_prober *prober = *proberp;
    struct probe *p;
    if (prober == NULL) {
        return;
    }
    while ((p = TAILQ_FIRST(&prober->all)) != NULL) {
        probe_free(p);
    }
    SSL_CTX_free(prober->tls);
    free(prober);
    *proberp = NULL;
}
