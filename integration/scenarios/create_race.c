/* Two hundred first logins of one name: the database lets one of them make it. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "login.h"
#include "probe/mail.h"

#define RACERS  200
#define STEP_MS 60000

/* A third by IMAP: Dovecot lets 40 connections of a user in from one client address,
 * and all of ours come from two. */
static struct door lane(size_t i)
{
    bool imap = i % 3 == 0;
    return door_at((i / 3) % 2 == 0 ? "edge1" : "edge2",
                   (i / 6) % 2 == 0 ? AF_INET : AF_INET6, imap ? 993 : 465, imap);
}

/* Even racers have passwords[0], odd ones passwords[1]. */
static struct login *race(struct stage *stage, const char *user,
                          const char *const passwords[2])
{
    struct login *logins = cm_calloc(RACERS, sizeof *logins);
    for (size_t i = 0; i < RACERS; i++) {
        logins[i].door = lane(i / 2);
        snprintf(logins[i].user, sizeof logins[i].user, "%s", user);
        snprintf(logins[i].password, sizeof logins[i].password, "%s", passwords[i % 2]);
    }
    login_all(stage, logins, RACERS, RACERS, STEP_MS);
    return logins;
}

static int one_account(struct stage *stage, const char *user, struct cm_err *err)
{
    char *count = NULL;
    if (scene_sh(&stage->scene, "store", 0, &count, err,
                 "runuser -u postgres -- psql -qtAX -d chatmail "
                 "-c \"select count(*) from account where addr = '%s'\"",
                 user) != 0) {
        return -1;
    }
    long n = strtol(count, NULL, 10);
    free(count);
    return n == 1 ? 0 : cm_err_set(err, CM_ERR_REFUSE, "%ld accounts %s", n, user);
}

static void want(struct login *logins, const char *winner)
{
    for (size_t i = 0; i < RACERS; i++) {
        logins[i].want =
            strcmp(logins[i].password, winner) == 0 ? IMAP_IN : IMAP_REFUSED;
    }
}

/* What holds in the race must hold afterwards too. */
static int after(struct stage *stage, const char *user, const char *winner,
                 const char *loser, struct cm_err *err)
{
    struct login logins[] = {
        {.door = door_at("edge1", AF_INET, 993, true), .want = IMAP_IN},
        {.door = door_at("edge2", AF_INET6, 465, false), .want = IMAP_IN},
        {.door = door_at("edge2", AF_INET, 993, true), .want = IMAP_REFUSED},
        {.door = door_at("edge1", AF_INET6, 465, false), .want = IMAP_REFUSED}};
    for (size_t i = 0; i < 4; i++) {
        snprintf(logins[i].user, sizeof logins[i].user, "%s", user);
        snprintf(logins[i].password, sizeof logins[i].password, "%s",
                 i < 2 ? winner : loser);
    }
    login_all(stage, logins, 4, 4, STEP_MS);
    return login_judge(logins, 4, err) == 0 ? 0 : cm_err_prefix(err, "after the race");
}

static int64_t slowest(const struct login *logins)
{
    int64_t ms = 0;
    for (size_t i = 0; i < RACERS; i++) {
        ms = logins[i].ms > ms ? logins[i].ms : ms;
    }
    return ms;
}

static const char *find_winner(const struct login *logins)
{
    for (size_t i = 0; i < RACERS; i++) {
        if (logins[i].answered && logins[i].got == IMAP_IN) {
            return logins[i].password;
        }
    }
    return NULL;
}

static int play_race(struct stage *stage, const char *const passwords[2],
                     const char *what, struct cm_err *err)
{
    struct scene_account name;
    scene_new_account(&name, SCENE_DOMAIN);
    struct login *logins = race(stage, name.addr, passwords);
    const char *winner = find_winner(logins);
    int rc = 0;
    if (winner == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "nobody was let in; the first: %s",
                        logins[0].text);
    }
    if (rc == 0) {
        want(logins, winner);
        rc = login_judge(logins, RACERS, err);
    }
    if (rc == 0 && one_account(stage, name.addr, err) != 0) {
        rc = -1;
    }
    if (rc == 0) {
        bool first = strcmp(winner, passwords[0]) == 0;
        bool two = strcmp(passwords[0], passwords[1]) != 0;
        rc = after(stage, name.addr, winner,
                   !two ? "quite-another-one" : passwords[first ? 1 : 0], err);
        stage_note(stage, "%s: slowest %.1f s", what, (double)slowest(logins) / 1000);
    }
    free(logins);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", what);
}

int scenario_create_race(struct stage *stage, struct cm_err *err)
{
    char a[21], b[21];
    mail_random(a, sizeof a);
    mail_random(b, sizeof b);
    const char *const two[] = {a, b};
    const char *const one[] = {a, a};
    if (play_race(stage, two, "two passwords", err) != 0 ||
        play_race(stage, one, "one password", err) != 0) {
        return -1;
    }
    return 0;
}
