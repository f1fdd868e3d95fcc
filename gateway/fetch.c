#include "fetch.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/state.h"

/* The order is that of the ports: bus_port + index. */
enum { SUB, REQ, PUSH, SOCKETS };

static const enum cm_bus_kind kinds[SOCKETS] = {
    [SUB] = CM_BUS_SUB, [REQ] = CM_BUS_REQ, [PUSH] = CM_BUS_PUSH};

struct gw_fetch {
    char name[33];
    struct gw_fetch_hooks hooks;
    struct cm_bus *bus[SOCKETS];
    int endpoint[SOCKETS];
    int number;
    int bus_port;
    struct cm_timer *poll;
    int64_t heard_ms;
    int64_t opened_ms;
    bool answered; /* since then */
};

static void received(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    struct gw_fetch *f = ctx;
    f->heard_ms = cm_now_mono_ms();
    if (bus == f->bus[REQ]) {
        f->answered = true;
        f->hooks.answered(f->hooks.ctx);
    }
    /* Empty: a store that has no document yet. */
    if (len > 0) {
        f->hooks.document(data, len, f->hooks.ctx);
    }
}

static int open_endpoints(struct gw_fetch *f, struct cm_err *err)
{
    char inner[46], url[80];
    px_inner4(f->number, 2, inner);
    f->opened_ms = cm_now_mono_ms();
    f->answered = false;
    for (int i = 0; i < SOCKETS; i++) {
        if (f->endpoint[i] >= 0) {
            cm_bus_unbind(f->bus[i], f->endpoint[i]);
            f->endpoint[i] = -1;
        }
        snprintf(url, sizeof(url), "tcp://%s:%d", inner, f->bus_port + i);
        if (cm_bus_connect(f->bus[i], url, &f->endpoint[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static void ask(struct gw_fetch *f)
{
    char question[128];
    struct cm_err err;
    snprintf(question, sizeof(question), "{\"have\":%" PRId64 ",\"name\":\"%s\"}",
             f->hooks.epoch(f->hooks.ctx), f->name);
    /* A question still open is taken back by the new one; no store: asked again soon.
     */
    (void)!cm_bus_send(f->bus[REQ], question, strlen(question), &err);
}

static void poll_now(void *ctx)
{
    struct gw_fetch *f = ctx;
    struct cm_err err;
    int64_t now = cm_now_mono_ms();
    bool silent = f->heard_ms == 0 || now - f->heard_ms > GW_SILENCE_MS;
    if (silent && now - f->opened_ms > GW_REOPEN_MS && open_endpoints(f, &err) != 0) {
        cm_log_err(CM_LOG_WARNING, "bus_failed", &err);
    }
    ask(f);
    /* More often while nothing is heard: somebody waits for the rules. */
    cm_timer_set(f->poll, silent || !f->answered ? GW_HURRY_MS : GW_POLL_MS);
}

struct gw_fetch *gw_fetch_new(struct cm_loop *loop, const char *name,
                              const struct gw_fetch_hooks *hooks, struct cm_err *err)
{
    struct gw_fetch *f = cm_calloc(1, sizeof(*f));
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->hooks = *hooks;
    f->poll = cm_timer_new(loop, poll_now, f);
    for (int i = 0; i < SOCKETS; i++) {
        f->endpoint[i] = -1;
        f->bus[i] = cm_bus_new(loop, kinds[i], i == PUSH ? NULL : received, f, err);
        if (f->bus[i] == NULL) {
            gw_fetch_free(&f);
            return NULL;
        }
    }
    return f;
}

void gw_fetch_free(struct gw_fetch **fetch)
{
    struct gw_fetch *f = *fetch;
    if (f == NULL) {
        return;
    }
    for (int i = 0; i < SOCKETS; i++) {
        cm_bus_free(&f->bus[i]);
    }
    cm_timer_free(&f->poll);
    free(f);
    *fetch = NULL;
}

int gw_fetch_target(struct gw_fetch *f, int number, int bus_port, struct cm_err *err)
{
    f->number = number;
    f->bus_port = bus_port;
    if (open_endpoints(f, err) != 0) {
        return -1;
    }
    /* At once: the new question makes an answer that has just come to the old one void.
     */
    ask(f);
    cm_timer_set(f->poll, GW_HURRY_MS);
    return 0;
}

void gw_fetch_report(struct gw_fetch *f, const char *text)
{
    struct cm_err err;
    /* Nobody there: the next report is a second away. */
    (void)!cm_bus_send(f->bus[PUSH], text, strlen(text), &err);
}

int64_t gw_fetch_heard_ms(const struct gw_fetch *f)
{
    return f->heard_ms;
}
