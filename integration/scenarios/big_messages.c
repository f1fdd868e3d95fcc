/* Fifty large encrypted messages at once through submission, as many as a busy minute
 * of a relay has: all arrive, once, and the filter holds no more than for small ones.
 * Ten people write to the next of them, so that no mailbox comes near its quota. One of
 * each comes by a gateway, the others from the store's own net: the lab's tunnels are
 * userspace ones, which carry 12 MB/s on two cores, and nothing of this is about them.
 */
#include "scenario.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "ledger.h"
#include "letters/letters.h"
#include "probe/mail.h"
#include "probe/smtp.h"
#include "unit.h"

#define PEOPLE    10
#define EACH      5
#define ROADS     PEOPLE /* by a gateway */
#define PORT      465
#define ALL       (PEOPLE * EACH)
#define BYTES     30000000
#define QUICK     3000000
#define SHARED    "Chat-Version:" /* from here on the text is the same for all */
#define RSS_MAX   16.0            /* MB */
#define STEP_MS   240000
#define ARRIVE_MS 120000
#define LATE_MS   3000
#define EHLO      "big.client.example"
#define UNIT      "chatmail-filter-out.service"

struct big {
    const struct scene_account *from, *to;
    const char *rest; /* shared, with its dot */
    struct ledger *has;
    const char *netns, *host;
    char trouble[300];
    pthread_t thread;
};

struct cast {
    struct scene_account people[PEOPLE];
    struct ledger has[PEOPLE];
    struct big all[ALL];
    char *text, *rest;
};

/* ---- sending ---- */

static int speak(struct big *b, struct smtp *smtp, const char *id, struct cm_err *err)
{
    struct smtp_reply reply;
    const char *from = b->from->addr, *to = b->to->addr;
    if (smtp_auth(smtp, from, b->from->password, &reply, err) != 0) {
        return -1;
    }
    if (reply.code == 235 && smtp_begin(smtp, from, to, &reply, err) != 0) {
        return -1;
    }
    if (reply.code == 354) {
        char *small = letter_of_size(from, to, id, 1000);
        *strstr(small, SHARED) = '\0';
        int rc = smtp_write(smtp, small, err) != 0 ||
                         smtp_write(smtp, b->rest, err) != 0 ||
                         smtp_command(smtp, &reply, err, ".") != 0
                     ? -1
                     : 0;
        free(small);
        if (rc != 0) {
            return -1;
        }
    }
    return reply.code == 250
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%d %.200s", reply.code, reply.text);
}

static void *run_big(void *arg)
{
    struct big *b = arg;
    struct cm_err err = {.text = ""};
    char token[17], id[LEDGER_ID];
    struct wire_to to = {
        .netns = b->netns, .host = b->host, .port = PORT, .timeout_ms = STEP_MS};
    mail_random(token, sizeof token);
    snprintf(id, sizeof id, "%s@big.example", token);
    struct smtp *smtp = smtp_open(&to, EHLO, &err);
    if (smtp == NULL || speak(b, smtp, id, &err) != 0) {
        snprintf(b->trouble, sizeof b->trouble, "%.290s", err.text);
    } else {
        ledger_add(b->has, id, LEDGER_ACCEPTED);
    }
    smtp_close(&smtp);
    return NULL;
}

static int send_all(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    char store[64];
    if (scene_netns(&stage->scene, "store", store, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < ALL; i++) {
        size_t to = (i + 1) % PEOPLE;
        cast->all[i] = (struct big){
            .from = &cast->people[i % PEOPLE],
            .to = &cast->people[to],
            .rest = cast->rest,
            .has = &cast->has[to],
            .netns = i < ROADS ? stage->netns : store,
            .host = i < ROADS ? lab_address(i % 2 == 0 ? "edge1" : "edge2", AF_INET)
                              : SCENE_STORE_LAN};
    }
    for (size_t i = 0; i < ALL; i++) {
        cm_assert(pthread_create(&cast->all[i].thread, NULL, run_big, &cast->all[i]) ==
                  0);
    }
    for (size_t i = 0; i < ALL; i++) {
        pthread_join(cast->all[i].thread, NULL);
    }
    size_t failed = 0;
    const char *first = "";
    for (size_t i = 0; i < ALL; i++) {
        if (cast->all[i].trouble[0] != '\0') {
            first = failed++ == 0 ? cast->all[i].trouble : first;
        }
    }
    return failed == 0 ? 0
                       : cm_err_set(err, CM_ERR_REFUSE, "%zu of %d were not taken: %s",
                                    failed, ALL, first);
}

/* ---- arriving ---- */

/* Their ids by the files, since to ask by IMAP would read each whole. */
static int look(struct stage *stage, struct cast *cast, size_t i, struct cm_err *err)
{
    char *ids = NULL, *rest = NULL;
    if (scene_sh(
            &stage->scene, "store", 0, &ids, err,
            "cd /home/vmail/mail/*/%s && for f in new/* cur/*; do test ! -f $f ||"
            " zcat -f $f | sed -n 's/^Message-ID: <\\(.*\\)>.*/\\1/p;/^.\\?$/q'; done",
            cast->people[i].addr) != 0) {
        return -1;
    }
    ledger_forget_found(&cast->has[i]);
    for (char *id = strtok_r(ids, "\r\n", &rest); id != NULL;
         id = strtok_r(NULL, "\r\n", &rest)) {
        ledger_found(&cast->has[i], id);
    }
    free(ids);
    return 0;
}

static int all_there(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        if (look(stage, cast, i, err) != 0 ||
            ledger_judge(&cast->has[i], err) != LEDGER_EVEN) {
            return -1;
        }
    }
    return 0;
}

static int arrive(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + ARRIVE_MS;
    while (all_there(stage, cast, err) != 0) {
        if (cm_now_mono_ms() > until || err->kind == CM_ERR_REFUSE) {
            return -1;
        }
        stage_sleep_ms(1000);
    }
    stage_sleep_ms(LATE_MS); /* a second copy would be on its way */
    return all_there(stage, cast, err);
}

static int most_held(struct stage *stage, double *mb_r, struct cm_err *err)
{
    int64_t pid;
    char *text = NULL;
    if (unit_pid(stage, "store", UNIT, &pid, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, &text, err,
                 "sed -n 's/^VmHWM: *//p' /proc/%lld/status", (long long)pid) != 0) {
        return -1;
    }
    *mb_r = strtod(text, NULL) * 1024 / 1e6;
    free(text);
    return *mb_r > 0 ? 0 : cm_err_set(err, CM_ERR_WORLD, "no VmHWM of " UNIT);
}

/* ---- all of it ---- */

static int clear_away(struct stage *stage, const struct cast *cast, struct cm_err *err)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        if (scene_sh(&stage->scene, "store", 0, NULL, err,
                     "rm -rf /home/vmail/mail/*/%s", cast->people[i].addr) != 0) {
            return -1;
        }
    }
    return 0;
}

static int play(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    double before = 0, after = 0;
    int64_t begun = cm_now_mono_ms();
    if (most_held(stage, &before, err) != 0 || send_all(stage, cast, err) != 0) {
        return -1;
    }
    int64_t sent = cm_now_mono_ms();
    if (arrive(stage, cast, err) != 0 || most_held(stage, &after, err) != 0) {
        return -1;
    }
    stage_note(stage,
               "%d x %.0f MB, %d by gateways, taken in %.0f s, there %.0f s later", ALL,
               (double)strlen(cast->rest) / 1e6, ROADS, (double)(sent - begun) / 1000,
               (double)(cm_now_mono_ms() - sent) / 1000);
    stage_note(stage, "the filter held %.1f MB at most, %.1f MB before", after, before);
    return after < RSS_MAX
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "the filter held %.1f MB", after);
}

int scenario_big_messages(struct stage *stage, struct cm_err *err)
{
    static struct cast cast;
    int rc = 0;
    for (size_t i = 0; i < PEOPLE; i++) {
        ledger_init(&cast.has[i]);
        rc = rc == 0 ? account_make(stage, &cast.people[i], SCENE_DOMAIN, err) : rc;
    }
    cast.text = letter_of_size("a@b", "a@b", "x@y", stage->quick ? QUICK : BYTES);
    cast.rest = strstr(cast.text, SHARED);
    if (rc == 0) {
        struct cm_err other;
        rc = play(stage, &cast, err);
        rc = clear_away(stage, &cast, rc == 0 ? err : &other) != 0 ? -1 : rc;
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        ledger_clear(&cast.has[i]);
    }
    free(cast.text);
    return rc;
}
