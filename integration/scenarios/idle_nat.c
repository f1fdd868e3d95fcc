/* Boxes on the way forget connections that say nothing. Between the clients and the
 * gateways stands one as a mobile network has it: NAT for IPv4, for IPv6 a firewall
 * that lets nothing in unasked; it forgets silent connections, and so does the home
 * router. Clients in IDLE on each IMAP port say nothing for longer; the store's
 * keepalive, or the proxy's, keeps them known, and new mail is announced on the old
 * connection.
 *
 * idle_half_hour is in real time: edge1 on the kernel plane and edge2 by proxy, the
 * carrier remembers for five minutes, the home router for the 30 s that bad ones do.
 * idle_nat takes two minutes: all but the proxy's keepalive, which is fixed, is shorter
 * by the same factor; by proxy its timer is looked at instead. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chatter.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "mailbox.h"
#include "plane.h"
#include "router.h"
#include "stream.h"

#define STEP_MS     15000
#define ANNOUNCE_MS 5000
#define DELIVER_MS  20000
#define TALK_MS     60000
#define IDLERS_MAX  6

struct spell {
    int64_t silence_ms;
    int forget_s; /* the carrier, and edge1 when it is shorter than it asks itself */
    int ask_s;    /* the store; 0: as deployed */
};

static const struct spell spell_short = {40000, 16, 6};
static const struct spell spell_real = {30 * 60 * 1000, 300, 0};

/* ---- the boxes ---- */

#define CLIENT4 "203.0.113.101"
#define CLIENT6 "2001:db8:4::101"
#define TCP_AGE "net.netfilter.nf_conntrack_tcp_timeout_established"
#define UDP_AGE "net.netfilter.nf_conntrack_udp_timeout"

/* $1 is how long it remembers. Redirects would lead around it. */
static const char carrier[] =
    "sysctl -qw " TCP_AGE "=%d; nft -f - <<'EOF'\n"
    "table inet lab_carrier\n"
    "delete table inet lab_carrier\n"
    "table inet lab_carrier {\n"
    " chain out {\n"
    "  type nat hook postrouting priority srcnat\n"
    "  ip saddr " CLIENT4 " ip daddr 198.51.100.0/24 masquerade\n"
    " }\n"
    " chain pass {\n"
    "  type filter hook forward priority filter\n"
    "  ip saddr " CLIENT4 " tcp flags & (syn | ack) != syn ct state new drop\n"
    "  ip6 saddr " CLIENT6 " tcp flags & (syn | ack) != syn ct state new drop\n"
    "  ip daddr " CLIENT4 " ct state new drop\n"
    "  ip6 daddr " CLIENT6 " ct state new drop\n"
    "  ct state invalid drop\n"
    " }\n"
    " chain own {\n"
    "  type filter hook output priority filter\n"
    "  icmpv6 type nd-redirect drop\n"
    "  icmp type redirect drop\n"
    " }\n"
    "}\nEOF\n";
static const char no_carrier[] =
    "nft delete table inet lab_carrier 2>/dev/null; sysctl -qw " TCP_AGE "=432000";

#define HOME(s, stream) "sysctl -qw " UDP_AGE "=" s " " UDP_AGE "_stream=" stream

/* What was there is kept in a file, once. */
#define KEEP(key)                                                                      \
    "test -e /run/lab-" key " || sysctl -n " key " >/run/lab-" key "; sysctl -qw " key
#define BACK(key)                                                                      \
    "test ! -e /run/lab-" key " || { sysctl -qw " key "=$(cat /run/lab-" key           \
    ") && rm /run/lab-" key "; }"
#define ASK   "net.ipv4.tcp_keepalive_time"
#define AGAIN "net.ipv4.tcp_keepalive_intvl"

static int place_boxes(struct stage *stage, const struct spell *spell,
                       struct cm_err *err)
{
    char *text = cm_asprintf(carrier, spell->forget_s);
    int rc = router_internet(stage, text, err);
    free(text);
    if (rc != 0 || router_home(stage, HOME("30", "30"), err) != 0) {
        return -1;
    }
    if (spell->ask_s == 0) {
        return 0;
    }
    return scene_sh(&stage->scene, "edge1", 0, NULL, err, KEEP(TCP_AGE) "=%d",
                    spell->forget_s) != 0
               ? -1
               : scene_sh(&stage->scene, "store", 0, NULL, err,
                          KEEP(ASK) "=%d; " KEEP(AGAIN) "=%d", spell->ask_s,
                          spell->ask_s / 2);
}

int scenario_idle_nat_over(struct stage *stage, struct cm_err *err)
{
    return router_internet(stage, no_carrier, err) != 0 ||
                   router_home(stage, HOME("30", "120"), err) != 0 ||
                   scene_sh(&stage->scene, "edge1", 0, NULL, err, BACK(TCP_AGE)) != 0 ||
                   scene_sh(&stage->scene, "store", 0, NULL, err,
                            BACK(ASK) "; " BACK(AGAIN)) != 0
               ? -1
               : plane_back(stage, err);
}

/* ---- the clients ---- */

struct cast {
    struct scene_account account;
    struct ledger ledger;
    struct door doors[IDLERS_MAX];
    struct imap *idlers[IDLERS_MAX];
    size_t count;
};

static const int ports[] = {993, 143, 443};

static void add_doors(struct cast *c, const char *node, int family, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        c->doors[c->count++] = door_at(node, family, ports[i], true);
    }
}

static int settle(struct stage *stage, struct cast *c, struct cm_err *err)
{
    for (size_t i = 0; i < c->count; i++) {
        struct imap *imap = door_imap(stage, &c->doors[i], &c->account, STEP_MS, err);
        c->idlers[i] = imap;
        if (imap == NULL || imap_command(imap, "SELECT INBOX", NULL, NULL, err) != 0 ||
            imap_idle(imap, err) != 0) {
            return cm_err_prefix(err, "%s port %d", c->doors[i].node, c->doors[i].port);
        }
    }
    return 0;
}

static int all_told(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct stream_lane lane = {.doors = {door_at("edge2", AF_INET, 465, false),
                                         door_at("edge2", AF_INET, 465, false)},
                               .from = c->account};
    snprintf(lane.to, sizeof lane.to, "%s", c->account.addr);
    if (stream_one(stage, &lane, &c->ledger, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < c->count; i++) {
        int rc = imap_idle_wait(c->idlers[i], ANNOUNCE_MS, err);
        if (rc != 1) {
            char name[64];
            door_name(&c->doors[i], name);
            return rc == 0
                       ? cm_err_set(err, CM_ERR_REFUSE, "%s: nothing announced", name)
                       : cm_err_prefix(err, "%s", name);
        }
    }
    return 0;
}

static int counted(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    return mailbox_even(stage, &edge2, &c->account, &c->ledger, DELIVER_MS, err);
}

static void leave(struct cast *c)
{
    for (size_t i = 0; i < c->count; i++) {
        imap_close(&c->idlers[i]);
    }
    ledger_clear(&c->ledger);
}

/* ---- two minutes ---- */

/* A connection of which nobody keeps anything alive: that the carrier forgets it shows
 * that it would have forgotten the others. */
static int is_forgetful(struct stage *stage, struct cm_err *err)
{
    return router_internet(stage,
                           "! grep -q 'src=" CLIENT4 " .*dport=22 ' "
                           "/proc/net/nf_conntrack",
                           err) != 0
               ? cm_err_prefix(err, "the carrier forgets nothing")
               : 0;
}

/* nginx says for itself how often it asks, and chatmail-proxy: their timers are looked
 * at. Two minutes at most. */
static int asks(struct stage *stage, const char *node, const char *filter,
                struct cm_err *err)
{
    return scene_until(&stage->scene, node, 10, err,
                       "ss -Htno state established '%s' | "
                       "grep -qE 'timer:\\(keepalive,([12]min|[0-9.]+(ms|sec))'",
                       filter) != 0
               ? cm_err_prefix(err, "no keepalive on %s for %s", node, filter)
               : 0;
}

static int by_kernel(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct wire_to ssh = {.netns = stage->netns,
                          .host = lab_address("edge1", AF_INET),
                          .port = 22,
                          .timeout_ms = STEP_MS};
    add_doors(c, "edge1", AF_INET, 2);
    if (place_boxes(stage, &spell_short, err) != 0 || settle(stage, c, err) != 0) {
        return -1;
    }
    struct wire *silent = wire_open(&ssh, err);
    int rc = silent == NULL ? -1 : 0;
    if (rc == 0) {
        stage_sleep_ms(spell_short.silence_ms);
        rc = is_forgetful(stage, err);
    }
    wire_close(&silent);
    return rc != 0 ? -1 : all_told(stage, c, err);
}

/* Both asked as in the half hour. */
static int timers(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door by_nginx = door_at("edge1", AF_INET, 443, true);
    struct imap *imap = door_imap(stage, &by_nginx, &c->account, STEP_MS, err);
    int rc = imap == NULL
                 ? -1
                 : asks(stage, "store", "( sport = :443 and src 10.77.1.2 )", err);
    imap_close(&imap);
    if (rc != 0 || plane_set(stage, true, err) != 0) {
        return -1;
    }
    struct door by_proxy = door_at("edge2", AF_INET, 993, true);
    imap = door_imap(stage, &by_proxy, &c->account, STEP_MS, err);
    rc = imap == NULL
             ? -1
             : asks(stage, "edge2", "( sport = :993 and src 203.0.113.12 )", err);
    imap_close(&imap);
    return rc;
}

int scenario_idle_nat(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.count = 0};
    ledger_init(&c.ledger);
    int rc = account_make(stage, &c.account, SCENE_DOMAIN, err) != 0 ||
                     by_kernel(stage, &c, err) != 0 || counted(stage, &c, err) != 0 ||
                     timers(stage, &c, err) != 0
                 ? -1
                 : 0;
    leave(&c);
    return rc;
}

/* ---- half an hour ---- */

static int half_hour(struct stage *stage, struct cast *c, struct chatter *chatter,
                     struct cm_err *err)
{
    size_t texts;
    add_doors(c, "edge1", AF_INET, 3);
    add_doors(c, "edge2", AF_INET6, 3);
    if (plane_set_second(stage, err) != 0 ||
        place_boxes(stage, &spell_real, err) != 0 || settle(stage, c, err) != 0) {
        return -1;
    }
    stage_sleep_ms(spell_real.silence_ms);
    if (all_told(stage, c, err) != 0 || counted(stage, c, err) != 0 ||
        chatter_say(chatter, err) != 0 ||
        chatter_even(chatter, TALK_MS, &texts, err) != 0) {
        return cm_err_prefix(err, "after half an hour");
    }
    stage_note(stage, "%zu clients in IDLE for half an hour, all told; %zu chat texts",
               c->count, texts);
    return 0;
}

int scenario_idle_half_hour(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.count = 0};
    ledger_init(&c.ledger);
    struct chatter *chatter = chatter_start(stage, err);
    int rc = chatter == NULL || account_make(stage, &c.account, SCENE_DOMAIN, err) != 0
                 ? -1
                 : half_hour(stage, &c, chatter, err);
    chatter_stop(&chatter);
    leave(&c);
    return rc;
}
