/* What lies under the tunnels goes away and comes back, somewhere else perhaps. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "door.h"
#include "unit.h"

#define TUNNEL_MS 20000
#define HOME_MS   40000
#define OTHER     "198.51.100.91" /* what the provider gives out next */

static int kill_end(struct stage *stage, const char *node, const char *unit,
                    const struct scene_account *account, struct cm_err *err)
{
    struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                           door_at("edge1", AF_INET6, 465, false)};
    int64_t start = cm_now_mono_ms(), process_ms = 0, ms = 0;
    if (unit_kill(stage, node, unit, TUNNEL_MS, &process_ms, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        if (door_until_in(stage, &doors[i], account, start, TUNNEL_MS, &ms, err) != 0) {
            return cm_err_prefix(err, "%s on %s killed", unit, node);
        }
    }
    stage_note(stage, "%s on %s: %.1f s", unit, node, (double)ms / 1000);
    return 0;
}

int scenario_tunnel_restart(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        kill_end(stage, "edge1", "chatmail-tunnel@wg0", &account, err) != 0) {
        return -1;
    }
    return kill_end(stage, "store", "chatmail-tunnel@wg1", &account, err);
}

static int both_gateways(struct stage *stage, const struct scene_account *account,
                         int64_t start, const char *what, struct cm_err *err)
{
    struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                           door_at("edge2", AF_INET6, 993, true)};
    int64_t ms = 0;
    for (size_t i = 0; i < 2; i++) {
        if (door_until_in(stage, &doors[i], account, start, HOME_MS, &ms, err) != 0) {
            return cm_err_prefix(err, "%s", what);
        }
    }
    stage_note(stage, "%s: %.1f s", what, (double)ms / 1000);
    return 0;
}

static int endpoint_is(struct stage *stage, const char *address, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "edge1", 0, &text, err, "wg show wg0 endpoints") != 0) {
        return -1;
    }
    int rc =
        strstr(text, address) != NULL
            ? 0
            : cm_err_set(err, CM_ERR_REFUSE, "edge1's tunnel ends at %.200s", text);
    free(text);
    return rc;
}

/* The first: the router reboots and has forgotten every flow. The second: it also has
 * another address. */
int scenario_home_address_change(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        lab_stop(stage->scene.lab, "home", err) != 0) {
        return -1;
    }
    stage_sleep_ms(3000);
    int64_t start = cm_now_mono_ms();
    if (lab_start(stage->scene.lab, "home", err) != 0 ||
        both_gateways(stage, &account, start, "home router rebooted", err) != 0) {
        return -1;
    }
    start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, "home", 0, NULL, err,
                 "ip addr del " SCENE_HOME_PUBLIC "/24 dev eth0; "
                 "ip addr add " OTHER "/24 dev eth0 && "
                 "ip route replace default via 198.51.100.1") != 0 ||
        both_gateways(stage, &account, start, "another address", err) != 0) {
        return -1;
    }
    return endpoint_is(stage, OTHER ":", err);
}

/* Gateways may have taken the store for gone; whoever plays next finds it back. */
int scenario_home_address_back(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    char *said = NULL;
    if (scene_sh(&stage->scene, "home", 0, &said, err,
                 "ip -4 addr show dev eth0 | grep -q 'inet " SCENE_HOME_PUBLIC "/' ||"
                 " { ip -4 addr flush dev eth0;"
                 " ip addr add " SCENE_HOME_PUBLIC "/24 dev eth0 &&"
                 " ip route replace default via 198.51.100.1 && echo changed; }") !=
        0) {
        return -1;
    }
    bool changed = strstr(said, "changed") != NULL;
    free(said);
    if (!changed) {
        return 0;
    }
    stage_sleep_ms(8000); /* gateway/reach.h: until a gateway says so */
    scene_new_account(&account, SCENE_DOMAIN);
    return both_gateways(stage, &account, cm_now_mono_ms(), "address back", err);
}
