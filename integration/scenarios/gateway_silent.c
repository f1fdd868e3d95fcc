/* A gateway falls silent, as a box that has died does: the store wakes the phone that
 * was connected through it, once, and no other; says how many; forgets the session; and
 * all is well when the gateway is back. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "door.h"
#include "notify.h"
#include "tokens.h"

#define TOKEN     "openpgp:lab+silent/reader"
#define OTHER     "openpgp:lab+silent/other"
#define WAKE_MS   15000
#define FORGET_S  60
#define ONCE_MS   20000
#define BACK_MS   60000
#define SESSIONS  "ss -Htn '( src 10.77.1.2 or src [fd77:1::2] )'"
#define STEP_MS   15000
#define SETTLE_MS 3000
/* Another scenario may have cut edge1 within the last five minutes, and left sessions
 * that the store does not know to be over. */
#define FORGET_EARLIER                                                                 \
    "systemctl restart dovecot postfix@- nginx chatmail-cluster && sleep 15"

struct cast {
    struct notify notify;
    struct scene_account reader, other;
    struct imap *at_edge1, *at_edge2;
};

/* The other's address is of another family, so that it is another address. */
static int meet(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct door edge2 = door_at("edge2", AF_INET6, 993, true);
    if (account_make(stage, &c->reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &c->other, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    c->at_edge1 = door_imap(stage, &edge1, &c->reader, STEP_MS, err);
    c->at_edge2 =
        c->at_edge1 != NULL ? door_imap(stage, &edge2, &c->other, STEP_MS, err) : NULL;
    if (c->at_edge2 == NULL || tokens_add(c->at_edge1, TOKEN, err) != 0 ||
        tokens_add(c->at_edge2, OTHER, err) != 0) {
        return -1;
    }
    stage_sleep_ms(SETTLE_MS);
    return notify_fresh(&c->notify, "200", err);
}

static int is_woken(struct stage *stage, struct cast *c, struct cm_err *err)
{
    int64_t from = cm_now_wall_ms(), at_ms = 0, other_ms;
    int others;
    if (lab_cut(stage->scene.lab, "edge1", err) != 0) {
        return -1;
    }
    if (notify_comes(&c->notify, TOKEN, 1, WAKE_MS, &at_ms, err) != 0) {
        return cm_err_prefix(err, "the phone behind edge1");
    }
    stage_note(stage, "woken %.1f s after the silence began",
               (double)(at_ms - from) / 1000);
    if (notify_posts(&c->notify, OTHER, &others, &other_ms, err) != 0) {
        return -1;
    }
    return others == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "a phone behind edge2 was woken");
}

static int is_said(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "status", &said, err);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 && (strstr(said, "edge1 fell silent") == NULL ||
                    strstr(said, "were woken") == NULL)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "chatops status does not say it: %.600s",
                        said);
    }
    free(said);
    return rc;
}

/* Dovecot counts it no more, and no socket of that tunnel is left. */
static int is_forgotten(struct stage *stage, const struct cast *c, struct cm_err *err)
{
    if (scene_until(&stage->scene, "store", FORGET_S, err,
                    "test -z \"$(" SESSIONS ")\" && ! doveadm who -1 | grep -q '^%s '",
                    c->reader.addr) != 0) {
        return cm_err_prefix(err, "its session is not forgotten");
    }
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "doveadm who -1 | grep -q '^%s '", c->other.addr) != 0
               ? cm_err_prefix(err, "the session behind edge2")
               : 0;
}

static int only_once(struct stage *stage, struct cast *c, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    int64_t at_ms;
    stage_sleep_ms(stage->quick ? ONCE_MS / 2 : ONCE_MS);
    if (lab_heal(stage->scene.lab, "edge1", err) != 0 ||
        cluster_until_well(stage, BACK_MS, NULL, err) != 0 ||
        door_must_let_in(stage, &edge1, &c->reader, err) != 0 ||
        imap_command(c->at_edge2, "NOOP", NULL, NULL, err) != 0) {
        return cm_err_prefix(err, "after the silence");
    }
    return notify_comes(&c->notify, TOKEN, 1, 0, &at_ms, err) != 0
               ? cm_err_prefix(err, "woken more than once")
               : 0;
}

int scenario_gateway_silent(struct stage *stage, struct cm_err *err)
{
    struct cast c = {.notify = {.pid = 0}};
    int rc = scene_sh(&stage->scene, "store", 0, NULL, err, FORGET_EARLIER) != 0 ||
                     notify_start(stage, &c.notify, err) != 0 ||
                     meet(stage, &c, err) != 0 || is_woken(stage, &c, err) != 0 ||
                     is_said(stage, err) != 0 || is_forgotten(stage, &c, err) != 0 ||
                     only_once(stage, &c, err) != 0
                 ? -1
                 : 0;
    imap_close(&c.at_edge1);
    imap_close(&c.at_edge2);
    notify_stop(&c.notify);
    return rc;
}
