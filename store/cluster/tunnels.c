#include "tunnels.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/run.h"
#include "ingress/ingress.h"

#define UNIT_MS 20000

static const struct px_tunnel_facts unknown = {
    .handshake_age_s = -1, .rx_bytes = -1, .tx_bytes = -1};

/* Everything a pass needs and finds; the worker thread touches only this. */
struct pass {
    struct px_state state;
    const char *private_key;
    struct px_seen *seen;
    struct ingress *ingress; /* NULL: rules do it */
    bool with_egress;
    int egress[CM_GATEWAYS_MAX];
    size_t egress_count;
    bool gone[CM_GATEWAYS_MAX + 1];
    bool forget[CM_GATEWAYS_MAX + 1];
    bool redial[CM_GATEWAYS_MAX + 1];
    bool changed;
    struct cm_err failed;  /* kind NONE: all is well */
    struct cm_err warning; /* kind NONE: none */
    struct px_tunnel_facts facts[CM_GATEWAYS_MAX + 1];
};

struct tunnels {
    struct cm_work *work;
    struct cm_timer *timer;
    struct tunnels_hooks hooks;
    struct px_seen seen;
    struct ingress *ingress; /* NULL: rules do it */
    struct pass pass;
    bool busy, again, freeing;
    bool has_state;
    struct px_state state;
    const char *private_key;
    bool with_egress;
    int egress[CM_GATEWAYS_MAX];
    size_t egress_count;
    bool gone[CM_GATEWAYS_MAX + 1];
    bool forget[CM_GATEWAYS_MAX + 1];
    bool silent[CM_GATEWAYS_MAX + 1];
    int64_t rx_before[CM_GATEWAYS_MAX + 1]; /* bytes at the pass before the last */
    int64_t redialed_ms[CM_GATEWAYS_MAX + 1];
    struct px_tunnel_facts facts[CM_GATEWAYS_MAX + 1];
    char last_failure[sizeof(((struct cm_err *)0)->text)];
    char last_warning[sizeof(((struct cm_err *)0)->text)];
};

static int unit(const char *verb, int number, struct cm_err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "chatmail-tunnel@wg%d.service", number);
    const char *argv[] = {"systemctl", verb, name, NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = UNIT_MS};
    return cm_run_ok(&run, NULL, err);
}

static bool wanted(const struct px_state *state, int number)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].number == number) {
            return true;
        }
    }
    return false;
}

/* Links come and go with their units; what fails is told and tried again. */
static void make_links(struct pass *p)
{
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        char link[16];
        snprintf(link, sizeof(link), "wg%d", n);
        bool want = wanted(&p->state, n), there = px_link_there(link);
        if (want != there && unit(want ? "start" : "stop", n, &p->failed) == 0) {
            p->changed = true;
        }
    }
}

/* `systemctl start` returns when wireguard-go has been started, not when its link is.
 */
static void await_links(const struct pass *p)
{
    for (int tries = 0; tries < 20; tries++) {
        bool all = true;
        for (size_t i = 0; i < p->state.gateway_count; i++) {
            char link[16];
            snprintf(link, sizeof(link), "wg%d", p->state.gateways[i].number);
            all = all && px_link_there(link);
        }
        if (all) {
            return;
        }
        const char *argv[] = {"sleep", "0.1", NULL};
        struct cm_err err;
        (void)!cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err);
    }
}

static void read_facts(struct pass *p)
{
    for (size_t i = 0; i < p->state.gateway_count; i++) {
        char link[16];
        struct cm_err err;
        int n = p->state.gateways[i].number;
        snprintf(link, sizeof(link), "wg%d", n);
        if (px_tunnel_facts(link, &p->facts[n], &err) != 0) {
            p->facts[n] = unknown;
        }
    }
}

static void redial(struct pass *p)
{
    for (size_t i = 0; i < p->state.gateway_count; i++) {
        const struct px_gateway *gw = &p->state.gateways[i];
        char link[16];
        snprintf(link, sizeof(link), "wg%d", gw->number);
        if (p->redial[gw->number] && px_link_there(link)) {
            (void)!px_redial(&p->state, gw, p->private_key, &p->warning);
        }
    }
}

/* Before a tunnel gets its key, and before the rules rely on it. */
static void judge(struct pass *p)
{
    p->state.judged = p->ingress != NULL && p->state.gateway_count > 0 &&
                      ingress_can(&p->state) &&
                      ingress_settle(p->ingress, &p->state, &p->warning) == 0;
}

/* A tunnel that was made anew meanwhile has nobody yet who judges; one of rules has
 * two.
 */
static void judge_on(struct pass *p)
{
    if (p->state.judged && !ingress_holds(p->ingress)) {
        (void)!ingress_settle(p->ingress, &p->state, &p->warning);
    } else if (!p->state.judged) {
        ingress_stop(p->ingress);
    }
}

static void run_pass(void *arg)
{
    struct pass *p = arg;
    struct px_outcome out = {0};
    make_links(p);
    if (p->changed) {
        await_links(p);
    }
    judge(p);
    if (px_apply_store(&p->state, p->private_key, p->seen, &out, &p->failed) == 0) {
        p->failed.kind = CM_ERR_NONE;
        judge_on(p);
    }
    p->changed = p->changed || out.changed;
    if (out.warning.kind != CM_ERR_NONE) {
        p->warning = out.warning;
    }
    if (p->with_egress) {
        struct px_outcome routes = {0};
        if (px_apply_egress(&p->state, p->egress, p->egress_count, &routes,
                            &p->failed) == 0) {
            p->changed = p->changed || routes.changed;
        }
    }
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        if (p->gone[n]) {
            (void)!px_kill_egress(n, &p->warning);
        }
        if (p->forget[n]) {
            (void)!px_kill_sessions(n, &p->warning);
        }
    }
    redial(p);
    read_facts(p);
}

static void say_once(const char *event, char *last, size_t size, struct cm_err *err)
{
    const char *text = err->kind == CM_ERR_NONE ? "" : err->text;
    if (strcmp(last, text) != 0) {
        if (*text != '\0') {
            cm_log_err(CM_LOG_WARNING, event, err);
        } else {
            cm_log(CM_LOG_INFO, event, "state", "over", NULL);
        }
        snprintf(last, size, "%s", text);
    }
}

static void start_pass(struct tunnels *t);

static void pass_done(void *arg)
{
    struct pass *p = arg;
    struct tunnels *t =
        (struct tunnels *)(void *)((char *)p - offsetof(struct tunnels, pass));
    t->busy = false;
    if (t->freeing) {
        return;
    }
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        t->rx_before[n] = t->facts[n].rx_bytes;
        t->facts[n] = p->facts[n];
    }
    if (p->changed) {
        char epoch[24];
        snprintf(epoch, sizeof(epoch), "%lld", (long long)p->state.epoch);
        cm_log(CM_LOG_INFO, "network_applied", "epoch", epoch, NULL);
    }
    say_once("network_failed", t->last_failure, sizeof(t->last_failure), &p->failed);
    say_once("network_warning", t->last_warning, sizeof(t->last_warning), &p->warning);
    t->hooks.done(t->hooks.ctx);
    if (t->again) {
        start_pass(t);
    } else {
        cm_timer_set(t->timer, TUNNELS_EVERY_MS);
    }
}

/* Nothing heard from the daemon, and not a byte through its tunnel since the last pass.
 */
static void choose_redials(struct tunnels *t, bool redials[CM_GATEWAYS_MAX + 1])
{
    int64_t now = cm_now_mono_ms();
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        if (t->silent[n] && t->facts[n].rx_bytes <= t->rx_before[n] &&
            now - t->redialed_ms[n] >= TUNNELS_REDIAL_MS) {
            redials[n] = true;
            t->redialed_ms[n] = now;
        }
    }
}

static void start_pass(struct tunnels *t)
{
    if (t->busy || !t->has_state) {
        t->again = t->busy;
        return;
    }
    t->pass = (struct pass){.state = t->state,
                            .private_key = t->private_key,
                            .seen = &t->seen,
                            .ingress = t->ingress,
                            .with_egress = t->with_egress,
                            .egress_count = t->egress_count};
    memcpy(t->pass.egress, t->egress, sizeof(t->egress));
    memcpy(t->pass.facts, t->facts, sizeof(t->facts));
    memcpy(t->pass.gone, t->gone, sizeof(t->gone));
    memset(t->gone, 0, sizeof(t->gone));
    memcpy(t->pass.forget, t->forget, sizeof(t->forget));
    memset(t->forget, 0, sizeof(t->forget));
    choose_redials(t, t->pass.redial);
    t->again = false;
    struct cm_err err;
    t->busy = cm_work_submit(t->work, run_pass, pass_done, &t->pass, &err) == 0;
    cm_assert(t->busy); /* one job at a time: there is always room */
}

static void on_timer(void *ctx)
{
    start_pass(ctx);
}

struct tunnels *tunnels_new(struct cm_loop *loop, const char *private_key,
                            struct ingress *ingress, const struct tunnels_hooks *hooks)
{
    struct tunnels *t = cm_calloc(1, sizeof(*t));
    t->work = cm_work_new(loop, 1, 1);
    t->timer = cm_timer_new(loop, on_timer, t);
    t->hooks = *hooks;
    t->private_key = private_key;
    t->ingress = ingress;
    for (int n = 0; n <= CM_GATEWAYS_MAX; n++) {
        t->facts[n] = unknown;
    }
    return t;
}

void tunnels_free(struct tunnels **tunnels)
{
    struct tunnels *t = *tunnels;
    if (t == NULL) {
        return;
    }
    t->freeing = true;
    cm_work_free(&t->work);
    cm_timer_free(&t->timer);
    free(t);
    *tunnels = NULL;
}

void tunnels_want(struct tunnels *t, const struct px_state *state)
{
    t->state = *state;
    t->has_state = true;
    start_pass(t);
}

void tunnels_egress(struct tunnels *t, const int *healthy, size_t n)
{
    t->with_egress = true;
    t->egress_count = n;
    for (size_t i = 0; i < n; i++) {
        t->egress[i] = healthy[i];
    }
    start_pass(t);
}

void tunnels_gone(struct tunnels *t, int number)
{
    t->gone[number] = true;
}

void tunnels_forget(struct tunnels *t, int number)
{
    t->forget[number] = true;
    start_pass(t);
}

void tunnels_silent(struct tunnels *t, int number, bool silent)
{
    t->silent[number] = silent;
}

const struct px_tunnel_facts *tunnels_facts(const struct tunnels *t, int number)
{
    return &t->facts[number];
}
