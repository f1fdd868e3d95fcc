/* chatmail-cluster: says what every gateway should be doing, and keeps the store's end
 * of their tunnels.
 *
 *   chatmail-cluster [--config FILE]         the daemon
 *   chatmail-cluster keygen                  make the store's keys, print public halves
 *   chatmail-cluster ctl publish             publish a desired state (JSON on stdin)
 *   chatmail-cluster ctl status              what the gateways report
 *   chatmail-cluster ctl wait EPOCH SECONDS  until every gateway has applied EPOCH
 *   chatmail-cluster ctl ban SOURCE SECONDS REASON | unban SOURCE | bans
 *
 * Sockets: the control socket (root only); the bus on the inner address of each tunnel.
 * Trusts: PostgreSQL for what is newest and who is banned, its own signature for what
 * is genuine. Reports of gateways are foreign bytes: they steer health and status,
 * nothing else. Known
 * limits: 32 gateways; port 25 of a gateway is seen from outside only through another
 * one, or by a home line that does not filter it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "common/service.h"
#include "bans.h"
#include "budget.h"
#include "control.h"
#include "ctl.h"
#include "desk.h"
#include "egress_file.h"
#include "fence.h"
#include "figures.h"
#include "figures_ports.h"
#include "health.h"
#include "ingress/ingress.h"
#include "keygen.h"
#include "ledger.h"
#include "outside.h"
#include "proxy/programs.h"
#include "proxy/wgkey.h"
#include "serving_file.h"
#include "status.h"
#include "tunnels.h"
#include "vanish.h"
#include "waker.h"

#ifndef PORTICO_VERSION
#define PORTICO_VERSION "unknown"
#endif
#define JUDGE_MS 500
/* After a start the routes of outgoing mail stay as they are found until the gateways
 * had time to report. */
#define EGRESS_GRACE_MS 10000

struct cluster {
    const char *conninfo;
    char secret_key[CM_SIGN_KEY_TEXT];
    char public_key[CM_SIGN_KEY_TEXT];
    char wg_key[PX_WG_KEY_TEXT];
    struct px_state state; /* newest genuine one; epoch 0 before the first */
    int64_t started_ms;    /* monotonic */
    bool egress_known;     /* table 200 has been decided since then */
    int64_t obeyed_ms;     /* when that came; monotonic */
    char refused[256];     /* why the newest of all is not obeyed; "" when it is */
    char *egress_text;     /* as it was last written for chatmail-transport */
    char *serving_text;    /* and for chatmail-dns */
    struct health health;
    struct outside *outside;
    struct vanish vanish;
    struct waker *waker;
    struct woken woken[CM_GATEWAYS_MAX + 1]; /* by number */
    struct ledger *ledger;
    struct cm_pg *books; /* for bans and traffic */
    struct bans *bans;
    struct fence *fence;
    struct budget *budget;
    int spent_said[CM_GATEWAYS_MAX + 1]; /* percent of the budget, by number */
    struct desk *desk;
    struct tunnels *tunnels;
    struct ingress *ingress; /* NULL: rules judge */
    struct control *control;
    struct control_call *publishing;
    struct cm_timer *judge;
};

static void set_egress(struct cluster *c)
{
    int numbers[CM_GATEWAYS_MAX];
    size_t n = health_egress(&c->health, &c->state, numbers);
    if (n > 0 || c->egress_known || c->state.gateway_count == 0 ||
        cm_now_mono_ms() - c->started_ms > EGRESS_GRACE_MS) {
        c->egress_known = true;
        tunnels_egress(c->tunnels, numbers, n);
        egress_file_write(EGRESS_FILE_PATH, egress_file_text(&c->state, numbers, n),
                          &c->egress_text);
    }
}

/* Like the routes, not before the gateways had time to report. */
static void tell_serving(struct cluster *c)
{
    if (cm_now_mono_ms() - c->started_ms > EGRESS_GRACE_MS) {
        egress_file_write(SERVING_FILE_PATH, serving_file_text(&c->state, &c->health),
                          &c->serving_text);
    }
}

static void on_change(const struct health_change *change, void *ctx)
{
    struct cluster *c = ctx;
    char number[16], latency[24] = "-";
    snprintf(number, sizeof(number), "%d", change->number);
    if (change->latency_ms >= 0) {
        snprintf(latency, sizeof(latency), "%lld", (long long)change->latency_ms);
    }
    cm_log(change->now == HEALTH_UP ? CM_LOG_INFO : CM_LOG_WARNING, "gateway_health",
           "number", number, "check", change->check, "latency_ms", latency, "old",
           health_state_name(change->old), "new", health_state_name(change->now),
           "reason", change->reason, NULL);
    if (change->now == HEALTH_DOWN) {
        tunnels_gone(c->tunnels, change->number);
    }
    set_egress(c);
}

/* Once for each step, and again in the next month. */
static void say_spent(struct cluster *c, const struct px_gateway *gw, int64_t bytes)
{
    static const int steps[] = {100, 80};
    int *said = &c->spent_said[gw->number], now = 0;
    for (size_t i = 0; i < 2 && now == 0; i++) {
        now = bytes >= gw->budget / 100 * steps[i] ? steps[i] : 0;
    }
    if (now > *said) {
        char percent[8];
        snprintf(percent, sizeof(percent), "%d", now);
        cm_log(CM_LOG_WARNING, "traffic_budget", "gateway", gw->name, "percent",
               percent, NULL);
    }
    *said = now;
}

static void judge_traffic(struct cluster *c)
{
    bool changed = false;
    for (size_t i = 0; i < c->state.gateway_count; i++) {
        const struct px_gateway *gw = &c->state.gateways[i];
        int64_t bytes = budget_bytes(c->budget, gw->name, cm_now_wall_ms());
        changed |= health_traffic(&c->health, gw->number, bytes, gw->budget);
        if (gw->budget > 0) {
            say_spent(c, gw, bytes);
        }
    }
    if (changed) {
        set_egress(c);
    }
}

static const struct px_tunnel_facts *facts_of(int number, void *ctx)
{
    return tunnels_facts(((struct cluster *)ctx)->tunnels, number);
}

static void say_vanished(const char *event, int number, const char *key, size_t count,
                         const char *why)
{
    char text[16], n[24];
    snprintf(text, sizeof(text), "%d", number);
    snprintf(n, sizeof(n), "%zu", count);
    cm_log(CM_LOG_WARNING, event, "number", text, key, n, "reason", why, NULL);
}

static void on_woken(const struct waker_result *result, void *ctx)
{
    struct cluster *c = ctx;
    struct woken *w = &c->woken[result->number];
    *w = (struct woken){.at_ms = cm_now_mono_ms(),
                        .accounts = (int64_t)result->accounts,
                        .rung = (int64_t)result->rung};
    snprintf(w->why, sizeof(w->why), "%s", result->why);
    if (result->accounts == 0 && result->why[0] == '\0') {
        vanish_woke_nobody(&c->vanish, result->number);
    }
    say_vanished("phones_woken", result->number, "accounts", result->rung,
                 result->why[0] != '\0' ? result->why : "their gateway is silent");
}

static bool by_header(const struct cluster *c, int number)
{
    for (size_t i = 0; i < c->state.gateway_count; i++) {
        if (c->state.gateways[i].number == number) {
            return c->state.gateways[i].by_header;
        }
    }
    return false;
}

static void on_vanished(int number, enum vanish_deed deed, void *ctx)
{
    struct cluster *c = ctx;
    if (deed == VANISH_WAKE) {
        (void)waker_go(c->waker, number, by_header(c, number));
        return;
    }
    tunnels_forget(c->tunnels, number);
    say_vanished("sessions_ended", number, "silent_s", VANISH_FORGET_MS / 1000,
                 "their gateway is silent");
}

static void judge(void *ctx)
{
    struct cluster *c = ctx;
    int64_t now = cm_now_mono_ms();
    judge_traffic(c);
    outside_tick(c->outside, &c->state);
    for (size_t i = 0; i < c->state.gateway_count; i++) {
        int number = c->state.gateways[i].number;
        health_tunnel(&c->health, number, facts_of(number, c)->handshake_age_s);
    }
    health_judge(&c->health, &c->state, now, on_change, c);
    for (size_t i = 0; i < c->state.gateway_count; i++) {
        int number = c->state.gateways[i].number;
        tunnels_silent(c->tunnels, number,
                       health_silent(&c->health, number, c->obeyed_ms, now));
    }
    vanish_judge(&c->vanish, &c->health, &c->state, c->obeyed_ms, facts_of, on_vanished,
                 c, now);
    if (!c->egress_known && c->state.epoch > 0) {
        set_egress(c);
    }
    tell_serving(c);
    fence_tick(c->fence);
    cm_timer_set(c->judge, JUDGE_MS);
}

static void on_report(int number, const struct px_report *report, void *ctx)
{
    struct cluster *c = ctx;
    health_report(&c->health, number, report, cm_now_mono_ms());
    budget_report(c->budget, report, cm_now_wall_ms());
}

static void obey(struct cluster *c, const struct px_state *state)
{
    char epoch[24];
    snprintf(epoch, sizeof(epoch), "%lld", (long long)state->epoch);
    cm_log(CM_LOG_INFO, "desired_state", "epoch", epoch, NULL);
    c->state = *state;
    c->obeyed_ms = cm_now_mono_ms();
    health_keep(&c->health, state);
    tunnels_want(c->tunnels, state);
    set_egress(c);
    desk_open(c->desk, state);
}

static int judge_envelope(const struct cluster *c, const char *envelope,
                          struct px_state *state, struct cm_err *err)
{
    if (px_envelope_open(c->public_key, envelope, strlen(envelope), state, err) != 0) {
        return -1;
    }
    if (state->epoch < c->state.epoch) {
        return cm_err_set(err, CM_ERR_REFUSE, "epoch %lld is older than %lld in force",
                          (long long)state->epoch, (long long)c->state.epoch);
    }
    return 0;
}

/* What lies in the database is served as it is: the gateways judge for themselves. Here
 * it is obeyed only when it is genuine. */
static void on_newest(const char *envelope, void *ctx)
{
    struct cluster *c = ctx;
    struct px_state *state = cm_calloc(1, sizeof(*state));
    struct cm_err err;
    c->refused[0] = '\0';
    if (*envelope == '\0') {
        cm_log(CM_LOG_INFO, "desired_state", "epoch", "none", NULL);
    } else if (judge_envelope(c, envelope, state, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "document_refused", &err);
        snprintf(c->refused, sizeof(c->refused), "%.255s", err.text);
    } else if (state->epoch > c->state.epoch) {
        obey(c, state);
    }
    free(state);
    desk_serve(c->desk, envelope);
}

static void on_network(void *ctx)
{
    struct cluster *c = ctx;
    desk_open(c->desk, &c->state);
}

/* Control socket */

static void on_published(int64_t epoch, bool changed, const struct cm_err *err,
                         void *ctx)
{
    struct cluster *c = ctx;
    struct control_call *call = c->publishing;
    c->publishing = NULL;
    if (err != NULL) {
        control_refuse(call, err);
        return;
    }
    char answer[96];
    snprintf(answer, sizeof(answer), "{\"changed\":%s,\"epoch\":%lld}",
             changed ? "true" : "false", (long long)epoch);
    control_answer(call, answer);
}

static void publish(struct cluster *c, struct control_call *call, const char *input)
{
    struct px_state *wanted = cm_calloc(1, sizeof(*wanted));
    struct cm_err err;
    size_t len = strlen(input);
    while (len > 0 && strchr(" \r\n", input[len - 1]) != NULL) {
        len--;
    }
    if (c->publishing != NULL) {
        cm_err_set(&err, CM_ERR_RETRY, "another document is just being published");
        control_refuse(call, &err);
    } else if (px_state_parse(input, len, wanted, &err) != 0) {
        control_refuse(call, &err);
    } else {
        c->publishing = call;
        ledger_publish(c->ledger, wanted, LEDGER_ALL, c->state.epoch, on_published, c);
    }
    free(wanted);
}

static void on_call(struct control_call *call, const char *verb, const char *input,
                    void *ctx)
{
    struct cluster *c = ctx;
    if (strcmp(verb, "publish") == 0) {
        publish(c, call, input);
    } else if (strcmp(verb, "status") == 0) {
        char *text = status_json(&c->state, c->refused, &c->health, c->woken, facts_of,
                                 c, cm_now_mono_ms());
        control_answer(call, text);
        free(text);
    } else if (!fence_call(c->fence, call, verb, input)) {
        struct cm_err err;
        cm_err_set(&err, CM_ERR_REFUSE, "no verb \"%.32s\"", verb);
        control_refuse(call, &err);
    }
}

/* Service */

static void add_metrics(struct cm_buf *out, void *ctx)
{
    struct cluster *c = ctx;
    figures_write(out, &c->state, c->refused, &c->health, facts_of, c,
                  cm_now_mono_ms());
    figures_ports_write(out, &c->state, &c->health);
    cm_metric_gauge(out, "chatmail_cluster_bans", "Sources that are banned.",
                    (double)bans_count(c->bans, cm_now_wall_ms() / 1000));
    if (c->ingress != NULL) {
        cm_metric_counter(out, "chatmail_cluster_tunnel_dropped_packets_total",
                          "What came out of tunnels and was not let in.",
                          ingress_dropped(c->ingress));
    }
}

static void on_accept(int fd, void *ctx)
{
    struct cluster *c = ctx;
    control_adopt(c->control, fd);
}

static void on_ban_notice(const char *payload, void *ctx)
{
    struct cluster *c = ctx;
    (void)payload;
    bans_read(c->bans);
}

static void on_bans_read(void *ctx)
{
    struct cluster *c = ctx;
    fence_tick(c->fence);
}

static void open_books(struct cluster *c, struct cm_loop *loop)
{
    struct cm_pg_options books = {.conninfo = c->conninfo,
                                  .connections = 2,
                                  .listen_channel = "chatmail_ban",
                                  .on_notify = on_ban_notice,
                                  .ctx = c};
    c->books = cm_pg_new(loop, &books);
    c->bans = bans_new(loop, c->books, on_bans_read, c);
    c->budget = budget_new(loop, c->books);
    struct fence_env fence = {.bans = c->bans,
                              .ledger = c->ledger,
                              .state = &c->state,
                              .refused = c->refused};
    c->fence = fence_new(&fence);
}

/* Before the first thread: none shall keep what only this needs. */
static struct ingress *load_programs(void)
{
    struct cm_err err;
    struct ingress *ingress = ingress_new(&err);
    if (ingress == NULL) {
        cm_log_err(CM_LOG_WARNING, "not_judged", &err);
    }
    px_programs_loaded();
    return ingress;
}

static int start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct cluster *c = ctx;
    struct cm_loop *loop = cm_service_loop(svc);
    if (keygen_load_cluster(KEYGEN_DIR, c->secret_key, c->public_key, err) != 0) {
        return -1;
    }
    int found = px_wgkey_load(KEYGEN_DIR "/wg.key", c->wg_key, err);
    if (found != 1) {
        return found == 0 ? cm_err_set(err, CM_ERR_WORLD,
                                       KEYGEN_DIR "/wg.key is missing; run "
                                                  "'chatmail-cluster keygen'")
                          : -1;
    }
    c->ingress = load_programs();
    health_init(&c->health);
    vanish_init(&c->vanish);
    c->outside = outside_new(loop, &c->health);
    c->started_ms = cm_now_mono_ms();
    struct desk_hooks desk = {.report = on_report, .ctx = c};
    struct tunnels_hooks tunnels = {.done = on_network, .ctx = c};
    struct ledger_options ledger = {.conninfo = c->conninfo,
                                    .secret_key = c->secret_key,
                                    .public_key = c->public_key,
                                    .newest = on_newest,
                                    .ctx = c};
    c->desk = desk_new(loop, &desk);
    c->tunnels = tunnels_new(loop, c->wg_key, c->ingress, &tunnels);
    struct waker_options waker = {.done = on_woken, .ctx = c};
    c->waker = waker_new(loop, &waker);
    c->control = control_new(loop, on_call, c);
    c->judge = cm_timer_new(loop, judge, c);
    cm_timer_set(c->judge, JUDGE_MS);
    c->ledger = ledger_new(loop, &ledger);
    open_books(c, loop);
    return 0;
}

static void stop(void *ctx)
{
    struct cluster *c = ctx;
    ledger_free(&c->ledger); /* a publish under way is answered by this */
    cm_pg_free(&c->books);
    fence_free(&c->fence);
    bans_free(&c->bans);
    budget_free(&c->budget);
    control_free(&c->control);
    outside_free(&c->outside);
    waker_free(&c->waker);
    tunnels_free(&c->tunnels);
    ingress_free(&c->ingress);
    desk_free(&c->desk);
    cm_timer_free(&c->judge);
    free(c->egress_text);
    free(c->serving_text);
    cm_wipe(c->secret_key, sizeof(c->secret_key));
    cm_wipe(c->wg_key, sizeof(c->wg_key));
}

static const struct cm_listener listeners[] = {
    {.name = "control", .fallback_path = CONTROL_PATH, .accept = on_accept},
    {.name = NULL},
};

static const struct cm_service_def service = {.program = "chatmail-cluster",
                                              .listeners = listeners,
                                              .start = start,
                                              .stop = stop,
                                              .metrics = add_metrics};

static int usage(FILE *to)
{
    fputs(
        "usage: chatmail-cluster [--config FILE] [--db CONNINFO]\n"
        "       chatmail-cluster keygen\n"
        "       chatmail-cluster ctl publish | status | wait EPOCH SECONDS\n"
        "       chatmail-cluster ctl ban SOURCE SECONDS REASON | unban SOURCE | bans\n"
        "Says what every gateway should be doing and keeps the store's tunnels.\n"
        "See chatmail-cluster(8).\n",
        to);
    return to == stdout ? 0 : 2;
}

static int do_keygen(void)
{
    struct cm_err err;
    if (keygen_print(KEYGEN_DIR, &err) != 0) {
        fprintf(stderr, "chatmail-cluster: %s\n", err.text);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"db", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    static struct cluster cluster = {.conninfo = CM_PG_CONNINFO("chatmail_cluster")};
    for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        if (c == 'h') {
            return usage(stdout);
        } else if (c == 'v') {
            puts("chatmail-cluster " PORTICO_VERSION);
            return 0;
        } else if (c == 'd') {
            cluster.conninfo = optarg;
        } else if (c != 'c') { /* every setting it needs is in the document */
            return usage(stderr);
        }
    }
    if (argv[optind] != NULL && strcmp(argv[optind], "ctl") == 0) {
        return ctl_main(CONTROL_PATH, argv + optind + 1);
    }
    if (argv[optind] != NULL && strcmp(argv[optind], "keygen") == 0 &&
        argv[optind + 1] == NULL) {
        return do_keygen();
    }
    if (argv[optind] != NULL) {
        return usage(stderr);
    }
    cm_log_init("chatmail-cluster", CM_LOG_INFO);
    return cm_service_run(&service, &cluster);
}
