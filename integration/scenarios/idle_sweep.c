/* Mail at every delay after a client went silent, through the gateways: each one is
 * announced, and without Dovecot's half second (user-voice.md 27). integration/sweep
 * does the same with LMTP alone, where the figures are finer. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "door.h"
#include "probe/mail.h"
#include "probe/smtp.h"
#include "sweep/sweep.h"

#define LANES   16
#define STEP_MS 100
#define LOST_MS 6000
#define P95_MS  450 /* queue and LMTP included; Dovecot's own delay alone is 500 */
#define SMTP_MS 30000

struct lane {
    struct scene_account account;
    struct smtp *smtp;
};

/* From the account to itself, over a session that is there already. */
static int deliver(const struct sweep_lane *sweep_lane, size_t round, void *ctx,
                   struct cm_err *err)
{
    struct lane *lanes = ctx;
    struct smtp_reply reply;
    char id[64], name[16];
    size_t i = 0;

    (void)round;
    while (strcmp(lanes[i].account.addr, sweep_lane->user) != 0) {
        i++;
    }
    mail_random(name, sizeof name);
    snprintf(id, sizeof id, "%s@sweep.example", name);
    char *text = mail_text(sweep_lane->user, sweep_lane->user, id);
    int rc =
        smtp_send(lanes[i].smtp, sweep_lane->user, sweep_lane->user, text, &reply, err);
    free(text);
    if (rc == 0 && reply.code != 250) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%d %.200s", reply.code, reply.text);
    }
    return rc;
}

static int open_lane(struct stage *stage, size_t i, struct lane *lane,
                     struct sweep_lane *out, struct cm_err *err)
{
    const char *edge = i % 2 == 0 ? "edge1" : "edge2";
    struct door imap = door_at(edge, i % 4 < 2 ? AF_INET : AF_INET6, 993, true);
    struct door smtp = door_at(edge, AF_INET, 465, false);
    struct wire_to to = door_wire(stage, &smtp, SMTP_MS);
    struct smtp_reply reply;

    if (account_make(stage, &lane->account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    lane->smtp = smtp_open(&to, "sweep.client.example", err);
    if (lane->smtp == NULL || smtp_auth(lane->smtp, lane->account.addr,
                                        lane->account.password, &reply, err) != 0) {
        return -1;
    }
    *out = (struct sweep_lane){.imap = door_wire(stage, &imap, LOST_MS),
                               .tls = true,
                               .delay_ms = (int64_t)i * STEP_MS,
                               .start_ms = (int64_t)(i * 7 % LANES) * 60};
    memcpy(out->user, lane->account.addr, sizeof lane->account.addr);
    memcpy(out->password, lane->account.password, sizeof lane->account.password);
    return reply.code == 235 ? 0
                             : cm_err_set(err, CM_ERR_RETRY, "AUTH: %d", reply.code);
}

static int plugin_is_on(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int rc = stage_ask(stage, "store", NULL, &said, err,
                       "pgrep -x imap-hibernate >/dev/null || echo nobody hibernates;"
                       "/usr/lib/portico/dovecot-plugin status");

    if (rc == 0 && strncmp(said, "loaded: ", 8) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "plugin: %.200s", said);
    }
    free(said);
    return rc;
}

static int judge(struct stage *stage, const struct sweep *sweep, struct cm_err *err)
{
    struct sweep_figures f = sweep_figures(sweep, NULL);

    for (size_t i = 0; i < sweep->count; i++) {
        struct sweep_figures l = sweep_figures(sweep, &sweep->lanes[i]);
        if (l.lost > 0) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "%zu of %zu mails, %lld ms after IDLE, not announced in "
                              "%d s",
                              l.lost, l.sent, (long long)sweep->lanes[i].delay_ms,
                              LOST_MS / 1000);
        }
    }
    if (f.p95_ms > P95_MS) {
        return cm_err_set(err, CM_ERR_REFUSE, "announced after %lld ms (p95)",
                          (long long)f.p95_ms);
    }
    stage_note(stage, "%zu mails announced, p50 %lld ms, p95 %lld ms", f.sent,
               (long long)f.p50_ms, (long long)f.p95_ms);
    return 0;
}

int scenario_idle_sweep(struct stage *stage, struct cm_err *err)
{
    struct lane lanes[LANES] = {0};
    struct sweep_lane sweep_lanes[LANES];
    struct sweep sweep = {.lanes = sweep_lanes,
                          .count = LANES,
                          .rounds = stage->quick ? 2 : 6,
                          .lost_ms = LOST_MS,
                          .deliver = deliver,
                          .ctx = lanes};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < LANES; i++) {
        rc = open_lane(stage, i, &lanes[i], &sweep_lanes[i], err);
    }
    if (rc == 0) {
        rc = sweep_run(&sweep, err);
    }
    for (size_t i = 0; i < LANES; i++) {
        smtp_close(&lanes[i].smtp);
    }
    if (rc != 0 || judge(stage, &sweep, err) != 0) {
        return -1;
    }
    return plugin_is_on(stage, err);
}
