/* Who gets a new account (docs/registrations.md): modes and invite tokens by chatops,
 * without a restart of anything; limits per network and gateway at the first login, by
 * whatever door it comes. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/clock.h"
#include "cluster.h"
#include "login.h"
#include "probe/http.h"
#include "probe/mail.h"
#include "secrets.h"
#include "unit.h"

#define STEP_MS 30000
#define RACERS  20
#define INI     "/etc/chatmail/chatmail.ini"
#define SAVED   "/etc/chatmail/chatmail.ini.scenario"
#define DEAD    "This invite for " SCENE_DOMAIN " is not valid"
#define FORGET                                                                         \
    "r='redis-cli -s /run/redis/redis-server.sock'; "                                  \
    "$r --scan --pattern 'netlimit:create:*' | xargs -r $r del >/dev/null"

struct invite {
    long id;
    char token[16];
};

/* chatops registrations, which must end well; its words hold `want`. */
static int chatops(struct stage *stage, const char *words, const char *want,
                   char **said_r, struct cm_err *err)
{
    char line[160], *said = NULL;
    snprintf(line, sizeof line, "registrations %s", words);
    int status = cluster_chatops(stage, CLUSTER_INI, line, &said, err);
    if (status < 0) {
        return -1;
    }
    int rc = 0;
    if (status != 0 || strstr(said, want) == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: status %d, not '%s': %.400s",
                        line, status, want, said);
    }
    if (rc == 0 && said_r != NULL) {
        *said_r = said;
    } else {
        free(said);
    }
    return rc;
}

static int make_invite(struct stage *stage, int uses, struct invite *invite_r,
                       struct cm_err *err)
{
    char words[64], *said = NULL;
    snprintf(words, sizeof words, "invite --uses %d --days 1 --json", uses);
    if (chatops(stage, words, "\"token\"", &said, err) != 0) {
        return -1;
    }
    json_t *all = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *list = json_object_get(json_object_get(all, "data"), "invites");
    json_t *o = json_array_get(list, 0);
    const char *token = json_string_value(json_object_get(o, "token"));
    const char *url = json_string_value(json_object_get(o, "dclogin"));
    char want[128]; /* the lab's certificate is self-signed */
    snprintf(want, sizeof want, "@" SCENE_DOMAIN "?p=%s.", token != NULL ? token : "");
    int rc = 0;
    if (token == NULL || strlen(token) != 12 || url == NULL ||
        strstr(url, want) == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "no invite in: %.300s", said);
    } else {
        *invite_r =
            (struct invite){.id = (long)json_integer_value(json_object_get(o, "id"))};
        snprintf(invite_r->token, sizeof invite_r->token, "%s", token);
    }
    json_decref(all);
    free(said);
    return rc;
}

/* A name nobody has, with the token before its password. */
static void invited(const struct invite *invite, struct scene_account *account)
{
    char rest[17];
    scene_new_account(account, SCENE_DOMAIN);
    mail_random(rest, sizeof rest);
    snprintf(account->password, sizeof account->password, "%.12s.%s", invite->token,
             rest);
}

static int expect(struct stage *stage, const struct door *door,
                  const struct scene_account *account, enum imap_verdict want,
                  const char *what, struct cm_err *err)
{
    struct login login = {.door = *door, .want = want};
    snprintf(login.user, sizeof login.user, "%s", account->addr);
    snprintf(login.password, sizeof login.password, "%s", account->password);
    login_all(stage, &login, 1, 1, STEP_MS);
    return login_judge(&login, 1, err) == 0 ? 0 : cm_err_prefix(err, "%s", what);
}

/* Somebody new, as of today without an invite. */
static int expect_new(struct stage *stage, const struct door *door,
                      enum imap_verdict want, const char *what, struct cm_err *err)
{
    struct scene_account account;
    scene_new_account(&account, SCENE_DOMAIN);
    return expect(stage, door, &account, want, what, err);
}

/* What the app is told that has scanned the token's code. */
static int new_says(struct stage *stage, const struct invite *invite, int status,
                    const char *words, struct cm_err *err)
{
    const struct door door = door_at("edge2", AF_INET, 443, false);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    char target[64];
    struct http_answer a;
    snprintf(target, sizeof target, "/new?invite=%.12s", invite->token);
    struct http_request r = {
        .method = "POST", .target = target, .host = SCENE_DOMAIN, .body = ""};
    if (http_ask(&to, false, &r, &a, err) != 0) {
        return cm_err_prefix(err, "/new");
    }
    int rc = a.status == status && strstr(a.body, words) != NULL
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "/new: %d, not %d '%s': %.200s",
                              a.status, status, words, a.body);
    http_answer_clear(&a);
    return rc;
}

/* One token of two uses, one use through each gateway; then nobody more. */

static int two_uses(struct stage *stage, struct scene_account guests[2],
                    struct cm_err *err)
{
    const struct door edge1 = door_at("edge1", AF_INET, 993, true);
    const struct door edge2 = door_at("edge2", AF_INET6, 465, false);
    struct scene_account late;
    struct invite invite;
    char *said = NULL;
    if (make_invite(stage, 2, &invite, err) != 0) {
        return -1;
    }
    invited(&invite, &guests[0]);
    invited(&invite, &guests[1]);
    invited(&invite, &late);
    if (new_says(stage, &invite, 200, "password", err) != 0 ||
        expect(stage, &edge1, &guests[0], IMAP_IN, "first guest", err) != 0 ||
        expect(stage, &edge2, &guests[1], IMAP_IN, "second guest", err) != 0 ||
        expect(stage, &edge1, &late, IMAP_REFUSED, "token used up", err) != 0 ||
        new_says(stage, &invite, 403, DEAD, err) != 0 ||
        expect(stage, &edge2, &guests[0], IMAP_IN, "guest comes again", err) != 0) {
        return -1;
    }
    if (chatops(stage, "--json", "used up", &said, err) != 0) {
        return -1;
    }
    int rc =
        strstr(said, invite.token) == NULL
            ? 0
            : cm_err_set(err, CM_ERR_REFUSE, "a token is shown again: %.300s", said);
    free(said);
    return rc;
}

static int revoked(struct stage *stage, struct cm_err *err)
{
    const struct door door = door_at("edge1", AF_INET6, 143, true);
    struct scene_account account;
    struct invite invite;
    char words[64];
    if (make_invite(stage, 5, &invite, err) != 0) {
        return -1;
    }
    invited(&invite, &account);
    snprintf(words, sizeof words, "revoke %ld", invite.id);
    if (chatops(stage, words, "revoked", NULL, err) != 0 ||
        expect(stage, &door, &account, IMAP_REFUSED, "revoked token", err) != 0 ||
        new_says(stage, &invite, 403, DEAD, err) != 0) {
        return -1;
    }
    return 0;
}

/* Twenty names, one use left. */
static int last_use(struct stage *stage, struct cm_err *err)
{
    struct login logins[RACERS];
    struct invite invite;
    size_t in = 0;
    if (make_invite(stage, 1, &invite, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < RACERS; i++) {
        struct scene_account account;
        invited(&invite, &account);
        logins[i] = (struct login){
            .door = door_at(i % 2 == 0 ? "edge1" : "edge2", AF_INET, 993, true)};
        snprintf(logins[i].user, sizeof logins[i].user, "%s", account.addr);
        snprintf(logins[i].password, sizeof logins[i].password, "%s", account.password);
    }
    login_all(stage, logins, RACERS, RACERS, STEP_MS);
    for (size_t i = 0; i < RACERS; i++) {
        in += logins[i].answered && logins[i].got == IMAP_IN;
        logins[i].want = logins[i].got == IMAP_IN ? IMAP_IN : IMAP_REFUSED;
    }
    if (login_judge(logins, RACERS, err) != 0) {
        return cm_err_prefix(err, "last use");
    }
    return in == 1 ? 0
                   : cm_err_set(err, CM_ERR_REFUSE, "%zu got in with the last use", in);
}

static int modes(struct stage *stage, const struct scene_account *known,
                 struct scene_account guests[2], struct cm_err *err)
{
    const struct door edge1 = door_at("edge1", AF_INET, 993, true);
    const struct door edge2 = door_at("edge2", AF_INET6, 587, false);
    if (chatops(stage, "invite", "registrations invite", NULL, err) != 0 ||
        expect_new(stage, &edge1, IMAP_REFUSED, "without a token", err) != 0 ||
        expect(stage, &edge1, known, IMAP_IN, "known, invite", err) != 0 ||
        two_uses(stage, guests, err) != 0 || revoked(stage, err) != 0 ||
        last_use(stage, err) != 0) {
        return -1;
    }
    if (chatops(stage, "closed", "registrations closed", NULL, err) != 0 ||
        expect_new(stage, &edge2, IMAP_REFUSED, "closed", err) != 0 ||
        expect(stage, &edge2, known, IMAP_IN, "known, closed", err) != 0 ||
        chatops(stage, "", "registrations closed", NULL, err) != 0) {
        return -1;
    }
    return chatops(stage, "open", "registrations open", NULL, err);
}

static int nocreate(struct stage *stage, const struct scene_account *known,
                    struct cm_err *err)
{
    const struct door door = door_at("edge2", AF_INET, 993, true);
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "touch /etc/chatmail-nocreate") != 0 ||
        expect_new(stage, &door, IMAP_REFUSED, "nocreate", err) != 0 ||
        expect(stage, &door, known, IMAP_IN, "known, nocreate", err) != 0 ||
        chatops(stage, "", "nocreate exists", NULL, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err, "rm /etc/chatmail-nocreate") !=
            0) {
        return -1;
    }
    return expect_new(stage, &door, IMAP_IN, "open again", err);
}

/* Puts a limit into the store's settings and forgets what was counted. */
static int limit(struct stage *stage, const char *line, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "set -e; [ -e " SAVED " ] || cp -p " INI " " SAVED "; "
                    "sed '/^\\[store\\]/a %s' " SAVED " >" INI
                    "; systemctl reload chatmail-auth; sleep 0.5; " FORGET,
                    line);
}

static int unlimit(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "set -e; [ ! -e " SAVED " ] || { mv " SAVED " " INI
                    " && systemctl reload chatmail-auth; }; " FORGET);
}

/* All clients of the lab are one network in each family. The three that fill it come by
 * IMAP, by Postfix and by nginx: so the address arrives by each of these ways. */
static int per_network(struct stage *stage, const struct scene_account *known,
                       struct cm_err *err)
{
    const struct door in[] = {door_at("edge1", AF_INET, 993, true),
                              door_at("edge2", AF_INET, 465, false),
                              door_at("edge1", AF_INET, 443, true)};
    const struct door out[] = {door_at("edge1", AF_INET, 443, false),
                               door_at("edge2", AF_INET, 143, true)};
    const struct door other = door_at("edge1", AF_INET6, 993, true);
    if (limit(stage, "creations_per_net = 3", err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 3; i++) {
        if (expect_new(stage, &in[i], IMAP_IN, "network has room", err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (expect_new(stage, &out[i], IMAP_REFUSED, "network is full", err) != 0 ||
            expect(stage, &out[i], known, IMAP_IN, "known, network full", err) != 0) {
            return -1;
        }
    }
    return expect_new(stage, &other, IMAP_IN, "another network", err);
}

static int per_gateway(struct stage *stage, struct cm_err *err)
{
    const struct door v4 = door_at("edge1", AF_INET, 465, false);
    const struct door v6 = door_at("edge1", AF_INET6, 443, true);
    const struct door edge2 = door_at("edge2", AF_INET, 993, true);
    if (limit(stage, "creations_per_gateway = 2", err) != 0 ||
        expect_new(stage, &v4, IMAP_IN, "gateway has room", err) != 0 ||
        expect_new(stage, &v6, IMAP_IN, "gateway has room", err) != 0 ||
        expect_new(stage, &v4, IMAP_REFUSED, "gateway is full", err) != 0 ||
        expect_new(stage, &v6, IMAP_REFUSED, "gateway is full", err) != 0) {
        return -1;
    }
    return expect_new(stage, &edge2, IMAP_IN, "another gateway", err);
}

/* Nothing was restarted, and nothing is left to be done. */
static int as_before(struct stage *stage, const char *units, struct cm_err *err)
{
    char *after = NULL, *said = NULL;
    int rc = units_since(stage, &after, err);
    if (rc == 0) {
        rc = units_same(units, after, err);
    }
    free(after);
    if (rc != 0) {
        return -1;
    }
    int status = cluster_chatops(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status < 0) {
        return -1;
    }
    if (status != 0 || strstr(said, "nothing to change") == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "chatops run, afterwards: %d, %.500s",
                        status, said);
    }
    free(said);
    return rc;
}

static int play(struct stage *stage, const char *units, struct cm_err *err)
{
    struct scene_account known, guests[2];
    const struct scene_account *all[] = {&known, &guests[0], &guests[1]};
    int64_t since_ms = cm_now_wall_ms();
    if (account_make(stage, &known, SCENE_DOMAIN, err) != 0 ||
        modes(stage, &known, guests, err) != 0 || nocreate(stage, &known, err) != 0 ||
        per_network(stage, &known, err) != 0 || per_gateway(stage, err) != 0 ||
        unlimit(stage, err) != 0 || as_before(stage, units, err) != 0) {
        return -1;
    }
    return secrets_unlogged(stage, since_ms, all, 3, err);
}

int scenario_registrations(struct stage *stage, struct cm_err *err)
{
    char *units = NULL;
    if (units_since(stage, &units, err) != 0) {
        return -1;
    }
    int rc = play(stage, units, err);
    free(units);
    return rc;
}

int scenario_registrations_open(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "rm -f /etc/chatmail-nocreate") != 0 ||
        unlimit(stage, err) != 0) {
        return -1;
    }
    return chatops(stage, "open", "registrations open", NULL, err);
}
