/* The store is lost, and the laptop too: what is left is a file of chatops backup. A
 * restore onto a machine without anything of ours, cut off in the middle, and once more
 * when only the gateways are left; clients come back with their passwords and find
 * their messages under the same UIDs; keys are those of before, so no gateway and no
 * DNS record changes. Then the same from a backup without mail: the mailbox is empty
 * and goes on counting where it was. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "stream.h"

#define SAFE       "/root/restore-scenario" /* in node operator, what it had before */
#define WITH       SAFE "/with.tar"
#define WITHOUT    SAFE "/without.tar"
#define MESSAGES   5
#define WELL_MS    60000
#define SERVING_MS 60000
#define STORE      "root@" SCENE_STORE_LAN

/* What a client keeps of its INBOX. */
struct inbox {
    long validity, next;
    struct cm_buf list; /* what FETCH said: UID and Message-ID of each */
};

/* Keys that others know a relay by. */
#define KEYS                                                                           \
    "sha256sum /etc/dkimkeys/opendkim.private /etc/chatmail/wg.key "                   \
    "/etc/chatmail/cluster.key /etc/chatmail/turn.secret "                             \
    "/etc/ssl/private/mailserver.key; stat -c '%U:%G %a' "                             \
    "/etc/dkimkeys/opendkim.private"

/* ---- the operator ---- */

static int chatops(struct stage *stage, const char *words, int want, const char *part,
                   struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err), rc = 0;
    if (status < 0) {
        return -1;
    }
    if (status != want || !cluster_says(said, part)) {
        size_t n = strlen(said);
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "chatops %s: status %d, and \"%s\" is %s: %s", words, status,
                        part, cluster_says(said, part) ? "said" : "not said",
                        n > 600 ? said + n - 600 : said);
    }
    free(said);
    return rc;
}

/* ---- the client ---- */

static void on_line(const char *line, void *ctx)
{
    struct inbox *box = ctx;
    const char *at;
    if ((at = strstr(line, "[UIDVALIDITY ")) != NULL) {
        box->validity = strtol(at + 13, NULL, 10);
    } else if ((at = strstr(line, "[UIDNEXT ")) != NULL) {
        box->next = strtol(at + 9, NULL, 10);
    } else if (strstr(line, "UID ") != NULL || strstr(line, "essage-") != NULL) {
        cm_buf_fmt(&box->list, "%s\n", line);
    }
}

static int look(struct stage *stage, const struct scene_account *account,
                struct inbox *box_r, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct imap *imap = door_imap(stage, &door, account, 10000, err);
    *box_r = (struct inbox){.validity = 0};
    cm_buf_init(&box_r->list, 1 << 20);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_command(imap, "SELECT INBOX", on_line, box_r, err);
    if (rc == 0) {
        rc = imap_command(imap,
                          "UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])",
                          on_line, box_r, err);
    }
    imap_close(&imap);
    return rc == 0 && box_r->validity > 0 && box_r->next > 0
               ? 0
               : cm_err_prefix(err, "the INBOX");
}

static int send_one(struct stage *stage, const struct scene_account *account,
                    struct cm_err *err)
{
    struct ledger ledger;
    struct stream_lane lane = {.doors = {door_at("edge2", AF_INET, 465, false),
                                         door_at("edge2", AF_INET, 465, false)},
                               .from = *account};
    snprintf(lane.to, sizeof lane.to, "%s", account->addr);
    ledger_init(&ledger);
    int rc = stream_one(stage, &lane, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}

/* Until its UIDNEXT is that. */
static int wait_next(struct stage *stage, const struct scene_account *account,
                     long next, struct inbox *box_r, struct cm_err *err)
{
    for (int i = 0; i < 60; i++) {
        if (look(stage, account, box_r, err) != 0) {
            return -1;
        }
        if (box_r->next >= next) {
            return 0;
        }
        cm_buf_clear(&box_r->list);
        stage_sleep_ms(500);
    }
    return cm_err_set(err, CM_ERR_REFUSE, "UIDNEXT did not become %ld", next);
}

/* ---- the loss ---- */

static int lose_store(struct stage *stage, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 200, NULL, err,
        "systemctl stop 'chatmail-*.timer' 'chatmail-*.path' 'chatmail-*.socket';"
        " systemctl stop 'chatmail-*.service' 'postfix@*' postfix dovecot nginx"
        " redis-server 'postgresql@*' postgresql;"
        " DEBIAN_FRONTEND=noninteractive apt-get -qqy purge portico-store"
        " postgresql-15 postgresql postgresql-common redis-server redis-tools "
        ">/dev/null 2>&1;"
        " rm -rf /etc/chatmail /etc/chatmail-version /etc/dkimkeys /home/vmail"
        " /etc/postgresql /var/lib/postgresql /var/lib/redis /etc/redis"
        " /var/lib/portico /var/lib/acme /var/lib/chatmail-* /var/spool/chatmail-push"
        " /etc/ssl/private/mailserver.key /etc/ssl/certs/mailserver.pem;"
        " ! command -v chatmail-backup psql redis-server");
}

static int lose_laptop(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 0, NULL, err,
                    "cd " CLUSTER_DIR " && rm -rf .chatops " CLUSTER_INI);
}

/* Nothing is touched by a file that is not whole. */
static int refuses_cut(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cd " SAFE " && head -c 20000 with.tar >cut.tar && cp with.tar bad.tar"
                 " && printf x | dd of=bad.tar bs=1 seek=13000 conv=notrunc 2>&1") !=
            0 ||
        chatops(stage, "restore " SAFE "/cut.tar --ssh " STORE " --yes", 1, "cut off",
                err) != 0 ||
        chatops(stage, "restore " SAFE "/bad.tar --ssh " STORE " --yes", 1, "damaged",
                err) != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "store", 0, NULL, err, "! test -e /var/lib/portico");
}

/* ---- and back ---- */

/* Killed once the journal says that this step has begun. */
static int restore_killed(struct stage *stage, const char *node, const char *step,
                          struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(
        stage, "operator", NULL, &said, err,
        "cd " CLUSTER_DIR " && { chatops restore " WITH " --ssh " STORE " --yes"
        " --config " CLUSTER_INI " >killed.log 2>&1 & } && pid=$! n=0;"
        " until tail -n 1 .chatops/journal.jsonl 2>/dev/null | grep -q"
        " '\"start\",\"node\":\"%s\",\"step\":\"%s\"' || [ $((n = n + 1)) -gt 3000 ] ||"
        " ! kill -0 $pid; do sleep 0.05; done; kill -KILL $pid; wait $pid;"
        " tail -n 1 .chatops/journal.jsonl; tail -n 3 killed.log; rm -f killed.log",
        node, step);
    if (status < 0) {
        return -1;
    }
    int rc = strstr(said, step) != NULL && strstr(said, "run-end") == NULL
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "not killed in \"%s\": %.300s", step,
                              said);
    free(said);
    return rc;
}

static int same_keys(struct stage *stage, const char *before, struct cm_err *err)
{
    char *now = NULL;
    if (scene_sh(&stage->scene, "store", 0, &now, err, "%s", KEYS) != 0) {
        return -1;
    }
    int rc = strcmp(before, now) == 0
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "keys were: %.300s are: %.300s",
                              before, now);
    free(now);
    return rc;
}

static int all_serve(struct stage *stage, const struct scene_account *account,
                     const char *keys, struct cm_err *err)
{
    static const char *const edges[] = {"edge1", "edge2"};
    int64_t start = cm_now_mono_ms();
    for (size_t i = 0; i < 2; i++) {
        struct door door = door_at(edges[i], AF_INET, 993, true);
        if (door_until_in(stage, &door, account, start, SERVING_MS, NULL, err) != 0) {
            return -1;
        }
    }
    return same_keys(stage, keys, err) == 0 &&
                   cluster_until_well(stage, WELL_MS, NULL, err) == 0
               ? chatops(stage, "status", 0, "all is well", err)
               : -1;
}

static int with_mail(struct stage *stage, const struct scene_account *account,
                     const struct inbox *before, const char *keys, struct cm_err *err)
{
    struct inbox now;
    int64_t start = cm_now_mono_ms();
    if (restore_killed(stage, "store", "database of the backup", err) != 0 ||
        chatops(stage, "run --yes", 1, "in the middle of a restore", err) != 0 ||
        restore_killed(stage, "store", "desired state", err) != 0 ||
        chatops(stage, "restore " WITH " --ssh " STORE " --yes", 0, "resuming", err) !=
            0) {
        return -1;
    }
    stage_note(stage, "restored in %.0f s", (double)(cm_now_mono_ms() - start) / 1000);
    if (all_serve(stage, account, keys, err) != 0 ||
        look(stage, account, &now, err) != 0) {
        return -1;
    }
    int rc = 0;
    if (now.validity != before->validity || now.next <= before->next + 1 ||
        strcmp(now.list.data, before->list.data) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "INBOX %ld/%ld was %ld/%ld, messages: %.300s were: %.300s",
                        now.validity, now.next, before->validity, before->next,
                        now.list.data, before->list.data);
    }
    cm_buf_clear(&now.list);
    return rc;
}

static int without_mail(struct stage *stage, const struct scene_account *account,
                        const struct inbox *before, const char *keys,
                        struct cm_err *err)
{
    struct inbox empty, now;
    if (chatops(stage, "restore " WITHOUT " --yes", 1, "--overwrite", err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "systemctl stop dovecot && rm -rf /home/vmail/mail/" SCENE_DOMAIN) !=
            0 ||
        chatops(stage, "restore " WITHOUT " --overwrite --yes", 0, "as it was", err) !=
            0 ||
        all_serve(stage, account, keys, err) != 0 ||
        look(stage, account, &empty, err) != 0) {
        return -1;
    }
    if (empty.validity != before->validity || empty.next <= before->next + 1 ||
        empty.list.len > 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "without mail: INBOX %ld/%ld was %ld/%ld: %.300s",
                          empty.validity, empty.next, before->validity, before->next,
                          empty.list.data);
    }
    cm_buf_clear(&empty.list);
    if (send_one(stage, account, err) != 0 ||
        wait_next(stage, account, empty.next + 1, &now, err) != 0) {
        return -1;
    }
    cm_buf_clear(&now.list);
    return 0;
}

static int prepare(struct stage *stage, const struct scene_account *account,
                   struct inbox *before, char **keys_r, struct cm_err *err)
{
    for (int i = 0; i < MESSAGES; i++) {
        if (send_one(stage, account, err) != 0) {
            return -1;
        }
    }
    if (wait_next(stage, account, MESSAGES + 1, before, err) != 0 ||
        scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "rm -rf " SAFE "; mkdir -m 700 " SAFE " && cp -a " CLUSTER_DIR
                 "/. " SAFE "/laptop") != 0 ||
        chatops(stage, "backup --mail --to " WITH, 0, "with their mail", err) != 0 ||
        chatops(stage, "backup --to " WITHOUT, 0, "without mail", err) != 0 ||
        scene_sh(&stage->scene, "store", 0, keys_r, err, "%s", KEYS) != 0) {
        return -1;
    }
    /* What comes after the backup: a message that the client sees, and an epoch. */
    struct inbox after;
    if (send_one(stage, account, err) != 0 ||
        wait_next(stage, account, before->next + 1, &after, err) != 0) {
        return -1;
    }
    cm_buf_clear(&after.list);
    return chatops(stage, "ban 203.0.113.7 --for 10m", 0, "203.0.113.7", err);
}

int scenario_restore(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    struct inbox before;
    char *keys = NULL;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        prepare(stage, &account, &before, &keys, err) != 0 ||
        lose_store(stage, err) != 0 || lose_laptop(stage, err) != 0 ||
        refuses_cut(stage, err) != 0 ||
        with_mail(stage, &account, &before, keys, err) != 0 ||
        without_mail(stage, &account, &before, keys, err) != 0) {
        return -1;
    }
    cm_buf_clear(&before.list);
    free(keys);
    return 0;
}

/* However it ended: the operator's files are those of before, and the store has the
 * backup, or is as chatmail.ini says. */
int scenario_restore_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status =
        stage_ask(stage, "operator", NULL, &said, err, "test -e " SAFE "/laptop");
    free(said);
    if (status != 0) {
        return status > 0 ? 0 : -1;
    }
    if (scene_sh(&stage->scene, "operator", 0, NULL, err,
                 "cd " SAFE "/laptop && cp -p " CLUSTER_INI " " CLUSTER_DIR "/ &&"
                 " mkdir -p " CLUSTER_DIR "/.chatops && cp -p .chatops/known_hosts"
                 " .chatops/numbers " CLUSTER_DIR "/.chatops/") != 0) {
        return -1;
    }
    status = stage_ask(stage, "store", NULL, &said, err,
                       "grep -qx done /var/lib/portico/restore && test -s"
                       " /etc/chatmail-version");
    free(said);
    if (status < 0 ||
        (status > 0 &&
         chatops(stage, "restore " WITH " --overwrite --yes", 0, "as it was", err)) ||
        chatops(stage, "run --yes", 0, "", err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "operator", 0, NULL, err, "rm -rf " SAFE);
}
