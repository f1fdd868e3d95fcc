/* A client in IDLE is told when the tunnel is gone, by the kernel plane too. Then the
 * other data plane: chatmail-proxy on both gateways. The same true addresses; a
 * client in IDLE is told when tunnel or store are gone; back on the kernel plane, what
 * is open lives on. */
#include "scenario.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "plane.h"

#define TOLD_MS   5000
#define KERNEL_MS 15000 /* by the kernel */
#define IDLE_MS   20000
#define BEGIN_MS  1500
#define SERVES_MS 40000

/* NULL: as chatmail.ini says by default. */
static int set_plane(struct stage *stage, const char *plane, struct cm_err *err)
{
    char *said = NULL;
    int rc = scene_sh(&stage->scene, "operator", 0, NULL, err,
                      "sed -i /^data_plane/d " CLUSTER_DIR "/" CLUSTER_INI);

    if (rc == 0 && plane != NULL) {
        rc = scene_sh(&stage->scene, "operator", 0, NULL, err,
                      "sed -i '/^number = /a data_plane = %s' " CLUSTER_DIR
                      "/" CLUSTER_INI,
                      plane);
    }
    int status =
        rc != 0 ? -1 : cluster_chatops(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops run: %.400s", said);
    }
    free(said);
    return status;
}

int scenario_proxy_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int rc = stage_ask(stage, "operator", NULL, &said, err,
                       "grep -q ^data_plane " CLUSTER_DIR "/" CLUSTER_INI);
    free(said);
    return rc == 0 ? set_plane(stage, NULL, err) : rc < 0 ? -1 : 0;
}

static int proxies_run(struct stage *stage, struct cm_err *err)
{
    static const char *const nodes[] = {"edge1", "edge2"};
    for (size_t i = 0; i < 2; i++) {
        if (scene_sh(&stage->scene, nodes[i], 0, NULL, err,
                     "systemctl -q is-active chatmail-proxy && "
                     "! nft list table inet chatmail | grep -qE " PLANE_KERNEL) != 0) {
            return cm_err_prefix(err, "%s is not on the proxy plane", nodes[i]);
        }
    }
    return 0;
}

/* ---- a client in IDLE ---- */

struct idler {
    pthread_t thread;
    struct imap *imap;
    int64_t ended_ms;
    struct cm_err why;
};

static void *idle(void *arg)
{
    struct idler *idler = arg;

    (void)!imap_command(idler->imap, "IDLE", NULL, NULL, &idler->why);
    idler->ended_ms = cm_now_mono_ms();
    return NULL;
}

static struct imap *log_in(struct stage *stage, const char *node,
                           const struct scene_account *account, struct cm_err *err)
{
    struct door door = door_at(node, AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, IDLE_MS);
    enum imap_verdict verdict = IMAP_OTHER;
    struct imap *imap = imap_open(&to, err);

    if (imap != NULL &&
        (imap_login(imap, account->addr, account->password, &verdict, NULL, err) != 0 ||
         imap_command(imap, "SELECT INBOX", NULL, NULL, err) != 0)) {
        imap_close(&imap);
    }
    return imap;
}

/* What happens to who idles at edge1 when `blow` is dealt; *told_r: ms until it was
 * told. */
static int told(struct stage *stage, const struct scene_account *account,
                int (*blow)(struct stage *stage, struct cm_err *err), int64_t *told_r,
                struct cm_err *err)
{
    struct idler idler = {.imap = log_in(stage, "edge1", account, err)};

    if (idler.imap == NULL) {
        return -1;
    }
    cm_assert(pthread_create(&idler.thread, NULL, idle, &idler) == 0);
    stage_sleep_ms(BEGIN_MS);
    int64_t from = cm_now_mono_ms();
    int rc = blow(stage, err);
    pthread_join(idler.thread, NULL);
    imap_close(&idler.imap);
    *told_r = idler.ended_ms - from;
    return rc;
}

static int cut_tunnel(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "pkill -STOP -x wireguard-go || ip link set wg0 down");
}

static int mend_tunnel(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "pkill -CONT -x wireguard-go || ip link set wg0 up");
}

/* As a filter on the way does it; the programs at both ends go on. */
static int cut_way(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "nft add table inet cut && nft add chain inet cut way "
                    "'{ type filter hook input priority -500; }' && "
                    "nft add rule inet cut way udp dport 51820 drop");
}

static int mend_way(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err, "nft delete table inet cut");
}

static int stop_store(struct stage *stage, struct cm_err *err)
{
    return lab_stop(stage->scene.lab, "store", err);
}

static int start_store(struct stage *stage, struct cm_err *err)
{
    return lab_start(stage->scene.lab, "store", err);
}

static int is_told(struct stage *stage, const struct scene_account *account,
                   const char *what, int64_t limit_ms,
                   int (*blow)(struct stage *, struct cm_err *),
                   int (*mend)(struct stage *, struct cm_err *), struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    int64_t ms = 0, back = 0;
    int rc = told(stage, account, blow, &ms, err);
    struct cm_err ignored;
    int64_t from = cm_now_mono_ms();

    if (mend(stage, rc == 0 ? err : &ignored) != 0 || rc != 0) {
        return -1;
    }
    if (ms > limit_ms) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s: the client in IDLE is told after %lld "
                          "ms, allowed are %lld",
                          what, (long long)ms, (long long)limit_ms);
    }
    rc = door_until_in(stage, &door, account, from, SERVES_MS, &back, err);
    stage_note(stage, "%s: told after %.1f s, in again %.1f s after the repair", what,
               (double)ms / 1000, (double)back / 1000);
    return rc;
}

/* The kernel takes over while a client is there. Any change of a route makes the kernel
 * forget where a socket's packets go, as a renewed lease of the machine's address does.
 */
static int hand_back(struct stage *stage, const struct scene_account *account,
                     struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET6, 993, true);
    struct imap *imap = log_in(stage, "edge1", account, err);

    if (imap == NULL) {
        return -1;
    }
    int rc = set_plane(stage, NULL, err);
    if (rc == 0) {
        rc = scene_sh(&stage->scene, "edge1", 0, NULL, err,
                      "ip route add blackhole 198.18.0.1 && "
                      "ip route del blackhole 198.18.0.1");
    }
    if (rc == 0) {
        rc = imap_command(imap, "NOOP", NULL, NULL, err);
    }
    imap_close(&imap);
    if (rc != 0 || door_must_let_in(stage, &door, account, err) != 0) {
        return cm_err_prefix(err, "back on the kernel plane");
    }
    stage_sleep_ms(3000);
    return scene_sh(
        &stage->scene, "edge1", 0, NULL, err,
        "! systemctl -q is-active chatmail-proxy && ! ip rule | grep -q 0x7078");
}

static int kernel_tells(struct stage *stage, const struct scene_account *account,
                        struct cm_err *err)
{
    bool carries = false;
    if (plane_carries(stage, &carries, err) != 0) {
        return -1;
    }
    if (!carries) {
        stage_note(stage, "this kernel takes no programs: by rules nobody is told");
        return 0;
    }
    return is_told(stage, account, "tunnel silent, by the kernel", KERNEL_MS, cut_way,
                   mend_way, err);
}

int scenario_proxy_plane(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;

    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        kernel_tells(stage, &account, err) != 0 ||
        set_plane(stage, "proxy", err) != 0 || proxies_run(stage, err) != 0 ||
        scenario_client_addresses(stage, err) != 0 ||
        is_told(stage, &account, "tunnel silent", TOLD_MS, cut_tunnel, mend_tunnel,
                err) != 0 ||
        is_told(stage, &account, "store cut", TOLD_MS, stop_store, start_store, err) !=
            0) {
        return -1;
    }
    return hand_back(stage, &account, err);
}
