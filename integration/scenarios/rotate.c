/* `chatops gateway rotate edge1 edge2` under 200 clients in IDLE at edge1, while mail
 * comes and two real chat clients talk, on both data planes: all are told and come back
 * by edge2, and none loses mail. Then edge1 is added again as it was. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chatter.h"
#include "cluster.h"
#include "common/clock.h"
#include "crowd.h"
#include "mailbox.h"
#include "plane.h"
#include "stream.h"

#define CLIENTS    200
#define ACCOUNTS   4
#define GAP_MS     1500
#define REST_MS    60000
#define MOVED_MS   30000
#define DELIVER_MS 60000
#define TALK_MS    60000
#define SAVED      "rotate.saved.ini"

static int chatops(struct stage *stage, const char *words, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: %.400s", words, said);
    }
    free(said);
    return status;
}

struct cast {
    struct scene_account accounts[ACCOUNTS];
    struct stream_lane lanes[ACCOUNTS];
    struct ledger ledgers[ACCOUNTS];
    struct stream *streams[ACCOUNTS]; /* one for each, so that each has its ledger */
    struct crowd *crowd;
    struct chatter *chatter;
};

/* Each account's mail comes from another, by edge2, which stays. */
static int gather(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door inboxes[2] = {door_at("edge1", AF_INET, 993, true),
                              door_at("edge2", AF_INET, 993, true)};
    for (size_t i = 0; i < ACCOUNTS; i++) {
        if (account_make(stage, &c->accounts[i], SCENE_DOMAIN, err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < ACCOUNTS; i++) {
        c->lanes[i] =
            (struct stream_lane){.doors = {door_at("edge2", AF_INET6, 465, false),
                                           door_at("edge2", AF_INET, 465, false)},
                                 .from = c->accounts[(i + 1) % ACCOUNTS],
                                 .gap_ms = GAP_MS};
        snprintf(c->lanes[i].to, sizeof c->lanes[i].to, "%s", c->accounts[i].addr);
    }
    c->chatter = chatter_start(stage, err);
    if (c->chatter == NULL) {
        return -1;
    }
    c->crowd = crowd_start(stage, CLIENTS, c->accounts, ACCOUNTS, inboxes);
    return crowd_until_at(c->crowd, 0, REST_MS, err);
}

static int rotate(struct stage *stage, struct cast *c, struct cm_err *err)
{
    for (size_t i = 0; i < ACCOUNTS; i++) {
        c->streams[i] = stream_start(stage, &c->lanes[i], 1, &c->ledgers[i]);
    }
    stage_sleep_ms(2000);
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cd " CLUSTER_DIR " && cp " CLUSTER_INI " " SAVED) != 0 ||
        chatter_say(c->chatter, err) != 0 ||
        chatops(stage, "gateway rotate edge1 edge2 --for 2", err) != 0 ||
        crowd_until_at(c->crowd, 1, MOVED_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%d moved in %.1f s", CLIENTS,
               (double)(crowd_last_rest_ms(c->crowd) - crowd_first_end_ms(c->crowd)) /
                   1000);
    if (chatter_say(c->chatter, err) != 0) {
        return -1;
    }
    stage_sleep_ms(2000);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        stream_stop(&c->streams[i]);
    }
    return 0;
}

static int count(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    size_t accepted = 0, texts = 0;
    for (size_t i = 0; i < ACCOUNTS; i++) {
        if (mailbox_even(stage, &edge2, &c->accounts[i], &c->ledgers[i], DELIVER_MS,
                         err) != 0) {
            return -1;
        }
        accepted += ledger_count(&c->ledgers[i], LEDGER_ACCEPTED);
    }
    if (chatter_even(c->chatter, TALK_MS, &texts, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails and %zu chat texts, each once", accepted, texts);
    return accepted >= 2 * (size_t)ACCOUNTS
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "hardly any mail was accepted");
}

/* The gateway is out of the state: its doors are shut, and it is listed no more. */
static int is_gone(struct stage *stage, struct cm_err *err)
{
    struct cluster_status status;
    if (cluster_ask(stage, &status, err) != 0) {
        return -1;
    }
    return status.count == 1 && strcmp(status.gateways[0].name, "edge2") == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "edge1 is still part of the state");
}

static int add_again(struct stage *stage, struct cm_err *err)
{
    return cluster_ini_back(stage, SAVED, err);
}

static int play(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.crowd = NULL};
    for (size_t i = 0; i < ACCOUNTS; i++) {
        ledger_init(&c.ledgers[i]);
    }
    int rc = gather(stage, &c, err) != 0 || rotate(stage, &c, err) != 0 ||
                     count(stage, &c, err) != 0 || is_gone(stage, err) != 0
                 ? -1
                 : 0;
    for (size_t i = 0; i < ACCOUNTS; i++) {
        stream_stop(&c.streams[i]);
        ledger_clear(&c.ledgers[i]);
    }
    crowd_stop(&c.crowd);
    chatter_stop(&c.chatter);
    return rc != 0 ? -1 : add_again(stage, err);
}

int scenario_rotate(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, play, err);
}

int scenario_rotate_back(struct stage *stage, struct cm_err *err)
{
    return add_again(stage, err) != 0 ? -1 : plane_back(stage, err);
}
