/* Mail to another relay while one gateway is cut off: it leaves by the other one, and
 * the home line's address is never seen. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "scene/seen.h"
#include "relay443.h"
#include "stream.h"

#define BATCH      5
#define DELIVER_MS 50000 /* the next try of the queue would come after 60 s */
#define MAX_SEEN   1024

static bool is_edge2(const char *address)
{
    return strcmp(address, lab_address("edge2", AF_INET)) == 0 ||
           strcmp(address, lab_address("edge2", AF_INET6)) == 0;
}

/* Who connected to the other relay's port 25 (its submission ports log under names of
 * their own). `only_edge2`: while edge1 was cut. */
static int judge_sources(struct stage *stage, const struct scene_mark *mark,
                         bool only_edge2, struct cm_err *err)
{
    char *log = NULL;
    char seen[MAX_SEEN];
    if (scene_journal(&stage->scene, "relay2", mark, "-t postfix/smtpd", &log, err)) {
        return -1;
    }
    seen_connects(log, seen, sizeof seen);
    free(log);
    if (seen[0] == '\0') {
        return cm_err_set(err, CM_ERR_REFUSE, "relay2 saw nobody connect");
    }
    char *rest = NULL;
    for (char *at = strtok_r(seen, " ", &rest); at; at = strtok_r(NULL, " ", &rest)) {
        if (!scene_is_gateway_address(at) || (only_edge2 && !is_edge2(at))) {
            return cm_err_set(err, CM_ERR_REFUSE, "relay2 saw %s%s", at,
                              only_edge2 ? " while edge1 was cut" : "");
        }
        stage_note(stage, "%s%s", at, only_edge2 ? " in the cut" : "");
    }
    return 0;
}

static int send_batch(struct stage *stage, const struct stream_lane *lane,
                      struct ledger *ledger, struct cm_err *err)
{
    for (unsigned i = 0; i < BATCH; i++) {
        if (stream_one(stage, lane, ledger, err) != 0) {
            return cm_err_prefix(err, "mail %u", i + 1);
        }
        stage_sleep_ms(300);
    }
    return 0;
}

struct trip {
    struct stream_lane lane;
    struct door inbox;
    struct scene_account to;
};

/* One batch, counted, and where it came from. */
static int leg(struct stage *stage, const struct trip *trip, struct ledger *ledger,
               bool only_edge2, struct cm_err *err)
{
    struct scene_mark mark;
    if (scene_mark(&stage->scene, "relay2", &mark, err) != 0 ||
        send_batch(stage, &trip->lane, ledger, err) != 0 ||
        mailbox_even(stage, &trip->inbox, &trip->to, ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    return judge_sources(stage, &mark, only_edge2, err);
}

static int play(struct stage *stage, struct ledger *ledger, struct cm_err *err)
{
    struct trip trip = {.lane = {.doors = {door_at("edge2", AF_INET, 465, false),
                                           door_at("edge2", AF_INET, 465, false)}},
                        .inbox = door_at("relay2", AF_INET, 993, true)};
    /* By SMTP, whose log at relay2 has the addresses. */
    if (relay443_set(stage, RELAY443_REFUSED, err) != 0 ||
        account_make(stage, &trip.lane.from, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &trip.to, SCENE_RELAY2, err) != 0) {
        return -1;
    }
    snprintf(trip.lane.to, sizeof trip.lane.to, "%s", trip.to.addr);
    if (leg(stage, &trip, ledger, false, err) != 0) {
        return cm_err_prefix(err, "before the cut");
    }
    int64_t cut_ms = cm_now_mono_ms();
    if (lab_cut(stage->scene.lab, "edge1", err) != 0 ||
        leg(stage, &trip, ledger, true, err) != 0) {
        return cm_err_prefix(err, "edge1 cut");
    }
    stage_note(stage, "%d mails there %.0f s after the cut", BATCH,
               (double)(cm_now_mono_ms() - cut_ms) / 1000);
    if (lab_heal(stage->scene.lab, "edge1", err) != 0 ||
        cluster_until_well(stage, 60000, NULL, err) != 0 ||
        leg(stage, &trip, ledger, false, err) != 0) {
        return cm_err_prefix(err, "after the cut");
    }
    return relay443_home_unseen(stage, err);
}

int scenario_egress_failover(struct stage *stage, struct cm_err *err)
{
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = play(stage, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}
