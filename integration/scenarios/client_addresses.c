/* What Dovecot, Postfix and nginx on the store wrote down as the client's address. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "door.h"
#include "probe/mail.h"
#include "scene/seen.h"
#include "probe/smtp.h"

#define STEP_MS    20000
#define JOURNAL_MS 10000
#define KNOCKS     36

struct knock {
    struct door door;
    bool web;
    char token[128];       /* what the daemon's line will hold */
    char local[WIRE_LINE]; /* the truth: this end of the connection */
};

/* Postfix names the client when it refuses a recipient; helo= carries the token. */
static int knock_smtp(const struct wire_to *to, struct knock *knock, struct cm_err *err)
{
    struct smtp_reply reply;
    char name[13];
    mail_random(name, sizeof name);
    snprintf(knock->token, sizeof knock->token, "%s.example", name);
    struct smtp *smtp = smtp_open(to, knock->token, err);
    if (smtp == NULL) {
        return -1;
    }
    snprintf(knock->local, sizeof knock->local, "%s", smtp_local(smtp));
    int rc = smtp_command(smtp, &reply, err, "MAIL FROM:<probe@client.example>");
    if (rc == 0) {
        rc = smtp_command(smtp, &reply, err, "RCPT TO:<probe@elsewhere.example>");
    }
    if (rc == 0 && reply.code < 500) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "relayed for a stranger: %d %.200s",
                        reply.code, reply.text);
    }
    smtp_close(&smtp);
    return rc;
}

static int knock_imap(const struct wire_to *to, struct knock *knock, struct cm_err *err)
{
    struct scene_account account;
    enum imap_verdict verdict;
    scene_new_account(&account, SCENE_DOMAIN);
    snprintf(knock->token, sizeof knock->token, "user=<%s>", account.addr);
    struct imap *imap = imap_open(to, err);
    if (imap == NULL) {
        return -1;
    }
    snprintf(knock->local, sizeof knock->local, "%s", imap_local(imap));
    int rc = imap_login(imap, account.addr, account.password, &verdict, NULL, err);
    if (rc == 0 && verdict != IMAP_IN) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "first login: %s",
                        imap_verdict_name(verdict));
    }
    imap_close(&imap);
    return rc;
}

static int knock_web(const struct wire_to *to, struct knock *knock, struct cm_err *err)
{
    char line[WIRE_LINE];
    char request[256];
    char name[13];
    mail_random(name, sizeof name);
    snprintf(knock->token, sizeof knock->token, "/knock-%s", name);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: " SCENE_DOMAIN "\r\nConnection: close\r\n\r\n",
             knock->token);
    struct wire *wire = wire_open(to, err);
    if (wire == NULL) {
        return -1;
    }
    snprintf(knock->local, sizeof knock->local, "%s", wire_local(wire));
    int rc = to->port == 443 ? wire_tls(wire, "http/1.1", err) : 0;
    if (rc == 0) {
        rc = wire_write(wire, request, err);
    }
    if (rc == 0 && wire_line(wire, line, err) != 1) {
        rc = cm_err_set(err, CM_ERR_RETRY, "no answer");
    }
    wire_close(&wire);
    return rc;
}

static int knock_at(struct stage *stage, struct knock *knock, struct cm_err *err)
{
    struct wire_to to = door_wire(stage, &knock->door, STEP_MS);
    int rc = knock->web         ? knock_web(&to, knock, err)
             : knock->door.imap ? knock_imap(&to, knock, err)
                                : knock_smtp(&to, knock, err);
    char name[64];
    door_name(&knock->door, name);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", name);
}

static size_t plan(struct knock knocks[KNOCKS])
{
    static const char *const gateways[] = {"edge1", "edge2"};
    struct door doors[DOORS];
    size_t n = 0;
    doors_all(doors);
    for (; n < DOORS; n++) {
        knocks[n] = (struct knock){.door = doors[n]};
    }
    for (size_t i = 0; i < 4; i++) {
        int family = i % 2 == 0 ? AF_INET : AF_INET6;
        const char *node = gateways[i / 2];
        knocks[n++] = (struct knock){.door = door_at(node, family, 25, false)};
        knocks[n++] =
            (struct knock){.door = door_at(node, family, 80, false), .web = true};
        knocks[n++] =
            (struct knock){.door = door_at(node, family, 443, false), .web = true};
    }
    cm_assert(n == KNOCKS);
    return n;
}

/* Returns 1 all lines are there and true, 0 some line is not there yet, -1. */
static int judge(const char *log, const struct knock *knocks, size_t n,
                 struct cm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        char seen[SEEN_ADDRESS];
        char name[64];
        door_name(&knocks[i].door, name);
        if (!seen_address(log, knocks[i].token, seen)) {
            cm_err_set(err, CM_ERR_RETRY,
                       "%s%s: no line with %s in the store's journal", name,
                       knocks[i].web ? " (web)" : "", knocks[i].token);
            return 0;
        }
        if (strcmp(seen, knocks[i].local) != 0) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "%s%s: the store saw %s, true is %.60s", name,
                              knocks[i].web ? " (web)" : "", seen, knocks[i].local);
        }
    }
    return 1;
}

static int compare(struct stage *stage, const struct scene_mark *mark,
                   const struct knock *knocks, size_t n, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + JOURNAL_MS;
    for (;;) {
        char *log = NULL;
        if (scene_journal(&stage->scene, "store", mark, "", &log, err) != 0) {
            return -1;
        }
        int rc = judge(log, knocks, n, err);
        free(log);
        if (rc != 0 || cm_now_mono_ms() > until) {
            return rc == 1 ? 0 : -1;
        }
        stage_sleep_ms(500);
    }
}

int scenario_client_addresses(struct stage *stage, struct cm_err *err)
{
    static struct knock knocks[KNOCKS];
    struct scene_mark mark;
    size_t n = plan(knocks);
    if (scene_mark(&stage->scene, "store", &mark, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (knock_at(stage, &knocks[i], err) != 0) {
            return -1;
        }
    }
    if (compare(stage, &mark, knocks, n, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu of %zu true", n, n);
    return 0;
}
