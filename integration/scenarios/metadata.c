/* relay-spec.md 6.4 and 6.5 over real IMAP: tokens are set, read and removed while the
 * services and the database are restarted and killed, and a login sets its day. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "tokens.h"
#include "unit.h"

#define STEP_MS  15000
#define BACK_MS  10000
#define DAY_S    10
#define AGAIN_MS 20000
#define SERVER   "/shared/vendor/deltachat/"
#define TOKEN    "/private/devicetoken"
#define SQL      "runuser -u postgres -- psql -X -A -t -q -d chatmail -c "

static int must_fail(struct imap *imap, const char *command, struct cm_err *err)
{
    struct cm_err no;
    if (imap_command(imap, command, NULL, NULL, &no) == 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: was taken", command);
    }
    return strstr(no.text, ": NO ") != NULL
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "no NO: %s", no.text);
}

#define DROP "SETMETADATA \"INBOX\" (" TOKEN " NIL)"

static int set_get_unset(struct imap *imap, struct cm_err *err)
{
    char bytes[40] = "";
    for (char c = 1; c <= 32; c++) {
        bytes[c - 1] = c;
    }
    bytes[31] = 127;
    bytes[32] = 'x';
    if (tokens_are(imap, "", err) != 0 || tokens_add(imap, "1111", err) != 0 ||
        tokens_are(imap, "1111", err) != 0 || tokens_add(imap, "2222", err) != 0 ||
        tokens_are(imap, "1111 2222", err) != 0 || tokens_add(imap, "1111", err) != 0 ||
        tokens_are(imap, "1111 2222", err) != 0) {
        return cm_err_prefix(err, "append");
    }
    if (must_fail(imap, "SETMETADATA \"INBOX\" (/private/other \"x\")", err) != 0 ||
        must_fail(imap,
                  "SETMETADATA \"INBOX\" (" TOKEN " \"3333\" /private/other \"x\")",
                  err) != 0 ||
        tokens_are(imap, "1111 2222", err) != 0) {
        return cm_err_prefix(err, "all or nothing");
    }
    if (imap_command(imap, DROP, NULL, NULL, err) != 0 ||
        tokens_are(imap, "", err) != 0 || tokens_add(imap, bytes, err) != 0 ||
        tokens_are(imap, bytes, err) != 0 ||
        imap_command(imap, DROP, NULL, NULL, err) != 0 ||
        tokens_are(imap, "", err) != 0) {
        return cm_err_prefix(err, "control bytes, NIL");
    }
    return 0;
}

static int server_entries(struct imap *imap, struct cm_err *err)
{
    if (tokens_hold(imap, "GETMETADATA \"\" (" SERVER "maxsmtprecipients)",
                    "(" SERVER "maxsmtprecipients {4}\n1000)", err) != 0 ||
        imap_command(imap,
                     "GETMETADATA \"\" (/shared/comment /shared/admin " SERVER
                     "irohrelay " SERVER "turn " SERVER "appversions)",
                     NULL, NULL, err) != 0 ||
        imap_command(imap, "GETMETADATA (DEPTH infinity) \"INBOX\" (/private)", NULL,
                     NULL, err) != 0 ||
        imap_command(imap, "SETMETADATA \"INBOX\" (/private/messagenew \"\")", NULL,
                     NULL, err) != 0) {
        return cm_err_prefix(err, "server entries");
    }
    return 0;
}

/* Each of these happens between a set and a get on one session. */
static const struct blow {
    const char *what;
    const char *kill;    /* a unit, killed with SIGKILL */
    const char *command; /* or this */
    bool down;           /* an answer may be NO for a while */
} blows[] = {
    {"metadata killed", "chatmail-metadata.service", NULL, false},
    {"metadata restarted", NULL, "systemctl restart chatmail-metadata", false},
    {"metadata reloaded", NULL, "systemctl reload chatmail-metadata", false},
    {"PostgreSQL restarted", NULL, "systemctl restart postgresql@15-main", true},
    {"PostgreSQL killed", "postgresql@15-main", NULL, true},
};

static int until_tokens_are(struct imap *imap, const char *value, bool may_fail,
                            struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + AGAIN_MS;
    int rc = tokens_are(imap, value, err);
    while (rc != 0 && may_fail && cm_now_mono_ms() < until) {
        stage_sleep_ms(200);
        rc = tokens_are(imap, value, err);
    }
    return rc;
}

static int strike(struct stage *stage, const struct blow *blow, struct cm_err *err)
{
    int64_t ms;
    if (blow->kill != NULL) {
        return unit_kill(stage, "store", blow->kill, BACK_MS, &ms, err);
    }
    return scene_sh(&stage->scene, "store", 60, NULL, err, "%s", blow->command);
}

static int through_blows(struct stage *stage, struct imap *imap, struct cm_err *err)
{
    char all[256] = "";
    for (size_t i = 0; i < sizeof blows / sizeof blows[0]; i++) {
        char token[16];
        snprintf(token, sizeof token, "token%zu", i);
        if (i > 0) {
            strcat(all, " ");
        }
        strcat(all, token); /* 7 bytes each, of 256 */
        if (tokens_add(imap, token, err) != 0 || strike(stage, &blows[i], err) != 0 ||
            until_tokens_are(imap, all, blows[i].down, err) != 0) {
            return cm_err_prefix(err, "%s", blows[i].what);
        }
    }
    return 0;
}

static int database_away(struct stage *stage, struct imap *imap, struct cm_err *err)
{
    char all[256] = "token0 token1 token2 token3 token4";
    if (scene_sh(&stage->scene, "store", 60, NULL, err,
                 "systemctl stop postgresql@15-main") != 0) {
        return -1;
    }
    int64_t start = cm_now_mono_ms();
    int rc = must_fail(imap, "SETMETADATA \"INBOX\" (" TOKEN " \"lost\")", err);
    if (rc == 0) {
        rc = server_entries(imap, err); /* these need no database */
    }
    int64_t took = cm_now_mono_ms() - start;
    if (rc == 0 && took > STEP_MS / 3) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "answers took %.1f s", (double)took / 1000);
    }
    if (scenario_postgres_back(stage, rc == 0 ? err : &(struct cm_err){0}) != 0 ||
        rc != 0) {
        return cm_err_prefix(err, "database away");
    }
    return until_tokens_are(imap, all, true, err);
}

/* Killed just before, or not, today's date comes to stand there. */
static int day_comes(struct stage *stage, const struct scene_account *account,
                     const char *before, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 SQL "\"update account set last_login = null where addr = '%s'\"; %s",
                 account->addr, before) != 0) {
        return -1;
    }
    struct imap *imap = tokens_log_in(stage, account, err);
    if (imap == NULL) {
        return -1;
    }
    imap_close(&imap);
    if (scene_until(&stage->scene, "store", DAY_S, err,
                    "test t = \"$(" SQL "\"select last_login = (now() at time zone "
                    "'utc')::date from account where addr = '%s'\")\"",
                    account->addr) != 0) {
        return cm_err_prefix(err, "no day after a login (%s)", before);
    }
    return 0;
}

int scenario_metadata(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    struct imap *imap = tokens_log_in(stage, &account, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = set_get_unset(imap, err);
    rc = rc != 0 ? rc : server_entries(imap, err);
    rc = rc != 0 ? rc : through_blows(stage, imap, err);
    rc = rc != 0 ? rc : database_away(stage, imap, err);
    imap_close(&imap);
    if (rc != 0 || day_comes(stage, &account, "true", err) != 0 ||
        day_comes(stage, &account, "systemctl kill -s KILL chatmail-lastlogin", err) !=
            0 ||
        day_comes(stage, &account, "systemctl restart chatmail-lastlogin", err) != 0) {
        return -1;
    }
    stage_note(stage, "tokens kept through %zu blows, last login set 3 times",
               sizeof blows / sizeof blows[0]);
    return 0;
}
