/* A gateway loses its power in the middle of a stream of mail. */
#include "scenario.h"

#include <stdio.h>

#include "chatter.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "plane.h"
#include "stream.h"

#define LANES      6
#define GAP_MS     1200 /* the rate one user may keep up for ever */
#define SERVING_MS 30000
#define DELIVER_MS 300000

/* Four submit through the gateways, two at the other relay, whose Postfix then has to
 * find its way to us. */
static int make_lanes(struct stage *stage, const struct scene_account *to,
                      struct stream_lane lanes[LANES], struct cm_err *err)
{
    for (size_t i = 0; i < LANES; i++) {
        bool far = i >= 4;
        int family = i % 4 < 2 ? AF_INET : AF_INET6;
        const char *first = far ? "relay2" : i % 2 == 0 ? "edge1" : "edge2";
        const char *second = far ? "relay2" : i % 2 == 0 ? "edge2" : "edge1";
        struct door doors[2] = {door_at(first, family, 465, false),
                                door_at(second, family, 465, false)};
        if (stream_lane_make(stage, &lanes[i], doors, far ? SCENE_RELAY2 : SCENE_DOMAIN,
                             to->addr, GAP_MS, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int cut_in_the_middle(struct stage *stage, const struct stream_lane *lanes,
                             struct chatter *chatter, struct ledger *ledger,
                             struct cm_err *err)
{
    int64_t before_ms = stage->quick ? 5000 : 15000;
    int64_t after_ms = stage->quick ? 10000 : 30000;
    struct stream *stream = stream_start(stage, lanes, LANES, ledger);
    int rc = chatter_say(chatter, err);
    stage_sleep_ms(before_ms);
    rc = rc == 0 ? chatter_say(chatter, err) : rc;
    rc = rc == 0 ? lab_stop(stage->scene.lab, "edge1", err) : rc;
    stage_sleep_ms(after_ms);
    /* As when people look at their phones: in IDLE nobody could tell the client. */
    rc = rc == 0 ? chatter_wake(chatter, err) : rc;
    rc = rc == 0 ? chatter_say(chatter, err) : rc;
    stream_stop(&stream);
    return rc;
}

/* Once when the power is back, once with the door that was dark all the time. */
static int count(struct stage *stage, const struct scene_account *to,
                 struct ledger *ledger, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    int64_t start = cm_now_mono_ms(), back_ms = 0;
    if (mailbox_even(stage, &edge2, to, ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    int64_t even_ms = cm_now_mono_ms() - start;
    start = cm_now_mono_ms();
    if (lab_start(stage->scene.lab, "edge1", err) != 0 ||
        door_until_in(stage, &edge1, to, start, SERVING_MS, &back_ms, err) != 0) {
        return -1;
    }
    stage_note(stage,
               "%zu accepted, %zu without an answer, all even %.0f s after the stream; "
               "edge1 serves %.1f s after power-on",
               ledger_count(ledger, LEDGER_ACCEPTED),
               ledger_count(ledger, LEDGER_UNKNOWN), (double)even_ms / 1000,
               (double)back_ms / 1000);
    return mailbox_even(stage, &edge1, to, ledger, SERVING_MS, err);
}

static int play(struct stage *stage, struct chatter *chatter, struct ledger *ledger,
                struct cm_err *err)
{
    struct scene_account to;
    struct stream_lane lanes[LANES];
    if (account_make(stage, &to, SCENE_DOMAIN, err) != 0 ||
        make_lanes(stage, &to, lanes, err) != 0 ||
        cut_in_the_middle(stage, lanes, chatter, ledger, err) != 0) {
        return -1;
    }
    size_t least = stage->quick ? 20 : 80;
    if (ledger_count(ledger, LEDGER_ACCEPTED) < least) {
        return cm_err_set(err, CM_ERR_REFUSE, "only %zu messages were accepted",
                          ledger_count(ledger, LEDGER_ACCEPTED));
    }
    size_t texts = 0;
    if (count(stage, &to, ledger, err) != 0 ||
        chatter_even(chatter, DELIVER_MS, &texts, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu texts of chat clients, each once", texts);
    return 0;
}

int scenario_edge_power_cut(struct stage *stage, struct cm_err *err)
{
    return chatter_play(stage, play, err);
}

int scenario_edge_power_cut_proxy(struct stage *stage, struct cm_err *err)
{
    return plane_set(stage, true, err) != 0 ? -1 : scenario_edge_power_cut(stage, err);
}

int scenario_edge_power_back(struct stage *stage, struct cm_err *err)
{
    return plane_back(stage, err);
}
