#include "turn.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"

struct turn {
    struct turns *turns;
    struct turn *prev, *next;
    int fd;
    struct cm_io *io;
    struct cm_timer *limit;
    turn_cb cb;
    void *ctx;
    size_t len;
    char line[TURN_LINE_MAX];
};

struct turns {
    struct cm_loop *loop;
    struct turn *first;
    size_t count;
};

struct turns *turns_new(struct cm_loop *loop)
{
    struct turns *turns = cm_calloc(1, sizeof(*turns));
    turns->loop = loop;
    return turns;
}

static void turn_free(struct turn *t)
{
    *(t->prev != NULL ? &t->prev->next : &t->turns->first) = t->next;
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    t->turns->count--;
    cm_io_free(&t->io);
    cm_timer_free(&t->limit);
    close(t->fd);
    cm_wipe(t->line, sizeof(t->line));
    free(t);
}

void turns_free(struct turns **turns)
{
    if (*turns == NULL) {
        return;
    }
    while ((*turns)->first != NULL) {
        turn_free((*turns)->first);
    }
    free(*turns);
    *turns = NULL;
}

static void finish(struct turn *t, const char *line, const struct cm_err *err)
{
    t->cb(line, err, t->ctx);
    turn_free(t);
}

static void fail(struct turn *t, const char *reason)
{
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "TURN socket: %s", reason);
    finish(t, NULL, &err);
}

/* The line, or what came before the end of the connection. */
static void answer(struct turn *t)
{
    struct cm_err none = {.kind = CM_ERR_NONE};
    char *line = t->line;
    line[strcspn(line, "\n")] = '\0';
    line += strspn(line, " \t\r");
    size_t len = strlen(line);
    while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL) {
        line[--len] = '\0';
    }
    if (len == 0) {
        fail(t, "an empty answer");
    } else {
        finish(t, line, &none);
    }
}

static void on_readable(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct turn *t = ctx;
    ssize_t n = recv(fd, t->line + t->len, sizeof(t->line) - 1 - t->len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n < 0) {
        fail(t, strerror(errno));
        return;
    }
    t->len += (size_t)n;
    t->line[t->len] = '\0';
    if (n == 0 || memchr(t->line, '\n', t->len) != NULL) {
        answer(t);
    } else if (t->len == sizeof(t->line) - 1) {
        fail(t, "too long an answer");
    }
}

static void on_limit(void *ctx)
{
    fail(ctx, "no answer in time");
}

int turn_ask(struct turns *turns, const char *path, turn_cb cb, void *ctx,
             struct cm_err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sun.sun_path)) {
        return cm_err_set(err, CM_ERR_WORLD, "turn_socket_path is too long");
    }
    if (turns->count == TURN_ASKS_MAX) {
        return cm_err_set(err, CM_ERR_RETRY, "too many wait for the TURN socket");
    }
    strcpy(sun.sun_path, path); /* its length was checked */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        int why = errno;
        if (fd >= 0) {
            close(fd);
        }
        return cm_err_set(err, why == ENOENT ? CM_ERR_WORLD : CM_ERR_RETRY, "%s: %s",
                          path, strerror(why));
    }
    struct turn *t = cm_calloc(1, sizeof(*t));
    t->turns = turns;
    t->fd = fd;
    t->cb = cb;
    t->ctx = ctx;
    t->next = turns->first;
    if (t->next != NULL) {
        t->next->prev = t;
    }
    turns->first = t;
    turns->count++;
    t->io = cm_io_new(turns->loop, fd, CM_IO_READ, on_readable, t);
    t->limit = cm_timer_new(turns->loop, on_limit, t);
    cm_timer_set(t->limit, TURN_LIMIT_MS);
    return 0;
}
