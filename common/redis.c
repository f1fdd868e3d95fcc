/* Of hiredis only the parser of answers is used. Its asynchronous context (0.14) frees
 * itself behind its own callbacks and writes without MSG_NOSIGNAL; the socket is ours.
 */
#include "common/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <openssl/evp.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000
#define QUEUE_DEFAULT    4096
#define DEADLINE_MS      2000
#define OUT_MAX          (64u << 20) /* bytes Redis has not taken yet */
#define READ_SIZE        (64u << 10)
#define DEPTH_MAX        8 /* of a list in a list; hiredis stops at 7 */

/* One that waits for its answer. */
struct command {
    struct command *next;
    int64_t due; /* monotonic */
    cm_redis_cb cb;
    void *ctx;
    /* EVALSHA only: what stands behind the hash, for EVAL. */
    const struct cm_redis_script *script;
    struct cm_buf rest;
    size_t rest_count;
};

enum state {
    REDIS_DOWN,     /* the timer opens it again */
    REDIS_GREETING, /* PING under way */
    REDIS_UP,
};

struct cm_redis {
    struct cm_loop *loop;
    struct cm_redis_options opt;
    struct sockaddr_un addr;
    enum state state;
    bool tried; /* the first connection has come up or failed */
    bool freeing;
    unsigned depth;      /* callbacks under way: free() waits for them */
    unsigned generation; /* of the connection */
    int fd;
    struct cm_io *io;
    redisReader *reader;
    struct cm_buf out;
    struct command *head;
    struct command **tail;
    unsigned queued;
    struct cm_timer *open_timer;
    struct cm_timer *deadline_timer;
    int64_t backoff_ms;
    char last_error[256];
};

static void redis_open(struct cm_redis *r);

/* Callbacks */

static void finally(struct cm_redis *r)
{
    if (r->freeing && r->depth == 0) {
        free(r);
    }
}

static void command_free(struct command *c)
{
    if (c->script != NULL) {
        cm_buf_clear(&c->rest);
    }
    free(c);
}

static void command_end(struct cm_redis *r, struct command *c,
                        const struct cm_redis_value *value, const struct cm_err *err)
{
    r->depth++;
    if (c->cb != NULL) {
        c->cb(value, err, c->ctx);
    }
    r->depth--;
    command_free(c);
}

static void commands_fail(struct cm_redis *r, const struct cm_err *err)
{
    struct command *c = r->head, *next;
    r->head = NULL;
    r->tail = &r->head;
    r->queued = 0;
    for (; c != NULL; c = next) {
        next = c->next;
        command_end(r, c, NULL, err);
    }
}

static void tell_state(struct cm_redis *r, bool up)
{
    if (r->opt.on_state != NULL) {
        r->depth++;
        r->opt.on_state(up, r->opt.ctx);
        r->depth--;
    }
}

/* Losing the connection */

static void set_away(const struct cm_redis *r, struct cm_err *err)
{
    (void)cm_err_set(err, CM_ERR_RETRY, "Redis is away%s%s",
                     r->last_error[0] != '\0' ? ": " : "", r->last_error);
}

static void redis_close(struct cm_redis *r)
{
    cm_io_free(&r->io);
    if (r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
    if (r->reader != NULL) {
        redisReaderFree(r->reader);
        r->reader = NULL;
    }
    cm_buf_clear(&r->out);
    cm_timer_stop(r->deadline_timer);
    r->state = REDIS_DOWN;
    r->generation++;
}

static void redis_lost(struct cm_redis *r, const char *why)
{
    snprintf(r->last_error, sizeof(r->last_error), "%s", why);
    r->last_error[strcspn(r->last_error, "\r\n")] = '\0';
    bool was_up = r->state == REDIS_UP;
    redis_close(r);
    r->tried = true;
    cm_timer_set(r->open_timer, r->backoff_ms);
    r->backoff_ms *= 2;
    if (r->backoff_ms > RECONNECT_MAX_MS) {
        r->backoff_ms = RECONNECT_MAX_MS;
    }
    struct cm_err err;
    set_away(r, &err);
    r->depth++;
    if (was_up) {
        tell_state(r, false);
    }
    commands_fail(r, &err);
    r->depth--;
    finally(r);
}

static void on_deadline(void *ctx)
{
    struct cm_redis *r = ctx;
    if (r->head == NULL) {
        return;
    }
    int64_t left = r->head->due - cm_now_mono_ms();
    if (left > 0) {
        cm_timer_set(r->deadline_timer, left);
        return;
    }
    /* The answers behind it would be taken for its own. */
    redis_lost(r, "no answer within the deadline");
}

/* Writing */

static void add_arg(struct cm_buf *out, const void *data, size_t len)
{
    cm_buf_fmt(out, "$%zu\r\n", len);
    cm_buf_add(out, data, len);
    cm_buf_str(out, "\r\n");
}

static void add_word(struct cm_buf *out, const char *word)
{
    add_arg(out, word, strlen(word));
}

static void enqueue(struct cm_redis *r, struct command *c)
{
    c->next = NULL;
    *r->tail = c;
    r->tail = &c->next;
    if (r->queued++ == 0) {
        cm_timer_set(r->deadline_timer, c->due - cm_now_mono_ms());
    }
    /* Written at the next turn of the loop, with what else comes until then. */
    cm_io_want(r->io, CM_IO_READ | CM_IO_WRITE);
}

static struct command *command_new(const struct cm_redis *r, cm_redis_cb cb, void *ctx)
{
    struct command *c = cm_calloc(1, sizeof(*c));
    c->due = cm_now_mono_ms() + r->opt.deadline_ms;
    c->cb = cb;
    c->ctx = ctx;
    return c;
}

static void redis_flush(struct cm_redis *r)
{
    while (r->out.len > 0) {
        ssize_t n = send(r->fd, r->out.data, r->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n < 0) {
            redis_lost(r, strerror(errno));
            return;
        }
        cm_buf_consume(&r->out, (size_t)n);
    }
    cm_io_want(r->io, CM_IO_READ);
}

/* Answers */

static bool is_passing(const char *text)
{
    static const char *const words[] = {"LOADING ",   "OOM ",     "MISCONF ",
                                        "BUSY ",      "READONLY", "TRYAGAIN ",
                                        "MASTERDOWN", "NOREPL"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(text, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Items are freed with value_clear. */
static void value_of(const redisReply *reply, struct cm_redis_value *value,
                     unsigned depth)
{
    *value = (struct cm_redis_value){.type = CM_REDIS_NIL};
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        value->type = CM_REDIS_INT;
        value->integer = reply->integer;
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR: /* inside a list only */
        value->type = CM_REDIS_TEXT;
        value->text = reply->str;
        value->len = reply->len;
        break;
    case REDIS_REPLY_ARRAY:
        cm_assert(depth < DEPTH_MAX);
        value->type = CM_REDIS_LIST;
        value->len = reply->elements;
        struct cm_redis_value *items = cm_calloc(value->len, sizeof(*items));
        for (size_t i = 0; i < value->len; i++) {
            value_of(reply->element[i], &items[i], depth + 1);
        }
        value->items = items;
        break;
    default:
        break;
    }
}

static void value_clear(struct cm_redis_value *value)
{
    if (value->type == CM_REDIS_LIST) {
        union {
            const struct cm_redis_value *in;
            struct cm_redis_value *out;
        } u = {.in = value->items}; /* made by value_of */
        for (size_t i = 0; i < value->len; i++) {
            value_clear(&u.out[i]);
        }
        free(u.out);
    }
}

static struct command *command_take(struct cm_redis *r)
{
    struct command *c = r->head;
    r->head = c->next;
    r->queued--;
    if (r->head == NULL) {
        r->tail = &r->head;
    }
    return c;
}

/* Redis forgets scripts when it starts: the source goes along once. */
static void eval_whole(struct cm_redis *r, struct command *c)
{
    const struct cm_redis_script *script = c->script;
    cm_buf_fmt(&r->out, "*%zu\r\n", c->rest_count + 2);
    add_word(&r->out, "EVAL");
    add_word(&r->out, script->source);
    cm_buf_add(&r->out, c->rest.data, c->rest.len);
    cm_buf_clear(&c->rest);
    c->script = NULL;
    enqueue(r, c);
    if (r->out.overflow) {
        redis_lost(r, "too much waits to be written");
    }
}

static void answer(struct cm_redis *r, const redisReply *reply)
{
    struct command *c = command_take(r);
    bool error = reply->type == REDIS_REPLY_ERROR;
    if (error && c->script != NULL && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        eval_whole(r, c);
        return;
    }
    struct cm_err err = {.kind = CM_ERR_NONE};
    struct cm_redis_value value = {.type = CM_REDIS_NIL};
    if (error) {
        (void)cm_err_set(&err, is_passing(reply->str) ? CM_ERR_RETRY : CM_ERR_WORLD,
                         "Redis: %s", reply->str);
    } else {
        value_of(reply, &value, 0);
    }
    command_end(r, c, error ? NULL : &value, &err);
    value_clear(&value);
}

/* The callback of PING, which is the first command of each connection. */
static void on_greeting(const struct cm_redis_value *value, const struct cm_err *err,
                        void *ctx)
{
    struct cm_redis *r = ctx;
    if (r->freeing || r->state != REDIS_GREETING) {
        return; /* the connection was lost before */
    }
    if (value == NULL) { /* LOADING, most likely: what is behind it gets the same */
        redis_lost(r, err->text);
        return;
    }
    r->state = REDIS_UP;
    r->tried = true;
    r->backoff_ms = RECONNECT_MIN_MS;
    tell_state(r, true);
}

/* Every answer that is complete. A callback may close or free what it likes. */
static void take_answers(struct cm_redis *r)
{
    unsigned generation = r->generation;
    while (r->generation == generation) {
        void *reply = NULL;
        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
            redis_lost(r, r->reader->errstr);
            return;
        }
        if (reply == NULL) {
            return;
        }
        if (r->head == NULL) {
            freeReplyObject(reply);
            redis_lost(r, "an answer to no question");
            return;
        }
        answer(r, reply);
        freeReplyObject(reply);
    }
}

static void redis_read(struct cm_redis *r)
{
    static char chunk[READ_SIZE];
    ssize_t n = recv(r->fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        redis_lost(r, n < 0 ? strerror(errno) : "Redis closed the connection");
        return;
    }
    if (redisReaderFeed(r->reader, chunk, (size_t)n) != REDIS_OK) {
        redis_lost(r, r->reader->errstr);
        return;
    }
    take_answers(r);
}

static void on_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct cm_redis *r = ctx;
    unsigned generation = r->generation;
    r->depth++;
    if (events & CM_IO_WRITE) {
        redis_flush(r);
    }
    if ((events & CM_IO_READ) && r->generation == generation) {
        redis_read(r);
    }
    r->depth--;
    finally(r);
}

/* Connecting. To a unix socket it is done at once or it has failed. */

static void on_open(void *ctx)
{
    redis_open(ctx);
}

static void redis_open(struct cm_redis *r)
{
    r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->fd < 0 ||
        connect(r->fd, (const struct sockaddr *)&r->addr, sizeof(r->addr)) != 0) {
        char why[sizeof(r->last_error)];
        snprintf(why, sizeof(why), "%s: %s", r->addr.sun_path, strerror(errno));
        redis_lost(r, why);
        return;
    }
    r->reader = redisReaderCreate();
    cm_assert(r->reader != NULL);
    cm_buf_init(&r->out, OUT_MAX);
    r->io = cm_io_new(r->loop, r->fd, CM_IO_READ, on_io, r);
    r->state = REDIS_GREETING;
    cm_buf_str(&r->out, "*1\r\n");
    add_word(&r->out, "PING");
    enqueue(r, command_new(r, on_greeting, r));
}

struct cm_redis *cm_redis_new(struct cm_loop *loop,
                              const struct cm_redis_options *options)
{
    struct cm_redis *r = cm_calloc(1, sizeof(*r));
    r->loop = loop;
    r->opt = *options;
    r->opt.max_queue = options->max_queue > 0 ? options->max_queue : QUEUE_DEFAULT;
    r->opt.deadline_ms = options->deadline_ms > 0 ? options->deadline_ms : DEADLINE_MS;
    r->addr.sun_family = AF_UNIX;
    cm_assert(strlen(options->path) < sizeof(r->addr.sun_path));
    strcpy(r->addr.sun_path, options->path); /* its length was checked */
    r->opt.path = r->addr.sun_path;
    r->fd = -1;
    r->tail = &r->head;
    r->backoff_ms = RECONNECT_MIN_MS;
    r->open_timer = cm_timer_new(loop, on_open, r);
    r->deadline_timer = cm_timer_new(loop, on_deadline, r);
    redis_open(r);
    return r;
}

void cm_redis_free(struct cm_redis **rp)
{
    struct cm_redis *r = *rp;
    if (r == NULL) {
        return;
    }
    *rp = NULL;
    r->freeing = true;
    redis_close(r);
    cm_timer_free(&r->open_timer);
    cm_timer_free(&r->deadline_timer);
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "shutting down");
    r->depth++;
    commands_fail(r, &err);
    r->depth--;
    finally(r);
}

bool cm_redis_up(const struct cm_redis *r)
{
    return r->state == REDIS_UP;
}

const char *cm_redis_last_error(const struct cm_redis *r)
{
    return r->last_error;
}

/* Commands */

/* False: the callback has been told why. */
static bool may_send(struct cm_redis *r, size_t bytes, cm_redis_cb cb, void *ctx)
{
    struct cm_err err = {.kind = CM_ERR_NONE};
    if (r->freeing) {
        (void)cm_err_set(&err, CM_ERR_RETRY, "shutting down");
    } else if (r->state == REDIS_DOWN || (r->state == REDIS_GREETING && r->tried)) {
        set_away(r, &err);
    } else if (r->queued >= r->opt.max_queue || bytes > OUT_MAX - r->out.len) {
        (void)cm_err_set(&err, CM_ERR_RETRY, "Redis: too many commands wait");
    }
    if (err.kind != CM_ERR_NONE && cb != NULL) {
        cb(NULL, &err, ctx);
    }
    return err.kind == CM_ERR_NONE;
}

#define ARG_FRAME 32 /* bytes around one argument, at most */

static size_t size_of(const struct cm_redis_arg *args, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += args[i].len + ARG_FRAME;
    }
    return size;
}

void cm_redis_command(struct cm_redis *r, const struct cm_redis_arg *argv, size_t argc,
                      cm_redis_cb cb, void *ctx)
{
    cm_assert(argc > 0);
    if (!may_send(r, size_of(argv, argc) + ARG_FRAME, cb, ctx)) {
        return;
    }
    cm_buf_fmt(&r->out, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc; i++) {
        add_arg(&r->out, argv[i].data, argv[i].len);
    }
    enqueue(r, command_new(r, cb, ctx));
}

void cm_redis_words(struct cm_redis *r, const char *const *words, cm_redis_cb cb,
                    void *ctx)
{
    size_t n = 0;
    while (words[n] != NULL) {
        n++;
    }
    struct cm_redis_arg *argv = cm_calloc(n, sizeof(*argv));
    for (size_t i = 0; i < n; i++) {
        argv[i] = (struct cm_redis_arg){words[i], strlen(words[i])};
    }
    cm_redis_command(r, argv, n, cb, ctx);
    free(argv);
}

static void script_sha(struct cm_redis_script *script)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    cm_assert(EVP_Digest(script->source, strlen(script->source), md, &len, EVP_sha1(),
                         NULL) == 1);
    for (unsigned i = 0; i < len; i++) {
        snprintf(script->sha + 2 * (size_t)i, 3, "%02x", md[i]);
    }
}

void cm_redis_eval(struct cm_redis *r, struct cm_redis_script *script,
                   const struct cm_redis_arg *keys, size_t key_count,
                   const struct cm_redis_arg *args, size_t arg_count, cm_redis_cb cb,
                   void *ctx)
{
    if (script->sha[0] == '\0') {
        script_sha(script);
    }
    size_t size = size_of(keys, key_count) + size_of(args, arg_count) + 8 * ARG_FRAME;
    if (!may_send(r, size, cb, ctx)) {
        return;
    }
    struct command *c = command_new(r, cb, ctx);
    c->script = script;
    c->rest_count = 1 + key_count + arg_count;
    cm_buf_init(&c->rest, OUT_MAX);
    char count[24];
    snprintf(count, sizeof(count), "%zu", key_count);
    add_word(&c->rest, count);
    for (size_t i = 0; i < key_count; i++) {
        add_arg(&c->rest, keys[i].data, keys[i].len);
    }
    for (size_t i = 0; i < arg_count; i++) {
        add_arg(&c->rest, args[i].data, args[i].len);
    }
    cm_buf_fmt(&r->out, "*%zu\r\n", c->rest_count + 2);
    add_word(&r->out, "EVALSHA");
    add_word(&r->out, script->sha);
    cm_buf_add(&r->out, c->rest.data, c->rest.len);
    enqueue(r, c);
}
