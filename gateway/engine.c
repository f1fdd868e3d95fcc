#include "engine.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accept.h"
#include "carry.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/systemd.h"
#include "knock.h"
#include "plane.h"
#include "proxy/apply.h"
#include "proxy/daemon/pulse.h"
#include "proxy/guard.h"
#include "proxy/programs.h"
#include "reach.h"
#include "report.h"
#include "reset.h"
#include "room.h"
#include "trial.h"

#define REFUSED_MAX 16

/* What the worker gets and gives back; it touches nothing else. */
struct job {
    struct gw_engine *engine;
    bool apply;
    bool has_document;
    bool gone;               /* the store is not reached */
    bool crowded;            /* no room for new connections */
    bool tracked;            /* by others of this node; the kernel's table grows */
    bool ours;               /* and by the rules in force */
    enum cm_mode mode;       /* as the document says */
    struct px_loaded loaded; /* found in the kernel, before there is a document */
    struct px_state state;
    struct gw_boot boot;
    char private_key[PX_WG_KEY_TEXT];
    struct px_seen seen;
    struct px_tunnel_facts facts;
    struct gw_flows flows;
    struct gw_tally tally;
    struct px_outcome out;
    struct px_report measured;
    struct gw_room_sight room;
    struct gw_carry *carry;  /* the engine's; nobody else uses it meanwhile */
    bool carried;            /* by it, after the job */
    int told;                /* clients that were told that their connection is over */
    struct cm_err uncarried; /* why not, or kind NONE */
    struct cm_err err;
    int rc;
};

struct gw_engine {
    struct gw_engine_hooks hooks;
    struct gw_boot boot;
    char private_key[PX_WG_KEY_TEXT];
    struct cm_timer *tick;
    struct cm_work *work;
    enum gw_engine_state state;

    struct px_state newest; /* the document taken last; wanted, unless trial.back */
    bool has_newest;
    char *envelope; /* of that document */
    size_t envelope_len;
    struct px_state good; /* the last under which the store was heard */
    bool has_good;
    struct gw_trial trial; /* of newest */
    struct gw_reach reach;
    struct gw_knock *knock;
    struct pulse *pulse; /* NULL: this machine does not let us */
    int64_t heard_ms;    /* over the bus; -1: never */
    bool shut;           /* the rules in force are those for a store that is gone */
    struct gw_room room;
    bool crowded;     /* the rules in force are those for a full table */
    bool tracked;     /* they are those for a node where others track connections */
    bool ours;        /* they track connections */
    int64_t epoch;    /* high-water mark */
    int64_t in_force; /* put in force by this process; -1: none yet */
    char *early;      /* came before we knew what is in force */
    size_t early_len;

    struct job *job; /* the one that runs, or NULL */
    bool dirty;      /* apply at the next occasion */
    int64_t applied_ms;
    struct px_seen seen;
    struct px_tunnel_facts facts;
    struct gw_flows flows;
    struct gw_tally tally;
    struct gw_carry *carry; /* NULL: this machine does not let us */
    bool carried;
    struct px_report report;
    char warned[256];

    /* Fingerprints of documents refused before, a ring. */
    uint64_t refused[REFUSED_MAX];
    unsigned refused_next;
};

static const struct {
    const char *name;
    unsigned next; /* bit set of states that may follow */
} states[] = {
    [GW_STARTING] = {"starting", 1u << GW_WAITING | 1u << GW_APPLYING},
    [GW_WAITING] = {"waiting", 1u << GW_STARTING | 1u << GW_APPLYING},
    [GW_APPLYING] = {"applying", 1u << GW_FOLLOWING | 1u << GW_FAULT},
    [GW_FOLLOWING] = {"following", 1u << GW_APPLYING | 1u << GW_FAULT},
    [GW_FAULT] = {"fault", 1u << GW_APPLYING | 1u << GW_FOLLOWING},
};

const char *gw_engine_state_name(enum gw_engine_state state)
{
    return states[state].name;
}

int64_t gw_engine_epoch(const struct gw_engine *e)
{
    return e->epoch;
}

/* The only place where the state changes. */
static void change(struct gw_engine *e, enum gw_engine_state to, const char *reason)
{
    if (e->state == to) {
        return;
    }
    cm_assert((states[e->state].next & 1u << to) != 0);
    char epoch[24];
    snprintf(epoch, sizeof(epoch), "%" PRId64, e->epoch);
    cm_log(to == GW_FAULT ? CM_LOG_ERROR : CM_LOG_INFO, "gateway_state", "from",
           states[e->state].name, "to", states[to].name, "epoch", epoch, "reason",
           reason, NULL);
    e->state = to;
    e->hooks.state(states[to].name, e->epoch, e->hooks.ctx);
}

/* ---- the worker's side ---- */

/* While the store is not reached the kernel answers for it: new connections get a RST,
 * present ones at their next packet, so that clients go elsewhere at once. Calls under
 * way are left alone. Who holds, waits; and chatmail-proxy sees for itself. */
static void shut_doors(struct job *job, struct px_gateway *gw)
{
    if (!gw->by_proxy && gw->mode != CM_MODE_HOLD) {
        gw->mode = CM_MODE_OFF;
        job->state.turn.port = 0;
    }
}

static struct px_gateway *ours(struct job *job)
{
    for (size_t i = 0; i < job->state.gateway_count; i++) {
        if (strcmp(job->state.gateways[i].name, job->boot.name) == 0) {
            return &job->state.gateways[i];
        }
    }
    return NULL;
}

struct telling {
    struct gw_reset reset;
    int count;
};

static bool tell_and_forget(const struct gw_carry_key *key,
                            const struct gw_carry_flow *flow, void *ctx)
{
    struct telling *t = ctx;

    if (flow->egress != 0) {
        return true; /* no client's: the store goes on with it, or gives it up */
    }
    t->count +=
        flow->ended != GW_CARRY_BOTH_ENDED && gw_reset_send(&t->reset, key, flow) > 0;
    return false;
}

/* Who waits for something to be said would never know. The rules have been shut before,
 * so that what a client asks back is answered by them. */
static void tell_idle(struct job *job)
{
    struct telling telling = {.count = 0};

    if (job->carry == NULL) {
        return;
    }
    gw_carry_stop(job->carry);
    gw_reset_open(&telling.reset);
    gw_carry_walk(job->carry, tell_and_forget, &telling);
    gw_reset_close(&telling.reset);
    job->told = telling.count;
}

/* Before the rules: with programs they are other ones. */
static void begin_to_carry(struct job *job, struct px_gateway *gw)
{
    bool off = gw->mode == CM_MODE_OFF;

    /* While the tunnel's link is made anew nothing goes through the rules. */
    if (!off && job->carried && !px_link_there("wg0")) {
        gw->carried = job->carried = !gw->by_proxy;
        return;
    }
    job->carried =
        job->carry != NULL &&
        px_try_carried(&job->state, gw, &job->seen, &job->uncarried) == 0 &&
        (off || gw_carry_begin(job->carry, &job->state, gw, &job->uncarried) == 0);
    gw->carried = job->carried = job->carried && !gw->by_proxy;
}

/* After the rules: who is out by them is not carried on past them. */
static int settle_carried(struct job *job, const struct px_gateway *gw)
{
    if (job->carry == NULL || gw->mode == CM_MODE_OFF) {
        return 0;
    }
    if (!gw->carried && !gw->by_proxy) {
        gw_carry_stop(job->carry);
    } else if (job->out.changed) {
        return gw_carry_obey(job->carry, &job->state, gw, &job->err);
    }
    return 0;
}

static int bring_up(struct job *job)
{
    if (job->has_document) {
        struct px_gateway *gw = ours(job);
        cm_assert(gw != NULL);
        job->mode = gw->mode;
        if (job->gone) {
            shut_doors(job, gw);
        }
        gw->crowded = job->crowded;
        gw->tracked = job->tracked;
        bool *changed = &job->out.changed;
        begin_to_carry(job, gw);
        if (gw_plane_enter(&job->state, gw, changed, &job->err) != 0 ||
            px_apply_gateway_rules(&job->state, gw, &job->seen, &job->out, &job->err) !=
                0) {
            return -1;
        }
        job->ours = px_guard_tracks(&job->state, gw) || !px_guards_input(gw);
        if (gw->mode == CM_MODE_OFF) {
            tell_idle(job); /* a tunnel that hangs keeps nobody from being told */
        }
        return px_apply_gateway_tunnel(&job->state, gw, job->private_key, &job->seen,
                                       &job->out, &job->err) != 0 ||
                       settle_carried(job, gw) != 0 ||
                       gw_plane_leave(gw, changed, &job->err) != 0
                   ? -1
                   : 0;
    }
    /* No document since our start. Rules that are loaded stay: they serve people.
     * Without any, shut what the tunnel could reach. */
    struct px_state *state = cm_malloc(sizeof(*state));
    gw_boot_state(&job->boot, state);
    int found = px_loaded(&job->loaded, &job->err);
    int rc = found < 0 ? -1 : 0;
    if (found == 0) {
        rc = px_apply_gateway(state, &state->gateways[0], job->private_key, &job->seen,
                              &job->out, &job->err);
        job->seen.nft = 0;
    } else if (found == 1) {
        job->ours = job->loaded.tracks;
        rc = px_apply_gateway_tunnel(state, &state->gateways[0], job->private_key,
                                     &job->seen, &job->out, &job->err);
    }
    free(state);
    return rc;
}

static void run_job(void *arg)
{
    struct job *job = arg;
    if (job->apply) {
        gw_tally_measure(&job->tally);
        job->rc = bring_up(job);
    }
    gw_room_measure(&job->room);
    job->room.ours = job->ours;
    gw_report_measure(job->boot.number, &job->tally, job->carried ? job->carry : NULL,
                      &job->facts, &job->flows, &job->measured);
}

/* ---- the loop's side ---- */

/* Where a document has cut us off: the one under which the store was heard last, or
 * what stands in gateway.conf, by which this program heard it at first. */
static void wanted_state(const struct gw_engine *e, struct px_state *state_r)
{
    if (!e->trial.back) {
        *state_r = e->newest;
    } else if (e->has_good) {
        *state_r = e->good;
    } else {
        gw_boot_state(&e->boot, state_r);
    }
}

static void send_report(struct gw_engine *e)
{
    struct px_report report = e->report;
    gw_knock_report(e->knock, &report);
    if (e->trial.back) {
        report.reverted_epoch = e->newest.epoch;
    }
    if (e->trial.back && report.error[0] == 0) {
        int64_t s = (gw_trial_barred(&e->trial, cm_now_mono_ms()) + 999) / 1000;
        snprintf(report.error, sizeof(report.error),
                 "epoch %" PRId64 " cut us off from the store and was taken back; "
                 "tried again in %" PRId64 " s",
                 e->newest.epoch, s);
    }
    e->hooks.report(&report, e->hooks.ctx);
}

static void note_warning(struct gw_engine *e, const struct cm_err *warning)
{
    if (warning->kind != CM_ERR_NONE &&
        strncmp(e->warned, warning->text, sizeof(e->warned) - 1) != 0) {
        snprintf(e->warned, sizeof(e->warned), "%.255s", warning->text);
        cm_log_err(CM_LOG_WARNING, "gateway_setting", warning);
    }
}

/* What the node was like already, when this program started, is what the document came
 * by. */
static void note_trial(struct gw_engine *e, const struct job *job)
{
    bool first = e->trial.on && !e->trial.in_force;
    if (job->state.epoch != e->newest.epoch) {
        return; /* another one was taken meanwhile */
    }
    gw_trial_applied(&e->trial, job->rc == 0, cm_now_mono_ms());
    if (first && job->rc == 0 && !job->out.changed) {
        gw_engine_heard(e);
    }
}

static void applied(struct gw_engine *e, struct job *job)
{
    const struct px_gateway *gw = px_state_find(&job->state, job->boot.name);
    bool news = e->in_force != job->state.epoch;
    e->in_force = job->state.epoch;
    e->report.error[0] = 0;
    e->report.applied_epoch = job->state.epoch;
    snprintf(e->report.applied_mode, sizeof(e->report.applied_mode), "%s",
             cm_mode_name(job->mode));
    bool turned = e->shut != job->gone || e->crowded != job->crowded ||
                  e->tracked != job->tracked;
    e->shut = job->gone;
    e->crowded = job->crowded;
    e->tracked = job->tracked;
    if (news) {
        char epoch[24];
        snprintf(epoch, sizeof(epoch), "%" PRId64, job->state.epoch);
        cm_log(CM_LOG_INFO, "epoch_applied", "epoch", epoch, "mode",
               e->report.applied_mode, NULL);
        e->hooks.in_force(gw->number, job->state.bus_port, e->hooks.ctx);
    } else if (job->out.changed && !turned) {
        cm_log(CM_LOG_WARNING, "repaired", "reason",
               "the node was not as the document says", NULL);
    }
    if (!e->dirty) {
        change(e, GW_FOLLOWING, "applied and read back");
    }
    if (news) {
        send_report(e);
    }
}

static void apply_failed(struct gw_engine *e, const struct job *job)
{
    bool news =
        strncmp(e->report.error, job->err.text, sizeof(e->report.error) - 1) != 0;
    snprintf(e->report.error, sizeof(e->report.error), "%.255s", job->err.text);
    if (news) {
        cm_log_err(CM_LOG_ERROR, "apply_failed", &job->err);
    }
    if (job->has_document) {
        change(e, GW_FAULT, "apply failed");
    } else if (e->state == GW_WAITING) {
        change(e, GW_STARTING, "the tunnel went away");
    }
}

static void tunnel_up(struct gw_engine *e, const struct job *job)
{
    e->report.error[0] = 0;
    if (job->loaded.epoch > e->epoch) {
        e->epoch = job->loaded.epoch;
        e->report.applied_epoch = job->loaded.epoch;
    }
    if (e->state == GW_STARTING) {
        change(e, GW_WAITING, "tunnel configured, asking for the document");
        if (e->early != NULL) {
            char *early = e->early;
            e->early = NULL;
            gw_engine_offer(e, early, e->early_len);
            free(early);
        }
    }
}

static void submit(struct gw_engine *e);

/* Without a pulse nobody asks often enough. */
static int64_t answered_ms(const struct gw_engine *e)
{
    int64_t pulse = e->pulse != NULL ? pulse_heard_ms(e->pulse) : -1;
    return pulse >= 0 && e->heard_ms > pulse ? e->heard_ms : pulse;
}

static void note_reach(struct gw_engine *e)
{
    if (!gw_reach_measure(&e->reach, e->report.rx_bytes, answered_ms(e),
                          cm_now_mono_ms())) {
        return;
    }
    if (e->reach.gone) {
        cm_log(CM_LOG_WARNING, "store_gone", "reason",
               "nothing comes from the tunnel, or nothing is answered", NULL);
    } else {
        cm_log(CM_LOG_INFO, "store_back", NULL);
    }
    e->dirty = e->dirty || e->has_newest;
}

/* Refusing takes the place of the kernel's silence until there is room again. */
static void note_room(struct gw_engine *e, const struct gw_room_sight *sight)
{
    struct px_counts *counts = &e->report.counts;
    bool changed = gw_room_take(&e->room, sight);
    counts->table_used = sight->used;
    counts->table_max = sight->max;
    counts->carried = e->carried;
    counts->table_full = sight->used < 0 || sight->max < 0 ? -1 : e->room.full;
    if (!changed) {
        return;
    }
    char used[24], max[24];
    snprintf(used, sizeof(used), "%" PRId64, sight->used);
    snprintf(max, sizeof(max), "%" PRId64, sight->max);
    if (e->room.full) {
        cm_log(CM_LOG_WARNING, "table_full", "used", used, "max", max, "reason",
               "the kernel drops new connections; they are refused instead", NULL);
    } else {
        cm_log(CM_LOG_INFO, "table_has_room", "used", used, "max", max, NULL);
    }
    e->dirty = e->dirty || e->has_newest;
}

static void note_carried(struct gw_engine *e, const struct job *job)
{
    e->carried = job->carried;
    if (job->uncarried.kind != CM_ERR_NONE) {
        note_warning(e, &job->uncarried);
    }
    if (job->told > 0) {
        char clients[24];
        snprintf(clients, sizeof(clients), "%d", job->told);
        cm_log(CM_LOG_INFO, "clients_told", "clients", clients, "reason",
               "their connections are over", NULL);
    }
}

static void job_done(void *arg)
{
    struct job *job = arg;
    struct gw_engine *e = job->engine;
    e->job = NULL;
    e->seen = job->seen;
    e->tally = job->tally;
    e->facts = job->facts;
    e->flows = job->flows;
    e->ours = job->ours;
    e->report.handshake_age_s = job->measured.handshake_age_s;
    e->report.rx_bytes = job->measured.rx_bytes;
    e->report.tx_bytes = job->measured.tx_bytes;
    e->report.flows = job->measured.flows;
    e->report.counts = job->measured.counts;
    note_carried(e, job);
    if (job->loaded.others) {
        gw_room_found(&e->room);
    }
    note_room(e, &job->room);
    note_reach(e);
    if (job->apply) {
        note_warning(e, &job->out.warning);
        if (job->has_document) {
            note_trial(e, job);
        }
        if (job->rc != 0) {
            apply_failed(e, job);
        } else if (job->has_document) {
            applied(e, job);
        } else {
            tunnel_up(e, job);
        }
    }
    cm_wipe(job, sizeof(*job));
    free(job);
    if (e->dirty) {
        submit(e);
    }
}

static bool apply_due(const struct gw_engine *e)
{
    return e->dirty || e->state == GW_STARTING || e->state == GW_FAULT ||
           cm_now_mono_ms() - e->applied_ms >= GW_RECONCILE_MS;
}

static void submit(struct gw_engine *e)
{
    if (e->job != NULL) {
        return;
    }
    struct job *job = cm_calloc(1, sizeof(*job));
    job->engine = e;
    job->apply = apply_due(e);
    job->has_document = e->has_newest;
    job->gone = e->reach.gone;
    job->crowded = e->room.full;
    job->tracked = e->room.tracks;
    job->ours = e->ours;
    wanted_state(e, &job->state);
    job->boot = e->boot;
    job->seen = e->seen;
    job->tally = e->tally;
    job->facts = e->facts;
    job->flows = e->flows;
    job->carry = e->carry;
    job->carried = e->carried;
    memcpy(job->private_key, e->private_key, sizeof(job->private_key));
    if (cm_work_submit(e->work, run_job, job_done, job, &job->err) != 0) {
        cm_wipe(job, sizeof(*job));
        free(job);
        return;
    }
    e->job = job;
    if (job->apply) {
        e->dirty = false;
        e->applied_ms = cm_now_mono_ms();
    }
}

/* ---- trial ---- */

static void say_trial(const char *event, int64_t from, int64_t to, const char *reason)
{
    char was[24], now[24];
    snprintf(was, sizeof(was), "%" PRId64, from);
    snprintf(now, sizeof(now), "%" PRId64, to);
    cm_log(CM_LOG_WARNING, event, "from", was, "to", now, "reason", reason, NULL);
}

static void go_back(struct gw_engine *e)
{
    gw_trial_revert(&e->trial, cm_now_mono_ms());
    say_trial("epoch_reverted", e->newest.epoch, e->has_good ? e->good.epoch : 0,
              "the store was not heard under it");
    e->dirty = true;
    change(e, GW_APPLYING, "back to the former document");
}

static void try_again(struct gw_engine *e, const char *reason)
{
    say_trial("epoch_retried", e->has_good ? e->good.epoch : 0, e->newest.epoch,
              reason);
    gw_trial_begin(&e->trial, true, cm_now_mono_ms());
    e->dirty = true;
    change(e, GW_APPLYING, "the newer document again");
    submit(e);
}

static void watch_trial(struct gw_engine *e)
{
    int64_t now = cm_now_mono_ms();
    if (gw_trial_lost(&e->trial, now)) {
        go_back(e);
    } else if (e->trial.back && gw_trial_barred(&e->trial, now) == 0 &&
               now - e->trial.since_ms >= GW_TRIAL_MS) {
        struct px_state *former = cm_malloc(sizeof(*former));
        wanted_state(e, former);
        if (gw_trial_other_way(former, &e->newest, e->boot.name)) {
            try_again(e, "the store may have gone over to it");
        }
        free(former);
    }
}

void gw_engine_heard(struct gw_engine *e)
{
    e->heard_ms = cm_now_mono_ms();
    if (gw_trial_heard(&e->trial, cm_now_mono_ms())) {
        e->good = e->newest;
        e->has_good = true;
    }
}

static void tick(void *ctx)
{
    struct gw_engine *e = ctx;
    watch_trial(e);
    submit(e);
    if (e->state == GW_FOLLOWING && !e->trial.back && !e->reach.gone) {
        gw_knock_tick(e->knock, &e->newest, px_state_find(&e->newest, e->boot.name));
    }
    send_report(e);
    cm_timer_set(e->tick, GW_TICK_MS);
}

/* ---- documents ---- */

static uint64_t fingerprint(const char *data, size_t len)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
    }
    return h;
}

static void refuse(struct gw_engine *e, const char *envelope, size_t len,
                   const struct cm_err *err)
{
    uint64_t print = fingerprint(envelope, len);
    for (unsigned i = 0; i < REFUSED_MAX; i++) {
        if (e->refused[i] == print) {
            return;
        }
    }
    e->refused[e->refused_next++ % REFUSED_MAX] = print;
    char epoch[24];
    snprintf(epoch, sizeof(epoch), "%" PRId64, e->epoch);
    cm_log(CM_LOG_WARNING, "document_refused", "reason", err->text, "epoch_in_force",
           epoch, NULL);
}

static void take(struct gw_engine *e, const char *envelope, size_t len,
                 const struct px_state *state)
{
    free(e->envelope);
    e->envelope = cm_malloc(len);
    memcpy(e->envelope, envelope, len);
    e->envelope_len = len;
    e->newest = *state;
    e->has_newest = true;
    e->epoch = state->epoch;
    gw_trial_begin(&e->trial, false, cm_now_mono_ms());
    e->dirty = true;
    change(e, GW_APPLYING, "new document");
    submit(e);
}

/* Before the first look at the kernel the high-water mark is not known. */
static void keep_early(struct gw_engine *e, const char *envelope, size_t len)
{
    free(e->early);
    e->early = cm_malloc(len);
    e->early_len = len;
    memcpy(e->early, envelope, len);
}

void gw_engine_offer(struct gw_engine *e, const char *envelope, size_t len)
{
    if (e->state == GW_STARTING) {
        keep_early(e, envelope, len);
        return;
    }
    struct gw_force force = {e->epoch, e->envelope, e->envelope_len,
                             e->has_newest ? e->newest.domain : ""};
    struct px_state *state = cm_calloc(1, sizeof(*state));
    struct cm_err err;
    switch (gw_accept(&e->boot, &force, envelope, len, state, &err)) {
    case GW_TAKE:
        take(e, envelope, len, state);
        break;
    case GW_REFUSE:
        refuse(e, envelope, len, &err);
        break;
    case GW_SAME:
        if (e->trial.back && gw_trial_barred(&e->trial, cm_now_mono_ms()) == 0) {
            try_again(e, "the store is heard and offers it");
        }
        break;
    }
    free(state);
}

void gw_engine_boot(struct gw_engine *e, const struct gw_boot *boot)
{
    e->boot = *boot;
    memset(e->refused, 0, sizeof(e->refused));
    e->dirty = true;
    submit(e);
}

static void pulse_turned(bool alive, void *ctx)
{
    (void)alive; /* a tunnel that loses much is given more time */
    (void)ctx;
}

static void start_pulse(struct gw_engine *e, struct cm_loop *loop)
{
    char inner[46];
    struct in_addr store;
    struct cm_err err;
    px_inner4(e->boot.number, 2, inner);
    e->heard_ms = -1;
    cm_assert(inet_pton(AF_INET, inner, &store) == 1);
    e->pulse = pulse_new(loop, &store, pulse_turned, NULL, &err);
    if (e->pulse == NULL) {
        cm_log_err(CM_LOG_WARNING, "no_pulse", &err);
    }
}

/* In use at once, with what was open before, when the first document is applied. */
static void load_programs(struct gw_engine *e, int kept_flows)
{
    struct cm_err err;

    e->carry = gw_carry_new(kept_flows, &err);
    if (e->carry != NULL) {
        cm_systemd_keep_fd(GW_CARRY_KEPT, gw_carry_fd(e->carry));
    } else {
        cm_log_err(CM_LOG_WARNING, "not_carried", &err);
    }
    px_programs_loaded();
}

struct gw_engine *gw_engine_new(struct cm_loop *loop, const struct gw_boot *boot,
                                const char *private_key, int kept_flows,
                                const struct gw_engine_hooks *hooks)
{
    struct gw_engine *e = cm_calloc(1, sizeof(*e));
    e->hooks = *hooks;
    e->boot = *boot;
    e->state = GW_STARTING;
    e->dirty = true;
    e->in_force = -1;
    e->report.handshake_age_s = e->report.flows = -1;
    e->report.rx_bytes = e->report.tx_bytes = -1;
    e->report.counts = px_counts_unknown();
    e->ours = true;
    snprintf(e->report.name, sizeof(e->report.name), "%s", boot->name);
    snprintf(e->report.version, sizeof(e->report.version), "%s", PORTICO_VERSION);
    memcpy(e->private_key, private_key, sizeof(e->private_key));
    load_programs(e, kept_flows); /* before the first thread */
    e->work = cm_work_new(loop, 1, 2);
    e->knock = gw_knock_new(loop);
    start_pulse(e, loop);
    e->tick = cm_timer_new(loop, tick, e);
    cm_timer_set(e->tick, 0);
    return e;
}

void gw_engine_free(struct gw_engine **engine)
{
    struct gw_engine *e = *engine;
    if (e == NULL) {
        return;
    }
    e->dirty = false;
    cm_timer_free(&e->tick);
    gw_knock_free(&e->knock);
    pulse_free(&e->pulse);
    cm_work_free(&e->work);
    gw_carry_free(&e->carry);
    cm_wipe(e->private_key, sizeof(e->private_key));
    free(e->envelope);
    free(e->early);
    free(e);
    *engine = NULL;
}
