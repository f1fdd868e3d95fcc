/* Power is cut for edge1, the store and the home router at once, and comes back in each
 * of the six orders: every time all serves again by itself, and mail that was answered
 * 250 before is there once. */
#include "scenario.h"

#include <stdio.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"

#define NODES      3
#define SERVING_MS 60000
#define WELL_MS    60000
#define DELIVER_MS 60000

static const char *const orders[][NODES] = {
    {"home", "store", "edge1"}, {"home", "edge1", "store"}, {"store", "home", "edge1"},
    {"store", "edge1", "home"}, {"edge1", "home", "store"}, {"edge1", "store", "home"},
};

static int send_one(struct stage *stage, const struct scene_account *account,
                    struct ledger *ledger, struct cm_err *err)
{
    struct stream_lane lane = {.doors = {door_at("edge1", AF_INET6, 465, false),
                                         door_at("edge2", AF_INET, 465, false)},
                               .from = *account};
    snprintf(lane.to, sizeof lane.to, "%s", account->addr);
    return stream_one(stage, &lane, ledger, err);
}

static int again(struct stage *stage, const char *const order[NODES],
                 const struct scene_account *account, struct ledger *ledger,
                 struct cm_err *err)
{
    struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                           door_at("edge2", AF_INET6, 465, false)};
    int64_t start = 0, ms = 0;
    if (send_one(stage, account, ledger, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < NODES; i++) {
        if (lab_stop(stage->scene.lab, order[i], err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < NODES; i++) {
        if (lab_start(stage->scene.lab, order[i], err) != 0) {
            return -1;
        }
    }
    start = cm_now_mono_ms();
    for (size_t i = 0; i < 2; i++) {
        if (door_until_in(stage, &doors[i], account, start, SERVING_MS, &ms, err) !=
            0) {
            return -1;
        }
    }
    stage_note(stage, "%.1f s", (double)ms / 1000);
    return cluster_until_well(stage, WELL_MS, NULL, err);
}

int scenario_reboot_orders(struct stage *stage, struct cm_err *err)
{
    struct door inbox = door_at("edge1", AF_INET, 993, true);
    struct scene_account account;
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = account_make(stage, &account, SCENE_DOMAIN, err);
    for (size_t i = 0; rc == 0 && i < sizeof orders / sizeof orders[0]; i++) {
        rc = again(stage, orders[i], &account, &ledger, err);
        if (rc != 0) {
            cm_err_prefix(err, "%s, %s, %s", orders[i][0], orders[i][1], orders[i][2]);
        }
    }
    if (rc == 0) {
        rc = mailbox_even(stage, &inbox, &account, &ledger, DELIVER_MS, err);
    }
    ledger_clear(&ledger);
    return rc;
}
