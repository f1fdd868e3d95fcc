/* Boxes on the way forget connections that say nothing. A client in IDLE on each IMAP
 * port says nothing for longer than edge1's connection tracking remembers; the store's
 * keepalive keeps it known, and new mail is announced on the old connection.
 *
 * In real time half an hour would pass: the store asks every 2 minutes, boxes forget
 * after 5 or more. Here both are shorter, by the same factor of more than two. Then a
 * gateway whose table is full: who is there lives on, who comes new gets in when there
 * is room. */
#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"

#define STEP_MS     15000
#define ANNOUNCE_MS 5000
#define SILENCE_MS  40000 /* more than twice what edge1 remembers */
#define DELIVER_MS  20000
#define FORGET_S    "16"
#define ASK_S       "6"

#define SHORT "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=" FORGET_S
#define LONG  "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=432000"
#define ASK                                                                            \
    "sysctl -qw net.ipv4.tcp_keepalive_time=" ASK_S " net.ipv4.tcp_keepalive_intvl=3"
#define ASK_AS_DEPLOYED                                                                \
    "sysctl -qw net.ipv4.tcp_keepalive_time=120 net.ipv4.tcp_keepalive_intvl=30"

static const int ports[] = {993, 143, 443};
#define IDLERS (sizeof ports / sizeof ports[0])

static struct imap *settle(struct stage *stage, const struct scene_account *account,
                           int port, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, port, true);
    struct imap *imap = door_imap(stage, &door, account, STEP_MS, err);
    if (imap != NULL && (imap_command(imap, "SELECT INBOX", NULL, NULL, err) != 0 ||
                         imap_idle(imap, err) != 0)) {
        imap_close(&imap);
    }
    return imap;
}

/* The lines of its table that are of clients on the ports whose keepalive is the
 * store's ordinary one. */
static int is_known(struct stage *stage, const char *when, struct cm_err *err)
{
    char *count = NULL;
    if (scene_sh(&stage->scene, "edge1", 0, &count, err,
                 "grep -c 'ESTABLISHED src=203.0.113.101 .*dport=\\(993\\|143\\) ' "
                 "/proc/net/nf_conntrack || true") != 0) {
        return -1;
    }
    long n = strtol(count, NULL, 10);
    free(count);
    return n >= 2 ? 0
                  : cm_err_set(err, CM_ERR_REFUSE,
                               "%s edge1 knows %ld of 2 idle connections", when, n);
}

/* nginx says for itself how often it asks, so 443 is not shorter here. Its timer is
 * looked at instead: two minutes at most. */
static int asks_on_443(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "ss -Htno state established '( sport = :443 and src 10.77.1.2 )' | "
                    "grep -qE 'timer:\\(keepalive,(1min|[0-9.]+(ms|sec))'") != 0
               ? cm_err_prefix(err, "no keepalive on 443")
               : 0;
}

static int all_told(struct stage *stage, struct imap *const idlers[IDLERS],
                    struct cm_err *err)
{
    for (size_t i = 0; i < IDLERS; i++) {
        int rc = imap_idle_wait(idlers[i], ANNOUNCE_MS, err);
        if (rc != 1) {
            return rc == 0 ? cm_err_set(err, CM_ERR_REFUSE,
                                        "port %d: nothing announced", ports[i])
                           : cm_err_prefix(err, "port %d", ports[i]);
        }
    }
    (void)stage;
    return 0;
}

static int idle_long(struct stage *stage, const struct scene_account *account,
                     struct ledger *ledger, struct cm_err *err)
{
    struct imap *idlers[IDLERS] = {NULL};
    struct stream_lane lane = {.doors = {door_at("edge2", AF_INET, 465, false),
                                         door_at("edge2", AF_INET, 465, false)},
                               .from = *account};
    snprintf(lane.to, sizeof lane.to, "%s", account->addr);
    int rc = scene_sh(&stage->scene, "edge1", 0, NULL, err, SHORT) != 0 ||
                     scene_sh(&stage->scene, "store", 0, NULL, err, ASK) != 0
                 ? -1
                 : 0;
    for (size_t i = 0; rc == 0 && i < IDLERS; i++) {
        idlers[i] = settle(stage, account, ports[i], err);
        rc = idlers[i] == NULL ? -1 : 0;
    }
    if (rc == 0 && (rc = is_known(stage, "at first", err)) == 0 &&
        (rc = asks_on_443(stage, err)) == 0) {
        stage_sleep_ms(SILENCE_MS);
        rc = is_known(stage, "after the silence", err) != 0 ||
                     stream_one(stage, &lane, ledger, err) != 0 ||
                     all_told(stage, idlers, err) != 0
                 ? -1
                 : 0;
    }
    for (size_t i = 0; i < IDLERS; i++) {
        imap_close(&idlers[i]);
    }
    return rc != 0 ? cm_err_prefix(err, "idle for %d s", SILENCE_MS / 1000) : 0;
}

int scenario_idle_nat(struct stage *stage, struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    struct scene_account account;
    struct ledger ledger;
    ledger_init(&ledger);
    int rc =
        account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
                idle_long(stage, &account, &ledger, err) != 0 ||
                mailbox_even(stage, &edge2, &account, &ledger, DELIVER_MS, err) != 0
            ? -1
            : 0;
    ledger_clear(&ledger);
    return rc;
}

int scenario_idle_nat_over(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err, LONG) != 0
               ? -1
               : scene_sh(&stage->scene, "store", 0, NULL, err, ASK_AS_DEPLOYED);
}
