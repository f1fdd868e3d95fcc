/* The tunnel of one gateway falls silent both ways, one way, the other way, and is then
 * slow and loses every fifth packet, while mail is sent by both gateways. Each time
 * everything comes back by itself, and every accepted message is there once.
 *
 * edge1 itself stays reachable: while its tunnel is dead it has to refuse. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#include "chatter.h"
#include "cluster.h"
#include "common/clock.h"
#include "mailbox.h"
#include "plane.h"
#include "stream.h"

#define LANES      6
#define GAP_MS     1200
#define BLOW_MS    14000
#define REFUSES_MS 12000 /* one way: 7 s without an answer, and a look each second */
#define WELL_MS    45000
#define DELIVER_MS 120000
#define KNOCK_MS   2000

#define TABLE "inet lab_partition"
#define LIFT                                                                           \
    "nft delete table " TABLE " 2>/dev/null; tc qdisc del dev eth0 root "              \
    "2>/dev/null; true"
#define OUT    "chain o { type filter hook output priority -200; udp sport 51820 "
#define IN     "chain i { type filter hook input priority -200; udp dport 51820 "
#define NFT(x) "nft -f - <<EOF\ntable " TABLE " {\n" x "\n}\nEOF\n"
#define LOSS   "numgen random mod 100 < 20 drop\n}\n"

static const struct {
    const char *what;
    const char *command;
    bool dead;
} blows[] = {
    {"silent", NFT(OUT "drop\n}\n" IN "drop\n}\n"), true},
    {"nothing out", NFT(OUT "drop\n}\n"), true},
    {"nothing in", NFT(IN "drop\n}\n"), true},
    {"slow and lossy",
     NFT(OUT LOSS IN LOSS) "tc qdisc replace dev eth0 root tbf rate 3mbit burst 16kb "
                           "latency 200ms",
     false},
};

static int make_lanes(struct stage *stage, const struct scene_account *to,
                      struct stream_lane lanes[LANES], struct cm_err *err)
{
    for (size_t i = 0; i < LANES; i++) {
        int family = i % 4 < 2 ? AF_INET : AF_INET6;
        lanes[i] = (struct stream_lane){
            .doors = {door_at(i % 2 == 0 ? "edge1" : "edge2", family, 465, false),
                      door_at(i % 2 == 0 ? "edge2" : "edge1", family, 465, false)},
            .gap_ms = GAP_MS};
        snprintf(lanes[i].to, sizeof lanes[i].to, "%s", to->addr);
        if (account_make(stage, &lanes[i].from, SCENE_DOMAIN, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* RST for who comes new, so that he takes the other gateway at once; the proxy has
 * taken the connection by then. */
static int refuses(struct stage *stage, int64_t *ms_r, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, KNOCK_MS);
    int64_t start = cm_now_mono_ms();
    while ((*ms_r = cm_now_mono_ms() - start) < REFUSES_MS) {
        struct cm_err why = {.text = ""};
        int64_t knocked = cm_now_mono_ms();
        struct wire *wire = wire_open(&to, &why);
        bool told = wire != NULL ? wire_tls(wire, NULL, &why) != 0
                                 : strstr(why.text, "refused") != NULL;
        wire_close(&wire);
        if (told && cm_now_mono_ms() - knocked < KNOCK_MS / 2) {
            return 0;
        }
        stage_sleep_ms(200);
    }
    return cm_err_set(err, CM_ERR_REFUSE, "edge1 does not refuse after %d s",
                      REFUSES_MS / 1000);
}

static int strike(struct stage *stage, struct chatter *chatter, size_t i,
                  const struct scene_account *account, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    int64_t refused = 0, back = 0, start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, "edge1", 0, NULL, err, "%s", blows[i].command) != 0 ||
        (blows[i].dead && refuses(stage, &refused, err) != 0)) {
        return -1;
    }
    if (!blows[i].dead &&
        door_until_in(stage, &door, account, start, BLOW_MS, NULL, err) != 0) {
        return -1;
    }
    if (chatter_say(chatter, err) != 0) {
        return -1;
    }
    int64_t left = start + BLOW_MS - cm_now_mono_ms();
    stage_sleep_ms(left > 0 ? left : 0);
    start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, "edge1", 0, NULL, err, LIFT) != 0 ||
        door_until_in(stage, &door, account, start, WELL_MS, &back, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0) {
        return cm_err_prefix(err, "afterwards");
    }
    if (blows[i].dead) {
        stage_note(stage, "%s: refuses after %.1f s, in again after %.1f s",
                   blows[i].what, (double)refused / 1000, (double)back / 1000);
    }
    return 0;
}

static int strike_all(struct stage *stage, struct chatter *chatter,
                      const struct scene_account *account, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof blows / sizeof blows[0]; i++) {
        if (strike(stage, chatter, i, account, err) != 0) {
            return cm_err_prefix(err, "tunnel %s", blows[i].what);
        }
    }
    return 0;
}

static int play(struct stage *stage, struct chatter *chatter, struct ledger *ledger,
                struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct scene_account to;
    struct stream_lane lanes[LANES];
    if (account_make(stage, &to, SCENE_DOMAIN, err) != 0 ||
        make_lanes(stage, &to, lanes, err) != 0) {
        return -1;
    }
    struct stream *stream = stream_start(stage, lanes, LANES, ledger);
    int rc = strike_all(stage, chatter, &to, err);
    stream_stop(&stream);
    size_t texts = 0;
    if (rc != 0 || mailbox_even(stage, &edge1, &to, ledger, DELIVER_MS, err) != 0 ||
        chatter_even(chatter, DELIVER_MS, &texts, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu mails, %zu texts, each once; %zu without an answer",
               ledger_count(ledger, LEDGER_ACCEPTED), texts,
               ledger_count(ledger, LEDGER_UNKNOWN));
    return ledger_count(ledger, LEDGER_ACCEPTED) >= 60
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "only %zu messages were accepted",
                            ledger_count(ledger, LEDGER_ACCEPTED));
}

static int on_this_plane(struct stage *stage, struct cm_err *err)
{
    return chatter_play(stage, play, err);
}

int scenario_partition(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, on_this_plane, err);
}

int scenario_partition_over(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err, LIFT) != 0
               ? -1
               : plane_back(stage, err);
}
