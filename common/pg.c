#include "common/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/clock.h"
#include "common/mem.h"

#define CONNECT_LIMIT_MS 5000
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000
#define PREPARED_MAX     64 /* statements in one program */
#define PARAMS_MAX       32

struct query {
    struct query *next;
    const struct cm_pg_statement *stmt;
    char **params;
    int n;
    int64_t due; /* monotonic; then it fails */
    cm_pg_cb cb;
    void *ctx;
};

enum state {
    CONN_DOWN, /* the timer opens it again */
    CONN_CONNECTING,
    CONN_LISTEN, /* LISTEN under way */
    CONN_IDLE,
    CONN_PREPARE, /* query's statement is being prepared */
    CONN_EXECUTE,
};

struct conn {
    struct cm_pg *pg;
    PGconn *link;
    enum state state;
    bool ready; /* connected and set up */
    bool listens;
    struct cm_io *io;
    struct cm_timer *timer; /* reconnect, connect limit or query deadline */
    int64_t backoff_ms;
    struct query *query;
    PGresult *result; /* last one of the command under way */
    const struct cm_pg_statement *prepared[PREPARED_MAX];
    size_t prepared_count;
};

struct cm_pg {
    struct cm_loop *loop;
    struct cm_pg_options opt;
    char *conninfo;
    char *channel;
    struct conn *conns;
    unsigned ready;
    bool tried; /* the first connection has come up or failed */
    struct query *head;
    struct query **tail;
    unsigned queued;
    struct cm_timer *queue_timer; /* deadline of the oldest in the queue */
    bool freeing;
    char last_error[256];
};

struct cm_pg_result {
    const PGresult *res;
};

int cm_pg_rows(const struct cm_pg_result *res)
{
    return PQntuples(res->res);
}

const char *cm_pg_value(const struct cm_pg_result *res, int row, int column)
{
    return PQgetisnull(res->res, row, column) ? NULL
                                              : PQgetvalue(res->res, row, column);
}

int64_t cm_pg_affected(const struct cm_pg_result *res)
{
    union {
        const PGresult *in;
        PGresult *out; /* PQcmdTuples does not change it, but takes it so */
    } u = {.in = res->res};
    return strtoll(PQcmdTuples(u.out), NULL, 10);
}

static void dispatch(struct cm_pg *pg);
static void conn_open(struct conn *c);

/* Queries */

static void query_free(struct query *q)
{
    for (int i = 0; i < q->n; i++) {
        free(q->params[i]);
    }
    free(q->params);
    free(q);
}

static void query_fail(struct query *q, const struct cm_err *err)
{
    q->cb(NULL, err, q->ctx);
    query_free(q);
}

static struct query *queue_take(struct cm_pg *pg)
{
    struct query *q = pg->head;
    if (q != NULL) {
        pg->head = q->next;
        pg->queued--;
        if (pg->head == NULL) {
            pg->tail = &pg->head;
            cm_timer_stop(pg->queue_timer);
        }
    }
    return q;
}

static void queue_fail_all(struct cm_pg *pg, const struct cm_err *err)
{
    struct query *q;
    while ((q = queue_take(pg)) != NULL) {
        query_fail(q, err);
    }
}

/* All queries have the same time to live, so the oldest is due first. */
static void on_queue_due(void *ctx)
{
    struct cm_pg *pg = ctx;
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "PostgreSQL: no connection free in time");
    int64_t now = cm_now_mono_ms();
    while (pg->head != NULL && pg->head->due <= now) {
        query_fail(queue_take(pg), &err);
    }
    if (pg->head != NULL) {
        cm_timer_set(pg->queue_timer, pg->head->due - now);
    }
}

/* Connections */

static void remember_error(struct cm_pg *pg, const char *text)
{
    snprintf(pg->last_error, sizeof(pg->last_error), "%s", text);
    pg->last_error[strcspn(pg->last_error, "\n")] = '\0';
}

static void set_away(const struct cm_pg *pg, struct cm_err *err)
{
    (void)cm_err_set(err, CM_ERR_RETRY, "PostgreSQL is away%s%s",
                     pg->last_error[0] != '\0' ? ": " : "", pg->last_error);
}

static void conn_close(struct conn *c)
{
    cm_io_free(&c->io);
    PQclear(c->result);
    c->result = NULL;
    PQfinish(c->link);
    c->link = NULL;
    c->prepared_count = 0;
    c->state = CONN_DOWN;
}

/* Closes, fails what was under way, and opens again later. */
static void conn_lost(struct conn *c, const char *why)
{
    struct cm_pg *pg = c->pg;
    remember_error(pg, why); /* before conn_close: why may belong to the link */
    conn_close(c);
    bool last = c->ready && --pg->ready == 0;
    c->ready = false;
    cm_timer_set(c->timer, c->backoff_ms);
    c->backoff_ms *= 2;
    if (c->backoff_ms > RECONNECT_MAX_MS) {
        c->backoff_ms = RECONNECT_MAX_MS;
    }
    struct cm_err err;
    set_away(pg, &err);
    struct query *q = c->query;
    c->query = NULL;
    if (last && pg->opt.on_state != NULL) {
        pg->opt.on_state(false, pg->opt.ctx);
    }
    if (q != NULL) {
        query_fail(q, &err);
    }
    pg->tried = true;
    if (pg->ready == 0) {
        queue_fail_all(pg, &err);
    }
}

static void on_conn_timer(void *ctx)
{
    struct conn *c = ctx;
    switch (c->state) {
    case CONN_DOWN:
        conn_open(c);
        break;
    case CONN_CONNECTING:
        conn_lost(c, "connecting took too long");
        break;
    default:
        /* Closing is the only sure way to be rid of a query that hangs. */
        conn_lost(c, "no answer within the deadline");
    }
}

static void conn_flush(struct conn *c)
{
    int rc = PQflush(c->link);
    if (rc < 0) {
        conn_lost(c, PQerrorMessage(c->link));
        return;
    }
    cm_io_want(c->io, CM_IO_READ | (rc > 0 ? CM_IO_WRITE : 0u));
}

static bool is_prepared(const struct conn *c, const struct cm_pg_statement *stmt)
{
    for (size_t i = 0; i < c->prepared_count; i++) {
        if (c->prepared[i] == stmt) {
            return true;
        }
    }
    return false;
}

/* Sends the next command of c->query: its PREPARE if this connection has not seen it.
 */
static void conn_send(struct conn *c)
{
    struct query *q = c->query;
    int ok;
    if (is_prepared(c, q->stmt)) {
        c->state = CONN_EXECUTE;
        const char *values[PARAMS_MAX];
        for (int i = 0; i < q->n; i++) {
            values[i] = q->params[i];
        }
        ok = PQsendQueryPrepared(c->link, q->stmt->name, q->n, values, NULL, NULL, 0);
    } else {
        cm_assert(c->prepared_count < PREPARED_MAX);
        c->state = CONN_PREPARE;
        ok = PQsendPrepare(c->link, q->stmt->name, q->stmt->sql, q->n, NULL);
    }
    if (!ok) {
        conn_lost(c, PQerrorMessage(c->link));
        return;
    }
    conn_flush(c);
}

static void dispatch(struct cm_pg *pg)
{
    for (unsigned i = 0; i < pg->opt.connections && pg->head != NULL; i++) {
        struct conn *c = &pg->conns[i];
        if (c->state == CONN_IDLE) {
            c->query = queue_take(pg);
            cm_timer_set(c->timer, c->query->due - cm_now_mono_ms());
            conn_send(c);
        }
    }
}

/* Results */

static bool is_passing(const char *sqlstate)
{
    static const char classes[][3] = {"08", "40", "53", "55", "57", "58"};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(sqlstate, classes[i], 2) == 0) {
            return true;
        }
    }
    return false;
}

/* The prepared statement no longer fits the schema (it was migrated under us); a fresh
 * connection prepares it anew. */
static bool is_stale(const char *sqlstate)
{
    return strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "26000") == 0;
}

static const char *sqlstate_of(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    return state != NULL ? state : "08000";
}

/* The primary message only: DETAIL may quote values. */
static void set_sql_error(const struct conn *c, const PGresult *res, struct cm_err *err)
{
    const char *state = sqlstate_of(res);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    bool passing = is_passing(state) || is_stale(state);
    (void)cm_err_set(err, passing ? CM_ERR_RETRY : CM_ERR_WORLD,
                     "PostgreSQL: statement %s: %s (SQLSTATE %s)", c->query->stmt->name,
                     text != NULL ? text : "connection trouble", state);
}

static bool result_ok(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static void conn_idle(struct conn *c)
{
    cm_timer_stop(c->timer);
    c->state = CONN_IDLE;
    c->query = NULL;
}

/* The connection is idle again before the callback, which may well use it at once. */
static void conn_answer(struct conn *c, PGresult *res)
{
    struct query *q = c->query;
    struct cm_err err = {0};
    if (result_ok(res)) {
        struct cm_pg_result view = {.res = res};
        conn_idle(c);
        q->cb(&view, &err, q->ctx);
        query_free(q);
        return;
    }
    set_sql_error(c, res, &err);
    conn_idle(c);
    if (is_stale(sqlstate_of(res))) {
        conn_lost(c, "statements out of date");
    }
    query_fail(q, &err);
}

static void conn_up(struct conn *c)
{
    struct cm_pg *pg = c->pg;
    conn_idle(c);
    c->backoff_ms = RECONNECT_MIN_MS;
    c->ready = true;
    pg->tried = true;
    if (pg->ready++ == 0 && pg->opt.on_state != NULL) {
        pg->opt.on_state(true, pg->opt.ctx);
    }
}

/* A command is complete: its last result is in c->result. */
static void conn_step(struct conn *c)
{
    PGresult *res = c->result;
    c->result = NULL;
    switch (c->state) {
    case CONN_LISTEN:
        if (result_ok(res)) {
            conn_up(c);
        } else {
            conn_lost(c, PQresultErrorMessage(res));
        }
        break;
    case CONN_PREPARE:
        if (result_ok(res)) {
            c->prepared[c->prepared_count++] = c->query->stmt;
            conn_send(c);
        } else {
            conn_answer(c, res);
        }
        break;
    case CONN_EXECUTE:
        conn_answer(c, res);
        break;
    default:
        break;
    }
    PQclear(res);
    dispatch(c->pg);
}

static bool conn_busy(const struct conn *c)
{
    return c->state == CONN_LISTEN || c->state == CONN_PREPARE ||
           c->state == CONN_EXECUTE;
}

static void conn_notifies(struct conn *c)
{
    PGnotify *n;
    while (c->link != NULL && (n = PQnotifies(c->link)) != NULL) {
        if (c->pg->opt.on_notify != NULL) {
            c->pg->opt.on_notify(n->extra, c->pg->opt.ctx);
        }
        PQfreemem(n);
    }
}

static void on_conn(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct conn *c = ctx;
    if (events & CM_IO_WRITE) {
        conn_flush(c);
    }
    if (c->link == NULL || !(events & CM_IO_READ)) {
        return;
    }
    if (!PQconsumeInput(c->link)) {
        conn_lost(c, PQerrorMessage(c->link));
        return;
    }
    conn_notifies(c);
    while (conn_busy(c) && !PQisBusy(c->link)) {
        PGresult *res = PQgetResult(c->link);
        if (res == NULL) {
            conn_step(c);
            continue;
        }
        if (PQresultStatus(res) == PGRES_COPY_IN ||
            PQresultStatus(res) == PGRES_COPY_OUT) {
            PQclear(res);
            conn_lost(c, "COPY is not for this pool");
            return;
        }
        PQclear(c->result);
        c->result = res;
    }
    if (c->link != NULL && PQstatus(c->link) != CONNECTION_OK) {
        conn_lost(c, PQerrorMessage(c->link));
    }
}

/* Connecting */

static void conn_connected(struct conn *c)
{
    cm_io_free(&c->io);
    c->io = cm_io_new(c->pg->loop, PQsocket(c->link), CM_IO_READ, on_conn, c);
    PQsetnonblocking(c->link, 1);
    if (!c->listens) {
        conn_up(c);
        dispatch(c->pg);
        return;
    }
    char *channel = PQescapeIdentifier(c->link, c->pg->channel, strlen(c->pg->channel));
    char *sql = cm_asprintf("LISTEN %s", channel != NULL ? channel : "");
    PQfreemem(channel);
    c->state = CONN_LISTEN;
    int ok = PQsendQuery(c->link, sql);
    free(sql);
    if (!ok) {
        conn_lost(c, PQerrorMessage(c->link));
        return;
    }
    conn_flush(c);
}

static void on_connecting(int fd, unsigned events, void *ctx);

/* libpq may change its socket from one poll to the next. */
static void connecting_watch(struct conn *c, unsigned events)
{
    cm_io_free(&c->io);
    c->io = cm_io_new(c->pg->loop, PQsocket(c->link), events, on_connecting, c);
}

static void on_connecting(int fd, unsigned events, void *ctx)
{
    (void)fd;
    (void)events;
    struct conn *c = ctx;
    switch (PQconnectPoll(c->link)) {
    case PGRES_POLLING_READING:
        connecting_watch(c, CM_IO_READ);
        break;
    case PGRES_POLLING_WRITING:
        connecting_watch(c, CM_IO_WRITE);
        break;
    case PGRES_POLLING_OK:
        conn_connected(c);
        break;
    default:
        conn_lost(c, PQerrorMessage(c->link));
    }
}

static void ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

static void conn_open(struct conn *c)
{
    /* Later ones win, so the caller's text can override. The timeouts only matter over
     * TCP, where a peer that is gone is otherwise noticed after minutes. */
    const char *keys[] = {"tcp_user_timeout",
                          "keepalives_idle",
                          "keepalives_interval",
                          "fallback_application_name",
                          "client_encoding",
                          "dbname",
                          NULL};
    const char *values[] = {"8000",          "20", "5", "portico", "UTF8",
                            c->pg->conninfo, NULL};
    c->state = CONN_CONNECTING;
    c->link = PQconnectStartParams(keys, values, 1);
    cm_assert(c->link != NULL);
    PQsetNoticeReceiver(c->link, ignore_notice, NULL);
    if (PQstatus(c->link) == CONNECTION_BAD) {
        conn_lost(c, PQerrorMessage(c->link));
        return;
    }
    cm_timer_set(c->timer, CONNECT_LIMIT_MS);
    connecting_watch(c, CM_IO_WRITE);
}

/* The pool */

struct cm_pg *cm_pg_new(struct cm_loop *loop, const struct cm_pg_options *options)
{
    struct cm_pg *pg = cm_calloc(1, sizeof(*pg));
    pg->loop = loop;
    pg->opt = *options;
    pg->opt.connections = options->connections > 0 ? options->connections : 4;
    pg->opt.max_queue = options->max_queue > 0 ? options->max_queue : 1024;
    pg->opt.deadline_ms = options->deadline_ms > 0 ? options->deadline_ms : 4000;
    pg->conninfo = cm_strdup(options->conninfo);
    pg->channel = cm_strdup(options->listen_channel);
    pg->tail = &pg->head;
    pg->queue_timer = cm_timer_new(loop, on_queue_due, pg);
    pg->conns = cm_calloc(pg->opt.connections, sizeof(*pg->conns));
    for (unsigned i = 0; i < pg->opt.connections; i++) {
        struct conn *c = &pg->conns[i];
        c->pg = pg;
        c->listens = i == 0 && pg->channel != NULL;
        c->backoff_ms = RECONNECT_MIN_MS;
        c->timer = cm_timer_new(loop, on_conn_timer, c);
        conn_open(c);
    }
    return pg;
}

void cm_pg_free(struct cm_pg **pgp)
{
    struct cm_pg *pg = *pgp;
    if (pg == NULL) {
        return;
    }
    *pgp = NULL;
    pg->freeing = true;
    pg->ready = 0;
    struct cm_err err;
    (void)cm_err_set(&err, CM_ERR_RETRY, "shutting down");
    for (unsigned i = 0; i < pg->opt.connections; i++) {
        struct conn *c = &pg->conns[i];
        conn_close(c);
        cm_timer_free(&c->timer);
        if (c->query != NULL) {
            query_fail(c->query, &err);
        }
    }
    queue_fail_all(pg, &err);
    cm_timer_free(&pg->queue_timer);
    free(pg->conns);
    free(pg->conninfo);
    free(pg->channel);
    free(pg);
}

bool cm_pg_up(const struct cm_pg *pg)
{
    return pg->ready > 0;
}

const char *cm_pg_last_error(const struct cm_pg *pg)
{
    return pg->last_error;
}

static struct query *query_new(const struct cm_pg *pg,
                               const struct cm_pg_statement *stmt,
                               const char *const *params, int n)
{
    struct query *q = cm_calloc(1, sizeof(*q));
    q->stmt = stmt;
    q->n = n;
    q->params = cm_calloc((size_t)n + 1, sizeof(*q->params));
    for (int i = 0; i < n; i++) {
        q->params[i] = cm_strdup(params[i]);
    }
    q->due = cm_now_mono_ms() + pg->opt.deadline_ms;
    return q;
}

void cm_pg_query(struct cm_pg *pg, const struct cm_pg_statement *stmt,
                 const char *const *params, int n, cm_pg_cb cb, void *ctx)
{
    cm_assert(n >= 0 && n <= PARAMS_MAX);
    struct cm_err err = {0};
    if (pg->freeing) {
        (void)cm_err_set(&err, CM_ERR_RETRY, "shutting down");
    } else if (pg->ready == 0 && pg->tried) {
        set_away(pg, &err);
    } else if (pg->queued >= pg->opt.max_queue) {
        (void)cm_err_set(&err, CM_ERR_RETRY, "PostgreSQL: too many queries wait");
    }
    if (err.kind != CM_ERR_NONE) {
        cb(NULL, &err, ctx);
        return;
    }
    struct query *q = query_new(pg, stmt, params, n);
    q->cb = cb;
    q->ctx = ctx;
    *pg->tail = q;
    pg->tail = &q->next;
    if (pg->queued++ == 0) {
        cm_timer_set(pg->queue_timer, pg->opt.deadline_ms);
    }
    dispatch(pg);
}
