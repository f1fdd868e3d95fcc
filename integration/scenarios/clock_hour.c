/* The wall clock moved by an hour, forward and back, under the daemons of ours,
 * PostgreSQL and Dovecot: nothing expires for it, tokens stay, people get in, mail
 * comes.
 *
 * Nodes may not set the clock, so a library in each process moves it (clockshift.c).
 * For the same reason systemd never sees it move: what chatmail-clock.timer starts then
 * is started here.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "door.h"
#include "mailbox.h"
#include "shift.h"
#include "stream.h"

#define STEP_MS  15000
#define COMES_MS 30000
#define LIBRARY  "/usr/local/lib/clockshift.so"
#define BOX      "/home/vmail/mail/" SCENE_DOMAIN "/"
#define SQL      "runuser -u postgres -- psql -X -A -t -q -d chatmail -c "
#define TOKEN    "/private/devicetoken"
#define OLD_MAIL 20
#define IDLER    "clockidler"
#define IDLERS   300 /* more than may go without being asked about */
#define OURS                                                                           \
    "$(systemctl list-units --plain --no-legend --type=service --state=running"        \
    " 'chatmail-*' | cut -d' ' -f1 | grep -v tunnel) chatmail-expire.service"          \
    " chatmail-clock.service dovecot.service"
#define DROPIN      "clockshift.conf"
#define ENVIRONMENT "/etc/postgresql/15/main/environment"
#define DOVECOT     "/etc/dovecot/dovecot.conf"
#define RESTART                                                                        \
    "systemctl daemon-reload; systemctl restart postgresql@15-main;"                   \
    " for u in $units; do systemctl try-restart $u; done"

static int put_library(struct stage *stage, struct cm_err *err)
{
    char *text = NULL, *out = NULL;
    if (shift_library(&text, err) != 0) {
        return -1;
    }
    int rc = stage_ask(
        stage, "store", text, &out, err,
        "set -e; base64 -d >" LIBRARY "; head -c 8 /dev/zero >/var/lib/clockshift;"
        " units=\"" OURS "\"; for u in $units; do d=/run/systemd/system/$u.d;"
        " mkdir -p $d; printf '[Service]\\nEnvironment=LD_PRELOAD=" LIBRARY
        "\\n' >$d/" DROPIN "; done;"
        " echo \"LD_PRELOAD = '" LIBRARY "'\" >>" ENVIRONMENT ";"
        " echo 'import_environment = $import_environment LD_PRELOAD' >>" DOVECOT
        "; " RESTART ";"
        " for u in $units; do p=$(systemctl show -P MainPID $u);"
        " test $p = 0 || grep -q clockshift /proc/$p/maps; done");
    if (rc > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "clockshift: %.300s", out);
    }
    free(out);
    free(text);
    return rc;
}

int scenario_clock_right(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 120, NULL, err,
                    "test -e /var/lib/clockshift || exit 0;"
                    " " SQL "\"delete from account where addr like '" IDLER "%%'\";"
                    " rm -f /run/systemd/system/*.d/" DROPIN ";"
                    " sed -i '/clockshift/d' " ENVIRONMENT
                    "; sed -i '/LD_PRELOAD/d' " DOVECOT "; units=\"" OURS "\"; " RESTART
                    "; rm -f /var/lib/clockshift " LIBRARY
                    " /run/chatmail-clock/offset;"
                    " systemctl start chatmail-clock.service");
}

/* And sees to it that PostgreSQL has moved, and a new process would. */
static int move_clock(struct stage *stage, int hours, struct cm_err *err)
{
    long seconds = hours * 3600L;
    char bytes[SHIFT_BYTES];
    shift_bytes(seconds, bytes);
    /* In place: the processes have the file mapped. */
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "printf '%s' | dd of=/var/lib/clockshift conv=notrunc status=none;"
                    " true_time=$(awk '/^btime/ { b = $2 } END { print b }' "
                    "/proc/stat); up=$(cut -d. -f1 /proc/uptime);"
                    " base=$((true_time + up));"
                    " for t in $(LD_PRELOAD=" LIBRARY " date +%%s) $(" SQL
                    "'select extract(epoch from now())::bigint'); do"
                    " d=$((t - base - %ld)); test $d -ge -60 && test $d -le 60; done",
                    bytes, seconds);
}

/* Dovecot */

/* Its master has seen the clock go back, and would start nothing now. */
static int dovecot_waits(struct stage *stage, const struct scene_mark *mark,
                         struct cm_err *err)
{
    char *text;
    if (scene_journal(&stage->scene, "store", mark, "-u dovecot.service", &text, err) !=
        0) {
        return -1;
    }
    int rc = strstr(text, "waiting for 180.000 seconds until new services") != NULL
                 ? 0
                 : cm_err_set(err, CM_ERR_WORLD,
                              "Dovecot has not seen the clock go back: %.200s", text);
    free(text);
    return rc;
}

/* What the timer starts at a step of the clock: another Dovecot after one back, the
 * same after one forward. */
static int tell_dovecot(struct stage *stage, bool back, const struct scene_mark *mark,
                        struct cm_err *err)
{
    /* A question wakes the master up; its answer may already be a refusal. */
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "timeout 5 doveadm service status >/dev/null; sleep 1") != 0 ||
        (back && dovecot_waits(stage, mark, err) != 0)) {
        return -1;
    }
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "p() { systemctl show -P MainPID dovecot.service; }; before=$(p);"
                    " systemctl start chatmail-clock.service;"
                    " test $(systemctl is-active dovecot.service) = active;"
                    " test $(p) %s $before",
                    back ? "!=" : "=");
}

/* Tokens */

static void collect(const char *line, void *ctx)
{
    cm_buf_str(ctx, line);
}

/* Sets `set` (may be NULL), then `want` must be among those that are read back. */
static int token(struct stage *stage, const struct scene_account *account,
                 const char *set, const char *want, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    enum imap_verdict verdict;
    struct cm_buf got;
    char command[128];
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    cm_buf_init(&got, 65536);
    int rc = imap_login(imap, account->addr, account->password, &verdict, NULL, err);
    if (rc == 0 && set != NULL) {
        snprintf(command, sizeof command, "SETMETADATA \"INBOX\" (" TOKEN " \"%s\")",
                 set);
        rc = imap_command(imap, command, NULL, NULL, err);
    }
    if (rc == 0) {
        rc = imap_command(imap, "GETMETADATA \"INBOX\" " TOKEN, collect, &got, err);
    }
    if (rc == 0 && strstr(got.data, want) == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "token %s is not read back: '%.200s'", want,
                        got.data);
    }
    cm_buf_clear(&got);
    imap_close(&imap);
    return rc;
}

/* What must stay */

struct census {
    long accounts, tokens, messages;
};

static int take_census(struct stage *stage, const struct scene_account *account,
                       struct census *census_r, struct cm_err *err)
{
    struct mailbox_numbers numbers;
    struct census census;
    char *text = NULL;
    if (scene_sh(&stage->scene, "store", 0, &text, err,
                 SQL
                 "\"select count(*) || ' ' || (select count(*) from push_token where"
                 " addr = '%s') from account\"",
                 account->addr) != 0) {
        return -1;
    }
    int n = sscanf(text, "%ld %ld", &census.accounts, &census.tokens);
    free(text);
    if (n != 2) {
        return cm_err_set(err, CM_ERR_WORLD, "no census");
    }
    if (mailbox_look(stage, account, &numbers, err) != 0) {
        return -1;
    }
    census.messages = numbers.messages;
    *census_r = census;
    return 0;
}

static int settle(struct stage *stage, const struct scene_account *account,
                  struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "set -e; for i in $(seq %d); do printf 'Subject: x\\r\\n\\r\\nx\\r\\n'"
        " | doveadm save -u %s; done; find " BOX "%s/cur " BOX "%s/new -type f"
        " -exec touch -d '19 days ago 22 hours ago' {} +; " SQL
        "\"insert into account (addr, password, created_at, last_login) select"
        " '" IDLER "' || i || '@" SCENE_DOMAIN "', 'x', now() - interval '200 days',"
        " current_date - 88 from generate_series(1, %d) i\"",
        OLD_MAIL, account->addr, account->addr, account->addr, IDLERS);
}

static int run_expire(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 120, NULL, err,
                    "systemctl reset-failed chatmail-expire.service;"
                    " systemctl start chatmail-expire.service");
}

/* One step of the clock: all as before, and it all works. */
static int step(struct stage *stage, int hours, bool back,
                const struct scene_account *account, const struct stream_lane *lane,
                struct cm_err *err)
{
    struct scene_mark mark;
    struct census before, after;
    struct scene_account newcomer;
    struct ledger ledger;
    char set[32];
    struct door smtp = door_at("edge2", AF_INET6, 465, false);
    snprintf(set, sizeof set, "at-%d-hours", hours);
    ledger_init(&ledger);
    int rc = take_census(stage, account, &before, err) != 0 ||
                     scene_mark(&stage->scene, "store", &mark, err) != 0 ||
                     move_clock(stage, hours, err) != 0 ||
                     tell_dovecot(stage, back, &mark, err) != 0 ||
                     door_must_let_in(stage, &smtp, account, err) != 0 ||
                     account_make(stage, &newcomer, SCENE_DOMAIN, err) != 0 ||
                     run_expire(stage, err) != 0 ||
                     stream_one(stage, lane, &ledger, err) != 0 ||
                     token(stage, account, set, set, err) != 0
                 ? -1
                 : 0;
    ledger_clear(&ledger);
    long want = before.messages + 1;
    for (int i = 0; rc == 0 && i < COMES_MS / 500; i++) {
        rc = take_census(stage, account, &after, err);
        if (rc != 0 || after.messages >= want) {
            break;
        }
        stage_sleep_ms(500);
    }
    if (rc == 0 && (after.accounts != before.accounts + 1 || after.messages != want ||
                    after.tokens < before.tokens)) {
        rc =
            cm_err_set(err, CM_ERR_REFUSE,
                       "%ld accounts, %ld mails, %ld tokens; were %ld, %ld, %ld before",
                       after.accounts, after.messages, after.tokens, before.accounts,
                       before.messages, before.tokens);
    }
    return rc == 0 ? 0 : cm_err_prefix(err, "clock moved to %+d hours", hours);
}

int scenario_clock_hour(struct stage *stage, struct cm_err *err)
{
    static const int hours[] = {0, 1, 0, -1, 0};
    struct scene_account reader, writer;
    struct door edge = door_at("edge2", AF_INET, 465, false);
    if (put_library(stage, err) != 0 ||
        account_make(stage, &reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &writer, SCENE_DOMAIN, err) != 0 ||
        settle(stage, &reader, err) != 0) {
        return -1;
    }
    struct stream_lane lane = {.doors = {edge, edge}, .from = writer};
    snprintf(lane.to, sizeof lane.to, "%s", reader.addr);
    for (size_t i = 0; i < sizeof hours / sizeof hours[0]; i++) {
        bool back = i > 0 && hours[i] < hours[i - 1];
        if (step(stage, hours[i], back, &reader, &lane, err) != 0) {
            return -1;
        }
    }
    /* set while the clock was right, and not again since */
    if (token(stage, &reader, NULL, "at-0-hours", err) != 0) {
        return -1;
    }
    stage_note(stage,
               "an hour forward and back, twice: %d old mails, %d unused accounts "
               "and 3 tokens stay, logins and mail go on",
               OLD_MAIL, IDLERS);
    return 0;
}
