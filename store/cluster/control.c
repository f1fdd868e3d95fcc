#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/bus.h"
#include "common/mem.h"

struct control_call {
    struct control *control;
    struct control_call *prev, *next;
    int fd;
    struct cm_io *io;
    struct cm_timer *limit;
    struct cm_buf in, out;
    bool asked; /* handed to the callback, which has not answered yet */
};

struct control {
    struct cm_loop *loop;
    control_cb cb;
    void *ctx;
    struct control_call *calls;
    unsigned count;
};

static void call_free(struct control_call *call)
{
    struct control *c = call->control;
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        c->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    c->count--;
    cm_io_free(&call->io);
    cm_timer_free(&call->limit);
    close(call->fd);
    cm_buf_clear(&call->in);
    cm_buf_clear(&call->out);
    free(call);
}

static void dispatch(struct control_call *call)
{
    char *line_end = strchr(call->in.data, '\n');
    const char *input = "";
    if (line_end != NULL) {
        *line_end = '\0';
        input = line_end + 1;
    }
    call->asked = true;
    cm_io_want(call->io, 0);
    cm_timer_stop(call->limit);
    call->control->cb(call, call->in.data, input, call->control->ctx);
}

static void read_more(struct control_call *call)
{
    char chunk[8192];
    ssize_t n = read(call->fd, chunk, sizeof(chunk));
    if (n > 0) {
        cm_buf_add(&call->in, chunk, (size_t)n);
        if (call->in.overflow) {
            call_free(call);
        }
    } else if (n == 0) {
        dispatch(call);
    } else if (errno != EAGAIN && errno != EINTR) {
        call_free(call);
    }
}

static void write_more(struct control_call *call)
{
    ssize_t n = send(call->fd, call->out.data, call->out.len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0 && (size_t)n < call->out.len) {
        cm_buf_consume(&call->out, (size_t)n);
        return;
    }
    call_free(call);
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    if (events & CM_IO_WRITE) {
        write_more(ctx);
    } else {
        read_more(ctx);
    }
}

static void on_limit(void *ctx)
{
    call_free(ctx);
}

struct control *control_new(struct cm_loop *loop, control_cb cb, void *ctx)
{
    struct control *c = cm_calloc(1, sizeof(*c));
    c->loop = loop;
    c->cb = cb;
    c->ctx = ctx;
    return c;
}

void control_free(struct control **control)
{
    if (*control == NULL) {
        return;
    }
    while ((*control)->calls != NULL) {
        call_free((*control)->calls);
    }
    free(*control);
    *control = NULL;
}

void control_adopt(struct control *c, int fd)
{
    if (c->count == CONTROL_MAX) {
        close(fd);
        return;
    }
    struct control_call *call = cm_calloc(1, sizeof(*call));
    call->control = c;
    call->fd = fd;
    cm_buf_init(&call->in, CM_BUS_MAX);
    cm_buf_init(&call->out, CONTROL_ANSWER);
    call->next = c->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    c->calls = call;
    c->count++;
    call->io = cm_io_new(c->loop, fd, CM_IO_READ, on_io, call);
    call->limit = cm_timer_new(c->loop, on_limit, call);
    cm_timer_set(call->limit, CONTROL_MS);
}

void control_answer(struct control_call *call, const char *json)
{
    cm_assert(call->asked);
    call->asked = false;
    cm_buf_fmt(&call->out, "%s\n", json);
    cm_timer_set(call->limit, CONTROL_MS);
    cm_io_want(call->io, CM_IO_WRITE);
}

void control_refuse(struct control_call *call, const struct cm_err *err)
{
    json_t *o = json_pack("{s:s}", "error", err->text);
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    control_answer(call, text != NULL ? text : "{\"error\":\"unprintable\"}");
    free(text);
    json_decref(o);
}
