#include "sasl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define RECONNECT_MS 50

/* Bytes on their way from one side to the other. [0, ready) are whole lines that may
 * leave; the rest is the beginning of a line. */
struct flow {
    char data[SASL_LINE_MAX];
    size_t len;
    size_t ready;
};

struct side {
    int fd; /* -1 until connected */
    struct cm_io *io;
};

struct relay {
    struct sasl *sasl;
    struct relay *prev, *next;
    struct side postfix, dovecot;
    struct flow to_dovecot, to_postfix;
    struct cm_timer *retry;
    int64_t give_up; /* monotonic */
};

struct sasl {
    struct cm_loop *loop;
    char *path;
    struct relay *relays;
    size_t count;
};

static bool field_is(const char *field, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(field, text, len) == 0;
}

bool sasl_is_tempfail(const char *line, size_t len)
{
    if (len < 5 || memcmp(line, "FAIL\t", 5) != 0) {
        return false;
    }
    const char *end = line + len;
    for (const char *p = line + 5; p < end;) {
        const char *tab = memchr(p, '\t', (size_t)(end - p));
        size_t n = (size_t)((tab != NULL ? tab : end) - p);
        if (field_is(p, n, "temp") || field_is(p, n, "code=temp_fail")) {
            return true;
        }
        p += n + 1;
    }
    return false;
}

/* Relays */

static void side_close(struct side *side)
{
    cm_io_free(&side->io);
    if (side->fd >= 0) {
        close(side->fd);
        side->fd = -1;
    }
}

/* Dovecot's side first: it refuses a second connection with the CPID of one it still
 * has, and Postfix may come back at once. */
static void relay_close(struct relay *r, const char *reason)
{
    if (reason != NULL) {
        cm_log(CM_LOG_WARNING, "sasl_closed", "reason", reason, NULL);
    }
    side_close(&r->dovecot);
    side_close(&r->postfix);
    cm_timer_free(&r->retry);
    if (r->prev != NULL) {
        r->prev->next = r->next;
    } else {
        r->sasl->relays = r->next;
    }
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    r->sasl->count--;
    cm_wipe(&r->to_dovecot, sizeof(r->to_dovecot));
    cm_wipe(&r->to_postfix, sizeof(r->to_postfix));
    free(r);
}

static bool flow_full(const struct flow *f)
{
    return f->len == sizeof(f->data);
}

/* A side is read while there is room for what it says and nothing of it is stuck. */
static unsigned wants(const struct flow *from, const struct flow *to)
{
    return (from->ready == 0 && !flow_full(from) ? CM_IO_READ : 0u) |
           (to->ready > 0 ? CM_IO_WRITE : 0u);
}

static void relay_want(struct relay *r)
{
    /* Without Dovecot nothing is read from Postfix beyond its first lines. */
    cm_io_want(r->postfix.io, wants(&r->to_dovecot, &r->to_postfix));
    if (r->dovecot.io != NULL) {
        cm_io_want(r->dovecot.io, wants(&r->to_postfix, &r->to_dovecot));
    }
}

/* 0 fine, -1 that side is gone */
static int flow_read(struct flow *f, int fd)
{
    ssize_t n = recv(fd, f->data + f->len, sizeof(f->data) - f->len, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    if (n == 0) {
        return -1;
    }
    f->len += (size_t)n;
    return 0;
}

static int flow_write(struct flow *f, int fd)
{
    if (f->ready == 0 || fd < 0) {
        return 0;
    }
    ssize_t n = send(fd, f->data, f->ready, MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    size_t sent = (size_t)n, rest = f->len - sent;
    memmove(f->data, f->data + sent, rest);
    cm_wipe(f->data + rest, sent);
    f->len = rest;
    f->ready -= sent;
    return 0;
}

/* Marks whole lines as ready to leave. With `check`, stops before a temporary failure
 * and returns true. */
static bool flow_lines(struct flow *f, bool check)
{
    for (;;) {
        char *line = f->data + f->ready;
        char *lf = memchr(line, '\n', f->len - f->ready);
        if (lf == NULL) {
            return false;
        }
        if (check && sasl_is_tempfail(line, (size_t)(lf - line))) {
            return true;
        }
        f->ready = (size_t)(lf - f->data) + 1;
    }
}

/* Moves what can be moved; closes when a side is gone or breaks the rules. */
static void relay_move(struct relay *r)
{
    (void)flow_lines(&r->to_dovecot, false);
    bool tempfail = flow_lines(&r->to_postfix, true);
    if (flow_write(&r->to_dovecot, r->dovecot.fd) != 0 ||
        flow_write(&r->to_postfix, r->postfix.fd) != 0) {
        relay_close(r, NULL);
    } else if (tempfail && r->to_postfix.ready == 0) {
        relay_close(r, "temporary failure, Postfix will say 454");
    } else if ((flow_full(&r->to_dovecot) && r->to_dovecot.ready == 0) ||
               (flow_full(&r->to_postfix) && r->to_postfix.ready == 0)) {
        relay_close(r, "line too long");
    } else {
        relay_want(r);
    }
}

static void on_postfix(int fd, unsigned events, void *ctx)
{
    struct relay *r = ctx;
    if ((events & CM_IO_READ) && flow_read(&r->to_dovecot, fd) != 0) {
        relay_close(r, NULL);
        return;
    }
    relay_move(r);
}

static void on_dovecot(int fd, unsigned events, void *ctx)
{
    struct relay *r = ctx;
    if ((events & CM_IO_READ) && flow_read(&r->to_postfix, fd) != 0) {
        relay_close(r, NULL); /* Dovecot restarts; Postfix connects anew */
        return;
    }
    relay_move(r);
}

static int dial(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    memcpy(sun.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        int why = errno; /* a unix socket connects at once, or not (backlog: EAGAIN) */
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void relay_connect(void *ctx)
{
    struct relay *r = ctx;
    r->dovecot.fd = dial(r->sasl->path);
    if (r->dovecot.fd >= 0) {
        r->dovecot.io =
            cm_io_new(r->sasl->loop, r->dovecot.fd, CM_IO_READ, on_dovecot, r);
        relay_want(r);
    } else if (cm_now_mono_ms() >= r->give_up) {
        relay_close(r, strerror(errno));
    } else {
        cm_timer_set(r->retry, RECONNECT_MS);
    }
}

void sasl_adopt(struct sasl *sasl, int fd)
{
    if (sasl_full(sasl)) {
        cm_log(CM_LOG_WARNING, "sasl_full", NULL);
        close(fd);
        return;
    }
    struct relay *r = cm_calloc(1, sizeof(*r));
    r->sasl = sasl;
    r->postfix.fd = fd;
    r->dovecot.fd = -1;
    r->next = sasl->relays;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    sasl->relays = r;
    sasl->count++;
    r->postfix.io = cm_io_new(sasl->loop, fd, CM_IO_READ, on_postfix, r);
    r->retry = cm_timer_new(sasl->loop, relay_connect, r);
    r->give_up = cm_now_mono_ms() + SASL_CONNECT_MS;
    relay_connect(r);
}

struct sasl *sasl_new(struct cm_loop *loop, const char *upstream_path)
{
    cm_assert(strlen(upstream_path) < sizeof(((struct sockaddr_un *)0)->sun_path));
    struct sasl *sasl = cm_calloc(1, sizeof(*sasl));
    sasl->loop = loop;
    sasl->path = cm_strdup(upstream_path);
    return sasl;
}

void sasl_free(struct sasl **sasl)
{
    if (*sasl == NULL) {
        return;
    }
    while ((*sasl)->relays != NULL) {
        relay_close((*sasl)->relays, NULL);
    }
    free((*sasl)->path);
    free(*sasl);
    *sasl = NULL;
}

bool sasl_full(const struct sasl *sasl)
{
    return sasl->count >= SASL_MAX_CONNS;
}
