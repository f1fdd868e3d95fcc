/* Power is cut for edge1, the store and the home router at once, and comes back in each
 * of the six orders, on both data planes, while mail is sent all the time and two real
 * chat clients are in use. Every time all doors open again by themselves, the chat
 * clients go on when they are opened (nobody is left who could tell one in IDLE), and
 * mail that was answered 250 is there once. */
#include "scenario.h"

#include <stdio.h>

#include "chatter.h"
#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "plane.h"
#include "stream.h"

#define NODES      3
#define LANES      2
#define GAP_MS     1500
#define SERVING_MS 60000 /* all doors, from when the last has booted */
#define WELL_MS    60000
#define TALK_MS    60000
#define DELIVER_MS 120000

static const char *const orders[][NODES] = {
    {"home", "store", "edge1"}, {"edge1", "store", "home"}, {"home", "edge1", "store"},
    {"store", "home", "edge1"}, {"store", "edge1", "home"}, {"edge1", "home", "store"},
};
#define ORDERS       (sizeof orders / sizeof orders[0])
#define ORDERS_QUICK 2

struct cast {
    struct scene_account to;
    struct stream_lane lanes[LANES];
    struct ledger ledger;
    struct stream *stream;
    struct chatter *chatter;
};

/* Both gateways, so that some mail is always under way. */
static int gather(struct stage *stage, struct cast *c, struct cm_err *err)
{
    if (account_make(stage, &c->to, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < LANES; i++) {
        c->lanes[i] =
            (struct stream_lane){.doors = {door_at("edge1", AF_INET6, 465, false),
                                           door_at("edge2", AF_INET, 465, false)},
                                 .gap_ms = GAP_MS};
        snprintf(c->lanes[i].to, sizeof c->lanes[i].to, "%s", c->to.addr);
        if (account_make(stage, &c->lanes[i].from, SCENE_DOMAIN, err) != 0) {
            return -1;
        }
    }
    c->chatter = chatter_start(stage, err);
    if (c->chatter == NULL) {
        return -1;
    }
    c->stream = stream_start(stage, c->lanes, LANES, &c->ledger);
    return 0;
}

static int cut_and_boot(struct stage *stage, const char *const order[NODES],
                        struct cm_err *err)
{
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
    return 0;
}

static int all_doors(struct stage *stage, const struct scene_account *account,
                     int64_t start, int64_t *ms_r, struct cm_err *err)
{
    struct door doors[DOORS];
    doors_all(doors);
    for (size_t i = 0; i < DOORS; i++) {
        if (door_until_in(stage, &doors[i], account, start, SERVING_MS, ms_r, err) !=
            0) {
            return -1;
        }
    }
    return 0;
}

static int again(struct stage *stage, struct cast *c, const char *const order[NODES],
                 struct cm_err *err)
{
    int64_t ms = 0;
    size_t texts;
    if (cut_and_boot(stage, order, err) != 0 ||
        all_doors(stage, &c->to, cm_now_mono_ms(), &ms, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0 ||
        chatter_wake(c->chatter, err) != 0 || chatter_say(c->chatter, err) != 0 ||
        chatter_even(c->chatter, TALK_MS, &texts, err) != 0) {
        return cm_err_prefix(err, "%s, %s, %s", order[0], order[1], order[2]);
    }
    stage_note(stage, "%.1f s", (double)ms / 1000);
    return 0;
}

static int play_cast(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door inbox = door_at("edge1", AF_INET, 993, true);
    size_t n = stage->quick ? ORDERS_QUICK : ORDERS;
    if (gather(stage, c, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (again(stage, c, orders[i], err) != 0) {
            return -1;
        }
    }
    stream_stop(&c->stream);
    if (mailbox_even(stage, &inbox, &c->to, &c->ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    size_t accepted = ledger_count(&c->ledger, LEDGER_ACCEPTED);
    stage_note(stage, "%zu mails, each once", accepted);
    return accepted >= n * LANES
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "hardly any mail was accepted: %zu",
                            accepted);
}

static int play(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.stream = NULL};
    ledger_init(&c.ledger);
    int rc = play_cast(stage, &c, err);
    stream_stop(&c.stream);
    chatter_stop(&c.chatter);
    ledger_clear(&c.ledger);
    return rc;
}

int scenario_reboot_orders(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, play, err);
}

int scenario_reboot_orders_back(struct stage *stage, struct cm_err *err)
{
    return plane_back(stage, err);
}
