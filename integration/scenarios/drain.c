/* A gateway is drained under load, on both data planes: it refuses who comes new, who
 * is there lives on until the time is over, is then cut by the store and comes back by
 * the other gateway at once; all mail that was accepted is there once; resume. */
#include "scenario.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "crowd.h"
#include "mailbox.h"
#include "plane.h"
#include "stream.h"

#define CLIENTS    24
#define LANES      4
#define GAP_MS     1200
#define FOR_MS     6000
#define REST_MS    30000
#define MOVED_MS   15000 /* all, after the first was cut */
#define BACK_MS    10000
#define DELIVER_MS 60000
#define KNOCK_MS   2500

/* Knocks at the gateway all the time. */
struct watch {
    const struct stage *stage;
    const struct crowd *crowd;
    pthread_t thread;
    atomic_bool stop;
    int64_t refused_ms;        /* monotonic, first; 0: never */
    unsigned in_after, silent; /* let in after that; no answer at all */
    size_t alive_late;         /* idling there a second before the time was over */
};

static void knock(struct watch *w)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(w->stage, &door, KNOCK_MS);
    struct cm_err why = {.text = ""};
    struct wire *wire = wire_open(&to, &why);
    if (wire != NULL) {
        w->in_after += w->refused_ms != 0;
    } else if (strstr(why.text, "refused") == NULL) {
        w->silent++;
    } else if (w->refused_ms == 0) {
        w->refused_ms = cm_now_mono_ms();
    }
    wire_close(&wire);
}

static void *run_watch(void *arg)
{
    struct watch *w = arg;
    while (!atomic_load(&w->stop)) {
        knock(w);
        if (w->refused_ms != 0 && crowd_first_end_ms(w->crowd) == 0 &&
            cm_now_mono_ms() - w->refused_ms > FOR_MS - 2500) {
            w->alive_late = crowd_idling(w->crowd, 0);
        }
        stage_sleep_ms(150);
    }
    return NULL;
}

struct cast {
    struct scene_account to;
    struct stream_lane lanes[LANES];
    struct ledger ledger;
    struct crowd *crowd;
    struct stream *stream;
    struct watch watch;
};

static int gather(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door inboxes[2] = {door_at("edge1", AF_INET, 993, true),
                              door_at("edge2", AF_INET, 993, true)};
    if (account_make(stage, &c->to, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < LANES; i++) {
        int family = i % 2 == 0 ? AF_INET : AF_INET6;
        struct door doors[2] = {door_at("edge1", family, 465, false),
                                door_at("edge2", family, 465, false)};
        if (stream_lane_make(stage, &c->lanes[i], doors, SCENE_DOMAIN, c->to.addr,
                             GAP_MS, err) != 0) {
            return -1;
        }
    }
    c->crowd = crowd_start(stage, CLIENTS, &c->to, 1, inboxes);
    return crowd_until_at(c->crowd, 0, REST_MS, err);
}

static int drain(struct stage *stage, struct cast *c, struct cm_err *err)
{
    char *said = NULL;
    c->watch = (struct watch){.stage = stage, .crowd = c->crowd};
    cm_assert(pthread_create(&c->watch.thread, NULL, run_watch, &c->watch) == 0);
    int status =
        cluster_chatops(stage, CLUSTER_INI, "gateway drain edge1 --for 6", &said, err);
    if (status == 0) {
        stage_sleep_ms(1000);
    }
    atomic_store(&c->watch.stop, true);
    pthread_join(c->watch.thread, NULL);
    if (status > 0 || (status == 0 && !cluster_says(said, "edge1 is drained"))) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops gateway drain: %.400s", said);
    }
    free(said);
    return status;
}

static int judge(struct stage *stage, const struct cast *c, struct cm_err *err)
{
    const struct watch *w = &c->watch;
    int64_t cut = crowd_first_end_ms(c->crowd);
    if (w->refused_ms == 0 || w->in_after > 0 || w->silent > 0) {
        return cm_err_set(
            err, CM_ERR_REFUSE,
            "new connections: %s, %u let in after that, %u without answer",
            w->refused_ms == 0 ? "never refused" : "refused", w->in_after, w->silent);
    }
    if (cut == 0 || cut - w->refused_ms < FOR_MS - 2500 || w->alive_late != CLIENTS) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "present ones: the first ended %lld ms after the refusals "
                          "began; %zu of %d lived a while before",
                          cut == 0 ? -1LL : (long long)(cut - w->refused_ms),
                          w->alive_late, CLIENTS);
    }
    stage_note(stage, "%d lived on for %.1f s, then moved in %.1f s", CLIENTS,
               (double)(cut - w->refused_ms) / 1000,
               (double)(crowd_last_rest_ms(c->crowd) - cut) / 1000);
    return 0;
}

static int resume(struct stage *stage, const struct cast *c, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    char *said = NULL;
    int status =
        cluster_chatops(stage, CLUSTER_INI, "gateway resume edge1", &said, err);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops gateway resume: %.400s", said);
    }
    free(said);
    return status != 0 ? -1
                       : door_until_in(stage, &edge1, &c->to, cm_now_mono_ms(), BACK_MS,
                                       NULL, err);
}

static int play_cast(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET6, 993, true);
    if (gather(stage, c, err) != 0) {
        return -1;
    }
    c->stream = stream_start(stage, c->lanes, LANES, &c->ledger);
    stage_sleep_ms(2000);
    if (drain(stage, c, err) != 0 || crowd_until_at(c->crowd, 1, MOVED_MS, err) != 0 ||
        judge(stage, c, err) != 0) {
        return -1;
    }
    stream_stop(&c->stream);
    if (mailbox_even(stage, &edge2, &c->to, &c->ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails, each once",
               ledger_count(&c->ledger, LEDGER_ACCEPTED));
    if (ledger_count(&c->ledger, LEDGER_ACCEPTED) < 2 * (size_t)LANES ||
        crowd_announced(c->crowd) == 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "hardly any mail was accepted: %zu",
                          ledger_count(&c->ledger, LEDGER_ACCEPTED));
    }
    return resume(stage, c, err);
}

static int play(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.stream = NULL};
    ledger_init(&c.ledger);
    int rc = play_cast(stage, &c, err);
    stream_stop(&c.stream);
    crowd_stop(&c.crowd);
    ledger_clear(&c.ledger);
    return rc;
}

int scenario_drain(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, play, err);
}

/* Both gateways as they were: active, on the kernel plane. */
int scenario_modes_back(struct stage *stage, struct cm_err *err)
{
    struct cluster_status status;
    if (cluster_ask(stage, &status, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < status.count; i++) {
        char words[64], *said = NULL;
        if (strcmp(status.gateways[i].mode, "active") == 0) {
            continue;
        }
        snprintf(words, sizeof words, "gateway resume %s", status.gateways[i].name);
        int rc = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
        if (rc > 0) {
            rc = cm_err_set(err, CM_ERR_WORLD, "chatops %s: %.300s", words, said);
        }
        free(said);
        if (rc != 0) {
            return -1;
        }
    }
    return plane_back(stage, err);
}
