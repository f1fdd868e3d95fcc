#include "common/dict.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"

/* What differs between the wire majors, and why one parser serves all:
 *   2 (Dovecot 2.2, early 2.3): L, I and B carry no user; the user of H counts.
 *   3 (2.3.17 and later):       L, I and B end in a user field; H's user is empty.
 *   4 (2.4):                    as 3; B and others may carry further fields (expiry).
 * So a missing user falls back to H's, and fields past the known ones are ignored.
 * Replies are the same in all of them; asynchronous '*' and '+' replies are never
 * needed because answers are held back until it is their turn. */
#define MAJOR_MIN 2
#define MAJOR_MAX 4

#define FIELDS_MAX 8
#define IN_FIRST   1024
#define OUT_HIGH   (256u << 10) /* more than this unwritten: the peer is not read */
#define OUT_ROOM   (64u << 10)
#define OUT_MAX    (64u << 20)

struct field {
    char *data; /* unescaped, NUL-terminated */
    size_t len;
};

struct tx {
    struct tx *next;
    uint64_t id;
    char *user;
    struct cm_dict_op *ops;
    size_t count;
    size_t bytes;
    bool bad; /* an operation had a NUL in its key: the commit fails */
};

struct conn;

struct cm_dict_req {
    struct conn *conn;
    struct cm_dict_req *next;
    char kind; /* L, I or C */
    bool done;
    char *key; /* holds a password in passdb lookups: wiped */
    char *user;
    struct tx *tx;  /* C */
    uint64_t tx_id; /* C */
    struct cm_buf out;
    void *data;
    void (*room)(struct cm_dict_req *req, void *ctx);
    void *room_ctx;
};

struct conn {
    struct cm_dict *dict;
    struct conn *prev, *next;
    int fd;
    struct cm_io *io;
    char *in;
    size_t in_len, in_cap;
    struct cm_buf out;
    struct cm_dict_req *head;
    struct cm_dict_req **tail;
    size_t pending;
    struct tx *txs;
    size_t tx_count, tx_bytes;
    char *user; /* H's */
    bool hello;
    bool eof;     /* the peer will send no more, but may still read */
    bool unknown; /* an unknown command was logged already */
};

struct cm_dict {
    struct cm_loop *loop;
    struct cm_dict_handler handler;
    void *ctx;
    struct conn *conns;
    size_t count;
    size_t pending;
};

/* Fields */

static size_t tab_unescape(char *s, size_t len)
{
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == 1) {
            if (++i == len) {
                break; /* a lone escape byte at the end means nothing */
            }
            switch (s[i]) {
            case '0':
                c = '\0';
                break;
            case '1':
                c = 1;
                break;
            case 't':
                c = '\t';
                break;
            case 'r':
                c = '\r';
                break;
            case 'n':
                c = '\n';
                break;
            default:
                c = s[i];
            }
        }
        s[to++] = c;
    }
    s[to] = '\0';
    return to;
}

static void tab_escape(struct cm_buf *out, const char *s, size_t len)
{
    static const char from[] = {'\0', 1, '\t', '\r', '\n'};
    size_t start = 0;
    for (size_t i = 0; i < len; i++) {
        const char *hit = memchr(from, s[i], sizeof(from));
        if (hit != NULL) {
            char two[2] = {1, "01trn"[hit - from]};
            cm_buf_add(out, s + start, i - start);
            cm_buf_add(out, two, sizeof(two));
            start = i + 1;
        }
    }
    cm_buf_add(out, s + start, len - start);
}

/* Splits at TABs and unescapes in place. Fields that are not there are empty. */
static void split(char *line, size_t len, struct field fields[FIELDS_MAX])
{
    char *end = line + len;
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        fields[i] = (struct field){.data = end, .len = 0};
    }
    for (size_t i = 0; i < FIELDS_MAX && line < end; i++) {
        char *tab = memchr(line, '\t', (size_t)(end - line));
        char *stop = tab != NULL ? tab : end;
        *stop = '\0';
        fields[i].len = tab_unescape(line, (size_t)(stop - line));
        fields[i].data = line;
        line = stop + 1;
    }
}

static bool has_nul(const struct field *f)
{
    return memchr(f->data, '\0', f->len) != NULL;
}

static bool parse_number(const char *s, uint64_t max, uint64_t *out)
{
    if (*s < '0' || *s > '9') {
        return false;
    }
    uint64_t n = 0;
    for (; *s != '\0'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (*s < '0' || *s > '9' || n > (max - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

/* Transactions */

static void tx_free(struct tx *tx)
{
    for (size_t i = 0; i < tx->count; i++) {
        /* key and value share one allocation that begins at the key */
        union {
            const char *in;
            char *out;
        } key = {.in = tx->ops[i].key};
        free(key.out);
    }
    free(tx->ops);
    free(tx->user);
    free(tx);
}

static struct tx *tx_find(struct conn *c, uint64_t id)
{
    struct tx *tx = c->txs;
    while (tx != NULL && tx->id != id) {
        tx = tx->next;
    }
    return tx;
}

static struct tx *tx_take(struct conn *c, uint64_t id)
{
    for (struct tx **at = &c->txs; *at != NULL; at = &(*at)->next) {
        struct tx *tx = *at;
        if (tx->id == id) {
            *at = tx->next;
            tx->next = NULL;
            c->tx_count--;
            c->tx_bytes -= tx->bytes;
            return tx;
        }
    }
    return NULL;
}

static int tx_add(struct conn *c, struct tx *tx, enum cm_dict_op_kind kind,
                  const struct field *key, const struct field *value,
                  struct cm_err *err)
{
    size_t bytes = key->len + value->len + 2;
    if (tx->count == CM_DICT_MAX_OPS || c->tx_bytes + bytes > CM_DICT_MAX_TX_BYTES) {
        return cm_err_set(err, CM_ERR_REFUSE, "transaction too large");
    }
    tx->bad = tx->bad || has_nul(key) || (kind == CM_DICT_INC && has_nul(value));
    if ((tx->count & (tx->count - 1)) == 0) {
        size_t cap = tx->count == 0 ? 1 : tx->count * 2;
        tx->ops = cm_realloc_array(tx->ops, cap, sizeof(*tx->ops));
    }
    char *copy = cm_malloc(bytes);
    memcpy(copy, key->data, key->len);
    copy[key->len] = '\0';
    char *value_copy = copy + key->len + 1;
    memcpy(value_copy, value->data, value->len);
    value_copy[value->len] = '\0';
    tx->ops[tx->count++] = (struct cm_dict_op){
        .kind = kind, .key = copy, .value = value_copy, .value_len = value->len};
    tx->bytes += bytes;
    c->tx_bytes += bytes;
    return 0;
}

/* Requests */

static struct cm_dict_req *req_new(struct conn *c, char kind)
{
    struct cm_dict_req *req = cm_calloc(1, sizeof(*req));
    req->conn = c;
    req->kind = kind;
    cm_buf_init(&req->out, OUT_MAX);
    *c->tail = req;
    c->tail = &req->next;
    c->pending++;
    c->dict->pending++;
    return req;
}

static void req_free(struct cm_dict_req *req)
{
    cm_wipe_str(&req->key);
    free(req->user);
    if (req->tx != NULL) {
        tx_free(req->tx);
    }
    cm_buf_clear(&req->out);
    free(req);
}

static void conn_want(struct conn *c)
{
    unsigned events = 0;
    if (!c->eof && c->pending < CM_DICT_MAX_PENDING && c->out.len < OUT_HIGH &&
        c->in_len <= CM_DICT_MAX_LINE) {
        events |= CM_IO_READ;
    }
    if (c->out.len > 0 || (c->eof && c->pending == 0)) {
        events |= CM_IO_WRITE;
    }
    cm_io_want(c->io, events);
}

/* Moves to the connection what may leave now: finished requests from the front, and the
 * rows so far of an iteration that has reached the front. */
static void conn_collect(struct conn *c)
{
    while (c->head != NULL) {
        struct cm_dict_req *req = c->head;
        if (req->out.overflow) {
            c->out.overflow = true;
        }
        cm_buf_add(&c->out, req->out.data, req->out.len);
        cm_buf_reset(&req->out);
        if (!req->done) {
            break;
        }
        c->head = req->next;
        if (c->head == NULL) {
            c->tail = &c->head;
        }
        c->pending--;
        c->dict->pending--;
        req_free(req);
    }
    conn_want(c);
}

static void req_finish(struct cm_dict_req *req)
{
    cm_assert(!req->done);
    req->done = true;
    req->room = NULL;
    /* Nothing is written from here: a failed write would close the connection, and
     * with it requests that the caller may be in the middle of. */
    conn_collect(req->conn);
}

void cm_dict_req_set_data(struct cm_dict_req *req, void *data)
{
    req->data = data;
}

void *cm_dict_req_data(const struct cm_dict_req *req)
{
    return req->data;
}

void cm_dict_reply_value(struct cm_dict_req *req, const char *value, size_t len)
{
    cm_assert(req->kind == 'L');
    cm_buf_str(&req->out, "O");
    tab_escape(&req->out, value, len);
    cm_buf_str(&req->out, "\n");
    req_finish(req);
}

void cm_dict_reply_none(struct cm_dict_req *req)
{
    cm_assert(req->kind != 'I');
    if (req->kind == 'C') {
        cm_buf_fmt(&req->out, "N%" PRIu64 "\n", req->tx_id);
    } else {
        cm_buf_str(&req->out, "N\n");
    }
    req_finish(req);
}

void cm_dict_reply_fail(struct cm_dict_req *req, const char *text)
{
    if (req->kind == 'C') {
        cm_buf_fmt(&req->out, "F%" PRIu64 "\t", req->tx_id);
    } else {
        cm_buf_str(&req->out, "F");
    }
    tab_escape(&req->out, text, strlen(text));
    cm_buf_str(&req->out, "\n");
    req_finish(req);
}

void cm_dict_reply_ok(struct cm_dict_req *req)
{
    cm_assert(req->kind == 'C');
    cm_buf_fmt(&req->out, "O%" PRIu64 "\n", req->tx_id);
    req_finish(req);
}

void cm_dict_row(struct cm_dict_req *req, const char *key, const char *value,
                 size_t len)
{
    cm_assert(req->kind == 'I' && !req->done);
    cm_buf_str(&req->out, "O");
    tab_escape(&req->out, key, strlen(key));
    cm_buf_str(&req->out, "\t");
    tab_escape(&req->out, value, len);
    cm_buf_str(&req->out, "\n");
}

void cm_dict_reply_end(struct cm_dict_req *req)
{
    cm_assert(req->kind == 'I');
    cm_buf_str(&req->out, "\n");
    req_finish(req);
}

static bool req_has_room(const struct cm_dict_req *req)
{
    size_t waiting = req->out.len;
    if (req == req->conn->head) {
        waiting += req->conn->out.len;
    }
    return waiting < OUT_ROOM;
}

void cm_dict_when_room(struct cm_dict_req *req,
                       void (*cb)(struct cm_dict_req *req, void *ctx), void *ctx)
{
    conn_collect(req->conn);
    if (req_has_room(req)) {
        cb(req, ctx);
        return;
    }
    req->room = cb;
    req->room_ctx = ctx;
}

/* Only the front request can be waiting for the socket; the others wait for the front.
 */
static bool room_is_due(const struct conn *c)
{
    return c->head != NULL && c->head->room != NULL && req_has_room(c->head);
}

static void conn_give_room(struct conn *c)
{
    if (room_is_due(c)) {
        struct cm_dict_req *req = c->head;
        void (*cb)(struct cm_dict_req *, void *) = req->room;
        req->room = NULL;
        cb(req, req->room_ctx);
    }
}

/* Commands. Each gets the fields after the letter; -1 closes the connection. */

static char *user_of(const struct conn *c, const struct field *f)
{
    return cm_strdup(f->len > 0 ? f->data : c->user);
}

static int cmd_hello(struct conn *c, struct field *f, struct cm_err *err)
{
    uint64_t major;
    if (!parse_number(f[0].data, UINT32_MAX, &major) || major < MAJOR_MIN ||
        major > MAJOR_MAX) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "dict protocol major \"%.16s\"; %d to %d are understood",
                          f[0].data, MAJOR_MIN, MAJOR_MAX);
    }
    free(c->user);
    c->user = cm_strdup(f[3].data);
    c->hello = true;
    return 0;
}

static int cmd_lookup(struct conn *c, struct field *f, struct cm_err *err)
{
    (void)err;
    struct cm_dict_req *req = req_new(c, 'L');
    req->key = cm_strndup(f[0].data, f[0].len);
    req->user = user_of(c, &f[1]);
    const struct cm_dict_handler *h = &c->dict->handler;
    if (has_nul(&f[0])) {
        cm_dict_reply_fail(req, "NUL in key");
    } else if (h->lookup == NULL) {
        cm_dict_reply_none(req);
    } else {
        h->lookup(req, req->key, req->user, c->dict->ctx);
    }
    return 0;
}

static int cmd_iterate(struct conn *c, struct field *f, struct cm_err *err)
{
    uint64_t flags;
    if (!parse_number(f[0].data, UINT32_MAX, &flags)) {
        return cm_err_set(err, CM_ERR_REFUSE, "iterate flags are no number");
    }
    struct cm_dict_req *req = req_new(c, 'I');
    req->key = cm_strndup(f[2].data, f[2].len);
    req->user = user_of(c, &f[3]);
    const struct cm_dict_handler *h = &c->dict->handler;
    if (has_nul(&f[2])) {
        cm_dict_reply_fail(req, "NUL in path");
    } else if (h->iterate == NULL) {
        cm_dict_reply_end(req);
    } else {
        h->iterate(req, (unsigned)flags, req->key, req->user, c->dict->ctx);
    }
    return 0;
}

static int tx_id(const struct field *f, uint64_t *id, struct cm_err *err)
{
    if (!parse_number(f->data, UINT64_MAX / 16, id)) {
        return cm_err_set(err, CM_ERR_REFUSE, "transaction id is no number");
    }
    return 0;
}

static int cmd_begin(struct conn *c, struct field *f, struct cm_err *err)
{
    uint64_t id;
    if (tx_id(&f[0], &id, err) != 0) {
        return -1;
    }
    if (tx_find(c, id) != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "transaction begun twice");
    }
    if (c->tx_count == CM_DICT_MAX_TX) {
        return cm_err_set(err, CM_ERR_REFUSE, "too many open transactions");
    }
    struct tx *tx = cm_calloc(1, sizeof(*tx));
    tx->id = id;
    tx->user = user_of(c, &f[1]);
    tx->next = c->txs;
    c->txs = tx;
    c->tx_count++;
    return 0;
}

static int add_op(struct conn *c, struct field *f, enum cm_dict_op_kind kind,
                  const struct field *value, struct cm_err *err)
{
    uint64_t id;
    if (tx_id(&f[0], &id, err) != 0) {
        return -1;
    }
    struct tx *tx = tx_find(c, id);
    if (tx == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "operation outside a transaction");
    }
    return tx_add(c, tx, kind, &f[1], value, err);
}

static int cmd_set(struct conn *c, struct field *f, struct cm_err *err)
{
    return add_op(c, f, CM_DICT_SET, &f[2], err);
}

static int cmd_unset(struct conn *c, struct field *f, struct cm_err *err)
{
    static char nothing[1];
    struct field none = {.data = nothing, .len = 0};
    return add_op(c, f, CM_DICT_UNSET, &none, err);
}

static int cmd_inc(struct conn *c, struct field *f, struct cm_err *err)
{
    return add_op(c, f, CM_DICT_INC, &f[2], err);
}

/* T (timestamp) and V (hide values from logs) change nothing here. */
static int cmd_ignore(struct conn *c, struct field *f, struct cm_err *err)
{
    (void)c;
    (void)f;
    (void)err;
    return 0;
}

static int cmd_rollback(struct conn *c, struct field *f, struct cm_err *err)
{
    uint64_t id;
    if (tx_id(&f[0], &id, err) != 0) {
        return -1;
    }
    struct tx *tx = tx_take(c, id);
    if (tx != NULL) {
        tx_free(tx);
    }
    return 0;
}

static int cmd_commit(struct conn *c, struct field *f, struct cm_err *err)
{
    uint64_t id;
    if (tx_id(&f[0], &id, err) != 0) {
        return -1;
    }
    struct cm_dict_req *req = req_new(c, 'C');
    req->tx_id = id;
    req->tx = tx_take(c, id);
    const struct cm_dict_handler *h = &c->dict->handler;
    if (req->tx == NULL) {
        cm_dict_reply_fail(req, "unknown transaction");
    } else if (req->tx->bad) {
        cm_dict_reply_fail(req, "NUL in key");
    } else if (h->commit == NULL) {
        cm_dict_reply_fail(req, "not writable");
    } else {
        h->commit(req, req->tx->ops, req->tx->count, req->tx->user, c->dict->ctx);
    }
    return 0;
}

static const struct {
    char letter;
    int (*run)(struct conn *c, struct field *f, struct cm_err *err);
} commands[] = {
    {'H', cmd_hello},  {'L', cmd_lookup}, {'I', cmd_iterate}, {'B', cmd_begin},
    {'S', cmd_set},    {'U', cmd_unset},  {'A', cmd_inc},     {'T', cmd_ignore},
    {'V', cmd_ignore}, {'C', cmd_commit}, {'D', cmd_commit},  {'R', cmd_rollback},
};

static int handle_line(struct conn *c, char *line, size_t len, struct cm_err *err)
{
    if (!c->hello && (len == 0 || line[0] != 'H')) {
        return cm_err_set(err, CM_ERR_REFUSE, "no hello");
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (len > 0 && commands[i].letter == line[0]) {
            struct field fields[FIELDS_MAX];
            split(line + 1, len - 1, fields);
            return commands[i].run(c, fields, err);
        }
    }
    if (!c->unknown) {
        c->unknown = true; /* the letter only: the rest may be a secret */
        char letter[2] = {len > 0 ? line[0] : '\0', '\0'};
        cm_log(CM_LOG_WARNING, "dict_command_unknown", "command", letter, NULL);
    }
    return 0;
}

/* Connections */

static void in_drop(struct conn *c)
{
    if (c->in != NULL) {
        cm_wipe(c->in, c->in_cap);
        free(c->in);
    }
}

static void conn_close(struct conn *c)
{
    struct cm_dict *dict = c->dict;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        dict->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    dict->count--;
    dict->pending -= c->pending;
    cm_io_free(&c->io);
    close(c->fd);
    for (struct cm_dict_req *req = c->head; req != NULL;) {
        struct cm_dict_req *next = req->next;
        if (!req->done && dict->handler.gone != NULL) {
            dict->handler.gone(req, dict->ctx);
        }
        req_free(req);
        req = next;
    }
    while (c->txs != NULL) {
        struct tx *tx = c->txs;
        c->txs = tx->next;
        tx_free(tx);
    }
    in_drop(c);
    cm_buf_clear(&c->out);
    free(c->user);
    free(c);
}

/* Not realloc: it would leave passwords behind in the old block. */
static void in_grow(struct conn *c)
{
    size_t cap = c->in_cap == 0 ? IN_FIRST : c->in_cap * 2;
    if (cap > CM_DICT_MAX_LINE + 2) {
        cap = CM_DICT_MAX_LINE + 2;
    }
    char *in = cm_malloc(cap);
    if (c->in_len > 0) {
        memcpy(in, c->in, c->in_len);
    }
    in_drop(c);
    c->in = in;
    c->in_cap = cap;
}

/* One byte of the buffer stays free, for the NUL after a last line without LF. */
static int conn_read(struct conn *c, struct cm_err *err)
{
    if (c->in_len + 1 >= c->in_cap) {
        in_grow(c);
    }
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - 1 - c->in_len, 0);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            return 0;
        }
        return cm_err_set(err, CM_ERR_RETRY, "read: %s", strerror(errno));
    }
    c->in_len += (size_t)n;
    if (n == 0) {
        c->eof = true;
        /* A unix peer that closed reports HUP; one that only shut down its sending side
         * does not, and still wants its answers. */
        struct pollfd p = {.fd = c->fd};
        if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR))) {
            return cm_err_set(err, CM_ERR_NONE, "peer closed");
        }
    }
    return 0;
}

static int conn_write(struct conn *c, struct cm_err *err)
{
    if (c->out.overflow) {
        return cm_err_set(err, CM_ERR_REFUSE, "peer does not read its answers");
    }
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return 0;
            }
            return cm_err_set(err, CM_ERR_NONE, "peer closed");
        }
        cm_buf_consume(&c->out, (size_t)n);
    }
    return 0;
}

static bool conn_may_parse(const struct conn *c)
{
    return c->pending < CM_DICT_MAX_PENDING && c->out.len < OUT_HIGH;
}

static int conn_parse(struct conn *c, struct cm_err *err)
{
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && at < c->in_len && conn_may_parse(c)) {
        char *line = c->in + at;
        char *lf = memchr(line, '\n', c->in_len - at);
        if (lf == NULL && !c->eof) {
            break;
        }
        size_t len = lf != NULL ? (size_t)(lf - line) : c->in_len - at;
        line[len] = '\0';
        at += len + (lf != NULL ? 1 : 0);
        rc = handle_line(c, line, len, err);
    }
    size_t rest = c->in_len - at;
    if (at > 0) {
        memmove(c->in, c->in + at, rest);
        cm_wipe(c->in + rest, c->in_len - rest);
        c->in_len = rest;
    }
    if (rc == 0 && rest > CM_DICT_MAX_LINE && memchr(c->in, '\n', rest) == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "line longer than %u bytes",
                          CM_DICT_MAX_LINE);
    }
    return rc;
}

/* Parsing pauses when too much output waits, so it goes on for as long as the socket
 * takes the output and lines get used up. */
static int conn_pump(struct conn *c, struct cm_err *err)
{
    size_t before;
    int rc;
    do {
        before = c->in_len;
        conn_give_room(c);
        rc = conn_parse(c, err);
        if (rc == 0) {
            rc = conn_write(c, err);
        }
    } while (rc == 0 && (room_is_due(c) ||
                         (c->in_len > 0 && c->in_len < before && conn_may_parse(c))));
    return rc;
}

static void on_conn(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct conn *c = ctx;
    struct cm_err err = {0};
    int rc = 0;
    if (events & CM_IO_READ) {
        rc = conn_read(c, &err);
    }
    if (rc == 0) {
        rc = conn_write(c, &err);
    }
    if (rc == 0) {
        rc = conn_pump(c, &err);
    }
    bool finished =
        rc == 0 && c->eof && c->pending == 0 && c->out.len == 0 && c->in_len == 0;
    if (rc == 0 && !finished) {
        conn_want(c);
        return;
    }
    if (rc != 0 && err.kind != CM_ERR_NONE) {
        cm_log_err(CM_LOG_WARNING, "dict_connection_closed", &err);
    }
    conn_close(c);
}

/* The dict */

struct cm_dict *cm_dict_new(struct cm_loop *loop, const struct cm_dict_handler *handler,
                            void *ctx)
{
    struct cm_dict *dict = cm_calloc(1, sizeof(*dict));
    dict->loop = loop;
    dict->handler = *handler;
    dict->ctx = ctx;
    return dict;
}

void cm_dict_free(struct cm_dict **dict)
{
    if (*dict == NULL) {
        return;
    }
    while ((*dict)->conns != NULL) {
        conn_close((*dict)->conns);
    }
    free(*dict);
    *dict = NULL;
}

void cm_dict_adopt(struct cm_dict *dict, int fd)
{
    if (cm_dict_full(dict)) {
        cm_log(CM_LOG_WARNING, "dict_full", NULL);
        close(fd);
        return;
    }
    struct conn *c = cm_calloc(1, sizeof(*c));
    c->dict = dict;
    c->fd = fd;
    c->tail = &c->head;
    c->user = cm_strdup("");
    cm_buf_init(&c->out, OUT_MAX);
    c->next = dict->conns;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    dict->conns = c;
    dict->count++;
    c->io = cm_io_new(dict->loop, fd, CM_IO_READ, on_conn, c);
}

size_t cm_dict_connections(const struct cm_dict *dict)
{
    return dict->count;
}

size_t cm_dict_pending(const struct cm_dict *dict)
{
    return dict->pending;
}

bool cm_dict_full(const struct cm_dict *dict)
{
    return dict->count >= CM_DICT_MAX_CONNS;
}

bool cm_dict_quiet(const struct cm_dict *dict, int64_t waited_ms, int64_t idle_ms)
{
    return dict->count == 0 || (dict->pending == 0 && waited_ms >= idle_ms);
}
