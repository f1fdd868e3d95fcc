/* A bad line between the store and edge1: 300 ms late and up to 60 more, every
 * twentieth packet lost, 1 Mbit/s, each way; on both planes. Two real clients talk and
 * mail is submitted at both gateways; nothing is lost or doubled, and nobody takes the
 * gateway for dead. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chatter.h"
#include "cluster.h"
#include "common/clock.h"
#include "longway.h"
#include "mailbox.h"
#include "plane.h"
#include "stream.h"

#define LANES      4
#define GAP_MS     1500
#define SETTLE_MS  4000
#define LOGIN_MS   20000
#define DELIVER_MS 150000

static const struct longway_like line = {.delay_ms = 300,
                                         .jitter_ms = 60,
                                         .lost_percent = 5,
                                         .bits_per_s = 1000 * 1000,
                                         .queue_ms = 400};

static int make_lanes(struct stage *stage, const struct scene_account *to,
                      struct stream_lane lanes[LANES], struct cm_err *err)
{
    for (size_t i = 0; i < LANES; i++) {
        int family = i < 2 ? AF_INET : AF_INET6;
        const char *node = i % 2 == 0 ? "edge1" : "edge2";
        lanes[i] = (struct stream_lane){.doors = {door_at(node, family, 465, false),
                                                  door_at(node, family, 465, false)},
                                        .gap_ms = GAP_MS};
        snprintf(lanes[i].to, sizeof lanes[i].to, "%s", to->addr);
        if (account_make(stage, &lanes[i].from, SCENE_DOMAIN, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Neither the gateway the store, nor the store the gateway. */
static int not_taken_for_dead(struct stage *stage, const struct scene_mark marks[2],
                              struct cm_err *err)
{
    static const char *const nodes[] = {"edge1", "store"};
    static const char *const units[] = {"-u chatmail-gateway", "-u chatmail-cluster"};
    static const char *const signs[2][2] = {
        {"event=store_gone", "event=epoch_reverted"},
        {"event=phones_woken number=1", "old=up new=down"}};
    for (size_t i = 0; i < 2; i++) {
        char *text;
        if (scene_journal(&stage->scene, nodes[i], &marks[i], units[i], &text, err) !=
            0) {
            return -1;
        }
        for (size_t k = 0; k < 2; k++) {
            const char *at = strstr(text, signs[i][k]);
            if (at != NULL) {
                (void)cm_err_set(err, CM_ERR_REFUSE, "%s says: %.*s", nodes[i],
                                 (int)strcspn(at, "\n"), at);
                free(text);
                return -1;
            }
        }
        free(text);
    }
    return 0;
}

static int talk(struct stage *stage, struct chatter *chatter, struct ledger *ledger,
                const struct scene_account *to, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct stream_lane lanes[LANES];
    int64_t login_ms = 0, start = cm_now_mono_ms();
    if (make_lanes(stage, to, lanes, err) != 0 ||
        door_until_in(stage, &edge1, to, start, LOGIN_MS, &login_ms, err) != 0) {
        return -1;
    }
    struct stream *stream = stream_start(stage, lanes, LANES, ledger);
    int rc = 0;
    for (int i = 0; rc == 0 && i < (stage->quick ? 4 : 10); i++) {
        rc = chatter_say(chatter, err);
        stage_sleep_ms(2500);
    }
    stream_stop(&stream);
    stage_note(stage, "login in %.1f s", (double)login_ms / 1000);
    return rc;
}

static int through_it(struct stage *stage, struct chatter *chatter,
                      struct ledger *ledger, const struct scene_account *to,
                      struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    struct scene_mark marks[2];
    struct longway_counts counts = {0};
    size_t texts = 0;
    struct longway *way = longway_start(stage, "edge1", &line, err);
    if (way == NULL) {
        return -1;
    }
    stage_sleep_ms(SETTLE_MS);
    int rc = scene_mark(&stage->scene, "edge1", &marks[0], err) != 0 ||
                     scene_mark(&stage->scene, "store", &marks[1], err) != 0 ||
                     talk(stage, chatter, ledger, to, err) != 0 ||
                     chatter_even(chatter, DELIVER_MS, &texts, err) != 0 ||
                     mailbox_even(stage, &edge2, to, ledger, DELIVER_MS, err) != 0 ||
                     not_taken_for_dead(stage, marks, err) != 0
                 ? -1
                 : 0;
    longway_stop(&way, &counts);
    if (rc == 0) {
        stage_note(
            stage,
            "%zu mails accepted, each once, %zu texts; of %llu packets %llu lost",
            ledger_count(ledger, LEDGER_ACCEPTED), texts,
            (unsigned long long)(counts.passed + counts.lost),
            (unsigned long long)counts.lost);
        if (ledger_count(ledger, LEDGER_ACCEPTED) < 8 || counts.passed < 200) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "%zu mails, %llu packets, too few",
                            ledger_count(ledger, LEDGER_ACCEPTED),
                            (unsigned long long)counts.passed);
        }
    }
    struct cm_err later;
    if (longway_over(stage, rc == 0 ? err : &later) != 0) {
        rc = -1;
    }
    return rc;
}

static int on_this_plane(struct stage *stage, struct cm_err *err)
{
    struct scene_account to;
    struct ledger ledger;
    ledger_init(&ledger);
    struct chatter *chatter = chatter_start(stage, err);
    int rc = chatter == NULL || account_make(stage, &to, SCENE_DOMAIN, err) != 0 ||
                     through_it(stage, chatter, &ledger, &to, err) != 0
                 ? -1
                 : 0;
    chatter_stop(&chatter);
    ledger_clear(&ledger);
    return rc;
}

int scenario_slow_tunnel(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, on_this_plane, err);
}

int scenario_slow_tunnel_over(struct stage *stage, struct cm_err *err)
{
    return longway_over(stage, err) != 0 ? -1 : plane_back(stage, err);
}
