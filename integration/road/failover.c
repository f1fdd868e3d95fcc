/* A client in IDLE through edge1; edge1 loses power; the app is opened: how long until
 * it has its message. */
#include "road.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define TRIES      12
#define IDLE_MS    30000
#define JOIN_MS    60000
#define ARRIVAL_MS 120000

/* IMAP connections that the store holds on edge1's inner addresses. */
static int edge1_connections(struct scene *scene, int *count_r, struct cm_err *err)
{
    char *out = NULL;
    if (scene_sh(scene, "store", 0, &out, err,
                 "ss -Htn state established | grep -cE "
                 "'(10\\.77\\.1\\.2|fd77:1::2)\\]?:(993|143|443) ' || true") != 0) {
        return -1;
    }
    *count_r = (int)strtol(out, NULL, 10);
    free(out);
    return 0;
}

/* The core picks among the addresses at random and then stays with what worked, so a
 * fresh core is made until one is there. *phone_r is its client, whatever is returned.
 */
static int make_victim(struct scene *scene, struct chat_client **phone_r,
                       struct chat_end *victim, struct cm_err *err)
{
    for (int i = 0; i < TRIES; i++) {
        int before;
        int after;
        chat_close(phone_r);
        *phone_r = scene_chat(scene, "client", err);
        if (*phone_r == NULL || edge1_connections(scene, &before, err) != 0 ||
            scene_chat_account(*phone_r, SCENE_DOMAIN, NULL, victim, err) != 0) {
            return -1;
        }
        if (chat_wait_idle(*phone_r, victim->account, IDLE_MS, err) < 0 ||
            edge1_connections(scene, &after, err) != 0) {
            return -1;
        }
        if (after > before) {
            return 0;
        }
    }
    return cm_err_set(err, CM_ERR_RETRY, "none of %d phones went through edge1", TRIES);
}

static int open_app_and_wait(struct chat_end *sender, struct chat_end *victim,
                             int64_t *ms_r, struct cm_err *err)
{
    int64_t sent;
    struct chat_message message;
    if (chat_send(sender, "sent while edge1 was dark", &sent, err) != 0) {
        return -1;
    }
    sleep(2); /* the phone lies on the table */
    int64_t opened = cm_now_mono_ms();
    if (chat_maybe_network(victim->client, err) != 0) {
        return -1;
    }
    int rc = chat_wait_text(victim->client, victim->account,
                            "sent while edge1 was dark", ARRIVAL_MS, &message, err);
    if (rc < 0) {
        return -1;
    }
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_RETRY, "no message %d s after the app was opened",
                          ARRIVAL_MS / 1000);
    }
    *ms_r = message.at_ms - opened;
    return 0;
}

static int play(struct scene *scene, struct chat_client **phone_r,
                struct chat_client *home, struct road *road, struct cm_err *err)
{
    struct chat_end victim;
    struct chat_end sender;
    int64_t ignored;
    if (scene_chat_account(home, SCENE_DOMAIN, SCENE_STORE_LAN, &sender, err) != 0 ||
        make_victim(scene, phone_r, &victim, err) != 0 ||
        chat_join(&victim, &sender, JOIN_MS, &ignored, err) != 0 ||
        lab_stop(scene->lab, "edge1", err) != 0) {
        return -1;
    }
    int rc = open_app_and_wait(&sender, &victim, &road->failover_ms, err);
    struct cm_err start;
    if (lab_start(scene->lab, "edge1", &start) != 0 ||
        scene_wait_gateway(scene, &scene_gateways[0], 60, &start) != 0) {
        if (rc == 0) {
            *err = start;
        }
        return -1;
    }
    return rc;
}

int road_failover(struct scene *scene, struct road *road, struct cm_err *err)
{
    road->failover_ms = -1;
    struct chat_client *phone = NULL;
    struct chat_client *home = scene_chat(scene, "operator", err);
    if (home == NULL) {
        return -1;
    }
    struct cm_err why;
    if (play(scene, &phone, home, road, &why) != 0) {
        snprintf(road->failover_why, sizeof road->failover_why, "%.199s", why.text);
    }
    chat_close(&phone);
    chat_close(&home);
    return 0;
}
