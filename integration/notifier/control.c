#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"

#define OUT_MAX   (128u << 20) /* a list of very long tokens */
#define ASK_S     10
#define WORDS_MAX 3

/* ---- commands ---- */

typedef int (*command_fn)(struct notifier *n, char **words, struct cm_buf *out,
                          struct cm_err *err);

static int do_help(struct notifier *n, char **words, struct cm_buf *out,
                   struct cm_err *err);

static int do_mood(struct notifier *n, char **words, struct cm_buf *out,
                   struct cm_err *err)
{
    struct mood mood;

    (void)out;
    if (words[1] == NULL)
        return cm_err_set(err, CM_ERR_REFUSE, "which mood?");
    if (mood_parse(words[1], &mood, err) != 0)
        return -1;
    return notifier_mood(n, words[2] != NULL ? words[2] : "", &mood, err);
}

static int do_calm(struct notifier *n, char **words, struct cm_buf *out,
                   struct cm_err *err)
{
    (void)words;
    (void)out;
    return notifier_calm(n, err);
}

static int do_offer(struct notifier *n, char **words, struct cm_buf *out,
                    struct cm_err *err)
{
    static const char *const names[] = {[TLS_OFFER_H2] = "h2",
                                        [TLS_OFFER_H1] = "http/1.1",
                                        [TLS_OFFER_NOTHING] = "nothing"};

    (void)out;
    for (unsigned i = 0; words[1] != NULL && i < sizeof(names) / sizeof(names[0]);
         i++) {
        if (strcmp(words[1], names[i]) == 0) {
            notifier_offer(n, i);
            return 0;
        }
    }
    return cm_err_set(err, CM_ERR_REFUSE, "h2, http/1.1 or nothing?");
}

static int do_moods(struct notifier *n, char **words, struct cm_buf *out,
                    struct cm_err *err)
{
    const struct mood *mood;
    const char *prefix;
    char text[32];

    (void)words;
    (void)err;
    for (size_t i = 0; (mood = book_mood_at(notifier_book(n), i, &prefix)) != NULL;
         i++) {
        mood_text(mood, text);
        cm_buf_fmt(out, "%s%s%s\n", text, prefix[0] != '\0' ? " " : "", prefix);
    }
    return 0;
}

static int do_count(struct notifier *n, char **words, struct cm_buf *out,
                    struct cm_err *err)
{
    struct book *book = notifier_book(n);

    (void)err;
    if (words[1] == NULL)
        cm_buf_fmt(out, "%llu\n", (unsigned long long)book_total(book));
    else
        cm_buf_fmt(out, "%zu\n", book_count(book, words[1]));
    return 0;
}

static void put_entry(struct cm_buf *out, const struct book_entry *e)
{
    cm_buf_fmt(out, "%lld %llu %d %s %d ", (long long)e->at_ms,
               (unsigned long long)e->connection, e->stream, e->h2 ? "h2" : "http/1.1",
               e->status);
    for (size_t i = 0; i < e->token_len; i++) {
        unsigned char c = (unsigned char)e->token[i];
        if (c < ' ' || c >= 0x7f || c == '\\')
            cm_buf_fmt(out, "\\x%02x", c);
        else
            cm_buf_add(out, &e->token[i], 1);
    }
    cm_buf_str(out, "\n");
}

static int do_list(struct notifier *n, char **words, struct cm_buf *out,
                   struct cm_err *err)
{
    const struct book_entry *e;
    char *end = NULL;
    size_t from = words[1] != NULL ? strtoul(words[1], &end, 10) : 0;

    if (end != NULL && *end != '\0')
        return cm_err_set(err, CM_ERR_REFUSE, "\"%.40s\" is no number", words[1]);
    for (size_t i = from;
         i - from < CONTROL_LIST_AT_ONCE && (e = book_at(notifier_book(n), i)) != NULL;
         i++)
        put_entry(out, e);
    return 0;
}

static int do_forget(struct notifier *n, char **words, struct cm_buf *out,
                     struct cm_err *err)
{
    (void)words;
    (void)out;
    (void)err;
    book_forget(notifier_book(n));
    return 0;
}

static int do_drop(struct notifier *n, char **words, struct cm_buf *out,
                   struct cm_err *err)
{
    (void)words;
    (void)out;
    (void)err;
    notifier_drop(n);
    return 0;
}

static int do_stats(struct notifier *n, char **words, struct cm_buf *out,
                    struct cm_err *err)
{
    struct notifier_stats s = notifier_stats(n);

    (void)words;
    (void)err;
    cm_buf_fmt(out, "requests %llu\nstrange %llu\naccepted %llu\nopen %zu\nport %d\n",
               (unsigned long long)book_total(notifier_book(n)),
               (unsigned long long)s.strange, (unsigned long long)s.accepted, s.open,
               notifier_port(n));
    return 0;
}

static const struct {
    const char *name, *args, *help;
    command_fn run;
} commands[] = {
    {"mood", "MOOD [PREFIX]",
     "STATUS, slow:MS, slow:MS:STATUS, silent or refuse; for tokens that begin so",
     do_mood},
    {"offer", "PROTOCOL",
     "h2, http/1.1, or nothing: by ALPN, to new connections; resets those that are",
     do_offer},
    {"calm", "", "200 for all again, and h2", do_calm},
    {"moods", "", "the moods that are set", do_moods},
    {"count", "[PREFIX]", "how many notifications came", do_count},
    {"list", "[FROM]",
     "wall clock in ms, connection, stream, protocol, status (0: none), token",
     do_list},
    {"forget", "", "forgets all notifications", do_forget},
    {"drop", "", "resets all connections", do_drop},
    {"stats", "", "counters", do_stats},
    {"help", "", "this", do_help},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int do_help(struct notifier *n, char **words, struct cm_buf *out,
                   struct cm_err *err)
{
    (void)n;
    (void)words;
    (void)err;
    for (size_t i = 0; i < COMMANDS; i++)
        cm_buf_fmt(out, "%-7s %-14s %s\n", commands[i].name, commands[i].args,
                   commands[i].help);
    return 0;
}

static int run_words(struct notifier *n, char **words, struct cm_buf *out,
                     struct cm_err *err)
{
    for (size_t i = 0; words[0] != NULL && i < COMMANDS; i++) {
        if (strcmp(words[0], commands[i].name) == 0)
            return commands[i].run(n, words, out, err);
    }
    return cm_err_set(err, CM_ERR_REFUSE, "no such command; try help");
}

void control_do(struct notifier *notifier, const char *line, struct cm_buf *out)
{
    char text[CONTROL_LINE_MAX], *save = NULL, *words[WORDS_MAX + 1] = {NULL};
    size_t count = 0;
    struct cm_err err;

    snprintf(text, sizeof(text), "%s", line);
    for (char *w = strtok_r(text, " \r", &save); w != NULL && count < WORDS_MAX;
         w = strtok_r(NULL, " \r", &save))
        words[count++] = w;
    if (run_words(notifier, words, out, &err) == 0)
        cm_buf_str(out, "ok\n");
    else
        cm_buf_fmt(out, "error: %s\n", err.text);
}

/* ---- the socket ---- */

struct visitor {
    struct visitor *prev, *next;
    struct control *control;
    int fd;
    struct cm_io *io;
    struct cm_buf in, out;
};

struct control {
    struct cm_loop *loop;
    struct notifier *notifier;
    char *path;
    int listener;
    struct cm_io *io;
    struct visitor *first;
    size_t count;
};

static void visitor_free(struct visitor *v)
{
    *(v->prev != NULL ? &v->prev->next : &v->control->first) = v->next;
    if (v->next != NULL)
        v->next->prev = v->prev;
    v->control->count--;
    cm_io_free(&v->io);
    close(v->fd);
    cm_buf_clear(&v->in);
    cm_buf_clear(&v->out);
    free(v);
}

static void do_lines(struct visitor *v)
{
    char *end;

    while (v->out.len == 0 && (end = memchr(v->in.data, '\n', v->in.len)) != NULL) {
        *end = '\0';
        control_do(v->control->notifier, v->in.data, &v->out);
        cm_buf_consume(&v->in, (size_t)(end - v->in.data) + 1);
    }
}

/* 0, or -1 when it is gone. */
static int read_lines(struct visitor *v)
{
    char data[CONTROL_LINE_MAX];
    ssize_t n = recv(v->fd, data, sizeof(data), 0);

    if (n > 0)
        cm_buf_add(&v->in, data, (size_t)n);
    return n == 0 || (n < 0 && errno != EAGAIN) || v->in.overflow ? -1 : 0;
}

static int write_answer(struct visitor *v)
{
    while (v->out.len > 0) {
        ssize_t n = send(v->fd, v->out.data, v->out.len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        cm_buf_consume(&v->out, (size_t)n);
        do_lines(v);
    }
    return 0;
}

static void on_visitor(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct visitor *v = ctx;
    int rc = (events & CM_IO_READ) != 0 ? read_lines(v) : 0;
    if (rc == 0) {
        do_lines(v);
        rc = v->out.overflow ? -1 : write_answer(v);
    }
    if (rc != 0)
        visitor_free(v);
    else
        cm_io_want(v->io, v->out.len > 0 ? CM_IO_WRITE : CM_IO_READ);
}

static void on_knock(int listener, unsigned events, void *ctx)
{
    (void)events;
    struct control *control = ctx;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (control->count == CONTROL_VISITORS) {
        close(fd);
        return;
    }
    struct visitor *v = cm_calloc(1, sizeof(*v));
    v->control = control;
    v->fd = fd;
    cm_buf_init(&v->in, CONTROL_LINE_MAX * 2);
    cm_buf_init(&v->out, OUT_MAX);
    v->next = control->first;
    if (v->next != NULL)
        v->next->prev = v;
    control->first = v;
    control->count++;
    v->io = cm_io_new(control->loop, fd, CM_IO_READ, on_visitor, v);
}

static int address_of(const char *path, struct sockaddr_un *sun, struct cm_err *err)
{
    *sun = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sun->sun_path))
        return cm_err_set(err, CM_ERR_WORLD, "%.40s...: too long for a socket", path);
    memcpy(sun->sun_path, path, strlen(path));
    return 0;
}

struct control *control_new(struct cm_loop *loop, struct notifier *notifier,
                            const char *path, struct cm_err *err)
{
    struct sockaddr_un sun;

    if (address_of(path, &sun, err) != 0)
        return NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 ||
        listen(fd, CONTROL_VISITORS) != 0) {
        (void)cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct control *control = cm_calloc(1, sizeof(*control));
    control->loop = loop;
    control->notifier = notifier;
    control->path = cm_strdup(path);
    control->listener = fd;
    control->io = cm_io_new(loop, fd, CM_IO_READ, on_knock, control);
    return control;
}

void control_free(struct control **control)
{
    if (*control == NULL)
        return;
    while ((*control)->first != NULL)
        visitor_free((*control)->first);
    cm_io_free(&(*control)->io);
    close((*control)->listener);
    unlink((*control)->path);
    free((*control)->path);
    free(*control);
    *control = NULL;
}

/* ---- the other side ---- */

static int hear(FILE *in, struct cm_buf *out, struct cm_err *err)
{
    char *line = NULL;
    size_t room = 0;
    int rc = 1;

    while (rc == 1) {
        ssize_t n = getline(&line, &room, in);
        if (n <= 0)
            rc = cm_err_set(err, CM_ERR_RETRY, "the notifier gave no whole answer");
        else if (strcmp(line, "ok\n") == 0)
            rc = 0;
        else if (strncmp(line, "error: ", 7) == 0)
            rc = cm_err_set(err, CM_ERR_REFUSE, "%.*s", (int)strcspn(line + 7, "\n"),
                            line + 7);
        else
            cm_buf_add(out, line, (size_t)n);
    }
    free(line);
    return rc;
}

int control_ask(const char *path, const char *line, struct cm_buf *out,
                struct cm_err *err)
{
    struct timeval limit = {.tv_sec = ASK_S};
    struct sockaddr_un sun;

    if (address_of(path, &sun, err) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        (void)cm_err_set(err, CM_ERR_RETRY, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    dprintf(fd, "%s\n", line);
    FILE *in = fdopen(fd, "r");
    int rc = hear(in, out, err);
    fclose(in);
    return rc;
}
