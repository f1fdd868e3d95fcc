/* edge1's table of connections is full, on both planes. By the kernel nobody notices:
 * what clients open takes no place in it, new connections come in, through a restart of
 * the agent too. By proxy who comes new is refused at once and served by edge2; who is
 * there stays; tunnel, bus and a restarted agent live; status and /metrics say it; when
 * there is room, all is as before by itself.
 *
 * The kernel's limit is one for the whole machine, so it is not lowered: the table is
 * filled up with made-up flows to just below, and then by a client's connections. */
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
#include "probe/wire.h"
#include "stream.h"

#define LEFT       40 /* room that the made-up flows leave */
#define CROWD      160
#define STEP_MS    15000
#define KNOCK_MS   1500
#define REFUSES_MS 15000
#define AT_ONCE_MS 700
#define BACK_MS    30000
#define DELIVER_MS 60000
#define RESTART_S  20
#define SAID_MS    5000

/* 100.64.0.0/10 is nobody's. Twice, for what went meanwhile. A flow as of an ordinary
 * client, one that has been answered; it would outlive the scenario. */
#define FILL                                                                           \
    "p=/proc/sys/net/netfilter/nf_conntrack_; f=$(mktemp);"                            \
    " for round in 1 2; do n=$(($(cat ${p}max) - $(cat ${p}count) - %d));"             \
    " awk -v n=$n -v r=$round 'BEGIN { for (i = 0; i < n; i++) {"                      \
    " a = sprintf(\"100.%%d.%%d.%%d\", 64 + int(i / 65536), int(i / 256) %% 256,"      \
    " i %% 256); printf(\"-I -p tcp -s %%s -d 198.51.100.11 --sport %%d --dport 993"   \
    " -r 198.51.100.11 -q %%s --reply-port-src 993 --reply-port-dst %%d"               \
    " --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 600\\n\", a, 1024 + r, a,"          \
    " 1024 + r) } }' >$f; conntrack -R $f >/dev/null 2>&1; done; rm -f $f;"            \
    " test $(($(cat ${p}max) - $(cat ${p}count))) -le %d"
#define EMPTY                                                                          \
    "test $(cat /proc/sys/net/netfilter/nf_conntrack_count) -lt 100000 ||"             \
    " conntrack -D -s 100.64.0.0/10 >/dev/null 2>&1; true"
#define METRIC                                                                         \
    "exec 3<>/dev/tcp/127.0.0.1/3903; printf 'GET /metrics HTTP/1.1\\r\\nHost: "       \
    "localhost\\r\\n\\r\\n' >&3; timeout 5 cat <&3 | grep -q '%s'"

struct crowd_of {
    struct wire *wires[CROWD];
    size_t count;
};

/* All of them are let in: four times what there is room for in the table. */
static int walk_in(struct stage *stage, struct crowd_of *crowd, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    while (crowd->count < CROWD) {
        struct wire *wire = wire_open(&to, err);
        if (wire == NULL) {
            return cm_err_prefix(err, "connection %zu", crowd->count + 1);
        }
        crowd->wires[crowd->count++] = wire;
    }
    return 0;
}

/* Until one is not let in any more: then the kernel drops. */
static int press_in(struct stage *stage, struct crowd_of *crowd, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, KNOCK_MS);
    while (crowd->count < CROWD) {
        struct cm_err why;
        struct wire *wire = wire_open(&to, &why);
        if (wire == NULL) {
            return 0;
        }
        crowd->wires[crowd->count++] = wire;
    }
    return cm_err_set(err, CM_ERR_WORLD, "%d more fit into a table with room for %d",
                      CROWD, LEFT);
}

static void leave(struct crowd_of *crowd)
{
    for (size_t i = 0; i < crowd->count; i++) {
        wire_close(&crowd->wires[i]);
    }
    crowd->count = 0;
}

static int refuses(struct stage *stage, int family, struct cm_err *err)
{
    struct door door = door_at("edge1", family, 993, true);
    struct wire_to to = door_wire(stage, &door, KNOCK_MS);
    int64_t until = cm_now_mono_ms() + REFUSES_MS;
    while (cm_now_mono_ms() < until) {
        struct cm_err why = {.text = ""};
        int64_t start = cm_now_mono_ms();
        struct wire *wire = wire_open(&to, &why);
        bool told = wire == NULL && strstr(why.text, "refused") != NULL;
        wire_close(&wire);
        if (told && cm_now_mono_ms() - start < AT_ONCE_MS) {
            return 0;
        }
        stage_sleep_ms(200);
    }
    return cm_err_set(err, CM_ERR_REFUSE, "edge1 v%d does not refuse at once",
                      family == AF_INET ? 4 : 6);
}

/* What status says comes from a report, which may be a second old. */
static int status_says(struct stage *stage, bool yes, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + SAID_MS;
    bool full = !yes;
    char *said = NULL;
    int status = 0;
    while (status >= 0 && full != yes && cm_now_mono_ms() < until) {
        free(said);
        said = NULL;
        status = cluster_chatops(stage, CLUSTER_INI, "status", &said, err);
        full = status >= 0 && strstr(said, "edge1: connection table full") != NULL;
    }
    if (status >= 0 && full != yes) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops status says%s: %.500s",
                            yes ? " nothing of it" : " it still", said);
    }
    free(said);
    return status;
}

/* `yes`: status and metrics must say that it is full, else that it is not. */
static int is_said(struct stage *stage, bool yes, struct cm_err *err)
{
    char metric[80];
    int status = status_says(stage, yes, err);
    snprintf(metric, sizeof metric, "^chatmail_gateway_table_full.*edge1.* %d$", yes);
    return status < 0 ? -1
                      : scene_until(&stage->scene, "store", 10, err,
                                    "bash -c \"" METRIC "\"", metric);
}

/* Its connections to the store are new ones. */
static int agent_comes_back(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "edge1", 0, NULL, err,
                 "systemctl restart chatmail-gateway") != 0 ||
        cluster_until_well(stage, RESTART_S * 1000, NULL, err) != 0) {
        return cm_err_prefix(err, "the agent restarted with a full table");
    }
    return 0;
}

/* Everybody is served, by edge1 itself. */
static int unharmed(struct stage *stage, struct imap *there, struct chatter *chatter,
                    const struct scene_account *account, struct ledger *ledger,
                    struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct stream_lane lane = {.doors = {door_at("edge1", AF_INET, 465, false)},
                               .gap_ms = 1200,
                               .from = *account};
    int64_t back = 0;
    snprintf(lane.to, sizeof lane.to, "%s", account->addr);
    struct stream *stream = stream_start(stage, &lane, 1, ledger);
    int rc = chatter_say(chatter, err) != 0 ||
                     imap_command(there, "NOOP", NULL, NULL, err) != 0 ||
                     agent_comes_back(stage, err) != 0 ||
                     imap_command(there, "NOOP", NULL, NULL, err) != 0 ||
                     door_until_in(stage, &edge1, account, cm_now_mono_ms(), STEP_MS,
                                   &back, err) != 0
                 ? -1
                 : 0;
    stream_stop(&stream);
    return rc;
}

static int while_full(struct stage *stage, struct imap *there, struct chatter *chatter,
                      const struct scene_account *account, struct ledger *ledger,
                      struct cm_err *err)
{
    struct stream_lane lane = {.doors = {door_at("edge1", AF_INET, 465, false),
                                         door_at("edge2", AF_INET, 465, false)},
                               .gap_ms = 1200,
                               .from = *account};
    snprintf(lane.to, sizeof lane.to, "%s", account->addr);
    if (refuses(stage, AF_INET, err) != 0 || refuses(stage, AF_INET6, err) != 0) {
        return -1;
    }
    struct stream *stream = stream_start(stage, &lane, 1, ledger);
    int rc = chatter_say(chatter, err) != 0 ||
                     imap_command(there, "NOOP", NULL, NULL, err) != 0 ||
                     is_said(stage, true, err) != 0 ||
                     cluster_until_well(stage, STEP_MS, NULL, err) != 0 ||
                     agent_comes_back(stage, err) != 0 ||
                     refuses(stage, AF_INET, err) != 0 ||
                     imap_command(there, "NOOP", NULL, NULL, err) != 0
                 ? -1
                 : 0;
    stream_stop(&stream);
    return rc;
}

static int until_served(struct stage *stage, const struct scene_account *account,
                        struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    int64_t back = 0, start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, "edge1", 0, NULL, err, EMPTY) != 0 ||
        door_until_in(stage, &edge1, account, start, BACK_MS, &back, err) != 0) {
        return cm_err_prefix(err, "with room again");
    }
    stage_note(stage, "serves %.1f s after there is room", (double)back / 1000);
    return is_said(stage, false, err);
}

static int crowd_out(struct stage *stage, struct imap *there, struct chatter *chatter,
                     const struct scene_account *account, struct ledger *ledger,
                     bool tracked, struct cm_err *err)
{
    struct crowd_of crowd = {.count = 0};
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    size_t texts = 0;
    int rc =
        scene_sh(&stage->scene, "edge1", 180, NULL, err, FILL, LEFT, 2 * LEFT) != 0 ||
                (tracked ? press_in : walk_in)(stage, &crowd, err) != 0 ||
                (tracked ? while_full : unharmed)(stage, there, chatter, account,
                                                  ledger, err) != 0
            ? -1
            : 0;
    leave(&crowd);
    if (rc != 0 || until_served(stage, account, err) != 0 ||
        chatter_say(chatter, err) != 0 ||
        chatter_even(chatter, DELIVER_MS, &texts, err) != 0 ||
        imap_command(there, "NOOP", NULL, NULL, err) != 0 ||
        mailbox_even(stage, &edge2, account, ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails, %zu texts, each once",
               ledger_count(ledger, LEDGER_ACCEPTED), texts);
    return ledger_count(ledger, LEDGER_ACCEPTED) > 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "no mail was accepted meanwhile");
}

static int on_plane(struct stage *stage, bool tracked, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct scene_account account;
    struct ledger ledger;
    struct imap *there = NULL;
    ledger_init(&ledger);
    struct chatter *chatter = chatter_start(stage, err);
    int rc = -1;
    if (chatter != NULL && account_make(stage, &account, SCENE_DOMAIN, err) == 0 &&
        (there = door_imap(stage, &edge1, &account, STEP_MS, err)) != NULL) {
        rc = crowd_out(stage, there, chatter, &account, &ledger, tracked, err);
    }
    imap_close(&there);
    chatter_stop(&chatter);
    ledger_clear(&ledger);
    return rc;
}

int scenario_conntrack_full(struct stage *stage, struct cm_err *err)
{
    bool carries = false;
    if (plane_carries(stage, &carries, err) != 0 ||
        on_plane(stage, !carries, err) != 0) {
        return cm_err_prefix(err, "kernel plane");
    }
    if (plane_set(stage, true, err) != 0 || on_plane(stage, true, err) != 0) {
        return cm_err_prefix(err, "proxy plane");
    }
    return 0;
}

int scenario_conntrack_room(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 180, NULL, err, EMPTY) != 0
               ? -1
               : plane_back(stage, err);
}
