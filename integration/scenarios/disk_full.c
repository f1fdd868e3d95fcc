/* The store's disk filled to the limit: queue, mailboxes, PostgreSQL and Redis on one
 * small filesystem, with nothing left on it. Mail is put off and not bounced, nothing
 * that was taken is lost, people still get in, and all goes on by itself when there is
 * room again.
 *
 * The small disk is a tmpfs, just larger than the gigabyte below which no account is
 * made, with a copy of what is there and no mailboxes. When it is taken away the store
 * is as it was before. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"

#define SMALL      "/var/small"
#define FILLER     "scenario-filler.service"
#define STEP_MS    15000
#define AGAIN_MS   20000
#define DELIVER_MS 300000
#define WAITING    4 /* mails in the queue when the disk gets full */
#define TOKEN      "/private/devicetoken"
#define REDIS      "redis-cli -s /run/redis/redis-server.sock"
#define REDIS_DIES 7 /* more than systemd would stand without its drop-in */
#define SPOOL      "/var/spool/chatmail-push"
/* The sockets in Postfix's directory lie on that disk too. */
#define SOCKETS                                                                        \
    "chatmail-auth.socket chatmail-auth-sasl.socket chatmail-filter-in.socket "        \
    "chatmail-filter-out.socket chatmail-filter-sign.socket "                          \
    "chatmail-transport.socket "
#define SERVICES "postgresql@15-main redis-server " SOCKETS "dovecot postfix"
#define STOP                                                                           \
    "systemctl stop " SERVICES                                                         \
    " chatmail-auth chatmail-filter-in chatmail-filter-out chatmail-filter-sign"       \
    " chatmail-transport; "
#define START "systemctl reset-failed " SERVICES "; systemctl start " SERVICES

/* Where the disk is used, without the leading slash. */
#define PLACES                                                                         \
    "var/spool/postfix var/lib/redis var/lib/postgresql/15/main home/vmail/mail"

static int small_disk(struct stage *stage, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 120, NULL, err,
        "set -e; " STOP "mkdir -p " SMALL
        "; mount -t tmpfs -o size=1300m,mode=755 small " SMALL "; for d in " PLACES
        "; do mkdir -p " SMALL "/$d;"
        " if [ $d = home/vmail/mail ]; then"
        " chown --reference=/$d " SMALL "/$d; chmod --reference=/$d " SMALL "/$d;"
        " else cp -a /$d/. " SMALL "/$d; chown --reference=/$d " SMALL "/$d;"
        " chmod --reference=/$d " SMALL "/$d; fi; mount --bind " SMALL
        "/$d /$d; done; " START);
}

int scenario_large_disk(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 120, NULL, err,
                    "systemctl stop " FILLER " 2>/dev/null; mountpoint -q " SMALL
                    " || exit 0; " STOP "for d in " PLACES
                    "; do ! mountpoint -q /$d || umount /$d; done;"
                    " umount " SMALL "; postconf -X defer_transports; " START);
}

/* To the last block, and whatever is freed again is taken within a fifth of a second.
 */
static int fill(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "store", 60, NULL, err,
                 "dd if=/dev/zero of=" SMALL "/ballast bs=1M 2>/dev/null;"
                 " systemd-run -q --unit=" FILLER " sh -c 'while sleep 0.2; do"
                 " dd if=/dev/zero bs=4k >>" SMALL
                 "/ballast 2>/dev/null; done'") != 0) {
        return -1;
    }
    return scene_until(&stage->scene, "store", 10, err,
                       "test \"$(df --output=avail " SMALL " | tail -1)\" -eq 0");
}

static int make_room(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "systemctl stop " FILLER "; rm -f " SMALL "/ballast");
}

/* Keeps mail in the queue, or lets it go to Dovecot now. */
static int hold_lmtp(struct stage *stage, bool hold, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err, "%s",
                    hold ? "postconf -e defer_transports=lmtp && postfix reload"
                         : "postconf -X defer_transports && postfix reload &&"
                           " sleep 1 && postqueue -f");
}

struct people {
    struct scene_account reader, writer, far;
    struct stream_lane near_lane, far_lane;
};

static int meet(struct stage *stage, struct people *p, struct cm_err *err)
{
    struct door edge = door_at("edge2", AF_INET, 465, false),
                relay2 = door_at("relay2", AF_INET, 465, false);
    if (account_make(stage, &p->reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &p->writer, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &p->far, SCENE_RELAY2, err) != 0) {
        return -1;
    }
    p->near_lane = (struct stream_lane){.doors = {edge, edge}, .from = p->writer};
    p->far_lane = (struct stream_lane){.doors = {relay2, relay2}, .from = p->far};
    snprintf(p->near_lane.to, sizeof p->near_lane.to, "%s", p->reader.addr);
    snprintf(p->far_lane.to, sizeof p->far_lane.to, "%s", p->reader.addr);
    return 0;
}

/* While it is full */

static int must_be_put_off(struct stage *stage, const struct people *p,
                           struct ledger *ledger, struct cm_err *err)
{
    struct cm_err no = {.text = "taken"};
    if (stream_one(stage, &p->near_lane, ledger, &no) == 0 ||
        strstr(no.text, ": 452 ") == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "submission on a full disk: %.300s",
                          no.text);
    }
    return 0;
}

static int still_gets_in(struct stage *stage, const struct people *p,
                         struct cm_err *err)
{
    struct mailbox_numbers numbers;
    struct door smtp = door_at("edge1", AF_INET6, 465, false);
    if (door_must_let_in(stage, &smtp, &p->reader, err) != 0 ||
        mailbox_look(stage, &p->reader, &numbers, err) != 0) {
        return cm_err_prefix(err, "disk full");
    }
    return numbers.messages >= 1 && numbers.messages <= 1 + WAITING
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "disk full: %ld messages to see",
                            (long)numbers.messages);
}

static int nobody_new(struct stage *stage, struct cm_err *err)
{
    struct scene_account stranger;
    struct door door = door_at("edge1", AF_INET, 993, true);
    enum imap_verdict verdict;
    char text[256];
    scene_new_account(&stranger, SCENE_DOMAIN);
    if (door_login(stage, &door, stranger.addr, stranger.password, STEP_MS, &verdict,
                   text, err) != 0) {
        return -1;
    }
    return verdict != IMAP_IN
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "an account was made on a full disk");
}

/* OK must mean that it stays. Returns whether it was OK. */
static int set_token(struct stage *stage, const struct people *p, bool *taken_r,
                     struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    enum imap_verdict verdict;
    struct cm_err no;
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_login(imap, p->reader.addr, p->reader.password, &verdict, NULL, err);
    if (rc == 0) {
        *taken_r = imap_command(imap, "SETMETADATA \"INBOX\" (" TOKEN " \"full-disk\")",
                                NULL, NULL, &no) == 0;
    }
    imap_close(&imap);
    return rc;
}

static int while_full(struct stage *stage, const struct people *p,
                      struct ledger *ledger, bool *token_r, struct cm_err *err)
{
    int rounds = stage->quick ? 2 : 5;
    if (hold_lmtp(stage, false, err) != 0) { /* delivery meets the full disk */
        return -1;
    }
    for (int i = 0; i < rounds; i++) {
        if (still_gets_in(stage, p, err) != 0 || nobody_new(stage, err) != 0 ||
            must_be_put_off(stage, p, ledger, err) != 0 ||
            stream_one(stage, &p->far_lane, ledger, err) != 0 ||
            set_token(stage, p, token_r, err) != 0) {
            return -1;
        }
        stage_sleep_ms(3000);
    }
    return 0;
}

/* The queue must hold all that was taken. PostgreSQL, which starts anew when its log
 * finds no room, frees some at that; what is delivered in that moment is no less well.
 */
static int waits_for_room(struct stage *stage, const struct people *p,
                          struct cm_err *err)
{
    struct mailbox_numbers numbers;
    char *text = NULL;
    if (mailbox_look(stage, &p->reader, &numbers, err) != 0) {
        return -1;
    }
    if (scene_sh(&stage->scene, "store", 0, &text, err,
                 "postqueue -j | grep -c 'queue_name' || true") != 0) {
        return cm_err_prefix(err, "queue on a full disk");
    }
    long n = strtol(text, NULL, 10);
    free(text);
    return n + numbers.messages - 1 == WAITING
               ? 0
               : cm_err_set(
                     err, CM_ERR_REFUSE,
                     "%ld mails in the queue of a full disk and %ld to see, of %d", n,
                     (long)numbers.messages, WAITING + 1);
}

/* After it */

static int goes_on(struct stage *stage, const struct people *p, struct ledger *ledger,
                   bool token, struct cm_err *err)
{
    struct scene_account newcomer;
    struct door inbox = door_at("edge2", AF_INET, 993, true);
    int64_t start = cm_now_mono_ms(), took = 0;
    scene_new_account(&newcomer, SCENE_DOMAIN);
    struct cm_err refused = {.text = ""};
    /* refused ("wrong password") is the answer to an account that may not be made */
    while (door_must_let_in(stage, &inbox, &newcomer, &refused) != 0) {
        if (cm_now_mono_ms() - start > AGAIN_MS) {
            return cm_err_set(err, CM_ERR_REFUSE, "room again, no account: %.300s",
                              refused.text);
        }
        stage_sleep_ms(250);
    }
    took = cm_now_mono_ms() - start;
    if (stream_one(stage, &p->near_lane, ledger, err) != 0 ||
        mailbox_even(stage, &inbox, &p->reader, ledger, DELIVER_MS, err) != 0) {
        return cm_err_prefix(err, "room again");
    }
    stage_note(stage,
               "room again: accounts after %.1f s, all %zu mails there in %.0f s",
               (double)took / 1000, ledger_count(ledger, LEDGER_ACCEPTED),
               (double)(cm_now_mono_ms() - start) / 1000);
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "test \"$(runuser -u postgres -- psql -X -A -t -q -d chatmail -c"
                    " \"select count(*) from push_token where addr = '%s'\")\" -ge %d",
                    p->reader.addr, token ? 1 : 0);
}

/* Redis */

/* With "appendfsync always" it ends itself at a write that finds no room (7.0.15), and
 * must be there again each time, with what it had. */
static int redis_dies(struct stage *stage, struct cm_err *err)
{
    int rc = scene_sh(
        &stage->scene, "store", 90, NULL, err,
        "before=$(systemctl show -P NRestarts redis-server); n=0;"
        " while [ $n -lt %d ]; do n=$((n + 1));"
        " head -c 20000 /dev/zero | tr '\\0' x | " REDIS " -x set disk_full_no"
        " >/dev/null 2>&1; i=0; until [ \"$(" REDIS " ping 2>&1)\" = PONG ];"
        " do i=$((i + 1)); [ $i -lt 100 ] || { echo not back after death $n; exit 1; };"
        " sleep 0.1; done; done;"
        " after=$(systemctl show -P NRestarts redis-server);"
        " echo $((after - before)) deaths; [ $((after - before)) -gt 5 ]",
        REDIS_DIES);
    return rc == 0 ? 0 : cm_err_prefix(err, "Redis on a full disk");
}

static int redis_keeps(struct stage *stage, const char *when, struct cm_err *err)
{
    int rc = scene_until(&stage->scene, "store", 10, err,
                         "test \"$(" REDIS " get disk_full)\" = kept");
    return rc == 0 ? 0 : cm_err_prefix(err, "Redis %s", when);
}

/* A ring that came while nobody could take it. */
static int ring_push(struct stage *stage, const struct people *p, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "runuser -u vmail -- touch " SPOOL "/%s", p->reader.addr);
}

/* Push takes it off its spool once Redis has it. */
static int push_hears(struct stage *stage, const struct people *p, struct cm_err *err)
{
    int rc = scene_until(&stage->scene, "store", 30, err,
                         "systemctl -q is-active redis-server &&"
                         " systemctl -q is-active chatmail-push &&"
                         " test -z \"$(find " SPOOL " -name %s)\"",
                         p->reader.addr);
    return rc == 0 ? 0 : cm_err_prefix(err, "room again, push");
}

static int play(struct stage *stage, struct ledger *ledger, struct cm_err *err)
{
    struct people p;
    bool token = false;
    struct door inbox = door_at("edge2", AF_INET, 993, true);
    if (small_disk(stage, err) != 0 || meet(stage, &p, err) != 0 ||
        stream_one(stage, &p.near_lane, ledger, err) != 0 ||
        mailbox_even(stage, &inbox, &p.reader, ledger, STEP_MS, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err, REDIS " set disk_full kept") !=
            0 ||
        hold_lmtp(stage, true, err) != 0) {
        return -1;
    }
    for (int i = 0; i < WAITING; i++) {
        if (stream_one(stage, &p.near_lane, ledger, err) != 0) {
            return -1;
        }
    }
    if (fill(stage, err) != 0 || while_full(stage, &p, ledger, &token, err) != 0 ||
        waits_for_room(stage, &p, err) != 0 || redis_dies(stage, err) != 0 ||
        redis_keeps(stage, "full", err) != 0 || ring_push(stage, &p, err) != 0 ||
        make_room(stage, err) != 0 || goes_on(stage, &p, ledger, token, err) != 0 ||
        redis_keeps(stage, "with room again", err) != 0 ||
        push_hears(stage, &p, err) != 0) {
        return -1;
    }
    stage_note(stage, "a token set on the full disk was %s",
               token ? "taken, and is there" : "not taken");
    return 0;
}

int scenario_disk_full(struct stage *stage, struct cm_err *err)
{
    struct ledger ledger;
    ledger_init(&ledger);
    int rc = play(stage, &ledger, err);
    ledger_clear(&ledger);
    return rc;
}
