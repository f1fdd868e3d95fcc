/* relay-spec.md 2.2.3, 2.2.8 and 6.10, asked at every door. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "login.h"
#include "probe/mail.h"
#include "probe/smtp.h"

#define PARALLEL 12
#define STEP_MS  30000

static void fill(struct login *login, const struct door *door, const char *user,
                 const char *password, enum imap_verdict want)
{
    *login = (struct login){.door = *door, .want = want};
    snprintf(login->user, sizeof login->user, "%s", user);
    snprintf(login->password, sizeof login->password, "%s", password);
}

static int round_of(struct stage *stage, struct login *logins, size_t n,
                    const char *what, struct cm_err *err)
{
    login_all(stage, logins, n, PARALLEL, STEP_MS);
    return login_judge(logins, n, err) == 0 ? 0 : cm_err_prefix(err, "%s", what);
}

/* One new account per door: it comes to be there, and is known at all other doors. */
static int every_door(struct stage *stage, struct cm_err *err)
{
    struct door doors[DOORS];
    struct scene_account accounts[DOORS];
    struct login logins[DOORS];
    doors_all(doors);
    for (size_t i = 0; i < DOORS; i++) {
        scene_new_account(&accounts[i], SCENE_DOMAIN);
        fill(&logins[i], &doors[i], accounts[i].addr, accounts[i].password, IMAP_IN);
    }
    if (round_of(stage, logins, DOORS, "first login", err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < DOORS; i++) {
        const struct scene_account *a = &accounts[(i + DOORS / 2 + 1) % DOORS];
        fill(&logins[i], &doors[i], a->addr, a->password, IMAP_IN);
    }
    if (round_of(stage, logins, DOORS, "second login, elsewhere", err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < DOORS; i++) {
        fill(&logins[i], &doors[i], accounts[i].addr, "not-the-password", IMAP_REFUSED);
    }
    return round_of(stage, logins, DOORS, "wrong password", err);
}

static const struct refusal {
    const char *what;
    const char *user; /* "%s" is a random name of 9 characters */
    const char *password;
} refusals[] = {
    {"password of 8 characters", "%s@" SCENE_DOMAIN, "eightlet"},
    {"name of 8 characters", "%.8s@" SCENE_DOMAIN, "a-long-password"},
    {"name of 10 characters", "%sx@" SCENE_DOMAIN, "a-long-password"},
    {"name with +", "%.7s+x@" SCENE_DOMAIN, "a-long-password"},
    {"name with !", "%.7s!x@" SCENE_DOMAIN, "a-long-password"},
    {"name with a blank", "%.7s x@" SCENE_DOMAIN, "a-long-password"},
    {"foreign domain", "%s@elsewhere.example", "a-long-password"},
    {"longer domain", "%s@" SCENE_DOMAIN ".invalid", "a-long-password"},
    {"no domain", "%s", "a-long-password"},
};
#define REFUSALS (sizeof refusals / sizeof refusals[0])

static void bad_user(const struct refusal *refusal, char out[96])
{
    char name[10];
    mail_random(name, sizeof name);
    const char *mark = strchr(refusal->user, '%');
    size_t width = mark[1] == '.' ? (size_t)(mark[2] - '0') : 9;
    snprintf(out, 96, "%.*s%s", (int)width, name, strchr(mark, 's') + 1);
}

static int refused(struct stage *stage, struct cm_err *err)
{
    struct door doors[4] = {
        door_at("edge1", AF_INET, 993, true), door_at("edge2", AF_INET6, 143, true),
        door_at("edge1", AF_INET6, 465, false), door_at("edge2", AF_INET, 443, false)};
    struct login logins[4 * REFUSALS];
    for (size_t i = 0; i < 4 * REFUSALS; i++) {
        const struct refusal *r = &refusals[i / 4];
        char user[96];
        bad_user(r, user);
        fill(&logins[i], &doors[i % 4], user, r->password, IMAP_REFUSED);
    }
    login_all(stage, logins, 4 * REFUSALS, PARALLEL, STEP_MS);
    for (size_t i = 0; i < REFUSALS; i++) {
        if (login_judge(&logins[4 * i], 4, err) != 0) {
            return cm_err_prefix(err, "%s", refusals[i].what);
        }
    }
    return 0;
}

/* Dovecot lower-cases names before anybody else sees them, so both are one account. */
static int upper_case(struct stage *stage, struct cm_err *err)
{
    struct scene_account account, shouted;
    struct door imap = door_at("edge1", AF_INET, 993, true);
    struct door smtp = door_at("edge2", AF_INET6, 465, false);
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    shouted = account;
    for (char *c = shouted.addr; *c != '@'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    }
    if (door_must_let_in(stage, &imap, &shouted, err) != 0 ||
        door_must_let_in(stage, &smtp, &shouted, err) != 0) {
        return cm_err_prefix(err, "upper-case name");
    }
    return 0;
}

/* smtp_open insists on 220 and STARTTLS. */
static int port_25(struct stage *stage, const struct door *door, struct cm_err *err)
{
    struct wire_to to = door_wire(stage, door, STEP_MS);
    struct smtp *smtp = smtp_open(&to, "vrfy.client.example", err);
    static const char *const names[] = {"nobody123", "nobody123@" SCENE_DOMAIN};
    int rc = smtp == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        struct smtp_reply reply;
        rc = smtp_command(smtp, &reply, err, "VRFY %s", names[i]);
        if (rc == 0 && (reply.code != 252 || strncmp(reply.text, "2.0.0 ", 6) != 0)) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "VRFY: %d %.200s", reply.code,
                            reply.text);
        }
    }
    smtp_close(&smtp);
    return rc;
}

static int port_80(struct stage *stage, const struct door *door, struct cm_err *err)
{
    struct wire_to to = door_wire(stage, door, STEP_MS);
    char line[WIRE_LINE];
    struct wire *wire = wire_open(&to, err);
    int rc = wire == NULL ? -1
                          : wire_write(wire,
                                       "GET / HTTP/1.1\r\nHost: " SCENE_DOMAIN
                                       "\r\nConnection: close\r\n\r\n",
                                       err);
    if (rc == 0 && wire_line(wire, line, err) != 1) {
        rc = cm_err_set(err, CM_ERR_RETRY, "no answer");
    }
    if (rc == 0 && strncmp(line, "HTTP/1.1 301", 12) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "no redirect: %.80s", line);
    }
    wire_close(&wire);
    return rc;
}

static int open_ports(struct stage *stage, struct cm_err *err)
{
    static const char *const gateways[] = {"edge1", "edge2"};
    for (size_t i = 0; i < 4; i++) {
        int family = i % 2 == 0 ? AF_INET : AF_INET6;
        struct door mail = door_at(gateways[i / 2], family, 25, false);
        struct door web = door_at(gateways[i / 2], family, 80, false);
        char name[64];
        door_name(&mail, name);
        if (port_25(stage, &mail, err) != 0) {
            return cm_err_prefix(err, "%s", name);
        }
        door_name(&web, name);
        if (port_80(stage, &web, err) != 0) {
            return cm_err_prefix(err, "%s", name);
        }
    }
    return 0;
}

int scenario_login_rules(struct stage *stage, struct cm_err *err)
{
    if (every_door(stage, err) != 0 || refused(stage, err) != 0 ||
        upper_case(stage, err) != 0 || open_ports(stage, err) != 0) {
        return -1;
    }
    stage_note(stage, "%d doors, %zu kinds of refusal", DOORS, REFUSALS);
    return 0;
}
