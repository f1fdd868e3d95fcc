/* Each daemon of ours killed while people log in: nobody may notice. */
#include "scenario.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "cluster.h"
#include "door.h"
#include "unit.h"

#define BACK_MS    10000
#define AFTER_MS   4000
#define LOGIN_MS   10000
#define BETWEEN_MS 200
#define WATCHERS   4

static const struct victim {
    const char *node;
    const char *unit;
} victims[] = {
    {"store", "chatmail-auth.service"},      {"store", "chatmail-filter-out.service"},
    {"store", "chatmail-filter-in.service"}, {"store", "chatmail-cluster.service"},
    {"edge1", "chatmail-gateway.service"},
};

/* Logs in again and again until told to stop. */
struct watcher {
    const struct stage *stage;
    const struct scene_account *account;
    struct door door;
    atomic_bool *stop;
    unsigned in;
    unsigned temporary;
    char trouble[300]; /* the first refusal or failure, "" for none */
    pthread_t thread;
};

static void *watch(void *arg)
{
    struct watcher *w = arg;
    while (!atomic_load(w->stop) && w->trouble[0] == '\0') {
        enum imap_verdict verdict = IMAP_OTHER;
        char text[256];
        struct cm_err err;
        if (door_login(w->stage, &w->door, w->account->addr, w->account->password,
                       LOGIN_MS, &verdict, text, &err) != 0) {
            snprintf(w->trouble, sizeof w->trouble, "%.299s", err.text);
        } else if (verdict == IMAP_IN) {
            w->in++;
        } else if (verdict == IMAP_TEMPORARY && !w->door.imap) {
            w->temporary++; /* Postfix had its login in the hands that died */
        } else {
            snprintf(w->trouble, sizeof w->trouble, "%s", text);
        }
        stage_sleep_ms(BETWEEN_MS);
    }
    return NULL;
}

static int judge_watchers(const struct watcher *watchers, unsigned *in_r,
                          struct cm_err *err)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        const struct watcher *w = &watchers[i];
        char name[64];
        door_name(&w->door, name);
        if (w->trouble[0] != '\0') {
            return cm_err_set(err, CM_ERR_REFUSE, "login at %s after %u good ones: %s",
                              name, w->in, w->trouble);
        }
        if (w->in == 0 || w->temporary > 3) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s: %u logins, %u times 'later'",
                              name, w->in, w->temporary);
        }
        *in_r += w->in;
    }
    return 0;
}

/* The kernel's part, which must live through all of it. */
struct ground {
    char *rules[2];
    int64_t tunnels[3];
};

static int look_at_ground(struct stage *stage, struct ground *ground,
                          struct cm_err *err)
{
    *ground = (struct ground){.tunnels = {0}};
    return cluster_rules(stage, "edge1", &ground->rules[0], err) == 0 &&
                   cluster_rules(stage, "store", &ground->rules[1], err) == 0 &&
                   unit_pid(stage, "edge1", "chatmail-tunnel@wg0", &ground->tunnels[0],
                            err) == 0 &&
                   unit_pid(stage, "store", "chatmail-tunnel@wg1", &ground->tunnels[1],
                            err) == 0 &&
                   unit_pid(stage, "store", "chatmail-tunnel@wg2", &ground->tunnels[2],
                            err) == 0
               ? 0
               : -1;
}

static void forget_ground(struct ground *ground)
{
    free(ground->rules[0]);
    free(ground->rules[1]);
}

static int ground_same(struct stage *stage, const struct ground *before,
                       struct cm_err *err)
{
    struct ground now;
    int rc = look_at_ground(stage, &now, err);
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        if (strcmp(now.rules[i], before->rules[i]) != 0) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "the rules on %s changed",
                            i == 0 ? "edge1" : "store");
        }
    }
    if (rc == 0 && memcmp(now.tunnels, before->tunnels, sizeof now.tunnels) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "a tunnel was restarted");
    }
    forget_ground(&now);
    return rc;
}

static int kill_one(struct stage *stage, const struct victim *victim,
                    const struct scene_account *account, struct cm_err *err)
{
    struct door doors[WATCHERS] = {
        door_at("edge1", AF_INET, 993, true), door_at("edge2", AF_INET6, 993, true),
        door_at("edge1", AF_INET6, 465, false), door_at("edge2", AF_INET, 465, false)};
    struct watcher watchers[WATCHERS];
    atomic_bool stop = false;
    unsigned in = 0;
    for (size_t i = 0; i < WATCHERS; i++) {
        watchers[i] = (struct watcher){
            .stage = stage, .account = account, .door = doors[i], .stop = &stop};
        cm_assert(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]) == 0);
    }
    stage_sleep_ms(1000);
    int64_t ms = 0;
    int rc = unit_kill(stage, victim->node, victim->unit, BACK_MS, &ms, err);
    stage_sleep_ms(AFTER_MS);
    atomic_store(&stop, true);
    for (size_t i = 0; i < WATCHERS; i++) {
        pthread_join(watchers[i].thread, NULL);
    }
    if (rc != 0 || judge_watchers(watchers, &in, err) != 0) {
        return -1;
    }
    stage_note(stage, "%s back in %.1f s, %u logins meanwhile", victim->unit,
               (double)ms / 1000, in);
    return 0;
}

static int kill_and_look(struct stage *stage, const struct victim *victim,
                         const struct scene_account *account,
                         const struct ground *ground, int64_t epoch, struct cm_err *err)
{
    struct cluster_status status;
    if (kill_one(stage, victim, account, err) != 0 ||
        ground_same(stage, ground, err) != 0 ||
        cluster_until_well(stage, BACK_MS, &status, err) != 0) {
        return -1;
    }
    if (status.epoch != epoch) {
        return cm_err_set(err, CM_ERR_REFUSE, "epoch went from %lld to %lld",
                          (long long)epoch, (long long)status.epoch);
    }
    return 0;
}

/* Goes on after a failure, so that one run tells about all daemons. */
static int kill_all(struct stage *stage, const struct ground *ground, int64_t epoch,
                    struct cm_err *err)
{
    struct scene_account account;
    struct cm_buf troubles;
    int rc = 0;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    cm_buf_init(&troubles, 4096);
    for (size_t i = 0; i < sizeof victims / sizeof victims[0]; i++) {
        struct cm_err why;
        if (kill_and_look(stage, &victims[i], &account, ground, epoch, &why) != 0) {
            cm_buf_fmt(&troubles, "%s%s killed: %.300s", rc != 0 ? "; " : "",
                       victims[i].unit, why.text);
            rc = -1;
        }
    }
    if (rc != 0) {
        cm_err_set(err, CM_ERR_REFUSE, "%s", troubles.data);
    }
    cm_buf_clear(&troubles);
    return rc;
}

int scenario_kill_daemons(struct stage *stage, struct cm_err *err)
{
    struct ground ground;
    struct cluster_status status;
    int rc = look_at_ground(stage, &ground, err);
    if (rc == 0) {
        rc = cluster_ask(stage, &status, err);
    }
    if (rc == 0) {
        rc = kill_all(stage, &ground, status.epoch, err);
    }
    forget_ground(&ground);
    return rc;
}
