/* A mailbox filled past its quota (relay-spec.md 2.8 and 3.3): young mail is never cut
 * to make room, old mail beside it is; what no longer fits goes back to its sender with
 * the reason, the user sees how full it is, and room that is made is used at once. */
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

#define BOX      "/home/vmail/mail/" SCENE_DOMAIN "/"
#define STEP_MS  15000
#define COMES_MS 30000
#define HOUR_S   3600
#define DAY_S    86400
/* Sizes are those in the names: a full mailbox needs no disk. The quota is 500 MiB. */
#define MIB         (1L << 20)
#define PIECE       (10 * MIB)
#define LIMIT_KIB   (500 * 1024L)
#define WARNING_KIB (375 * 1024L)
#define TARGET_KIB  (350 * 1024L)
/* Less than any message (589 bytes are what is left of one). */
#define REST 100

struct people {
    struct scene_account reader, writer;
    struct stream_lane lane; /* from the writer to the reader */
};

static int meet(struct stage *stage, struct people *p, struct cm_err *err)
{
    struct door edge = door_at("edge2", AF_INET, 465, false);
    if (account_make(stage, &p->reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &p->writer, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    p->lane = (struct stream_lane){.doors = {edge, edge}, .from = p->writer};
    snprintf(p->lane.to, sizeof p->lane.to, "%s", p->reader.addr);
    struct mailbox_numbers numbers;
    return mailbox_look(stage, &p->reader, &numbers, err); /* makes the directory */
}

/* Adds messages of that age, so large together, named .WORD */
static int fill(struct stage *stage, const struct scene_account *account, long bytes,
                long age_s, const char *word, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "set -e; cd " BOX "%s/cur; t=$(( $(date +%%s) - %ld ));"
        " for i in $(seq %ld); do echo x >$((t + i)).M${i}P1.%s,S=%ld,W=%ld:2,S; done;"
        " echo x >$((t + 99)).M99P1.%s,S=%ld,W=%ld:2,S; rm -f ../maildirsize;"
        " chown vmail:vmail *.%s,*",
        account->addr, age_s, bytes / PIECE, word, PIECE, PIECE, word, bytes % PIECE,
        bytes % PIECE, word);
}

static int count(struct stage *stage, const struct scene_account *account,
                 const char *word, long *n_r, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "store", 0, &text, err,
                 "find " BOX "%s/cur " BOX "%s/new -name '*.%s,*' | wc -l",
                 account->addr, account->addr, word) != 0) {
        return -1;
    }
    *n_r = strtol(text, NULL, 10);
    free(text);
    return 0;
}

/* Crosses three quarters with old and young mail: the oldest go, no young one. */
static int cut_the_old(struct stage *stage, const struct people *p,
                       struct ledger *ledger, struct cm_err *err)
{
    struct mailbox_numbers numbers;
    long young, old;
    if (fill(stage, &p->reader, 160 * MIB, HOUR_S, "young", err) != 0 ||
        fill(stage, &p->reader, 215 * MIB - REST, 10 * DAY_S, "old", err) != 0 ||
        stream_one(stage, &p->lane, ledger, err) != 0) {
        return -1;
    }
    int64_t start = cm_now_mono_ms();
    do {
        stage_sleep_ms(500);
        if (mailbox_look(stage, &p->reader, &numbers, err) != 0) {
            return -1;
        }
    } while (numbers.kib > TARGET_KIB && cm_now_mono_ms() - start < COMES_MS);
    if (count(stage, &p->reader, "young", &young, err) != 0 ||
        count(stage, &p->reader, "old", &old, err) != 0) {
        return -1;
    }
    if (numbers.kib > TARGET_KIB || young != 17 || old != 19) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "at three quarters: %ld KiB, %ld young of 17, %ld old of 22, "
                          "not 19",
                          numbers.kib, young, old);
    }
    stage_note(stage, "cut to %ld KiB, all young kept", numbers.kib);
    return 0;
}

/* The sum of the sizes in the names, as Dovecot counts. */
static int sum(struct stage *stage, const struct scene_account *account, long *bytes_r,
               struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "store", 0, &text, err,
                 "ls " BOX "%s/cur " BOX "%s/new | sed -n 's/.*,S=\\([0-9]*\\).*/\\1/p'"
                 " | awk '{ s += $1 } END { printf \"%%d\", s }'",
                 account->addr, account->addr) != 0) {
        return -1;
    }
    *bytes_r = strtol(text, NULL, 10);
    free(text);
    return 0;
}

/* Young mail alone, up to the last bytes: nothing is cut, the next does not fit. */
static int fill_up(struct stage *stage, const struct people *p, struct cm_err *err)
{
    struct mailbox_numbers numbers;
    long young, have;
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "cd " BOX "%s && rm -f cur/*.old,* maildirsize",
                 p->reader.addr) != 0 ||
        sum(stage, &p->reader, &have, err) != 0 ||
        fill(stage, &p->reader, LIMIT_KIB * 1024 - have - REST, 2 * HOUR_S, "full",
             err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "runuser -u vmail -- /usr/sbin/chatmail-quota-expire 350 " BOX "%s",
                 p->reader.addr) != 0 ||
        mailbox_look(stage, &p->reader, &numbers, err) != 0 ||
        count(stage, &p->reader, "young", &young, err) != 0) {
        return -1;
    }
    if (young != 17 || numbers.limit_kib != LIMIT_KIB || numbers.kib < LIMIT_KIB - 4 ||
        numbers.kib > LIMIT_KIB + 1) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "full: GETQUOTAROOT says %ld of %ld KiB, %ld young of 17",
                          numbers.kib, numbers.limit_kib, young);
    }
    return 0;
}

static void find_reason(const char *line, void *ctx)
{
    bool *found = ctx;
    *found |= strstr(line, "552 5.2.2") != NULL;
}

/* The writer's INBOX holds a bounce with the answer of Dovecot in it. */
static int bounced(struct stage *stage, const struct scene_account *account,
                   bool *found_r, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    enum imap_verdict verdict;
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_login(imap, account->addr, account->password, &verdict, NULL, err);
    if (rc == 0) {
        rc = imap_command(imap, "SELECT INBOX", NULL, NULL, err);
    }
    if (rc == 0) {
        rc = imap_command(imap, "UID FETCH 1:* BODY.PEEK[]", find_reason, found_r, err);
    }
    imap_close(&imap);
    return rc;
}

/* One that does not fit is taken from the writer, and comes back to him. */
static int goes_back(struct stage *stage, const struct people *p, struct cm_err *err)
{
    struct mailbox_numbers before, after;
    struct ledger other;
    bool found = false;
    int64_t start = cm_now_mono_ms();
    ledger_init(&other);
    int rc = mailbox_look(stage, &p->reader, &before, err);
    if (rc == 0) {
        rc = stream_one(stage, &p->lane, &other, err);
    }
    ledger_clear(&other);
    while (rc == 0 && !found && cm_now_mono_ms() - start < COMES_MS) {
        stage_sleep_ms(500);
        struct cm_err empty; /* FETCH of nothing is no error worth telling */
        if (bounced(stage, &p->writer, &found, &empty) != 0) {
            continue;
        }
    }
    if (rc != 0 || mailbox_look(stage, &p->reader, &after, err) != 0) {
        return -1;
    }
    if (!found || after.messages != before.messages) {
        return cm_err_set(
            err, CM_ERR_REFUSE,
            "full: bounce with 552 5.2.2 %s, %ld messages before, %ld after",
            found ? "came" : "did not come", before.messages, after.messages);
    }
    stage_note(stage, "full at %ld of %ld KiB, the next mail came back with 552",
               after.kib, after.limit_kib);
    return 0;
}

/* The user deletes some: mail fits again, without anybody's help. */
static int room_again(struct stage *stage, const struct people *p,
                      struct ledger *ledger, struct cm_err *err)
{
    struct door door = door_at("edge2", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    static const char *const commands[] = {
        "SELECT INBOX", "STORE 5:9 +FLAGS.SILENT (\\Deleted)", "EXPUNGE"};
    enum imap_verdict verdict;
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_login(imap, p->reader.addr, p->reader.password, &verdict, NULL, err);
    for (size_t i = 0; rc == 0 && i < sizeof commands / sizeof commands[0]; i++) {
        rc = imap_command(imap, commands[i], NULL, NULL, err);
    }
    imap_close(&imap);
    return rc != 0 ? -1 : stream_one(stage, &p->lane, ledger, err);
}

static int play(struct stage *stage, struct ledger *ledger, struct cm_err *err)
{
    struct people p;
    struct door inbox = door_at("edge2", AF_INET, 993, true);
    if (meet(stage, &p, err) != 0 || cut_the_old(stage, &p, ledger, err) != 0 ||
        fill_up(stage, &p, err) != 0 || goes_back(stage, &p, err) != 0 ||
        room_again(stage, &p, ledger, err) != 0) {
        return -1;
    }
    /* What was laid there cannot be read. */
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "cd " BOX "%s && rm -f cur/*.young,* cur/*.full,* maildirsize",
                 p.reader.addr) != 0) {
        return -1;
    }
    return mailbox_even(stage, &inbox, &p.reader, ledger, COMES_MS, err);
}

int scenario_quota(struct stage *stage, struct cm_err *err)
{
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = play(stage, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}
