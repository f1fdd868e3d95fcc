/* A message wakes its reader's phone (relay-spec.md 2.5): a notification service in
 * node client's network is asked within a second, with the token as body; a copy that a
 * user sent to itself wakes nobody; a service that is blocked turns chatops status red;
 * and neither the service's failures nor the death of chatmail-push or Redis lose a
 * wake-up. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "cluster.h"
#include "door.h"
#include "ledger.h"
#include "notify.h"
#include "stream.h"
#include "tokens.h"
#include "unit.h"

#define TOKEN    "openpgp:lab+push/reader"
#define REDIS    "redis-cli -s /run/redis/redis-server.sock --raw"
#define SOON_MS  1000
#define COMES_MS 10000
#define RETRY_MS 8000
#define BACK_MS  10000

struct people {
    struct notify service;
    struct scene_account reader;
    struct stream_lane to_reader, to_self;
    struct ledger ledger;
};

int scenario_push_back(struct stage *stage, struct cm_err *err)
{
    return notify_distrust(stage, err);
}

/* Waits until the reader's token was posted so often. */
static int comes(const struct notify *s, int count, int64_t limit_ms, int64_t *at_ms_r,
                 struct cm_err *err)
{
    return notify_comes(s, TOKEN, count, limit_ms, at_ms_r, err);
}

/* Steps */

static int meet(struct stage *stage, struct people *p, struct imap **imap_r,
                struct cm_err *err)
{
    struct door edge = door_at("edge2", AF_INET, 465, false);
    struct scene_account writer;
    if (account_make(stage, &p->reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &writer, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    p->to_reader = (struct stream_lane){.doors = {edge, edge}, .from = writer};
    snprintf(p->to_reader.to, sizeof p->to_reader.to, "%s", p->reader.addr);
    p->to_self = (struct stream_lane){.doors = {edge, edge}, .from = p->reader};
    snprintf(p->to_self.to, sizeof p->to_self.to, "%s", p->reader.addr);
    struct imap *imap = tokens_log_in(stage, &p->reader, err);
    if (imap != NULL &&
        (tokens_add(imap, TOKEN, err) != 0 || tokens_are(imap, TOKEN, err) != 0)) {
        imap_close(&imap);
    }
    *imap_r = imap;
    return imap != NULL ? 0 : -1;
}

static int within_a_second(struct stage *stage, struct people *p, struct cm_err *err)
{
    int64_t at_ms = 0, worst = 0;
    for (int i = 0; i < 5; i++) {
        if (notify_fresh(&p->service, "200", err) != 0 ||
            stream_one(stage, &p->to_reader, &p->ledger, err) != 0) {
            return -1;
        }
        int64_t accepted = cm_now_wall_ms();
        if (comes(&p->service, 1, COMES_MS, &at_ms, err) != 0) {
            return cm_err_prefix(err, "message %d", i);
        }
        int64_t took = at_ms - accepted;
        worst = took > worst ? took : worst;
    }
    if (worst > SOON_MS) {
        return cm_err_set(err, CM_ERR_REFUSE, "posted %lld ms after the message",
                          (long long)worst);
    }
    stage_note(stage, "posted within %lld ms", (long long)worst);
    return 0;
}

static int self_sent(struct stage *stage, struct people *p, struct cm_err *err)
{
    int64_t at_ms;
    if (notify_fresh(&p->service, "200", err) != 0 ||
        stream_one(stage, &p->to_self, &p->ledger, err) != 0) {
        return -1;
    }
    stage_sleep_ms(3000);
    return comes(&p->service, 0, 0, &at_ms, err) != 0
               ? cm_err_prefix(err, "a copy to oneself")
               : 0;
}

static int failed_and_back(struct stage *stage, struct people *p, struct cm_err *err)
{
    int64_t first = 0, second = 0;
    if (notify_fresh(&p->service, "500", err) != 0 ||
        stream_one(stage, &p->to_reader, &p->ledger, err) != 0 ||
        comes(&p->service, 1, COMES_MS, &first, err) != 0 ||
        notify_tell(&p->service, "mood 200", err) != 0 ||
        comes(&p->service, 2, RETRY_MS + COMES_MS, &second, err) != 0) {
        return -1;
    }
    int64_t waited = second - first;
    if (waited < RETRY_MS || waited > RETRY_MS + 1500) {
        return cm_err_set(err, CM_ERR_REFUSE, "tried again after %lld ms",
                          (long long)waited);
    }
    stage_note(stage, "500, then again after %.1f s", (double)waited / 1000);
    return 0;
}

/* A post that hangs, and what dies meanwhile. */
static int killed(struct stage *stage, struct people *p, const char *unit,
                  struct cm_err *err)
{
    int64_t at_ms, ms;
    if (notify_fresh(&p->service, "silent", err) != 0 ||
        stream_one(stage, &p->to_reader, &p->ledger, err) != 0 ||
        comes(&p->service, 1, COMES_MS, &at_ms, err) != 0 ||
        unit_kill(stage, "store", unit, BACK_MS, &ms, err) != 0 ||
        notify_fresh(&p->service, "200", err) != 0 ||
        notify_tell(&p->service, "drop", err) != 0 ||
        comes(&p->service, 1, RETRY_MS + COMES_MS, &at_ms, err) != 0) {
        return -1;
    }
    return 0;
}

/* Both, one after the other, with the service failing, so that Redis alone knows. */
static int both_killed(struct stage *stage, struct people *p, struct cm_err *err)
{
    int64_t at_ms, ms;
    if (notify_fresh(&p->service, "500", err) != 0 ||
        stream_one(stage, &p->to_reader, &p->ledger, err) != 0 ||
        comes(&p->service, 1, COMES_MS, &at_ms, err) != 0 ||
        unit_kill(stage, "store", "redis-server.service", BACK_MS, &ms, err) != 0 ||
        unit_kill(stage, "store", "chatmail-push.service", BACK_MS, &ms, err) != 0 ||
        notify_fresh(&p->service, "200", err) != 0 ||
        comes(&p->service, 1, RETRY_MS + COMES_MS, &at_ms, err) != 0) {
        return -1;
    }
    return 0;
}

static int gone(struct stage *stage, struct people *p, struct imap *imap,
                struct cm_err *err)
{
    int64_t at_ms, end = cm_now_mono_ms() + COMES_MS;
    if (notify_fresh(&p->service, "410", err) != 0 ||
        stream_one(stage, &p->to_reader, &p->ledger, err) != 0 ||
        comes(&p->service, 1, COMES_MS, &at_ms, err) != 0) {
        return -1;
    }
    int rc = tokens_are(imap, "", err);
    while (rc != 0 && cm_now_mono_ms() < end) {
        stage_sleep_ms(100);
        rc = tokens_are(imap, "", err);
    }
    return rc;
}

#define BLOCKED "wrong: phones are not woken up: no notification got through for "

/* chatops status says so, and fails for it, or does not. */
static int status_must(struct stage *stage, bool red, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "status", &said, err);
    if (status < 0) {
        return -1;
    }
    bool is_red = status == 1 && strstr(said, BLOCKED) != NULL;
    int rc = is_red == red && (red || strstr(said, "chatmail domain: ") != NULL)
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "chatops status (%d): %s", status,
                              strstr(said, BLOCKED) != NULL ? BLOCKED : said);
    free(said);
    return rc;
}

/* So that nobody has to wait, what waits and the last success are made six minutes
 * older where push keeps both. Its next try writes the first anew: then once more. */
static int age_until_red(struct stage *stage, struct cm_err *err)
{
    int rc = -1;
    for (int i = 0; i < 3 && rc != 0; i++) {
        rc = scene_sh(&stage->scene, "store", 0, NULL, err,
                      "r='%s'; set -e;"
                      " for k in $($r zrange push:age 0 -1); do"
                      " $r zincrby push:age -360000000 \"$k\"; done;"
                      " $r set push:last $(($($r get push:last) - 360000))",
                      REDIS) != 0
                 ? -1
                 : status_must(stage, true, err);
    }
    return rc;
}

/* A network that lets nothing through to the service. */
static int blocked(struct stage *stage, struct people *p, struct cm_err *err)
{
    int64_t at_ms;
    if (status_must(stage, false, err) != 0 ||
        notify_fresh(&p->service, "refuse", err) != 0 ||
        stream_one(stage, &p->to_reader, &p->ledger, err) != 0 ||
        scene_until(&stage->scene, "store", 10, err,
                    "test \"$(%s zcard push:age)\" -ge 1", REDIS) != 0 ||
        age_until_red(stage, err) != 0 || notify_fresh(&p->service, "200", err) != 0 ||
        stream_one(stage, &p->to_reader, &p->ledger, err) != 0 ||
        notify_comes(&p->service, TOKEN, 2, COMES_MS, &at_ms, err) != 0) {
        return cm_err_prefix(err, "a blocked service");
    }
    return status_must(stage, false, err);
}

/* What push says about itself, and that no token or address is in its journal. */
static int looks_well(struct stage *stage, struct people *p,
                      const struct scene_mark *mark, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(
            &stage->scene, "store", 0, NULL, err,
            "test -z \"$(ls -A /var/spool/chatmail-push/taken)\" &&"
            " test \"$(ls -A /var/spool/chatmail-push)\" = taken &&"
            " test \"$(redis-cli -s /run/redis/redis-server.sock exists push:a:%s)\""
            " = 0",
            p->reader.addr) != 0) {
        return cm_err_prefix(err, "something is left");
    }
    if (scene_journal(&stage->scene, "store", mark, "-u chatmail-push.service", &text,
                      err) != 0) {
        return -1;
    }
    int rc = 0;
    if (strstr(text, TOKEN) != NULL || strstr(text, p->reader.addr) != NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "a token or an address is in the journal");
    }
    free(text);
    return rc;
}

static int play(struct stage *stage, struct people *p, struct cm_err *err)
{
    struct imap *imap;
    struct scene_mark mark;
    if (scene_mark(&stage->scene, "store", &mark, err) != 0 ||
        notify_start(stage, &p->service, err) != 0 || meet(stage, p, &imap, err) != 0) {
        return -1;
    }
    int rc = within_a_second(stage, p, err);
    rc = rc != 0 ? rc : self_sent(stage, p, err);
    rc = rc != 0 ? rc : failed_and_back(stage, p, err);
    rc = rc != 0 ? rc : killed(stage, p, "chatmail-push.service", err);
    rc = rc != 0 ? rc : killed(stage, p, "redis-server.service", err);
    rc = rc != 0 ? rc : both_killed(stage, p, err);
    rc = rc != 0 ? rc : blocked(stage, p, err);
    rc = rc != 0 ? rc : gone(stage, p, imap, err);
    rc = rc != 0 ? rc : looks_well(stage, p, &mark, err);
    imap_close(&imap);
    return rc;
}

int scenario_push(struct stage *stage, struct cm_err *err)
{
    struct people p = {.service = {.pid = 0}};
    ledger_init(&p.ledger);
    int rc = play(stage, &p, err);
    ledger_clear(&p.ledger);
    notify_stop(&p.service);
    return rc;
}
