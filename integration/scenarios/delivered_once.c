/* chatmail-web killed again and again while another relay hands it mail over HTTPS.
 *
 * It dies between Postfix's taking a message and its own answer too: the other relay
 * cannot know, and brings the message again by SMTP. The mailbox has it once. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"
#include "unit.h"

#define UNIT       "chatmail-web.service"
#define KILLS      8
#define BACK_MS    10000
#define GAP_MS     1100 /* a user may send one message a second for ever */
#define DELIVER_MS 300000

/* Second copies that Dovecot left out since that moment of its journal. */
static int second_copies(struct stage *stage, const char *since, long *count_r,
                         struct cm_err *err)
{
    char *said = NULL;
    int rc = scene_sh(&stage->scene, "store", 0, &said, err,
                      "journalctl -u dovecot --after-cursor='%s' | grep -c 'a second "
                      "copy, not saved again' || true",
                      since);
    *count_r = rc == 0 ? strtol(said, NULL, 10) : 0;
    free(said);
    return rc;
}

static int cursor_now(struct stage *stage, char cursor_r[256], struct cm_err *err)
{
    char *said = NULL;
    int rc = scene_sh(&stage->scene, "store", 0, &said, err,
                      "journalctl -n 1 -o json --output-fields=_PID"
                      " | sed 's/.*\"__CURSOR\":\"\\([^\"]*\\)\".*/\\1/'");
    if (rc == 0) {
        snprintf(cursor_r, 256, "%.*s", (int)strcspn(said, "\n"), said);
    }
    free(said);
    return rc;
}

/* A host whose HTTPS failed once is written to by SMTP for a while: forgotten at each
 * start of the other relay's chatmail-transport. */
static int kills(struct stage *stage, struct cm_err *err)
{
    for (int i = 0; i < KILLS; i++) {
        int64_t ms;
        if (scene_sh(&stage->scene, "relay2", 30, NULL, err,
                     "systemctl restart chatmail-transport.service") != 0) {
            return -1;
        }
        stage_sleep_ms(500 + 37 * i);
        if (unit_kill(stage, "store", UNIT, BACK_MS, &ms, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int make_lane(struct stage *stage, const struct scene_account *to,
                     struct stream_lane *lane_r, struct cm_err *err)
{
    struct door out = door_at("relay2", AF_INET, 465, false);
    *lane_r = (struct stream_lane){.doors = {out, out}, .gap_ms = GAP_MS};
    cm_assert(strlen(to->addr) < sizeof lane_r->to);
    memcpy(lane_r->to, to->addr, strlen(to->addr) + 1);
    return account_make(stage, &lane_r->from, SCENE_RELAY2, err);
}

static int play(struct stage *stage, struct ledger *ledger, struct cm_err *err)
{
    struct scene_account to;
    struct stream_lane lanes[STREAM_LANES_MAX];
    struct door inbox = door_at("edge2", AF_INET, 993, true);
    char since[256];
    long copies;
    if (account_make(stage, &to, SCENE_DOMAIN, err) != 0 ||
        cursor_now(stage, since, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < STREAM_LANES_MAX; i++) {
        if (make_lane(stage, &to, &lanes[i], err) != 0) {
            return -1;
        }
    }
    struct stream *stream = stream_start(stage, lanes, STREAM_LANES_MAX, ledger);
    int rc = kills(stage, err);
    stream_stop(&stream);
    int64_t start = cm_now_mono_ms();
    if (rc != 0 || mailbox_even(stage, &inbox, &to, ledger, DELIVER_MS, err) != 0 ||
        second_copies(stage, since, &copies, err) != 0) {
        return -1;
    }
    stage_note(stage,
               "%d kills, %zu messages there once %.0f s later; %ld second copies",
               KILLS, ledger_count(ledger, LEDGER_ACCEPTED),
               (double)(cm_now_mono_ms() - start) / 1000, copies);
    return 0;
}

int scenario_delivered_once(struct stage *stage, struct cm_err *err)
{
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = play(stage, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}
