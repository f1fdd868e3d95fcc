#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "probe_tls.h"

#define LINE_MAX_LEN 512

const struct px_probe_speech px_speech_smtp = {NULL, "220", "QUIT\r\n"};
const struct px_probe_speech px_speech_imap = {NULL, "* OK", "x LOGOUT\r\n"};
const struct px_probe_speech px_speech_connect = {NULL, NULL, NULL};

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
    void *tls;
    char line[LINE_MAX_LEN];
    size_t len;
    int64_t start_ms;
    enum px_probe_result early; /* known before it began; told by the timer */
    px_probe_cb cb;
    void *ctx;
};

struct px_prober {
    struct cm_loop *loop;
    const struct px_probe_tls *tls; /* that made what is shared; NULL: none yet */
    void *shared;
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
    if (p->tls != NULL) {
        p->speech->tls->free(p->tls);
    }
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

/* True while it wants more; what it waits for is set. */
static bool waits(struct probe *p, enum px_tls_step step)
{
    if (step == PX_TLS_READ || step == PX_TLS_WRITE) {
        cm_io_want(p->io, step == PX_TLS_READ ? CM_IO_READ : CM_IO_WRITE);
        return true;
    }
    return false;
}

/* ---- speech ---- */

static void say_goodbye(const struct probe *p)
{
    const char *text = p->speech->goodbye;
    if (text == NULL) {
        return;
    }
    if (p->tls != NULL) {
        p->speech->tls->goodbye(p->tls, text);
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

/* False: nothing yet, or it is over. */
static bool take_in(struct probe *p, size_t *n_r)
{
    char *at = p->line + p->len;
    size_t room = sizeof(p->line) - p->len;
    if (p->tls != NULL) {
        enum px_tls_step step = p->speech->tls->hear(p->tls, at, room, n_r);
        if (waits(p, step)) {
            return false;
        }
        if (step == PX_TLS_RESET) {
            finish(p, PX_PROBE_REFUSED);
            return false;
        }
        return true;
    }
    ssize_t n = recv(p->fd, at, room, 0);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        finish(p, of_errno(errno));
    }
    *n_r = n > 0 ? (size_t)n : 0;
    return n >= 0;
}

static void hear(struct probe *p)
{
    size_t n = 0;
    if (!take_in(p, &n)) {
        return;
    }
    p->len += n;
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
    enum px_tls_step step = p->speech->tls->shake(p->tls, p->name);
    if (waits(p, step)) {
        return;
    }
    if (step == PX_TLS_DONE) {
        begin_speech(p);
    } else {
        finish(p, step == PX_TLS_RESET ? PX_PROBE_REFUSED : PX_PROBE_WRONG);
    }
}

static void connected(struct probe *p)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        finish(p, of_errno(error));
    } else if (p->speech->tls != NULL) {
        p->step = SHAKING;
        p->prober->tls = p->speech->tls;
        p->tls = p->speech->tls->start(&p->prober->shared, p->fd, p->name);
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
    if (prober->tls != NULL) {
        prober->tls->free_shared(prober->shared);
    }
    free(prober);
    *proberp = NULL;
}
