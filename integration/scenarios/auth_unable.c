/* chatmail-auth frozen, and chatmail-auth without settings it can read: whoever logs in
 * is put off or let in, never refused, and soon enough that Dovecot does not log its
 * lookup, whose key holds the password. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "door.h"
#include "secrets.h"

#define UNIT      "chatmail-auth.service"
#define INI       "/etc/chatmail/chatmail.ini"
#define SAVED     "/etc/chatmail/chatmail.ini.scenario"
#define ANSWER_MS 12000

static int ask(struct stage *stage, const struct door *door,
               const struct scene_account *account, enum imap_verdict *verdict_r,
               struct cm_err *err)
{
    char name[64], text[256];
    door_name(door, name);
    int64_t start = cm_now_mono_ms();
    if (door_login(stage, door, account->addr, account->password, 2 * ANSWER_MS,
                   verdict_r, text, err) != 0) {
        return cm_err_prefix(err, "%s", name);
    }
    int64_t took = cm_now_mono_ms() - start;
    if (took > ANSWER_MS || (*verdict_r != IMAP_IN && *verdict_r != IMAP_TEMPORARY)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: %s after %.1f s (%s)", name,
                          imap_verdict_name(*verdict_r), (double)took / 1000, text);
    }
    return 0;
}

static int frozen(struct stage *stage, const struct scene_account *known,
                  struct cm_err *err)
{
    const struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                                 door_at("edge2", AF_INET6, 465, false)};
    for (size_t i = 0; i < 2; i++) {
        enum imap_verdict verdict;
        int64_t start = cm_now_mono_ms();
        if (scene_sh(&stage->scene, "store", 0, NULL, err,
                     "systemctl kill -s STOP " UNIT) != 0 ||
            ask(stage, &doors[i], known, &verdict, err) != 0 ||
            door_until_in(stage, &doors[i], known, start, ANSWER_MS, NULL, err) != 0) {
            return cm_err_prefix(err, "frozen");
        }
        stage_note(stage, "frozen: %s after %.1f s", imap_verdict_name(verdict),
                   (double)(cm_now_mono_ms() - start) / 1000);
    }
    return 0;
}

static int without_settings(struct stage *stage, const struct scene_account *known,
                            const struct scene_account *stranger, struct cm_err *err)
{
    const struct door doors[] = {door_at("edge1", AF_INET, 993, true),
                                 door_at("edge2", AF_INET, 587, false)};
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "cp -p " INI " " SAVED " && echo '[stoer]' >>" INI
                 " && systemctl restart " UNIT) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        enum imap_verdict verdict;
        if (ask(stage, &doors[i % 2], i < 2 ? known : stranger, &verdict, err) != 0) {
            return cm_err_prefix(err, "without settings");
        }
        if (verdict != IMAP_TEMPORARY) {
            return cm_err_set(err, CM_ERR_REFUSE, "let in without settings");
        }
    }
    int64_t start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "mv " SAVED " " INI " && systemctl reload " UNIT) != 0) {
        return -1;
    }
    return door_until_in(stage, &doors[0], known, start, ANSWER_MS, NULL, err);
}

int scenario_auth_unable(struct stage *stage, struct cm_err *err)
{
    struct scene_account known, stranger;
    const struct scene_account *all[] = {&known, &stranger};
    int64_t since_ms = cm_now_wall_ms();
    scene_new_account(&stranger, SCENE_DOMAIN);
    if (account_make(stage, &known, SCENE_DOMAIN, err) != 0 ||
        frozen(stage, &known, err) != 0 ||
        without_settings(stage, &known, &stranger, err) != 0) {
        return -1;
    }
    return secrets_unlogged(stage, since_ms, all, 2, err);
}

int scenario_auth_able(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "if [ -e " SAVED " ]; then mv " SAVED " " INI
                    " && systemctl restart " UNIT "; fi");
}
