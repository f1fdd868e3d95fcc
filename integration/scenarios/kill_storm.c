/* Every service of ours on the store, PostgreSQL and Redis: killed and restarted, one
 * after the other, while people log in, mail comes in and phones set their tokens.
 * Nobody may hear "wrong password", what was acknowledged must be there. */
#include "scenario.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "door.h"
#include "mailbox.h"
#include "stream.h"
#include "unit.h"

#define BACK_MS    10000
#define DELIVER_MS 300000
#define TRY_MS     10000
#define BETWEEN_MS 250
#define LANES      4
#define GAP_MS     1300 /* a user may send one message a second for ever */
#define WATCHERS   4
#define TOKENS     24 /* of 32 that an address may have */
#define TOKEN      "/private/devicetoken"

/* Those that hold something for others; the rest are found by name. */
static const char *const stock[] = {"postgresql@15-main.service",
                                    "redis-server.service"};

/* Logins */

struct watcher {
    const struct stage *stage;
    const struct scene_account *account;
    struct door door;
    atomic_bool *stop;
    unsigned in, put_off, cut;
    char refused[300]; /* the first "wrong password", "" for none */
    pthread_t thread;
};

static void *watch(void *arg)
{
    struct watcher *w = arg;
    while (!atomic_load(w->stop)) {
        enum imap_verdict verdict = IMAP_OTHER;
        char text[256];
        struct cm_err err;
        if (door_login(w->stage, &w->door, w->account->addr, w->account->password,
                       TRY_MS, &verdict, text, &err) != 0) {
            w->cut++;
        } else if (verdict == IMAP_IN) {
            w->in++;
        } else if (verdict == IMAP_TEMPORARY) {
            w->put_off++;
        } else if (w->refused[0] == '\0') {
            snprintf(w->refused, sizeof w->refused, "%s", text);
        }
        stage_sleep_ms(BETWEEN_MS);
    }
    return NULL;
}

/* Tokens */

struct phone {
    const struct stage *stage;
    const struct scene_account *account;
    atomic_bool *stop;
    atomic_uint taken; /* SETMETADATA answered OK */
    unsigned not_taken;
    bool acknowledged[TOKENS];
    pthread_t thread;
};

static struct imap *phone_log_in(const struct phone *p, struct cm_err *err)
{
    struct door door = door_at("edge2", AF_INET, 993, true);
    struct wire_to to = door_wire(p->stage, &door, TRY_MS);
    enum imap_verdict verdict = IMAP_OTHER;
    struct imap *imap = imap_open(&to, err);
    if (imap != NULL && (imap_login(imap, p->account->addr, p->account->password,
                                    &verdict, NULL, err) != 0 ||
                         verdict != IMAP_IN)) {
        imap_close(&imap);
    }
    return imap;
}

static void *set_tokens(void *arg)
{
    struct phone *p = arg;
    struct imap *imap = NULL;
    for (unsigned i = 0; !atomic_load(p->stop); i = (i + 1) % TOKENS) {
        struct cm_err err;
        char command[96];
        snprintf(command, sizeof command,
                 "SETMETADATA \"INBOX\" (" TOKEN " \"storm%02u\")", i);
        imap = imap != NULL ? imap : phone_log_in(p, &err);
        if (imap != NULL && imap_command(imap, command, NULL, NULL, &err) == 0) {
            p->acknowledged[i] = true;
            atomic_fetch_add(&p->taken, 1);
        } else {
            p->not_taken++;
            imap_close(&imap);
        }
        stage_sleep_ms(BETWEEN_MS);
    }
    imap_close(&imap);
    return NULL;
}

static void collect(const char *line, void *ctx)
{
    cm_buf_str(ctx, line);
}

static int tokens_there(const struct phone *p, struct cm_err *err)
{
    struct cm_buf got;
    struct imap *imap = phone_log_in(p, err);
    if (imap == NULL) {
        return cm_err_prefix(err, "to read the tokens");
    }
    cm_buf_init(&got, 65536);
    int rc = imap_command(imap, "GETMETADATA \"INBOX\" " TOKEN, collect, &got, err);
    for (unsigned i = 0; rc == 0 && i < TOKENS; i++) {
        char token[16];
        snprintf(token, sizeof token, "storm%02u", i);
        if (p->acknowledged[i] && strstr(got.data, token) == NULL) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "token %s was set, and is not there",
                            token);
        }
    }
    cm_buf_clear(&got);
    imap_close(&imap);
    return rc;
}

/* Blows */

/* Running services of ours, a line each, and the stock ones. Caller frees. */
static int find_victims(struct stage *stage, char **text_r, struct cm_err *err)
{
    char *ours = NULL;
    if (scene_sh(&stage->scene, "store", 0, &ours, err,
                 "systemctl list-units --plain --no-legend --type=service"
                 " --state=running 'chatmail-*' | cut -d' ' -f1"
                 " | grep -v -e tunnel -e expire -e fsreport -e metrics") != 0) {
        return -1;
    }
    struct cm_buf all;
    cm_buf_init(&all, 8192);
    cm_buf_str(&all, ours);
    free(ours);
    for (size_t i = 0; i < sizeof stock / sizeof stock[0]; i++) {
        cm_buf_fmt(&all, "%s\n", stock[i]);
    }
    *text_r = cm_buf_steal(&all);
    return 0;
}

struct storm {
    struct stage *stage;
    const struct scene_account *account;
    struct phone *phone;
    int64_t longest_ms;
    unsigned blows;
};

/* Logs in at both kinds of door and has a token taken. */
static int all_back(struct storm *storm, int64_t since_ms, struct cm_err *err)
{
    struct door imap = door_at("edge1", AF_INET, 993, true),
                smtp = door_at("edge2", AF_INET6, 465, false);
    unsigned taken = atomic_load(&storm->phone->taken);
    if (door_until_in(storm->stage, &imap, storm->account, since_ms, BACK_MS, NULL,
                      err) != 0 ||
        door_until_in(storm->stage, &smtp, storm->account, since_ms, BACK_MS, NULL,
                      err) != 0) {
        return -1;
    }
    while (atomic_load(&storm->phone->taken) == taken) {
        if (cm_now_mono_ms() - since_ms > BACK_MS) {
            return cm_err_set(err, CM_ERR_REFUSE, "no token taken for %d s",
                              BACK_MS / 1000);
        }
        stage_sleep_ms(50);
    }
    int64_t took = cm_now_mono_ms() - since_ms;
    storm->longest_ms = took > storm->longest_ms ? took : storm->longest_ms;
    return 0;
}

static int blow(struct storm *storm, const char *unit, bool kill, struct cm_err *err)
{
    int64_t ms, start = cm_now_mono_ms();
    int rc = kill ? unit_kill(storm->stage, "store", unit, BACK_MS, &ms, err)
                  : scene_sh(&storm->stage->scene, "store", 30, NULL, err,
                             "systemctl restart %s", unit);
    if (rc == 0) {
        rc = all_back(storm, start, err);
    }
    storm->blows++;
    return rc == 0 ? 0
                   : cm_err_prefix(err, "%s %s", unit, kill ? "killed" : "restarted");
}

static int all_blows(struct storm *storm, char *victims, struct cm_err *err)
{
    char *save = NULL;
    for (char *unit = strtok_r(victims, "\n", &save); unit != NULL;
         unit = strtok_r(NULL, "\n", &save)) {
        if (blow(storm, unit, true, err) != 0 || blow(storm, unit, false, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* The crowd */

struct crowd {
    atomic_bool stop;
    struct watcher watchers[WATCHERS];
    struct phone phone;
    struct stream *stream;
};

static void crowd_start(struct crowd *c, const struct stage *stage,
                        const struct scene_account *account,
                        const struct stream_lane lanes[LANES], struct ledger *ledger)
{
    struct door doors[WATCHERS] = {
        door_at("edge1", AF_INET, 993, true), door_at("edge2", AF_INET6, 993, true),
        door_at("edge1", AF_INET6, 465, false), door_at("edge2", AF_INET, 587, false)};
    atomic_init(&c->stop, false);
    for (size_t i = 0; i < WATCHERS; i++) {
        c->watchers[i] = (struct watcher){
            .stage = stage, .account = account, .door = doors[i], .stop = &c->stop};
        cm_assert(
            pthread_create(&c->watchers[i].thread, NULL, watch, &c->watchers[i]) == 0);
    }
    c->phone = (struct phone){.stage = stage, .account = account, .stop = &c->stop};
    cm_assert(pthread_create(&c->phone.thread, NULL, set_tokens, &c->phone) == 0);
    c->stream = stream_start(stage, lanes, LANES, ledger);
}

static void crowd_end(struct crowd *c)
{
    atomic_store(&c->stop, true);
    for (size_t i = 0; i < WATCHERS; i++) {
        pthread_join(c->watchers[i].thread, NULL);
    }
    pthread_join(c->phone.thread, NULL);
    stream_stop(&c->stream);
}

static int judge_logins(struct stage *stage, const struct crowd *c, struct cm_err *err)
{
    unsigned in = 0, put_off = 0, cut = 0;
    for (size_t i = 0; i < WATCHERS; i++) {
        const struct watcher *w = &c->watchers[i];
        char name[64];
        door_name(&w->door, name);
        if (w->refused[0] != '\0' || w->in == 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s: after %u logins: %s", name,
                              w->in,
                              w->refused[0] != '\0' ? w->refused : "none at all");
        }
        in += w->in;
        put_off += w->put_off;
        cut += w->cut;
    }
    stage_note(stage, "%u logins in, %u put off, %u cut, none refused", in, put_off,
               cut);
    return 0;
}

static int make_lanes(struct stage *stage, const struct scene_account *to,
                      struct stream_lane lanes[LANES], struct cm_err *err)
{
    for (size_t i = 0; i < LANES; i++) {
        bool far = i == LANES - 1; /* comes in by port 25 */
        struct door one = door_at(far ? "relay2" : "edge1", AF_INET, 465, false),
                    two = door_at(far ? "relay2" : "edge2", AF_INET, 465, false);
        lanes[i] = (struct stream_lane){.doors = {one, two}, .gap_ms = GAP_MS};
        snprintf(lanes[i].to, sizeof lanes[i].to, "%s", to->addr);
        if (account_make(stage, &lanes[i].from, far ? SCENE_RELAY2 : SCENE_DOMAIN,
                         err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int play(struct stage *stage, char *victims, struct ledger *ledger,
                struct cm_err *err)
{
    struct scene_account account;
    struct stream_lane lanes[LANES];
    static struct crowd crowd;
    struct door inbox = door_at("edge2", AF_INET, 993, true);
    struct storm storm = {.stage = stage, .account = &account, .phone = &crowd.phone};
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        make_lanes(stage, &account, lanes, err) != 0) {
        return -1;
    }
    crowd_start(&crowd, stage, &account, lanes, ledger);
    stage_sleep_ms(2000);
    int rc = all_blows(&storm, victims, err);
    crowd_end(&crowd);
    if (rc != 0 || judge_logins(stage, &crowd, err) != 0 ||
        tokens_there(&crowd.phone, err) != 0) {
        return -1;
    }
    int64_t start = cm_now_mono_ms();
    if (mailbox_even(stage, &inbox, &account, ledger, DELIVER_MS, err) != 0) {
        return -1;
    }
    stage_note(stage,
               "%u blows, all back in %.1f s; %u tokens taken, %u not; %zu mails "
               "accepted, even %.0f s later",
               storm.blows, (double)storm.longest_ms / 1000,
               atomic_load(&crowd.phone.taken), crowd.phone.not_taken,
               ledger_count(ledger, LEDGER_ACCEPTED),
               (double)(cm_now_mono_ms() - start) / 1000);
    return 0;
}

int scenario_kill_storm(struct stage *stage, struct cm_err *err)
{
    char *victims = NULL;
    struct ledger ledger;
    if (find_victims(stage, &victims, err) != 0) {
        return -1;
    }
    ledger_init(&ledger);
    int rc = play(stage, victims, &ledger, err);
    ledger_clear(&ledger);
    free(victims);
    return rc;
}

int scenario_storm_over(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 60, NULL, err, "systemctl start %s %s",
                    stock[0], stock[1]);
}
