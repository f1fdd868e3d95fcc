/* dns_follow: chatmail-dns on the store, switched on by chatmail.ini as
 * docs/operations.md says, against a hidden primary (Knot): a drained gateway's
 * addresses leave, and come back; so do a lost one's; never the last; and a name server
 * that is away is asked again. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/buf.h"
#include "common/clock.h"
#include "nameserver.h"
#include "unit.h"

#define ZONE     SCENE_DOMAIN "."
#define UNIT     "chatmail-dns.service"
#define KEY      CLUSTER_DIR "/follow.key"
#define SETTLE_S 5
#define OURS     "^dns_\\(server\\|key\\|follow\\|settle\\) *=" /* in chatmail.ini */
#define ONE4     "198.51.100.11"
#define ONE6     "2001:db8:1::11"
#define TWO4     "203.0.113.12"
#define TWO6     "2001:db8:2::12"
#define BOTH     ONE6 " " TWO6 " " ONE4 " " TWO4
#define ONLY_ONE ONE6 " " ONE4
#define ONLY_TWO TWO6 " " TWO4
#define SOON_S   30
#define LOST_S   90 /* the store's own patience, then SETTLE_S, then the update */
#define AGAIN_S  60 /* with the pause after a failure */
#define STAYS_S  40

static int chatops(struct stage *stage, const char *words, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    if (status > 0) {
        size_t n = strlen(said);
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: %s", words,
                            n > 600 ? said + n - 600 : said);
    }
    free(said);
    return status;
}

/* Status 1 while the other gateway is dead, and it says so. */
static int resume(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status =
        cluster_chatops(stage, CLUSTER_INI, "gateway resume edge1", &said, err);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 && (status > 1 || !cluster_says(said, "edge1 takes connections"))) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "gateway resume: status %d: %.600s", status,
                        said);
    }
    free(said);
    return rc;
}

/* ---- on and off ---- */

static int switch_on(struct stage *stage, struct cm_err *err)
{
    static const char script[] =
        "cd " CLUSTER_DIR " && umask 077 && cat >follow.key &&"
        " sed -i '/" OURS "/d' " CLUSTER_INI " && sed -i '/^\\[store\\]/a"
        " dns_server = " NS_ONE "\\ndns_key = " KEY "\\n"
        "dns_follow = yes\\ndns_settle = %d' " CLUSTER_INI;
    char *said = NULL;
    int status = stage_ask(stage, "operator",
                           "key \"" NAMESERVER_KEY "\" { algorithm hmac-sha256;"
                           " secret \"" NAMESERVER_SECRET "\"; };\n",
                           &said, err, script, SETTLE_S);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_WORLD, "operator: %.300s", said);
    }
    free(said);
    return status;
}

int scenario_dns_follow_off(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err,
                           "cd " CLUSTER_DIR " && rm -f follow.key && grep -q '" OURS
                           "' " CLUSTER_INI " && sed -i '/" OURS "/d' " CLUSTER_INI);
    free(said);
    if (status < 0 || nameserver_addresses_back(stage, err) != 0) {
        return -1;
    }
    if (status > 0) {
        return 0;
    }
    if (resume(stage, err) != 0 || chatops(stage, "run --yes --only store", err) != 0) {
        return cm_err_prefix(err, "switched off");
    }
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "! systemctl -q is-active " UNIT
                    " && ! systemctl -q is-enabled " UNIT
                    " && ! systemctl -q is-active chatmail-metrics@dns.socket"
                    " && ! test -e /etc/chatmail/dns.key");
}

static int is_sandboxed(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 60, NULL, err,
                    "systemd-analyze security --no-pager --threshold=24 " UNIT
                    " >/dev/null && test \"$(systemctl show -P User " UNIT
                    ")\" = chatmail-dns && ! runuser -u chatmail-dns -- cat"
                    " /etc/chatmail/dns.key 2>/dev/null");
}

/* ---- the name server ---- */

/* With both gateways in it, whatever their modes are now. Caller frees. */
static char *zone_now(struct stage *stage, struct cm_err *err)
{
    char *zone = NULL;
    struct cm_buf b;
    if (scene_sh(&stage->scene, "operator", 60, &zone, err,
                 "cd " CLUSTER_DIR
                 " && chatops dns --zonefile - --config " CLUSTER_INI) != 0) {
        return NULL;
    }
    cm_buf_init(&b, 65536);
    cm_buf_fmt(&b,
               "@ SOA ns.lab.example. hostmaster %u 3600 600 86400 60\n"
               "@ NS ns.lab.example.\n%s",
               (unsigned)(cm_now_wall_ms() / 1000), zone);
    free(zone);
    return cm_buf_steal(&b);
}

static struct nameserver *serve(struct stage *stage, const char *zone,
                                struct cm_err *err)
{
    struct nameserver_how how = {
        .address = NS_ONE, .zone = ZONE, .records = zone, .only = ZONE};
    return nameserver_start(stage, &how, err);
}

/* All of them, AAAA first, sorted. */
#define PUBLISHED                                                                      \
    "$(dig +short +time=1 @" NS_ONE " " ZONE " AAAA | sort | xargs)"                   \
    " $(dig +short +time=1 @" NS_ONE " " ZONE " A | sort | xargs)"

static int comes(struct stage *stage, const char *what, const char *wanted, int limit_s,
                 struct cm_err *err)
{
    int64_t begun = cm_now_mono_ms();
    char *seen = NULL;
    struct cm_err ignored;
    if (scene_sh(&stage->scene, "client", limit_s + 5, NULL, err,
                 "for i in $(seq %d); do test \"" PUBLISHED "\" = \"%s\" && exit 0;"
                 " sleep 0.2; done; exit 1",
                 5 * limit_s, wanted) != 0) {
        if (scene_sh(&stage->scene, "client", 0, &seen, &ignored,
                     "echo \"" PUBLISHED "\"") == 0) {
            cm_err_set(err, CM_ERR_REFUSE, "%s: published is %s", what, seen);
        }
        free(seen);
        return -1;
    }
    stage_note(stage, "%s %.1f s", what, (double)(cm_now_mono_ms() - begun) / 1000);
    return 0;
}

/* ---- what happens ---- */

/* The last that serves cannot be drained; and chatmail-cluster, begun anew by the run,
 * knows nothing before the reports. */
static int both_up(struct stage *stage, struct cm_err *err)
{
    return cluster_until_well(stage, LOST_S * 1000, NULL, err) != 0
               ? -1
               : scene_until(&stage->scene, "store", LOST_S, err,
                             "test $(grep -c ' active up '"
                             " /run/chatmail-cluster/gateways) = 2");
}

static int drained(struct stage *stage, struct cm_err *err)
{
    return both_up(stage, err) != 0 ||
                   chatops(stage, "gateway drain edge1", err) != 0 ||
                   comes(stage, "drained, left", ONLY_TWO, SOON_S, err) != 0 ||
                   resume(stage, err) != 0 ||
                   comes(stage, "resumed, back", BOTH, SOON_S, err) != 0
               ? -1
               : 0;
}

/* It is asked again, by the same process. */
static int server_away(struct stage *stage, const char *zone, struct nameserver **ns,
                       struct cm_err *err)
{
    int64_t before, after;
    struct scene_mark mark;
    if (unit_pid(stage, "store", UNIT, &before, err) != 0 ||
        scene_mark(&stage->scene, "store", &mark, err) != 0) {
        return -1;
    }
    nameserver_stop(ns);
    if (both_up(stage, err) != 0 || chatops(stage, "gateway drain edge1", err) != 0 ||
        scene_until(&stage->scene, "store", SOON_S, err,
                    "journalctl -q -u " UNIT " --since=@%lld.%06lld -o cat |"
                    " grep -q event=dns_update_failed",
                    (long long)(mark.since_us / 1000000),
                    (long long)(mark.since_us % 1000000)) != 0) {
        return cm_err_prefix(err, "name server away");
    }
    *ns = serve(stage, zone, err);
    if (*ns == NULL ||
        comes(stage, "name server back, left", ONLY_TWO, AGAIN_S, err) != 0 ||
        unit_pid(stage, "store", UNIT, &after, err) != 0) {
        return -1;
    }
    return before == after && before > 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "chatmail-dns was started again");
}

/* edge1 is drained: edge2 is the last, and stays though it is dead. */
static int lost(struct stage *stage, struct cm_err *err)
{
    if (lab_stop(stage->scene.lab, "edge2", err) != 0) {
        return -1;
    }
    stage_sleep_ms(STAYS_S * 1000);
    return comes(stage, "the last stays", ONLY_TWO, 1, err) != 0 ||
                   resume(stage, err) != 0 ||
                   comes(stage, "resumed, the lost left", ONLY_ONE, LOST_S, err) != 0 ||
                   lab_start(stage->scene.lab, "edge2", err) != 0 ||
                   comes(stage, "power again, back", BOTH, LOST_S, err) != 0
               ? -1
               : 0;
}

static int play(struct stage *stage, const char *zone, struct nameserver **ns,
                struct cm_err *err)
{
    if (chatops(stage, "run --yes --only store", err) != 0 ||
        is_sandboxed(stage, err) != 0 ||
        scene_sh(&stage->scene, "operator", 60, NULL, err,
                 "cd " CLUSTER_DIR " && chatops dns --config " CLUSTER_INI
                 " --apply --dry-run --yes | grep -q 'nothing to change'") != 0) {
        return cm_err_prefix(err, "switched on");
    }
    return drained(stage, err) != 0 || server_away(stage, zone, ns, err) != 0 ? -1
           : stage->quick                                                     ? 0
                          : lost(stage, err);
}

int scenario_dns_follow(struct stage *stage, struct cm_err *err)
{
    struct nameserver *ns = NULL;
    char *zone = NULL;
    int rc = switch_on(stage, err);
    if (rc == 0) {
        zone = zone_now(stage, err);
        ns = zone != NULL ? serve(stage, zone, err) : NULL;
        rc = ns != NULL ? play(stage, zone, &ns, err) : -1;
    }
    if (rc == 0) {
        rc = scenario_dns_follow_off(stage, err);
    }
    nameserver_stop(&ns);
    free(zone);
    return rc;
}
