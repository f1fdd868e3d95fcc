/* Power cuts of the store and of a gateway: all comes back without a hand. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"

#define SERVING_MS 60000
#define WELL_MS    30000
#define DELIVER_MS 30000

/* Every door of that gateway, or of both when node is the store. */
static int all_doors(struct stage *stage, const char *node,
                     const struct scene_account *account, int64_t start, int64_t *ms_r,
                     struct cm_err *err)
{
    struct door doors[DOORS];
    doors_all(doors);
    for (size_t i = 0; i < DOORS; i++) {
        if (strcmp(node, "store") != 0 && strcmp(node, doors[i].node) != 0) {
            continue;
        }
        if (door_until_in(stage, &doors[i], account, start, SERVING_MS, ms_r, err)) {
            return -1;
        }
    }
    return 0;
}

static int deliver(struct stage *stage, const struct scene_account *account,
                   struct ledger *ledger, struct cm_err *err)
{
    struct door inbox = door_at("edge1", AF_INET, 993, true);
    struct stream_lane lane = {.doors = {door_at("edge2", AF_INET6, 465, false),
                                         door_at("edge2", AF_INET6, 465, false)},
                               .from = *account};
    snprintf(lane.to, sizeof lane.to, "%s", account->addr);
    if (stream_one(stage, &lane, ledger, err) != 0) {
        return -1;
    }
    return mailbox_even(stage, &inbox, account, ledger, DELIVER_MS, err);
}

/* The ledger is kept from before: a mail answered 250 outlives the power cut. */
static int reboot(struct stage *stage, const char *node,
                  const struct scene_account *account, struct ledger *ledger,
                  struct cm_err *err)
{
    if (lab_stop(stage->scene.lab, node, err) != 0) {
        return -1;
    }
    stage_sleep_ms(1000);
    int64_t start = cm_now_mono_ms(), ms = 0;
    if (lab_start(stage->scene.lab, node, err) != 0 ||
        all_doors(stage, node, account, start, &ms, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0 ||
        deliver(stage, account, ledger, err) != 0) {
        return cm_err_prefix(err, "%s after a power cut", node);
    }
    stage_note(stage, "%s: all doors after %.1f s", node, (double)ms / 1000);
    return 0;
}

int scenario_reboot(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = account_make(stage, &account, SCENE_DOMAIN, err);
    if (rc == 0 && (deliver(stage, &account, &ledger, err) != 0 ||
                    reboot(stage, "store", &account, &ledger, err) != 0 ||
                    reboot(stage, "edge2", &account, &ledger, err) != 0)) {
        rc = -1;
    }
    ledger_clear(&ledger);
    return rc;
}
