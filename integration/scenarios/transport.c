/* Mail between the cluster and another relay, both ways: over HTTPS, and over SMTP
 * while relay2 neither offers nor reaches port 443. Every message is counted, the
 * queues are empty at the end of each leg, and the home line is never seen on either
 * port. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "door.h"
#include "mailbox.h"
#include "relay443.h"
#include "stream.h"

#define BATCH      5
#define DELIVER_MS 60000
#define QUEUE_S    20

/* Both ways at once are two streams with a mailbox each. */
struct way {
    const char *node; /* that sends */
    struct stream_lane lane;
    struct door inbox;
    struct scene_account to;
    struct ledger ledger;
    struct scene_mark mark;
};

/* The sum of ok= in the deliveries of that path since the mark. */
static int delivered(struct stage *stage, const struct way *way, const char *path,
                     unsigned *sum_r, struct cm_err *err)
{
    char *log = NULL, *rest = NULL;
    if (scene_journal(&stage->scene, way->node, &way->mark, "-u chatmail-transport",
                      &log, err) != 0) {
        return -1;
    }
    *sum_r = 0;
    for (char *line = strtok_r(log, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char word[32];
        unsigned ok;
        const char *at = strstr(line, " path=");
        if (strstr(line, "event=delivery ") != NULL && at != NULL &&
            sscanf(at, " path=%31s ok=%u", word, &ok) == 2 && strcmp(word, path) == 0) {
            *sum_r += ok;
        }
    }
    free(log);
    return 0;
}

static int queue_empty(struct stage *stage, const char *node, struct cm_err *err)
{
    return scene_until(&stage->scene, node, QUEUE_S, err,
                       "postqueue -p | grep -q 'queue is empty'") == 0
               ? 0
               : cm_err_prefix(err, "queue of %s", node);
}

static int send_way(struct stage *stage, struct way *way, struct cm_err *err)
{
    if (scene_mark(&stage->scene, way->node, &way->mark, err) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < BATCH; i++) {
        if (stream_one(stage, &way->lane, &way->ledger, err) != 0) {
            return cm_err_prefix(err, "mail %u from %s", i + 1, way->node);
        }
    }
    return 0;
}

static int judge_way(struct stage *stage, struct way *way, const char *path,
                     struct cm_err *err)
{
    unsigned ok = 0;
    if (mailbox_even(stage, &way->inbox, &way->to, &way->ledger, DELIVER_MS, err) !=
            0 ||
        queue_empty(stage, way->node, err) != 0 ||
        delivered(stage, way, path, &ok, err) != 0) {
        return -1;
    }
    return ok == BATCH ? 0
                       : cm_err_set(err, CM_ERR_REFUSE, "%s sent %u of %d by %s",
                                    way->node, ok, BATCH, path);
}

static int leg(struct stage *stage, struct way ways[2], const char *path,
               struct cm_err *err)
{
    if (send_way(stage, &ways[0], err) != 0 || send_way(stage, &ways[1], err) != 0 ||
        judge_way(stage, &ways[0], path, err) != 0 ||
        judge_way(stage, &ways[1], path, err) != 0 ||
        relay443_home_unseen(stage, err) != 0) {
        return cm_err_prefix(err, "by %s", path);
    }
    stage_note(stage, "%d there and %d back by %s", BATCH, BATCH, path);
    return 0;
}

static int make_ways(struct stage *stage, struct way ways[2], struct cm_err *err)
{
    struct door in[2] = {door_at("edge2", AF_INET, 465, false),
                         door_at("relay2", AF_INET, 465, false)};
    struct door out[2] = {door_at("edge2", AF_INET, 993, true),
                          door_at("relay2", AF_INET, 993, true)};
    static const char *const domains[2] = {SCENE_DOMAIN, SCENE_RELAY2};
    static const char *const nodes[2] = {"store", "relay2"};
    struct scene_account accounts[2];
    for (size_t i = 0; i < 2; i++) {
        if (account_make(stage, &accounts[i], domains[i], err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        ways[i].node = nodes[i];
        ways[i].lane.from = accounts[i];
        ways[i].lane.doors[0] = ways[i].lane.doors[1] = in[i];
        ways[i].inbox = out[1 - i];
        ways[i].to = accounts[1 - i];
        snprintf(ways[i].lane.to, sizeof ways[i].lane.to, "%s", ways[i].to.addr);
    }
    return 0;
}

static int play(struct stage *stage, struct way ways[2], struct cm_err *err)
{
    if (relay443_back(stage, err) != 0 || make_ways(stage, ways, err) != 0 ||
        relay443_set(stage, RELAY443_OPEN, err) != 0 ||
        leg(stage, ways, "https", err) != 0 ||
        relay443_set(stage, RELAY443_SILENT, err) != 0 ||
        leg(stage, ways, "smtp", err) != 0) {
        return -1;
    }
    return relay443_back(stage, err);
}

int scenario_transport(struct stage *stage, struct cm_err *err)
{
    struct way ways[2] = {{.node = NULL}, {.node = NULL}};
    ledger_init(&ways[0].ledger);
    ledger_init(&ways[1].ledger);
    int rc = play(stage, ways, err);
    ledger_clear(&ways[0].ledger);
    ledger_clear(&ways[1].ledger);
    return rc;
}

int scenario_transport_open(struct stage *stage, struct cm_err *err)
{
    return relay443_back(stage, err);
}
