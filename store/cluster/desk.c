#include "desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus.h"
#include "common/log.h"
#include "common/mem.h"

/* Ports are bus_port + index. */
enum { PUB, REP, PULL, SOCKETS };

struct window {
    struct desk *desk;
    int number; /* 0: closed */
    int bus_port;
    char name[33];
    struct cm_bus *bus[SOCKETS];
    bool bad_said; /* a bad report was logged already */
};

struct desk {
    struct cm_loop *loop;
    struct desk_hooks hooks;
    char *envelope;
    struct window windows[CM_GATEWAYS_MAX + 1];
};

static void on_question(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    (void)data;
    (void)len;
    struct window *w = ctx;
    struct cm_err err;
    const char *envelope = w->desk->envelope;
    /* Whatever was asked, the answer is the newest; lost answers are asked for again.
     */
    (void)!cm_bus_send(bus, envelope, strlen(envelope), &err);
}

static void bad_report(struct window *w, const char *reason)
{
    if (!w->bad_said) {
        cm_log(CM_LOG_WARNING, "report_refused", "gateway", w->name, "reason", reason,
               NULL);
        w->bad_said = true;
    }
}

static void on_report(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    (void)bus;
    struct window *w = ctx;
    struct px_report report;
    struct cm_err err;
    if (px_report_parse(data, len, &report, &err) != 0) {
        bad_report(w, err.text);
    } else if (strcmp(report.name, w->name) != 0) {
        bad_report(w, "it came through another gateway's tunnel");
    } else {
        w->bad_said = false;
        w->desk->hooks.report(w->number, &report, w->desk->hooks.ctx);
    }
}

static void window_close(struct window *w)
{
    for (int i = 0; i < SOCKETS; i++) {
        cm_bus_free(&w->bus[i]);
    }
    w->number = 0;
}

static int window_open(struct desk *desk, const struct px_state *state,
                       const struct px_gateway *gw, struct cm_err *err)
{
    static const enum cm_bus_kind kinds[SOCKETS] = {CM_BUS_PUB, CM_BUS_REP,
                                                    CM_BUS_PULL};
    static const cm_bus_cb hears[SOCKETS] = {NULL, on_question, on_report};
    struct window *w = &desk->windows[gw->number];
    char inner[46], url[80];
    px_inner4(gw->number, 2, inner);
    *w = (struct window){
        .desk = desk, .number = gw->number, .bus_port = state->bus_port};
    snprintf(w->name, sizeof(w->name), "%s", gw->name);
    for (int i = 0; i < SOCKETS; i++) {
        int endpoint;
        snprintf(url, sizeof(url), "tcp://%s:%d", inner, state->bus_port + i);
        w->bus[i] = cm_bus_new(desk->loop, kinds[i], hears[i], w, err);
        if (w->bus[i] == NULL || cm_bus_bind(w->bus[i], url, &endpoint, err) != 0) {
            window_close(w);
            return -1;
        }
    }
    cm_log(CM_LOG_INFO, "bus_open", "gateway", w->name, "address", inner, NULL);
    return 0;
}

static const struct px_gateway *in_state(const struct px_state *state, int number)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].number == number) {
            return &state->gateways[i];
        }
    }
    return NULL;
}

bool desk_open(struct desk *desk, const struct px_state *state)
{
    bool all = true;
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        struct window *w = &desk->windows[n];
        const struct px_gateway *gw = in_state(state, n);
        if (w->number != 0 && (gw == NULL || w->bus_port != state->bus_port ||
                               strcmp(w->name, gw->name) != 0)) {
            window_close(w);
        }
        struct cm_err err;
        if (gw != NULL && w->number == 0 && window_open(desk, state, gw, &err) != 0) {
            all = false;
        }
    }
    return all;
}

void desk_serve(struct desk *desk, const char *envelope)
{
    free(desk->envelope);
    desk->envelope = cm_strdup(envelope);
    for (int n = 1; n <= CM_GATEWAYS_MAX && *envelope != '\0'; n++) {
        struct cm_err err;
        if (desk->windows[n].number != 0) {
            (void)!cm_bus_send(desk->windows[n].bus[PUB], envelope, strlen(envelope),
                               &err);
        }
    }
}

struct desk *desk_new(struct cm_loop *loop, const struct desk_hooks *hooks)
{
    struct desk *desk = cm_calloc(1, sizeof(*desk));
    desk->loop = loop;
    desk->hooks = *hooks;
    desk->envelope = cm_strdup("");
    return desk;
}

void desk_free(struct desk **desk)
{
    if (*desk == NULL) {
        return;
    }
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        window_close(&(*desk)->windows[n]);
    }
    free((*desk)->envelope);
    free(*desk);
    *desk = NULL;
}
