#include "rpc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "jsonrpc/jsonrpc.h"

#define WRITE_TIMEOUT_MS 10000
#define CLOSE_TIMEOUT_MS 2000

struct rpc {
    pid_t pid;
    int to;   /* its stdin, non-blocking */
    int from; /* its stdout, non-blocking */
    FILE *log;
    struct cm_buf in;
    int64_t last_id;
    int64_t events_id;        /* the request for events in flight, 0 for none */
    int64_t awaited_id;       /* the call that is waited for, 0 for none */
    json_t *answer;           /* to awaited_id */
    struct rpc_event *events; /* ring of RPC_EVENTS_MAX */
    size_t first;
    size_t count;
    size_t dropped;
    bool gone;
    char gone_why[200];
};

static int give_up(struct rpc *rpc, struct cm_err *err, const char *why)
{
    if (!rpc->gone) {
        rpc->gone = true;
        snprintf(rpc->gone_why, sizeof rpc->gone_why, "%s", why);
    }
    return cm_err_set(err, CM_ERR_RETRY, "chat core: %s", rpc->gone_why);
}

/* --- sending --- */

static int write_all(struct rpc *rpc, const char *data, size_t n, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + WRITE_TIMEOUT_MS;
    while (n > 0) {
        ssize_t rc = write(rpc->to, data, n);
        if (rc > 0) {
            data += rc;
            n -= (size_t)rc;
            continue;
        }
        if (rc < 0 && errno != EAGAIN && errno != EINTR) {
            return give_up(rpc, err, strerror(errno));
        }
        struct pollfd p = {.fd = rpc->to, .events = POLLOUT};
        if (cm_now_mono_ms() >= until || poll(&p, 1, 1000) < 0) {
            return give_up(rpc, err, "does not read its stdin");
        }
    }
    return 0;
}

static int64_t send_request(struct rpc *rpc, const char *method, json_t *params,
                            struct cm_err *err)
{
    char *line = jsonrpc_request(rpc->last_id + 1, method, params);
    int rc = write_all(rpc, line, strlen(line), err);
    free(line);
    return rc != 0 ? -1 : ++rpc->last_id;
}

static int ask_for_events(struct rpc *rpc, struct cm_err *err)
{
    if (rpc->events_id != 0) {
        return 0;
    }
    int64_t id = send_request(rpc, "get_next_event_batch", json_array(), err);
    if (id < 0) {
        return -1;
    }
    rpc->events_id = id;
    return 0;
}

/* --- receiving --- */

static struct rpc_event *event_at(struct rpc *rpc, size_t i)
{
    return &rpc->events[(rpc->first + i) % RPC_EVENTS_MAX];
}

void rpc_event_clear(struct rpc_event *event)
{
    json_decref(event->body);
    event->body = NULL;
}

static void keep_event(struct rpc *rpc, unsigned account, const char *kind,
                       json_t *body)
{
    if (rpc->count == RPC_EVENTS_MAX) {
        rpc_event_clear(event_at(rpc, 0));
        rpc->first = (rpc->first + 1) % RPC_EVENTS_MAX;
        rpc->count--;
        rpc->dropped++;
    }
    struct rpc_event *event = event_at(rpc, rpc->count++);
    event->at_ms = cm_now_mono_ms();
    event->account = account;
    snprintf(event->kind, sizeof event->kind, "%s", kind);
    event->body = json_incref(body);
}

static bool is_wanted(const char *kind)
{
    static const char *const kinds[] = {
        "IncomingMsg",
        "MsgDelivered",
        "MsgFailed",
        "SecurejoinInviterProgress",
        "SecurejoinJoinerProgress",
        "ImapConnected",
        "ImapInboxIdle",
        "SmtpConnected",
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void take_event(struct rpc *rpc, json_t *item)
{
    json_t *body = json_object_get(item, "event");
    const char *kind = json_string_value(json_object_get(body, "kind"));
    unsigned account = (unsigned)json_integer_value(json_object_get(item, "contextId"));
    if (kind == NULL) {
        return;
    }
    if (is_wanted(kind)) {
        keep_event(rpc, account, kind, body);
    }
    if (rpc->log != NULL) {
        const char *msg = json_string_value(json_object_get(body, "msg"));
        fprintf(rpc->log, "%lld account=%u %s %s\n", (long long)cm_now_mono_ms(),
                account, kind, msg != NULL ? msg : "");
    }
}

static void take_answer(struct rpc *rpc, json_t *answer)
{
    int64_t id = json_integer_value(json_object_get(answer, "id"));
    if (id == rpc->events_id && id != 0) {
        size_t i;
        json_t *item;
        rpc->events_id = 0;
        json_array_foreach(json_object_get(answer, "result"), i, item)
        {
            take_event(rpc, item);
        }
    } else if (id == rpc->awaited_id && id != 0) {
        json_decref(rpc->answer);
        rpc->answer = json_incref(answer);
    }
    /* Anything else answers a call that was given up. */
}

static void take_lines(struct rpc *rpc)
{
    json_t *answer;
    size_t used = 0;
    while ((answer = jsonrpc_next(&rpc->in, &used)) != NULL) {
        take_answer(rpc, answer);
        json_decref(answer);
    }
    cm_buf_consume(&rpc->in, used);
}

/* Waits for input until until_ms at most, then reads and handles what there is. */
static int turn(struct rpc *rpc, int64_t until_ms, struct cm_err *err)
{
    char data[65536];
    if (rpc->gone || ask_for_events(rpc, err) != 0) {
        return give_up(rpc, err, "gone");
    }
    int64_t left = until_ms - cm_now_mono_ms();
    left = left < 0 ? 0 : left > 60000 ? 60000 : left;
    struct pollfd p = {.fd = rpc->from, .events = POLLIN};
    if (poll(&p, 1, (int)left) <= 0) {
        return 0;
    }
    ssize_t n = read(rpc->from, data, sizeof data);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        return give_up(rpc, err, n == 0 ? "ended" : strerror(errno));
    }
    if (n > 0) {
        cm_buf_add(&rpc->in, data, (size_t)n);
        if (rpc->in.overflow) {
            return give_up(rpc, err, "sent a line over the limit");
        }
        take_lines(rpc);
    }
    return 0;
}

/* --- the child --- */

struct rpc *rpc_open(const char *const *argv, const char *log_path, struct cm_err *err)
{
    struct rpc *rpc = cm_calloc(1, sizeof *rpc);
    struct jsonrpc_child child = {.pid = -1, .to = -1, .from = -1};
    rpc->events = cm_calloc(RPC_EVENTS_MAX, sizeof *rpc->events);
    cm_buf_init(&rpc->in, RPC_LINE_MAX);
    rpc->log = log_path != NULL ? fopen(log_path, "ae") : NULL;
    int rc = jsonrpc_spawn(argv, rpc->log != NULL ? fileno(rpc->log) : -1, &child, err);
    rpc->pid = child.pid;
    rpc->to = child.to;
    rpc->from = child.from;
    if (rc == 0) {
        rc = ask_for_events(rpc, err);
    }
    if (rc != 0) {
        rpc_close(&rpc);
    }
    return rpc;
}

static void reap(pid_t pid)
{
    int64_t until = cm_now_mono_ms() + CLOSE_TIMEOUT_MS;
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (cm_now_mono_ms() >= until) {
            kill(-pid, SIGKILL);
            waitpid(pid, NULL, 0);
            return;
        }
        usleep(10000);
    }
}

void rpc_close(struct rpc **rpc)
{
    struct rpc *r = *rpc;
    if (r == NULL) {
        return;
    }
    if (r->to >= 0) {
        close(r->to);
    }
    if (r->from >= 0) {
        close(r->from);
    }
    if (r->pid > 0) {
        reap(r->pid);
    }
    for (size_t i = 0; i < r->count; i++) {
        rpc_event_clear(event_at(r, i));
    }
    if (r->log != NULL) {
        fclose(r->log);
    }
    json_decref(r->answer);
    cm_buf_clear(&r->in);
    free(r->events);
    free(r);
    *rpc = NULL;
}

/* --- calls and waits --- */

static int result_of(struct rpc *rpc, const char *method, json_t **result_r,
                     struct cm_err *err)
{
    if (jsonrpc_error(rpc->answer, method, err) != 0) {
        return -1;
    }
    if (result_r != NULL) {
        *result_r = json_incref(json_object_get(rpc->answer, "result"));
    }
    return 0;
}

int rpc_call(struct rpc *rpc, const char *method, json_t *params, int64_t timeout_ms,
             json_t **result_r, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + timeout_ms;
    if (rpc->gone) {
        json_decref(params);
        return give_up(rpc, err, "gone");
    }
    rpc->awaited_id = send_request(rpc, method, params, err);
    if (rpc->awaited_id < 0) {
        rpc->awaited_id = 0;
        return -1;
    }
    int rc = 0;
    while (rc == 0 && rpc->answer == NULL && cm_now_mono_ms() < until) {
        rc = turn(rpc, until, err);
    }
    rpc->awaited_id = 0;
    if (rpc->answer != NULL) {
        rc = result_of(rpc, method, result_r, err);
        json_decref(rpc->answer);
        rpc->answer = NULL;
        return rc;
    }
    return rc != 0 ? -1
                   : cm_err_set(err, CM_ERR_RETRY, "%s: no answer in %lld ms", method,
                                (long long)timeout_ms);
}

static int take_kept(struct rpc *rpc, rpc_match match, void *ctx,
                     struct rpc_event *event_r)
{
    for (size_t i = 0; i < rpc->count; i++) {
        if (!match(event_at(rpc, i), ctx)) {
            continue;
        }
        *event_r = *event_at(rpc, i);
        for (size_t j = i; j + 1 < rpc->count; j++) {
            *event_at(rpc, j) = *event_at(rpc, j + 1);
        }
        rpc->count--;
        return 1;
    }
    return 0;
}

int rpc_take(struct rpc *rpc, rpc_match match, void *ctx, int64_t until_ms,
             struct rpc_event *event_r, struct cm_err *err)
{
    for (;;) {
        if (take_kept(rpc, match, ctx, event_r)) {
            return 1;
        }
        bool late = cm_now_mono_ms() >= until_ms;
        if (turn(rpc, late ? 0 : until_ms, err) != 0) {
            /* What it said before it ended still counts. */
            return take_kept(rpc, match, ctx, event_r) ? 1 : -1;
        }
        if (late) {
            return take_kept(rpc, match, ctx, event_r);
        }
    }
}

size_t rpc_dropped(const struct rpc *rpc)
{
    return rpc->dropped;
}
