#include "notifier.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#include "talk.h"

#define OUT_MAX     (1u << 20)
#define READ_SIZE   16384
#define TURN_BYTES  (512u << 10) /* read of one connection before others have a turn */
#define TLS_RECORD  16384
#define LISTEN_MANY 4096

struct late {
    struct late *prev, *next;
    struct conn *conn;
    int32_t stream;
    int status;
    struct cm_timer *timer;
};

struct conn {
    struct conn *prev, *next;
    struct notifier *notifier;
    uint64_t number;
    int fd;
    struct cm_io *io;
    struct tls *tls;
    struct talk *talk; /* NULL until the protocol is known */
    struct cm_buf out;
    struct late *lates;
    bool reset; /* to be reset when the turn ends: its talk is in use */
    bool ended; /* the peer said so */
};

struct notifier {
    struct cm_loop *loop;
    struct tls_server *tls;
    enum tls_offer offer;
    struct book *book;
    struct sockaddr_storage address;
    socklen_t address_len;
    int listener; /* -1 while it refuses */
    struct cm_io *io;
    struct conn *first;
    struct notifier_stats stats;
};

/* ---- the end of a connection ---- */

static void late_free(struct late *late)
{
    *(late->prev != NULL ? &late->prev->next : &late->conn->lates) = late->next;
    if (late->next != NULL)
        late->next->prev = late->prev;
    cm_timer_free(&late->timer);
    free(late);
}

static void conn_free(struct conn *c, bool reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    *(c->prev != NULL ? &c->prev->next : &c->notifier->first) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->notifier->stats.open--;
    while (c->lates != NULL)
        late_free(c->lates);
    cm_io_free(&c->io);
    talk_free(&c->talk);
    tls_free(&c->tls);
    cm_buf_clear(&c->out);
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(c->fd);
    free(c);
}

/* ---- output ---- */

/* 0, or -1 when the connection is of no more use. */
static int write_out(struct conn *c)
{
    for (;;) {
        talk_output(c->talk, &c->out);
        if (c->out.len == 0)
            return 0;
        size_t len = c->out.len < TLS_RECORD ? c->out.len : TLS_RECORD;
        ssize_t n = tls_write(c->tls, c->out.data, len);
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? 0 : -1;
        cm_buf_consume(&c->out, (size_t)n);
    }
}

/* Sends what there is, and ends the connection if that is due. */
static void finish_turn(struct conn *c)
{
    bool dead = false;

    if (c->talk != NULL && !c->reset)
        dead = write_out(c) != 0 || c->out.overflow ||
               (c->out.len == 0 && talk_is_over(c->talk));
    if (dead || c->reset || c->ended) {
        conn_free(c, c->reset);
        return;
    }
    bool write = c->out.len > 0 || tls_wants_write(c->tls);
    cm_io_want(c->io, CM_IO_READ | (write ? CM_IO_WRITE : 0));
}

/* ---- answers ---- */

static void on_late(void *ctx)
{
    struct late *late = ctx;
    struct conn *c = late->conn;

    talk_answer(c->talk, late->stream, late->status);
    late_free(late);
    finish_turn(c);
}

static void answer_later(struct conn *c, int32_t stream, const struct mood *mood)
{
    struct late *late = cm_calloc(1, sizeof(*late));

    late->conn = c;
    late->stream = stream;
    late->status = mood->status;
    late->next = c->lates;
    if (late->next != NULL)
        late->next->prev = late;
    c->lates = late;
    late->timer = cm_timer_new(c->notifier->loop, on_late, late);
    cm_timer_set(late->timer, mood->after_ms);
}

static void on_request(void *ctx, int32_t stream, bool notify, const char *body,
                       size_t len)
{
    struct conn *c = ctx;

    if (!notify) {
        c->notifier->stats.strange++;
        talk_answer(c->talk, stream, 404);
        return;
    }
    const struct mood *mood = book_mood(c->notifier->book, body, len);
    bool answers = mood->kind == MOOD_STATUS;
    struct book_entry entry = {.at_ms = cm_now_wall_ms(),
                               .connection = c->number,
                               .stream = stream,
                               .h2 = tls_is_h2(c->tls),
                               .status = answers ? mood->status : 0,
                               .token = (char *)(uintptr_t)body,
                               .token_len = len};
    book_add(c->notifier->book, &entry);
    if (answers && mood->after_ms == 0)
        talk_answer(c->talk, stream, mood->status);
    else if (answers)
        answer_later(c, stream, mood);
    else if (mood->kind == MOOD_REFUSE)
        c->reset = true;
}

/* ---- input ---- */

static void read_in(struct conn *c)
{
    char data[READ_SIZE];
    size_t total = 0;
    ssize_t n;

    while ((n = tls_read(c->tls, data, sizeof(data))) > 0) {
        if (c->talk == NULL)
            c->talk = (tls_is_h2(c->tls) ? talk_h2_new : talk_h1_new)(on_request, c);
        if (talk_input(c->talk, data, (size_t)n) != 0)
            c->ended = true;
        total += (size_t)n;
        if (c->reset || c->ended)
            return;
        /* OpenSSL holds nothing back here: it reads one record at a time. */
        if (total >= TURN_BYTES)
            return;
    }
    c->ended = n == 0 || errno != EAGAIN;
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    (void)events;
    struct conn *c = ctx;
    read_in(c);
    finish_turn(c);
}

/* ---- the listener ---- */

static void adopt(struct notifier *n, int fd)
{
    struct conn *c = cm_calloc(1, sizeof(*c));
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->notifier = n;
    c->number = ++n->stats.accepted;
    c->fd = fd;
    cm_buf_init(&c->out, OUT_MAX);
    c->tls = tls_new(n->tls, fd);
    c->next = n->first;
    if (c->next != NULL)
        c->next->prev = c;
    n->first = c;
    n->stats.open++;
    c->io = cm_io_new(n->loop, fd, CM_IO_READ, on_io, c);
}

static void on_visitor(int listener, unsigned events, void *ctx)
{
    (void)events;
    struct notifier *n = ctx;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (n->stats.open < NOTIFIER_CONNECTIONS_MAX)
            adopt(n, fd);
        else
            close(fd);
    }
}

static int open_door(struct notifier *n, struct cm_err *err)
{
    int on = 1;

    if (n->listener >= 0)
        return 0;
    int fd =
        socket(n->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return cm_err_set(err, CM_ERR_WORLD, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&n->address, n->address_len) != 0 ||
        listen(fd, LISTEN_MANY) != 0) {
        int why = errno;
        close(fd);
        return cm_err_set(err, CM_ERR_WORLD, "port %d: %s", notifier_port(n),
                          strerror(why));
    }
    /* The port, if any was fine, is the same when it opens again. */
    getsockname(fd, (struct sockaddr *)&n->address, &n->address_len);
    n->listener = fd;
    n->io = cm_io_new(n->loop, fd, CM_IO_READ, on_visitor, n);
    return 0;
}

static void close_door(struct notifier *n)
{
    if (n->listener < 0)
        return;
    cm_io_free(&n->io);
    close(n->listener);
    n->listener = -1;
}

void notifier_drop(struct notifier *notifier)
{
    while (notifier->first != NULL)
        conn_free(notifier->first, true);
}

/* ---- the service ---- */

static int resolve(struct notifier *n, const struct notifier_want *want,
                   struct cm_err *err)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM},
                    *found;
    char port[16];

    snprintf(port, sizeof(port), "%d", want->port);
    if (getaddrinfo(want->host, port, &hints, &found) != 0)
        return cm_err_set(err, CM_ERR_WORLD, "\"%.80s\" is no numeric address",
                          want->host);
    memcpy(&n->address, found->ai_addr, found->ai_addrlen);
    n->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

struct notifier *notifier_new(struct cm_loop *loop, const struct notifier_want *want,
                              struct cm_err *err)
{
    struct notifier *n = cm_calloc(1, sizeof(*n));

    n->loop = loop;
    n->listener = -1;
    n->book = book_new();
    n->tls = tls_server_new(&want->tls, err);
    if (n->tls == NULL || resolve(n, want, err) != 0 || open_door(n, err) != 0)
        notifier_free(&n);
    return n;
}

void notifier_free(struct notifier **notifier)
{
    if (*notifier == NULL)
        return;
    close_door(*notifier);
    notifier_drop(*notifier);
    tls_server_free(&(*notifier)->tls);
    book_free(&(*notifier)->book);
    free(*notifier);
    *notifier = NULL;
}

int notifier_port(const struct notifier *notifier)
{
    const struct sockaddr_storage *a = &notifier->address;

    return ntohs(a->ss_family == AF_INET
                     ? ((const struct sockaddr_in *)(const void *)a)->sin_port
                     : ((const struct sockaddr_in6 *)(const void *)a)->sin6_port);
}

struct book *notifier_book(struct notifier *notifier)
{
    return notifier->book;
}

struct notifier_stats notifier_stats(const struct notifier *notifier)
{
    return notifier->stats;
}

int notifier_mood(struct notifier *notifier, const char *prefix,
                  const struct mood *mood, struct cm_err *err)
{
    if (book_set_mood(notifier->book, prefix, mood, err) != 0)
        return -1;
    if (prefix[0] != '\0')
        return 0;
    if (mood->kind != MOOD_REFUSE)
        return open_door(notifier, err);
    close_door(notifier);
    notifier_drop(notifier);
    return 0;
}

void notifier_offer(struct notifier *notifier, enum tls_offer offer)
{
    tls_server_offer(notifier->tls, offer);
    notifier_drop(notifier);
    notifier->offer = offer;
}

int notifier_calm(struct notifier *notifier, struct cm_err *err)
{
    if (notifier->offer != TLS_OFFER_H2)
        notifier_offer(notifier, TLS_OFFER_H2);
    book_clear_moods(notifier->book);
    return open_door(notifier, err);
}
