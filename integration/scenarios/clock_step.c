/* The wall clock of a gateway, and of chatmail-cluster on the store, steps an hour
 * forward, two back, ten years forward and back to the truth, on both planes: documents
 * are taken, nobody is judged dead, nothing is taken back, people get in, mail comes.
 *
 * clock_hour does the same to all else on the store. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chatter.h"
#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "plane.h"
#include "shift.h"
#include "stream.h"

#define HOUR       INT64_C(3600)
#define YEARS_10   (87660 * HOUR)
#define WELL_MS    20000
#define SPACE_MS   2500
#define DELIVER_MS 60000
#define SETTLE_MS  20000 /* a health check turns after 15 s */

static const struct {
    const char *node, *units;
} clocks[] = {{"edge1", "chatmail-gateway chatmail-proxy"},
              {"store", "chatmail-cluster"}};

static const int64_t steps[] = {HOUR, -HOUR, YEARS_10, 0};

static int step(struct stage *stage, size_t which, int64_t seconds,
                struct chatter *chatter, const struct stream_lane *lane,
                struct ledger *ledger, struct cm_err *err)
{
    struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                           door_at("edge1", AF_INET6, 465, false)};
    if (shift_to(stage, clocks[which].node, seconds, err) != 0 ||
        plane_publish(stage, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0 ||
        door_must_let_in(stage, &doors[0], &lane->from, err) != 0 ||
        door_must_let_in(stage, &doors[1], &lane->from, err) != 0 ||
        stream_one(stage, lane, ledger, err) != 0 || chatter_say(chatter, err) != 0) {
        return cm_err_prefix(err, "%s %+lld h", clocks[which].node,
                             (long long)(seconds / HOUR));
    }
    stage_sleep_ms(SPACE_MS);
    return 0;
}

static int nobody_judged(struct stage *stage, const struct scene_mark marks[2],
                         struct cm_err *err)
{
    static const char *const args[] = {"-u chatmail-gateway", "-u chatmail-cluster"};
    static const char *const signs[2][3] = {
        {"event=store_gone", "event=epoch_reverted", "event=document_refused"},
        {"old=up", "event=phones_woken", "event=document_refused"}};
    for (size_t i = 0; i < 2; i++) {
        char *text;
        if (scene_journal(&stage->scene, clocks[i].node, &marks[i], args[i], &text,
                          err) != 0) {
            return -1;
        }
        const char *at = NULL;
        for (size_t k = 0; k < 3 && at == NULL; k++) {
            at = strstr(text, signs[i][k]);
        }
        if (at != NULL) {
            (void)cm_err_set(err, CM_ERR_REFUSE, "%s says: %.*s", clocks[i].node,
                             (int)strcspn(at, "\n"), at);
        }
        free(text);
        if (at != NULL) {
            return -1;
        }
    }
    return 0;
}

static int step_all(struct stage *stage, struct chatter *chatter,
                    const struct stream_lane *lane, struct ledger *ledger,
                    struct cm_err *err)
{
    for (size_t which = 0; which < 2; which++) {
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            if (step(stage, which, steps[i], chatter, lane, ledger, err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int play(struct stage *stage, struct chatter *chatter, struct ledger *ledger,
                struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    struct stream_lane lane = {.doors = {door_at("edge1", AF_INET, 465, false),
                                         door_at("edge1", AF_INET, 465, false)}};
    struct scene_mark marks[2];
    size_t texts = 0;
    if (account_make(stage, &lane.from, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    snprintf(lane.to, sizeof lane.to, "%s", lane.from.addr);
    for (size_t i = 0; i < 2; i++) {
        if (scene_mark(&stage->scene, clocks[i].node, &marks[i], err) != 0) {
            return -1;
        }
    }
    if (step_all(stage, chatter, &lane, ledger, err) != 0 ||
        chatter_even(chatter, DELIVER_MS, &texts, err) != 0 ||
        mailbox_even(stage, &edge2, &lane.from, ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails, %zu texts, each once",
               ledger_count(ledger, LEDGER_ACCEPTED), texts);
    return nobody_judged(stage, marks, err);
}

static int on_this_plane(struct stage *stage, struct cm_err *err)
{
    return chatter_play(stage, play, err);
}

int scenario_clock_step(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < 2; i++) {
        if (shift_on(stage, clocks[i].node, clocks[i].units, err) != 0) {
            return -1;
        }
    }
    /* What was restarted may be thought ill of until then. */
    stage_sleep_ms(SETTLE_MS);
    return cluster_until_well(stage, WELL_MS, NULL, err) != 0
               ? -1
               : plane_each(stage, on_this_plane, err);
}

int scenario_clock_stepped_back(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < 2; i++) {
        if (shift_off(stage, clocks[i].node, err) != 0) {
            return -1;
        }
    }
    return plane_back(stage, err);
}
