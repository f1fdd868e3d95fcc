#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "lmtp.h"
#include "transaction.h"

#define READ_SIZE  (32u << 10)
#define READ_BURST 8 /* then others get their turn */
#define OUT_MAX    (2u << 20)

enum talk {
    TALK_COMMANDS,
    TALK_DATA,
    TALK_WAITING, /* for replies */
    TALK_OVER     /* all replies are out; the transaction goes with the next turn */
};

struct session {
    struct sessions *sessions;
    struct session *prev, *next;
    int fd;
    struct cm_io *io;
    struct cm_timer *idle;
    struct cm_timer *resume; /* reads on after replies, outside their callback */
    enum talk talk;
    bool closing; /* once all is said */
    struct lmtp_data data;
    struct transaction *transaction; /* NULL: no MAIL yet */
    struct cm_buf in, out;
};

struct sessions {
    struct env *env;
    struct dests *dests;
    struct session *first;
    size_t count;
    bool draining;
};

static void session_free(struct session *s)
{
    *(s->prev != NULL ? &s->prev->next : &s->sessions->first) = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    s->sessions->count--;
    transaction_free(&s->transaction);
    cm_io_free(&s->io);
    cm_timer_free(&s->idle);
    cm_timer_free(&s->resume);
    cm_buf_clear(&s->in);
    cm_buf_clear(&s->out);
    close(s->fd);
    free(s);
}

struct sessions *sessions_new(struct env *env, struct dests *dests)
{
    struct sessions *ss = cm_calloc(1, sizeof(*ss));
    ss->env = env;
    ss->dests = dests;
    return ss;
}

void sessions_free(struct sessions **ss)
{
    if (*ss == NULL) {
        return;
    }
    while ((*ss)->first != NULL) {
        session_free((*ss)->first);
    }
    free(*ss);
    *ss = NULL;
}

bool sessions_full(const struct sessions *ss)
{
    return ss->count >= SESSIONS_MAX;
}

size_t sessions_count(const struct sessions *ss)
{
    return ss->count;
}

static void say(struct session *s, const char *line)
{
    cm_buf_str(&s->out, line);
    cm_buf_str(&s->out, "\r\n");
}

/* Sends what can be sent. false: the session is gone. */
static bool flush(struct session *s)
{
    while (s->out.len > 0) {
        ssize_t n = send(s->fd, s->out.data, s->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            session_free(s);
            return false;
        }
        cm_buf_consume(&s->out, (size_t)n);
    }
    if (s->out.overflow || (s->closing && s->out.len == 0)) {
        session_free(s);
        return false;
    }
    return true;
}

/* Not read while a whole buffer waits behind a message whose replies are not known. */
static void watch(struct session *s)
{
    bool room = s->in.len < LMTP_LINE_MAX && !s->closing;
    cm_io_want(s->io, (room ? CM_IO_READ : 0u) | (s->out.len > 0 ? CM_IO_WRITE : 0u));
}

/* Replies to the message */

static void on_ready(size_t first, size_t last, void *ctx)
{
    struct session *s = ctx;
    for (size_t i = first; i < last; i++) {
        say(s, transaction_reply(s->transaction, i));
    }
    cm_timer_set(s->resume, 0);
    if (last == transaction_count(s->transaction)) {
        s->talk = TALK_OVER;
        s->closing = s->sessions->draining;
    }
}

/* Commands */

static void on_mail(struct session *s, const struct lmtp_command *c)
{
    char from[ADDRESS_MAX];
    struct cm_err err;
    struct domain domain;
    struct transaction_hooks hooks = {.ready = on_ready, .ctx = s};
    if (s->transaction != NULL) {
        say(s, "503 5.5.1 Nested MAIL command");
    } else if (address_extract(c->rest, c->rest_len, from, &err) != 0 ||
               (from[0] != '\0' && address_domain(from, &domain, &err) != 0)) {
        say(s, "500 Invalid address in MAIL FROM");
    } else {
        s->transaction =
            transaction_new(s->sessions->env, s->sessions->dests, from, &hooks);
        say(s, "250 OK");
    }
}

static void on_rcpt(struct session *s, const struct lmtp_command *c)
{
    char to[ADDRESS_MAX];
    struct cm_err err;
    if (s->transaction == NULL) {
        say(s, "503 5.5.1 Need MAIL command");
    } else if (address_extract(c->rest, c->rest_len, to, &err) != 0 || to[0] == '\0') {
        say(s, "501 5.1.3 Invalid address in RCPT TO");
    } else {
        const char *refusal = transaction_add(s->transaction, to);
        say(s, refusal != NULL ? refusal : "250 OK");
    }
}

static void on_data_command(struct session *s, const struct lmtp_command *c)
{
    (void)c;
    if (s->transaction == NULL || transaction_count(s->transaction) == 0) {
        say(s, "503 5.5.1 Need RCPT command");
    } else if (!transaction_placed(s->transaction)) {
        s->sessions->env->counters.busy += transaction_count(s->transaction);
        transaction_free(&s->transaction);
        say(s, "421 Transport busy");
    } else {
        s->data = (struct lmtp_data){.bare = false};
        s->talk = TALK_DATA;
        say(s, "354 End data with <CR><LF>.<CR><LF>");
    }
}

static void on_hello(struct session *s, const struct lmtp_command *c)
{
    transaction_free(&s->transaction);
    if (c->verb == LMTP_HELO) {
        say(s, "250 chatmail-transport");
    } else {
        say(s, "250-chatmail-transport\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"
               "250 8BITMIME");
    }
}

static void on_rset(struct session *s, const struct lmtp_command *c)
{
    (void)c;
    transaction_free(&s->transaction);
    say(s, "250 OK");
}

static void on_noop(struct session *s, const struct lmtp_command *c)
{
    (void)c;
    say(s, "250 OK");
}

static void on_vrfy(struct session *s, const struct lmtp_command *c)
{
    (void)c;
    say(s, "252 2.1.5 Not told");
}

static void on_quit(struct session *s, const struct lmtp_command *c)
{
    (void)c;
    say(s, "221 OK");
    s->closing = true;
}

static void on_unknown(struct session *s, const struct lmtp_command *c)
{
    (void)c;
    say(s, "500 Command not recognized");
}

static void (*const commands[])(struct session *, const struct lmtp_command *) = {
    [LMTP_LHLO] = on_hello,     [LMTP_HELO] = on_hello,        [LMTP_MAIL] = on_mail,
    [LMTP_RCPT] = on_rcpt,      [LMTP_DATA] = on_data_command, [LMTP_RSET] = on_rset,
    [LMTP_NOOP] = on_noop,      [LMTP_VRFY] = on_vrfy,         [LMTP_QUIT] = on_quit,
    [LMTP_UNKNOWN] = on_unknown};

/* What came in */

/* One whole line, if there is one. */
static bool take_line(struct session *s)
{
    char *lf = memchr(s->in.data, '\n', s->in.len);
    if (lf == NULL) {
        if (s->in.len >= LMTP_LINE_MAX) {
            say(s, "500 5.5.2 Line too long");
            s->closing = true;
        }
        return false;
    }
    size_t len = (size_t)(lf - s->in.data);
    if (len == 0 || s->in.data[len - 1] != '\r' || len >= LMTP_LINE_MAX) {
        s->closing = true; /* not a client that we know */
        return false;
    }
    struct lmtp_command c;
    lmtp_command_parse(s->in.data, len - 1, &c);
    commands[c.verb](s, &c);
    cm_buf_consume(&s->in, len + 1);
    return true;
}

static void pass_on(const char *data, size_t len, void *ctx)
{
    struct session *s = ctx;
    transaction_data(s->transaction, data, len);
}

static void take_data(struct session *s)
{
    size_t used;
    bool end = lmtp_data_feed(&s->data, s->in.data, s->in.len, &used, pass_on, s);
    cm_buf_consume(&s->in, used);
    if (end) {
        s->talk = TALK_WAITING;
        transaction_deliver(s->transaction, s->data.bare);
    }
}

/* false: nothing more can be done with what has come. */
static bool take_some(struct session *s)
{
    if (s->closing || s->in.len == 0) {
        return false;
    }
    if (s->talk == TALK_COMMANDS) {
        return take_line(s);
    }
    if (s->talk == TALK_DATA) {
        take_data(s);
        return true;
    }
    return false;
}

static void take_all(struct session *s)
{
    while (take_some(s)) {
    }
    if (flush(s)) {
        watch(s);
    }
}

static void on_resume(void *ctx)
{
    struct session *s = ctx;
    if (s->talk == TALK_OVER) {
        s->talk = TALK_COMMANDS;
        transaction_free(&s->transaction);
    }
    take_all(s);
}

/* 1: there may be more, 0: not now, -1: the session is gone. */
static int read_once(struct session *s)
{
    char data[READ_SIZE];
    ssize_t n = recv(s->fd, data, sizeof(data), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) {
        session_free(s); /* nobody is there to be told: what runs is broken off */
        return -1;
    }
    cm_timer_set(s->idle, SESSION_IDLE_MS);
    cm_buf_add(&s->in, data, (size_t)n);
    return (size_t)n == sizeof(data) ? 1 : 0;
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct session *s = ctx;
    int more = (events & CM_IO_READ) ? 1 : 0;
    for (int i = 0; i < READ_BURST && more == 1; i++) {
        more = read_once(s);
        if (more < 0) {
            return;
        }
        while (take_some(s)) {
        }
        if (s->in.len >= LMTP_LINE_MAX || s->closing) {
            break;
        }
    }
    if (flush(s)) {
        watch(s);
    }
}

static void on_idle(void *ctx)
{
    struct session *s = ctx;
    if (s->talk == TALK_WAITING) {
        cm_timer_set(s->idle, SESSION_IDLE_MS); /* the client waits for us */
        return;
    }
    say(s, "421 4.4.2 Idle for too long");
    s->closing = true;
    if (flush(s)) {
        session_free(s);
    }
}

void sessions_adopt(struct sessions *ss, int fd)
{
    struct session *s = cm_calloc(1, sizeof(*s));
    s->sessions = ss;
    s->fd = fd;
    cm_buf_init(&s->in, LMTP_LINE_MAX + READ_SIZE);
    cm_buf_init(&s->out, OUT_MAX);
    s->next = ss->first;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    ss->first = s;
    ss->count++;
    s->io = cm_io_new(ss->env->loop, fd, CM_IO_READ, on_io, s);
    s->idle = cm_timer_new(ss->env->loop, on_idle, s);
    s->resume = cm_timer_new(ss->env->loop, on_resume, s);
    cm_timer_set(s->idle, SESSION_IDLE_MS);
    say(s, "220 chatmail-transport LMTP");
    if (flush(s)) {
        watch(s);
    }
}

void sessions_drain(struct sessions *ss)
{
    struct session *next;
    ss->draining = true;
    for (struct session *s = ss->first; s != NULL; s = next) {
        next = s->next;
        if (s->transaction == NULL) {
            say(s, "421 4.3.2 Stopping");
            s->closing = true;
            if (flush(s)) {
                watch(s);
            }
        }
    }
}
