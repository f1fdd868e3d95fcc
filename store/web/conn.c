#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/metrics.h"

#include "request.h"

#define IN_SIZE    16384
#define OUT_MAX    (8u << 20)
#define ROUTES_MAX 8

static const struct {
    int code;
    const char *phrase;
} statuses[] = {
    {200, "OK"},
    {301, "Moved Permanently"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

static const struct route nowhere = {
    .path = "", .name = "none", .arrive_ms = CONN_IDLE_MS};

struct conn {
    struct exchange x; /* first: routes know only this */
    struct conns *home;
    struct conn *next, **prev;
    int fd;
    struct cm_io *io;
    struct cm_timer *timer;
    struct request request;
    const struct route *route; /* NULL before the request line */
    int64_t ignored;           /* bytes of a body that nobody asked for */
    int64_t arrive_by;         /* monotonic; the whole request */
    bool paused;
    bool complete; /* the request */
    bool answered;
    bool told; /* gone() was called */
    bool dead;
    unsigned depth; /* callbacks under way: freed when they are back */
    char in[IN_SIZE];
    size_t at, len;
    struct cm_buf out;
};

struct conns {
    struct cm_loop *loop;
    const struct route *routes;
    void *site;
    bool behind_nginx;
    size_t max, count;
    struct conn *list;
    uint64_t answers[ROUTES_MAX + 1][STATUSES]; /* the last row: nowhere */
};

static struct conn *conn_of(struct exchange *x)
{
    return (struct conn *)(void *)x;
}

/* Closing */

static void tell_gone(struct conn *c)
{
    if (c->route != NULL && c->route->gone != NULL && !c->told) {
        c->told = true;
        c->depth++;
        c->route->gone(&c->x);
        c->depth--;
    }
}

static void finally(struct conn *c)
{
    if (c->dead && c->depth == 0) {
        request_clear(&c->request);
        cm_wipe(c->out.data, c->out.len); /* may hold a password */
        cm_buf_clear(&c->out);
        cm_wipe(c->in, sizeof(c->in));
        free(c);
    }
}

static void conn_close(struct conn *c)
{
    if (c->dead) {
        return;
    }
    c->dead = true;
    cm_io_free(&c->io);
    cm_timer_free(&c->timer);
    close(c->fd);
    *c->prev = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    c->home->count--;
    tell_gone(c);
}

static void watch(struct conn *c)
{
    if (!c->dead) {
        cm_io_want(c->io, (c->out.len > 0 ? CM_IO_WRITE : 0u) |
                              (c->paused && !c->answered ? 0u : CM_IO_READ));
    }
}

/* Answering */

static size_t status_index(int status)
{
    for (size_t i = 0; i < STATUSES; i++) {
        if (statuses[i].code == status) {
            return i;
        }
    }
    cm_assert(!"a status of the table");
    return 0;
}

static void count_answer(struct conn *c, size_t status)
{
    size_t row = ROUTES_MAX;
    if (c->route != NULL && c->route != &nowhere) {
        row = (size_t)(c->route - c->home->routes);
    }
    c->home->answers[row][status]++;
}

static void add_allow(struct conn *c)
{
    unsigned m = c->route != NULL ? c->route->methods : 0;
    cm_buf_fmt(&c->out, "Allow: %s%s%s\r\n", m & METHOD_GET ? "GET, " : "",
               m & METHOD_HEAD ? "HEAD, " : "", m & METHOD_POST ? "POST" : "");
}

void exchange_answer(struct exchange *x, const struct answer *a)
{
    struct conn *c = conn_of(x);
    cm_assert(!c->answered && !c->dead);
    size_t len = a->len > 0 ? a->len : strlen(a->text),
           status = status_index(a->status);
    c->answered = true;
    count_answer(c, status);
    cm_buf_fmt(&c->out,
               "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
               "Cache-Control: no-store\r\nConnection: close\r\n",
               a->status, statuses[status].phrase,
               a->type != NULL ? a->type : "text/plain; charset=utf-8", len);
    if (a->location != NULL) {
        cm_buf_fmt(&c->out, "Location: %s\r\n", a->location);
    }
    if (a->inside != NULL) {
        cm_buf_fmt(&c->out, "X-Accel-Redirect: %s\r\n", a->inside);
    }
    if (a->retry_after_s > 0) {
        cm_buf_fmt(&c->out, "Retry-After: %lld\r\n", (long long)a->retry_after_s);
    }
    if (a->status == 405) {
        add_allow(c);
    }
    cm_buf_str(&c->out, "\r\n");
    if (x->method != METHOD_HEAD) {
        cm_buf_add(&c->out, a->text, len);
    }
    cm_assert(!c->out.overflow);
    cm_timer_set(c->timer, CONN_IDLE_MS);
    watch(c);
}

void exchange_text(struct exchange *x, int status, const char *text)
{
    exchange_answer(x, &(struct answer){.status = status, .text = text});
}

/* Answered over the route's head. */
static void refuse(struct conn *c, int status, const char *text)
{
    exchange_text(&c->x, status, text);
    tell_gone(c);
}

static void flush(struct conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            conn_close(c);
            return;
        }
        cm_buf_consume(&c->out, (size_t)n);
        cm_timer_set(c->timer, CONN_IDLE_MS);
    }
    if (c->out.len == 0 && c->answered) {
        shutdown(c->fd, SHUT_WR);
        cm_timer_set(c->timer, CONN_LINGER_MS);
    }
    watch(c);
}

/* Reading */

/* Before the head is complete it has one limit for all of it. */
static void await_more(struct conn *c)
{
    int64_t left = c->arrive_by - cm_now_mono_ms();
    if (!c->dead && c->arrive_by > 0 && !c->complete && !c->answered && !c->paused) {
        cm_timer_set(c->timer, left < CONN_IDLE_MS ? left : CONN_IDLE_MS);
    }
}

static unsigned method_of(const char *method)
{
    return strcmp(method, "GET") == 0    ? METHOD_GET
           : strcmp(method, "HEAD") == 0 ? METHOD_HEAD
           : strcmp(method, "POST") == 0 ? METHOD_POST
                                         : 0;
}

static void on_request_line(struct conn *c)
{
    char *path = c->request.target, *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    c->x.query = query != NULL ? query : "";
    c->x.method = method_of(c->request.method);
    c->route = &nowhere;
    for (const struct route *r = c->home->routes; r->path != NULL; r++) {
        if (strcmp(r->path, path) == 0) {
            c->route = r;
        }
    }
}

static void on_field(struct conn *c, const char *name, const char *value)
{
    if (c->home->behind_nginx && strcmp(name, "x-real-ip") == 0) {
        snprintf(c->x.client, sizeof(c->x.client), "%s", value);
    } else if (c->home->behind_nginx && strcmp(name, "x-portico-local") == 0) {
        snprintf(c->x.local, sizeof(c->x.local), "%s", value);
    } else if (c->route->field != NULL) {
        c->route->field(&c->x, name, value);
    }
}

static void on_head(struct conn *c)
{
    c->x.length = c->request.length;
    c->arrive_by = cm_now_mono_ms() + c->route->arrive_ms;
    if (c->route == &nowhere) {
        refuse(c, 404, "Not Found");
    } else if ((c->x.method & c->route->methods) == 0) {
        refuse(c, 405, "Method Not Allowed");
    } else if (c->route->head != NULL) {
        c->route->head(&c->x);
    }
}

static void on_body(struct conn *c, const char *data, size_t len)
{
    if (c->route->body != NULL) {
        c->route->body(&c->x, data, len);
        return;
    }
    c->ignored += (int64_t)len;
    if (c->ignored > CONN_IGNORED_MAX) {
        refuse(c, 413, "Content Too Large");
    }
}

static void on_end(struct conn *c)
{
    c->complete = true;
    cm_timer_set(c->timer, c->route->answer_ms);
    if (c->route->end != NULL) {
        c->route->end(&c->x);
    }
}

static void on_event(struct conn *c, const struct request_event *e)
{
    switch (e->type) {
    case REQUEST_LINE:
        on_request_line(c);
        break;
    case REQUEST_FIELD:
        on_field(c, e->name, e->value);
        break;
    case REQUEST_HEAD:
        on_head(c);
        break;
    case REQUEST_BODY:
        on_body(c, e->data, e->len);
        break;
    case REQUEST_END:
        on_end(c);
        break;
    default:
        refuse(c, c->request.status, c->request.reason);
        break;
    }
}

static void take_events(struct conn *c)
{
    while (!c->dead && !c->answered && !c->paused && !c->complete) {
        struct request_event e;
        size_t used;
        request_next(&c->request, c->in + c->at, c->len - c->at, &used, &e);
        c->at += used;
        if (e.type == REQUEST_MORE) {
            break;
        }
        on_event(c, &e);
    }
    watch(c);
}

static void read_some(struct conn *c)
{
    if (c->at < c->len && !c->answered && !c->complete) {
        return; /* paused in this same turn */
    }
    ssize_t n = recv(c->fd, c->in, sizeof(c->in), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        conn_close(c);
        return;
    }
    if (c->answered || c->complete) {
        return; /* thrown away; the timer runs on */
    }
    c->at = 0;
    c->len = (size_t)n;
    take_events(c);
    await_more(c);
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct conn *c = ctx;
    c->depth++;
    if (events & CM_IO_WRITE) {
        flush(c);
    }
    if ((events & CM_IO_READ) && !c->dead) {
        read_some(c);
    }
    c->depth--;
    finally(c);
}

/* Too slow: told so while the request is not complete, else it is our own slowness and
 * the route's limit, which ought to have answered. */
static void on_timer(void *ctx)
{
    struct conn *c = ctx;
    c->depth++;
    if (!c->answered && !c->complete) {
        refuse(c, 408, "Request Timeout");
    } else {
        conn_close(c);
    }
    c->depth--;
    finally(c);
}

void exchange_pause(struct exchange *x)
{
    struct conn *c = conn_of(x);
    c->paused = true;
    cm_timer_stop(c->timer); /* it is not the peer that is slow */
    watch(c);
}

void exchange_resume(struct exchange *x)
{
    struct conn *c = conn_of(x);
    if (!c->paused || c->dead || c->answered) {
        return;
    }
    c->paused = false;
    c->depth++;
    take_events(c);
    await_more(c);
    c->depth--;
    finally(c);
}

/* All of them */

struct conns *conns_new(struct cm_loop *loop, const struct route *routes, void *site,
                        bool behind_nginx, size_t max)
{
    struct conns *conns = cm_calloc(1, sizeof(*conns));
    size_t n = 0;
    while (routes[n].path != NULL) {
        n++;
    }
    cm_assert(n <= ROUTES_MAX);
    conns->loop = loop;
    conns->routes = routes;
    conns->site = site;
    conns->behind_nginx = behind_nginx;
    conns->max = max;
    return conns;
}

void conns_free(struct conns **connsp)
{
    struct conns *conns = *connsp;
    if (conns == NULL) {
        return;
    }
    *connsp = NULL;
    while (conns->list != NULL) {
        struct conn *c = conns->list;
        c->depth++;
        conn_close(c);
        c->depth--;
        finally(c);
    }
    free(conns);
}

void conns_adopt(struct conns *conns, int fd)
{
    struct conn *c = cm_calloc(1, sizeof(*c));
    c->home = conns;
    c->x.site = conns->site;
    c->x.query = "";
    c->fd = fd;
    c->next = conns->list;
    c->prev = &conns->list;
    if (c->next != NULL) {
        c->next->prev = &c->next;
    }
    conns->list = c;
    conns->count++;
    request_init(&c->request);
    cm_buf_init(&c->out, OUT_MAX);
    c->io = cm_io_new(conns->loop, fd, CM_IO_READ, on_io, c);
    c->timer = cm_timer_new(conns->loop, on_timer, c);
    cm_timer_set(c->timer, CONN_HEAD_MS);
}

bool conns_full(const struct conns *conns)
{
    return conns->count >= conns->max;
}

size_t conns_open(const struct conns *conns)
{
    return conns->count;
}

static void answers_of(const struct conns *conns, size_t first, size_t rows,
                       const char *name, struct cm_buf *out)
{
    for (size_t s = 0; s < STATUSES; s++) {
        uint64_t n = 0;
        for (size_t row = first; row < first + rows; row++) {
            n += conns->answers[row][s];
        }
        char code[8];
        snprintf(code, sizeof(code), "%d", statuses[s].code);
        const char *const labels[] = {"route", name, "code", code, NULL};
        if (n > 0) {
            cm_metric_sample(out, "chatmail_web_answers_total", labels, (double)n);
        }
    }
}

void conns_metrics(const struct conns *conns, struct cm_buf *out)
{
    cm_metric_begin(out, "chatmail_web_answers_total", CM_METRIC_COUNTER,
                    "Requests answered.");
    for (size_t i = 0; conns->routes[i].path != NULL;) {
        size_t rows = 1;
        const char *name = conns->routes[i].name;
        while (conns->routes[i + rows].path != NULL &&
               strcmp(conns->routes[i + rows].name, name) == 0) {
            rows++;
        }
        answers_of(conns, i, rows, name, out);
        i += rows;
    }
    answers_of(conns, ROUTES_MAX, 1, nowhere.name, out);
    cm_metric_gauge(out, "chatmail_web_connections", "Open now.", (double)conns->count);
}
