/* relay-spec.md 2.7 and 2.8 on the real store: old mail goes by the nightly unit, an
 * unused account goes whole and its name gives nothing of it to the next owner, and a
 * mailbox that crosses 75 % of its quota is cut to 70 % while mail comes in. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "door.h"
#include "ledger.h"
#include "mailbox.h"
#include "stream.h"

#define TRIM_MS 20000
#define BOX     "/home/vmail/mail/" SCENE_DOMAIN "/"
#define SQL     "runuser -u postgres -- psql -X -A -t -q -d chatmail -c "
/* The default quota is 500 MiB. Sizes are those in the names, so a full mailbox needs
 * no disk: 35 times 10 MiB, and one that leaves a kilobyte to three quarters. */
#define FILL_LARGE  (10 << 20)
#define FILL_LAST   ((25 << 20) - 1100)
#define TARGET_KIB  (350 * 1024)
#define WARNING_KIB (375 * 1024)
#define MAILS       4

static int run_unit(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 120, NULL, err,
                    "systemctl stop chatmail-expire.service;"
                    " systemctl reset-failed chatmail-expire.service;"
                    " systemctl start chatmail-expire.service");
}

static int must_have(struct stage *stage, const struct scene_account *account,
                     long messages, const char *when, struct cm_err *err)
{
    struct mailbox_numbers numbers;
    if (mailbox_look(stage, account, &numbers, err) != 0) {
        return cm_err_prefix(err, "%s", when);
    }
    if (numbers.messages != messages) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: %ld messages, not %ld", when,
                          numbers.messages, messages);
    }
    return 0;
}

/* Puts n messages into the INBOX, days old. */
static int put(struct stage *stage, const struct scene_account *account, int n,
               int days, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "set -e; for i in $(seq %d); do printf 'Subject: x\\r\\n\\r\\nx\\r\\n'"
        " | doveadm save -u %s; done;"
        " find " BOX "%s/cur " BOX "%s/new -type f -mmin -2"
        " -exec touch -d '%d days ago' {} +",
        n, account->addr, account->addr, account->addr, days);
}

static int old_mail(struct stage *stage, const struct scene_account *account,
                    struct cm_err *err)
{
    if (put(stage, account, 3, 30, err) != 0 || put(stage, account, 2, 5, err) != 0 ||
        must_have(stage, account, 5, "before expiry", err) != 0 ||
        run_unit(stage, err) != 0 ||
        must_have(stage, account, 2, "after expiry", err) != 0) {
        return -1;
    }
    stage_note(stage, "3 old mails of 5 gone");
    return 0;
}

static int unused_account(struct stage *stage, const struct scene_account *account,
                          struct cm_err *err)
{
    char *left = NULL;
    if (put(stage, account, 2, 1, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "touch -d '100 days ago' " BOX "%s/cur; " SQL
                 "\"update account set last_login = current_date - 100, created_at ="
                 " now() - interval '200 days' where addr = '%s'\"",
                 account->addr, account->addr) != 0 ||
        run_unit(stage, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, &left, err,
                 "ls -d " BOX "%s 2>/dev/null; ls " BOX ".removing; " SQL
                 "\"select addr from account where addr = '%s' union all"
                 " select addr from account_removal\"",
                 account->addr, account->addr) != 0) {
        return -1;
    }
    int rc = 0;
    if (left[0] != '\0') {
        rc = cm_err_set(err, CM_ERR_REFUSE, "of the unused account is left: %.200s",
                        left);
    }
    free(left);
    if (rc == 0) {
        rc = must_have(stage, account, 0, "the same name again", err);
    }
    if (rc == 0) {
        stage_note(stage, "unused account gone, its name starts empty");
    }
    return rc;
}

/* Full mailbox */

static int fill(struct stage *stage, const struct scene_account *account,
                struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "set -e; cd " BOX "%s/cur; t=$(( $(date +%%s) - 10 * 86400 ));"
        " for i in $(seq 35); do echo x >$((t + i)).M${i}P1.full,S=%d,W=%d:2,S; done;"
        " echo x >$((t + 99)).M99P1.full,S=%d,W=%d:2,S; rm -f ../maildirsize;"
        " chown vmail:vmail *.full*",
        account->addr, FILL_LARGE, FILL_LARGE, FILL_LAST, FILL_LAST);
}

static int full_mailbox(struct stage *stage, const struct scene_account *account,
                        struct ledger *ledger, struct cm_err *err)
{
    struct door edge = door_at("edge2", AF_INET, 465, false);
    struct stream_lane lane = {.doors = {edge, edge}, .from = *account};
    struct mailbox_numbers numbers;
    struct scene_mark mark;
    snprintf(lane.to, sizeof(lane.to), "%s", account->addr);
    if (fill(stage, account, err) != 0 ||
        mailbox_look(stage, account, &numbers, err) != 0) {
        return -1;
    }
    if (numbers.kib < WARNING_KIB - 8 || numbers.kib >= WARNING_KIB) {
        return cm_err_set(err, CM_ERR_WORLD, "the mailbox was filled to %ld KiB",
                          numbers.kib);
    }
    long before = numbers.messages;
    if (scene_mark(&stage->scene, "store", &mark, err) != 0) {
        return -1;
    }
    /* One crosses the line, the others come before and after. */
    int64_t start = cm_now_mono_ms();
    for (int i = 0; i < MAILS; i++) {
        if (stream_one(stage, &lane, ledger, err) != 0) {
            return -1;
        }
    }
    long want = before - 3 + MAILS;
    do {
        stage_sleep_ms(500);
        if (mailbox_look(stage, account, &numbers, err) != 0) {
            return -1;
        }
    } while ((numbers.messages != want || numbers.kib > TARGET_KIB) &&
             cm_now_mono_ms() - start < TRIM_MS);
    if (numbers.messages != want || numbers.kib > TARGET_KIB) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "after the warning: %ld messages and %ld KiB, not %ld and at "
                          "most %d",
                          numbers.messages, numbers.kib, want, TARGET_KIB);
    }
    stage_note(stage, "full mailbox cut to %ld KiB in %.1f s", numbers.kib,
               (double)(cm_now_mono_ms() - start) / 1000);
    char *journal = NULL;
    int rc = scene_journal(&stage->scene, "store", &mark, "", &journal, err);
    if (rc == 0 && strstr(journal, "quota-expire: removed 3 message(s) from") == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "the journal does not tell of the cut");
    }
    free(journal);
    return rc;
}

int scenario_expire(struct stage *stage, struct cm_err *err)
{
    struct scene_account reader, unused;
    struct ledger ledger;
    if (account_make(stage, &reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &unused, SCENE_DOMAIN, err) != 0 ||
        old_mail(stage, &reader, err) != 0 ||
        unused_account(stage, &unused, err) != 0) {
        return -1;
    }
    ledger_init(&ledger);
    int rc = full_mailbox(stage, &reader, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}
