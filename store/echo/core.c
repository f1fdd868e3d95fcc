#include "core.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "jsonrpc/jsonrpc.h"

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 60000
#define CHECK_MS     1000  /* how often deadlines are looked at */
#define PING_MS      60000 /* between two pings, and for its answer */
#define END_MS       3000
#define EVENTS       "get_next_event_batch"

struct call {
    int64_t id; /* 0: free */
    int64_t until_ms;
    const char *method;
    core_cb cb;
    void *ctx;
};

struct core {
    struct cm_loop *loop;
    const char *program;
    const char *dir;
    struct core_hooks hooks;
    struct jsonrpc_child child; /* pid 0: none */
    unsigned run;               /* grows when a child is gone */
    struct cm_io *to, *from;
    struct cm_buf in, out;
    int64_t last_id;
    int64_t events_id;
    struct call calls[CORE_CALLS];
    struct cm_timer *start_timer, *check_timer;
    int64_t pause_ms;
    int64_t pinged_ms;
    uint64_t restarts;
};

/* ---- its end ---- */

static void let_go(struct core *core)
{
    cm_io_free(&core->to);
    cm_io_free(&core->from);
    close(core->child.from);
    if (core->child.to >= 0) {
        close(core->child.to);
    }
    cm_buf_reset(&core->in);
    cm_buf_reset(&core->out);
    memset(core->calls, 0, sizeof(core->calls));
    core->events_id = 0;
    core->child.pid = 0;
    core->run++;
}

static void down(struct core *core, const char *reason)
{
    struct cm_err why;
    if (core->child.pid <= 0) {
        return;
    }
    kill(-core->child.pid, SIGKILL);
    waitpid(core->child.pid, NULL, 0);
    let_go(core);
    cm_timer_stop(core->check_timer);
    cm_timer_set(core->start_timer, core->pause_ms);
    core->pause_ms =
        core->pause_ms * 2 < PAUSE_MAX_MS ? core->pause_ms * 2 : PAUSE_MAX_MS;
    core->restarts++;
    (void)cm_err_set(&why, CM_ERR_RETRY, "chat core: %s", reason);
    core->hooks.down(&why, core->hooks.ctx);
}

/* ---- to it ---- */

static void on_writable(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct core *core = ctx;
    while (core->out.len > 0) {
        ssize_t n = write(fd, core->out.data, core->out.len);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n < 0) {
            down(core, strerror(errno));
            return;
        }
        cm_buf_consume(&core->out, (size_t)n);
    }
    cm_io_want(core->to, core->out.len > 0 ? CM_IO_WRITE : 0);
}

/* Written from the loop, so that no call fails before it returns. */
static int64_t say(struct core *core, const char *method, json_t *params)
{
    char *line = jsonrpc_request(++core->last_id, method, params);
    cm_buf_str(&core->out, line);
    cm_wipe_str(&line); /* one of them has a password */
    cm_io_want(core->to, CM_IO_WRITE);
    return core->last_id;
}

static struct call *call_of(struct core *core, int64_t id)
{
    for (size_t i = 0; i < CORE_CALLS; i++) {
        if (core->calls[i].id == id) {
            return &core->calls[i];
        }
    }
    return NULL;
}

void core_call(struct core *core, const char *method, json_t *params,
               int64_t timeout_ms, core_cb cb, void *ctx)
{
    cm_assert(core->child.pid > 0);
    struct call *call = call_of(core, 0);
    cm_assert(call != NULL);
    *call = (struct call){.id = say(core, method, params),
                          .until_ms = cm_now_mono_ms() + timeout_ms,
                          .method = method,
                          .cb = cb,
                          .ctx = ctx};
}

/* ---- from it ---- */

static void take_events(struct core *core, const json_t *answer, unsigned run)
{
    size_t i;
    json_t *item;
    core->events_id = say(core, EVENTS, json_array());
    json_array_foreach(json_object_get(answer, "result"), i, item)
    {
        const json_t *event = json_object_get(item, "event");
        const char *kind = json_string_value(json_object_get(event, "kind"));
        if (kind != NULL && core->run == run) {
            core->hooks.event(kind, core->hooks.ctx);
        }
    }
}

static void take_answer(struct core *core, json_t *answer)
{
    int64_t id = json_integer_value(json_object_get(answer, "id"));
    struct call *found = id > 0 ? call_of(core, id) : NULL;
    if (id > 0 && id == core->events_id) {
        take_events(core, answer, core->run);
    } else if (found != NULL) {
        struct call call = *found;
        struct cm_err err = {.kind = CM_ERR_NONE};
        *found = (struct call){.id = 0};
        if (jsonrpc_error(answer, call.method, &err) != 0) {
            call.cb(NULL, &err, call.ctx);
        } else {
            json_t *result = json_object_get(answer, "result");
            call.cb(result != NULL ? result : json_null(), &err, call.ctx);
        }
    }
}

static void take_lines(struct core *core)
{
    json_t *answer;
    size_t used = 0;
    unsigned run = core->run;
    while (core->run == run && (answer = jsonrpc_next(&core->in, &used)) != NULL) {
        take_answer(core, answer);
        json_decref(answer);
    }
    if (core->run == run) {
        cm_buf_consume(&core->in, used);
    }
}

static void on_readable(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct core *core = ctx;
    char data[65536];
    ssize_t n = read(fd, data, sizeof(data));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        down(core, n == 0 ? "ended" : strerror(errno));
        return;
    }
    cm_buf_add(&core->in, data, (size_t)n);
    if (core->in.overflow) {
        down(core, "said a line over the limit");
        return;
    }
    take_lines(core);
}

/* ---- its life ---- */

static void on_pong(json_t *result, const struct cm_err *err, void *ctx)
{
    (void)result;
    (void)err;
    (void)ctx;
}

static void on_check(void *ctx)
{
    struct core *core = ctx;
    int64_t now = cm_now_mono_ms();
    if (core->out.overflow) {
        down(core, "does not read");
        return;
    }
    for (size_t i = 0; i < CORE_CALLS; i++) {
        if (core->calls[i].id != 0 && core->calls[i].until_ms <= now) {
            down(core, core->calls[i].method);
            return;
        }
    }
    if (now - core->pinged_ms >= PING_MS && call_of(core, 0) != NULL) {
        core->pinged_ms = now;
        core_call(core, "get_system_info", json_array(), PING_MS, on_pong, NULL);
    }
    cm_timer_set(core->check_timer, CHECK_MS);
}

static void on_start(void *ctx)
{
    struct core *core = ctx;
    const char *argv[] = {core->program, NULL};
    struct cm_err err;
    setenv("DC_ACCOUNTS_PATH", core->dir, 1);
    if (jsonrpc_spawn(argv, -1, &core->child, &err) != 0) {
        core->child.pid = 0;
        cm_timer_set(core->start_timer, PAUSE_MAX_MS);
        core->hooks.down(&err, core->hooks.ctx);
        return;
    }
    core->from = cm_io_new(core->loop, core->child.from, CM_IO_READ, on_readable, core);
    core->to = cm_io_new(core->loop, core->child.to, 0, on_writable, core);
    core->events_id = say(core, EVENTS, json_array());
    core->pinged_ms = cm_now_mono_ms();
    cm_timer_set(core->check_timer, CHECK_MS);
    core->hooks.up(core->hooks.ctx);
}

struct core *core_new(struct cm_loop *loop, const char *program, const char *dir,
                      const struct core_hooks *hooks)
{
    struct core *core = cm_calloc(1, sizeof(*core));
    core->loop = loop;
    core->program = program;
    core->dir = dir;
    core->hooks = *hooks;
    core->pause_ms = PAUSE_MIN_MS;
    cm_buf_init(&core->in, CORE_LINE_MAX);
    cm_buf_init(&core->out, CORE_OUT_MAX);
    core->start_timer = cm_timer_new(loop, on_start, core);
    core->check_timer = cm_timer_new(loop, on_check, core);
    cm_timer_set(core->start_timer, 0);
    return core;
}

/* What it has in hand it finishes when nobody speaks to it any more. */
static void end_gently(struct core *core)
{
    pid_t pid = core->child.pid;
    int64_t until = cm_now_mono_ms() + END_MS;
    cm_io_free(&core->to);
    close(core->child.to);
    core->child.to = -1;
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (cm_now_mono_ms() >= until) {
            kill(-pid, SIGKILL);
            waitpid(pid, NULL, 0);
            return;
        }
        usleep(10000);
    }
}

void core_free(struct core **core)
{
    struct core *c = *core;
    if (c == NULL) {
        return;
    }
    if (c->child.pid > 0) {
        end_gently(c);
        let_go(c);
    }
    cm_timer_free(&c->start_timer);
    cm_timer_free(&c->check_timer);
    cm_buf_clear(&c->in);
    cm_buf_clear(&c->out);
    free(c);
    *core = NULL;
}

void core_restart(struct core *core, const char *reason)
{
    down(core, reason);
}

void core_settled(struct core *core)
{
    core->pause_ms = PAUSE_MIN_MS;
}

uint64_t core_restarts(const struct core *core)
{
    return core->restarts;
}
