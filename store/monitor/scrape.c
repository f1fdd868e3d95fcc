#include "scrape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"

static const char question[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct scrape {
    struct cm_loop *loop;
    uint16_t port;
    scrape_cb cb;
    void *ctx;
    int fd; /* -1: nothing under way */
    bool asked;
    struct cm_io *io;
    struct cm_timer *limit;
    struct cm_buf said;
};

static void end(struct scrape *s, const char *reason)
{
    const char *body = reason == NULL ? strstr(s->said.data, "\r\n\r\n") : NULL;

    cm_timer_stop(s->limit);
    cm_io_free(&s->io);
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
    if (reason == NULL &&
        (body == NULL || strncmp(s->said.data, "HTTP/1.1 200 ", 13))) {
        reason = "it was no proper answer";
    }
    s->cb(reason == NULL ? body + 4 : NULL, reason, s->ctx);
    cm_buf_clear(&s->said);
    cm_buf_init(&s->said, SCRAPE_MAX);
}

static void on_limit(void *ctx)
{
    struct scrape *s = ctx;
    end(s, s->fd < 0 ? strerror(ECONNREFUSED) : "no answer in time");
}

static void on_io(int fd, unsigned events, void *ctx)
{
    struct scrape *s = ctx;
    char chunk[16384];

    if (!s->asked && (events & CM_IO_WRITE)) {
        if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0) {
            end(s, strerror(errno));
            return;
        }
        s->asked = true;
        cm_io_want(s->io, CM_IO_READ);
        return;
    }
    ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        end(s, n < 0 ? strerror(errno) : NULL);
        return;
    }
    cm_buf_add(&s->said, chunk, (size_t)n);
    if (s->said.overflow) {
        end(s, "it said too much");
    }
}

struct scrape *scrape_new(struct cm_loop *loop, uint16_t port, scrape_cb cb, void *ctx)
{
    struct scrape *s = cm_calloc(1, sizeof(*s));

    *s = (struct scrape){.loop = loop, .port = port, .cb = cb, .ctx = ctx, .fd = -1};
    s->limit = cm_timer_new(loop, on_limit, s);
    cm_buf_init(&s->said, SCRAPE_MAX);
    return s;
}

void scrape_free(struct scrape **scrapep)
{
    struct scrape *s = *scrapep;

    if (s == NULL) {
        return;
    }
    cm_io_free(&s->io);
    cm_timer_free(&s->limit);
    if (s->fd >= 0) {
        close(s->fd);
    }
    cm_buf_clear(&s->said);
    free(s);
    *scrapep = NULL;
}

void scrape_port(struct scrape *s, uint16_t port)
{
    s->port = port;
}

/* A failure is told from the loop too, never from here. */
void scrape_ask(struct scrape *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(s->port)};

    if (s->fd >= 0) {
        return;
    }
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->asked = false;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || (connect(s->fd, (const struct sockaddr *)&to, sizeof(to)) != 0 &&
                      errno != EINPROGRESS)) {
        if (s->fd >= 0) {
            close(s->fd);
            s->fd = -1;
        }
        cm_timer_set(s->limit, 0);
        return;
    }
    s->io = cm_io_new(s->loop, s->fd, CM_IO_WRITE, on_io, s);
    cm_timer_set(s->limit, SCRAPE_LIMIT_MS);
}
