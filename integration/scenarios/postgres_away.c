/* PostgreSQL stopped for a minute (feasibility.md 12.2 and 12.3): logins are put off,
 * mail waits, and no password that was tried stands in any log. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "secrets.h"
#include "stream.h"

#define ANSWER_MS  12000
#define DELIVER_MS 200000
#define SERVER     "postgresql@15-main"

static int put_off(struct stage *stage, const struct door *door,
                   const struct scene_account *account, struct cm_err *err)
{
    enum imap_verdict verdict;
    char text[256];
    char name[64];
    door_name(door, name);
    int64_t start = cm_now_mono_ms();
    if (door_login(stage, door, account->addr, account->password, 2 * ANSWER_MS,
                   &verdict, text, err) != 0) {
        return cm_err_prefix(err, "login at %s, database away", name);
    }
    int64_t took = cm_now_mono_ms() - start;
    if (verdict != IMAP_TEMPORARY || took > ANSWER_MS) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "login at %s, database away: %s after %.1f s (%s)", name,
                          imap_verdict_name(verdict), (double)took / 1000, text);
    }
    return 0;
}

/* known has an account, stranger would make one. */
static int round_of_logins(struct stage *stage, const struct scene_account *known,
                           const struct scene_account *stranger, struct cm_err *err)
{
    const struct door doors[] = {
        door_at("edge1", AF_INET, 993, true), door_at("edge2", AF_INET6, 465, false),
        door_at("edge2", AF_INET, 143, true), door_at("edge1", AF_INET6, 587, false)};
    for (size_t i = 0; i < 4; i++) {
        if (put_off(stage, &doors[i], i % 4 < 2 ? known : stranger, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int while_away(struct stage *stage, const struct scene_account *known,
                      const struct scene_account *stranger,
                      const struct stream_lane *lane, struct ledger *ledger,
                      struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + (stage->quick ? 20000 : 60000);
    unsigned rounds = 0;
    do {
        if (round_of_logins(stage, known, stranger, err) != 0 ||
            stream_one(stage, lane, ledger, err) != 0) {
            return -1;
        }
        rounds++;
        stage_sleep_ms(1500);
    } while (cm_now_mono_ms() < until);
    stage_note(stage, "%u logins put off, none refused", 4 * rounds);
    return 0;
}

/* The store cannot tell who exists, so it puts mail off; the sender's relay keeps it.
 */
static int play(struct stage *stage, struct ledger *ledger, struct cm_err *err)
{
    struct scene_account known, stranger, far;
    const struct scene_account *all[] = {&known, &stranger, &far};
    struct door inbox = door_at("edge2", AF_INET, 993, true);
    int64_t since_ms = cm_now_wall_ms();
    scene_new_account(&stranger, SCENE_DOMAIN);
    if (account_make(stage, &known, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &far, SCENE_RELAY2, err) != 0) {
        return -1;
    }
    struct stream_lane lane = {.doors = {door_at("relay2", AF_INET, 465, false),
                                         door_at("relay2", AF_INET, 465, false)},
                               .from = far};
    snprintf(lane.to, sizeof lane.to, "%s", known.addr);
    if (scene_sh(&stage->scene, "store", 0, NULL, err, "systemctl stop " SERVER) != 0 ||
        while_away(stage, &known, &stranger, &lane, ledger, err) != 0 ||
        scenario_postgres_back(stage, err) != 0) {
        return -1;
    }
    int64_t back_ms = cm_now_mono_ms();
    if (door_until_in(stage, &inbox, &known, back_ms, ANSWER_MS, NULL, err) != 0 ||
        door_until_in(stage, &inbox, &stranger, back_ms, 2 * ANSWER_MS, NULL, err) !=
            0) {
        return -1;
    }
    if (stage->quick &&
        scene_sh(&stage->scene, "relay2", 0, NULL, err, "postqueue -f")) {
        return -1;
    }
    if (mailbox_even(stage, &inbox, &known, ledger, DELIVER_MS, err) != 0 ||
        secrets_unlogged(stage, since_ms, all, 3, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails %.0f s later", ledger_count(ledger, LEDGER_ACCEPTED),
               (double)(cm_now_mono_ms() - back_ms) / 1000);
    return 0;
}

int scenario_postgres_away(struct stage *stage, struct cm_err *err)
{
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = play(stage, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}

int scenario_postgres_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err, "systemctl start " SERVER);
}
