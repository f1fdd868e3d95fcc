#include "door.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#include "probe/smtp.h"

#define EHLO       "probe.client.example"
#define PATIENT_MS 30000
#define TRY_MS     4000

static const struct {
    int port;
    bool imap;
} ports[DOORS_PER_ADDRESS] = {{993, true},  {143, true},  {443, true},
                              {465, false}, {587, false}, {443, false}};

struct door door_at(const char *node, int family, int port, bool imap)
{
    struct door door = {.node = node,
                        .host = lab_address(node, family),
                        .family = family,
                        .port = port,
                        .imap = imap};
    cm_assert(door.host != NULL);
    return door;
}

void doors_all(struct door out[DOORS])
{
    static const char *const gateways[] = {"edge1", "edge2"};
    static const int families[] = {AF_INET, AF_INET6};
    size_t n = 0;
    for (size_t g = 0; g < 2; g++) {
        for (size_t f = 0; f < 2; f++) {
            for (size_t p = 0; p < DOORS_PER_ADDRESS; p++) {
                out[n++] =
                    door_at(gateways[g], families[f], ports[p].port, ports[p].imap);
            }
        }
    }
    cm_assert(n == DOORS);
}

void door_name(const struct door *door, char out[64])
{
    snprintf(out, 64, "%s %s port %d %s", door->node,
             door->family == AF_INET6 ? "v6" : "v4", door->port,
             door->imap ? "imap" : "smtp");
}

struct wire_to door_wire(const struct stage *stage, const struct door *door,
                         int64_t timeout_ms)
{
    return (struct wire_to){.netns = stage->netns,
                            .host = door->host,
                            .port = door->port,
                            .timeout_ms = timeout_ms};
}

static enum imap_verdict judge_smtp(int code)
{
    return code == 235   ? IMAP_IN
           : code == 535 ? IMAP_REFUSED
           : code == 454 ? IMAP_TEMPORARY
                         : IMAP_OTHER;
}

static int login_smtp(const struct wire_to *to, const char *user, const char *password,
                      enum imap_verdict *verdict_r, char *text, struct cm_err *err)
{
    struct smtp *smtp = smtp_open(to, EHLO, err);
    if (smtp == NULL) {
        return -1;
    }
    struct smtp_reply reply;
    int rc = smtp_auth(smtp, user, password, &reply, err);
    if (rc == 0) {
        *verdict_r = judge_smtp(reply.code);
        if (text != NULL) {
            snprintf(text, 256, "%d %.240s", reply.code, reply.text);
        }
        smtp_quit(&smtp);
    }
    smtp_close(&smtp);
    return rc;
}

static int login_imap(const struct wire_to *to, const char *user, const char *password,
                      enum imap_verdict *verdict_r, char *text, struct cm_err *err)
{
    struct imap *imap = imap_open(to, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_login(imap, user, password, verdict_r, text, err);
    if (rc == 0) {
        struct cm_err ignored;
        int bye = imap_command(imap, "LOGOUT", NULL, NULL, &ignored);
        (void)bye; /* the login is what was asked about */
    }
    imap_close(&imap);
    return rc;
}

int door_login(const struct stage *stage, const struct door *door, const char *user,
               const char *password, int64_t timeout_ms, enum imap_verdict *verdict_r,
               char *text, struct cm_err *err)
{
    struct wire_to to = door_wire(stage, door, timeout_ms);
    return (door->imap ? login_imap : login_smtp)(&to, user, password, verdict_r, text,
                                                  err);
}

struct imap *door_imap(const struct stage *stage, const struct door *door,
                       const struct scene_account *account, int64_t timeout_ms,
                       struct cm_err *err)
{
    struct wire_to to = door_wire(stage, door, timeout_ms);
    enum imap_verdict verdict;
    char text[256];
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return NULL;
    }
    int rc = imap_login(imap, account->addr, account->password, &verdict, text, err);
    if (rc == 0 && verdict != IMAP_IN) {
        rc = cm_err_set(err, CM_ERR_RETRY, "login: %s", text);
    }
    if (rc != 0) {
        imap_close(&imap);
    }
    return imap;
}

int door_must_let_in(const struct stage *stage, const struct door *door,
                     const struct scene_account *account, struct cm_err *err)
{
    enum imap_verdict verdict;
    char text[256];
    char name[64];
    door_name(door, name);
    if (door_login(stage, door, account->addr, account->password, PATIENT_MS, &verdict,
                   text, err) != 0) {
        return cm_err_prefix(err, "login at %s", name);
    }
    if (verdict != IMAP_IN) {
        return cm_err_set(err, CM_ERR_REFUSE, "login at %s: %s (%s)", name,
                          imap_verdict_name(verdict), text);
    }
    return 0;
}

int account_make(const struct stage *stage, struct scene_account *account_r,
                 const char *domain, struct cm_err *err)
{
    struct door door = strcmp(domain, SCENE_DOMAIN) == 0
                           ? door_at("edge2", AF_INET, 993, true)
                           : door_at("relay2", AF_INET, 993, true);
    scene_new_account(account_r, domain);
    return door_must_let_in(stage, &door, account_r, err);
}

/* Returns 1 in, 0 try again, -1. */
static int try_door(const struct stage *stage, const struct door *door,
                    const struct scene_account *account, char last[300],
                    struct cm_err *err)
{
    enum imap_verdict verdict;
    char text[256];
    struct cm_err why;
    if (door_login(stage, door, account->addr, account->password, TRY_MS, &verdict,
                   text, &why) != 0) {
        snprintf(last, 300, "%.299s", why.text);
        return 0;
    }
    if (verdict == IMAP_REFUSED) {
        return cm_err_set(err, CM_ERR_REFUSE, "a right password was refused: %s", text);
    }
    snprintf(last, 300, "%s", text);
    return verdict == IMAP_IN ? 1 : 0;
}

int door_until_in(const struct stage *stage, const struct door *door,
                  const struct scene_account *account, int64_t since_ms,
                  int64_t limit_ms, int64_t *ms_r, struct cm_err *err)
{
    char last[300] = "";
    char name[64];
    door_name(door, name);
    for (;;) {
        int rc = try_door(stage, door, account, last, err);
        int64_t took = cm_now_mono_ms() - since_ms;
        if (rc < 0) {
            return cm_err_prefix(err, "%s", name);
        }
        if (took > limit_ms) {
            return cm_err_set(err, CM_ERR_RETRY, "%s: %s %.1f s (limit %.0f s)%s%s",
                              name, rc == 1 ? "let in only after" : "no login for",
                              (double)took / 1000, (double)limit_ms / 1000,
                              rc == 1 ? "" : ": ", rc == 1 ? "" : last);
        }
        if (rc == 1) {
            if (ms_r != NULL) {
                *ms_r = took;
            }
            return 0;
        }
        stage_sleep_ms(250);
    }
}
