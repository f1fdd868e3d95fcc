/* Which client address the store saw, per gateway, family and port. */
#include "road.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "probe/imap.h"
#include "probe/mail.h"
#include "scene/seen.h"
#include "probe/smtp.h"

#define LOG_TRIES 10

const struct road_probe road_probes[ROAD_PROBES] = {
    {"25", 25, ROAD_SMTP},        {"80", 80, ROAD_HTTP},
    {"143", 143, ROAD_IMAP},      {"443 imap", 443, ROAD_IMAP},
    {"443 smtp", 443, ROAD_SMTP}, {"443 https", 443, ROAD_HTTP},
    {"465", 465, ROAD_SMTP},      {"587", 587, ROAD_SMTP},
    {"993", 993, ROAD_IMAP},
};

/* Each probe's account name is its token: nobody else ever logs in with it. */
struct visit {
    struct wire_to to;
    struct scene_account account;
    char token[10];
    char local[46];
};

static int visit_imap(struct visit *visit, struct cm_err *err)
{
    char text[256];
    enum imap_verdict verdict;
    struct imap *imap = imap_open(&visit->to, err);
    if (imap == NULL) {
        return -1;
    }
    snprintf(visit->local, sizeof visit->local, "%s", imap_local(imap));
    int rc = imap_login(imap, visit->account.addr, visit->account.password, &verdict,
                        text, err);
    imap_close(&imap);
    if (rc == 0 && verdict != IMAP_IN) {
        return cm_err_set(err, CM_ERR_REFUSE, "login: %.150s", text);
    }
    return rc;
}

/* Postfix names client and EHLO name in one line only when it refuses something, so the
 * visit ends with mail that must be refused: relaying on 25, a foreign sender
 * elsewhere. */
static int visit_smtp_session(struct visit *visit, struct smtp *smtp,
                              struct cm_err *err)
{
    struct smtp_reply reply;
    if (visit->to.port != 25) {
        if (smtp_auth(smtp, visit->account.addr, visit->account.password, &reply,
                      err) != 0) {
            return -1;
        }
        if (reply.code != 235) {
            return cm_err_set(err, CM_ERR_REFUSE, "AUTH: %d %.150s", reply.code,
                              reply.text);
        }
    }
    if (smtp_command(smtp, &reply, err, "MAIL FROM:<%s@probe.example>", visit->token) !=
            0 ||
        (reply.code == 250 &&
         smtp_command(smtp, &reply, err, "RCPT TO:<%s@probe.example>", visit->token) !=
             0)) {
        return -1;
    }
    if (reply.code == 250) {
        return cm_err_set(err, CM_ERR_REFUSE, "accepts mail of strangers to strangers");
    }
    return 0;
}

static int visit_smtp(struct visit *visit, struct cm_err *err)
{
    char ehlo[64];
    snprintf(ehlo, sizeof ehlo, "%s.probe.example", visit->token);
    struct smtp *smtp = smtp_open(&visit->to, ehlo, err);
    if (smtp == NULL) {
        return -1;
    }
    snprintf(visit->local, sizeof visit->local, "%s", smtp_local(smtp));
    int rc = visit_smtp_session(visit, smtp, err);
    smtp_close(&smtp);
    return rc;
}

static int visit_http(struct visit *visit, struct cm_err *err)
{
    char line[WIRE_LINE];
    struct wire *wire = wire_open(&visit->to, err);
    if (wire == NULL) {
        return -1;
    }
    snprintf(visit->local, sizeof visit->local, "%s", wire_local(wire));
    int rc = visit->to.port == 443 ? wire_tls(wire, "http/1.1", err) : 0;
    char *request = cm_asprintf("GET /%s HTTP/1.1\r\nHost: " SCENE_DOMAIN
                                "\r\nConnection: close\r\n\r\n",
                                visit->token);
    if (rc == 0) {
        rc = wire_write(wire, request, err);
    }
    if (rc == 0 && wire_line(wire, line, err) != 1) {
        rc = -1;
    }
    if (rc == 0 && strncmp(line, "HTTP/1.1 ", 9) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "not HTTP: %.100s", line);
    }
    free(request);
    wire_close(&wire);
    return rc;
}

static int visit_port(const struct road_probe *probe, struct visit *visit,
                      struct cm_err *err)
{
    cm_err_set(err, CM_ERR_RETRY, "closed without an answer");
    switch (probe->speak) {
    case ROAD_SMTP:
        return visit_smtp(visit, err);
    case ROAD_IMAP:
        return visit_imap(visit, err);
    case ROAD_HTTP:
        return visit_http(visit, err);
    }
    return -1;
}

static void start_visit(struct visit *visit, const struct road_door *door, int port,
                        const char *netns)
{
    *visit = (struct visit){
        .to = {
            .netns = netns, .host = door->address, .port = port, .timeout_ms = 15000}};
    scene_new_account(&visit->account, SCENE_DOMAIN);
    snprintf(visit->token, sizeof visit->token, "%.9s", visit->account.addr);
}

static bool find_all(struct road_door *door, const struct visit *visits,
                     const char *log)
{
    bool all = true;
    for (size_t i = 0; i < ROAD_PROBES; i++) {
        struct road_seen *seen = &door->ports[i];
        if (seen->why[0] == '\0' && seen->seen[0] == '\0') {
            all &= seen_address(log, visits[i].token, seen->seen) == 1;
        }
    }
    return all;
}

static void judge(struct road_door *door, const struct visit *visits)
{
    for (size_t i = 0; i < ROAD_PROBES; i++) {
        struct road_seen *seen = &door->ports[i];
        if (visits[i].local[0] != '\0') {
            snprintf(door->client, sizeof door->client, "%s", visits[i].local);
        }
        seen->ok = seen->why[0] == '\0' && strcmp(seen->seen, visits[i].local) == 0;
        if (seen->why[0] == '\0' && seen->seen[0] == '\0') {
            snprintf(seen->why, sizeof seen->why, "the store's log does not show it");
        }
    }
}

static int measure_door(struct scene *scene, struct road_door *door, const char *netns,
                        struct cm_err *err)
{
    struct visit visits[ROAD_PROBES];
    struct scene_mark mark;
    if (scene_mark(scene, "store", &mark, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < ROAD_PROBES; i++) {
        struct cm_err why;
        start_visit(&visits[i], door, road_probes[i].port, netns);
        if (visit_port(&road_probes[i], &visits[i], &why) != 0) {
            snprintf(door->ports[i].why, sizeof door->ports[i].why, "%.199s", why.text);
        }
    }
    for (int i = 0; i < LOG_TRIES; i++) {
        char *log = NULL;
        if (scene_journal(scene, "store", &mark, "", &log, err) != 0) {
            return -1;
        }
        bool all = find_all(door, visits, log);
        free(log);
        if (all) {
            break;
        }
        usleep(300000);
    }
    judge(door, visits);
    return 0;
}

int road_doors(struct scene *scene, struct road *road, struct cm_err *err)
{
    char netns[64];
    if (scene_netns(scene, "client", netns, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        struct road_door *door = &road->doors[i];
        *door = (struct road_door){.gateway = scene_gateways[i / 2].name,
                                   .address = scene_gateway_address(i),
                                   .family = i % 2 == 0 ? 4 : 6};
        if (measure_door(scene, door, netns, err) != 0) {
            return cm_err_prefix(err, "%s", door->address);
        }
    }
    return 0;
}
