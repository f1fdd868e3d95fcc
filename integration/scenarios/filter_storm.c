/* Thousands of broken and hostile messages over real SMTP, from users and from
 * strangers, on connections that are kept. Whatever is answered 250 must be something
 * that may pass, said by a witness who shares no code with the filter; every refusal is
 * one of those that docs/filter.md names; the filter neither dies nor lets a word of
 * cleartext into a mailbox; and between the mutants good mail passes. */
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
#include "mailbox.h"
#include "mutate.h"
#include "probe/smtp.h"
#include "unit.h"
#include "witness.h"

#define SEED       20240607u
#define LANES      8
#define EACH       600
#define EACH_QUICK 100
#define GOOD_EVERY                                                                     \
    8 /* after ten refusals in a row Postfix takes its time, after 20 it hangs up */
#define STEP_MS    30000
#define ARRIVE_MS  60000
#define EHLO       "storm.client.example"
#define LITERAL    "alice@[198.51.100.77]"
#define ID_OF_BASE "0000000000000000"

static const char *const units[] = {"chatmail-filter-out.service",
                                    "chatmail-filter-in.service"};

static const struct permitted {
    bool out, in;
    int code;
    const char *words;
} permitted[] = {
    {true, true, 250, ""},
    {true, true, 523, "Encryption Needed: Invalid Unencrypted Mail"},
    {true, true, 500, "Invalid FROM "},
    {false, true, 553, "Invalid email address: "},
    {false, true, 554, "5.7.1 No DKIM signature found"},
};
#define KINDS (sizeof permitted / sizeof permitted[0])

struct lane {
    const struct stage *stage;
    unsigned number;
    bool incoming;
    struct door door;
    struct scene_account from, to; /* from: of a user */
    const char *author;
    char *base[LETTERS];
    unsigned each;
    unsigned answers[KINDS];
    unsigned accepted; /* with the good ones */
    struct ledger good;
    char trouble[500]; /* the first, "" for none */
    pthread_t thread;
};

static int enter(const struct lane *lane, struct smtp **smtp_r, struct cm_err *err)
{
    struct wire_to to = door_wire(lane->stage, &lane->door, STEP_MS);
    struct smtp_reply reply = {.code = 235};
    *smtp_r = smtp_open(&to, EHLO, err);
    if (*smtp_r == NULL ||
        (!lane->incoming &&
         smtp_auth(*smtp_r, lane->from.addr, lane->from.password, &reply, err) != 0)) {
        return -1;
    }
    return reply.code == 235 ? 0
                             : cm_err_set(err, CM_ERR_REFUSE, "login: %d %.200s",
                                          reply.code, reply.text);
}

static int offer(const struct lane *lane, struct smtp *smtp, const char *text,
                 struct smtp_reply *reply, struct cm_err *err)
{
    if (smtp_begin(smtp, lane->author, lane->to.addr, reply, err) != 0) {
        return -1;
    }
    if (reply->code != 354) {
        return cm_err_set(err, CM_ERR_REFUSE, "before DATA: %d %.200s", reply->code,
                          reply->text);
    }
    char *stuffed = mutate_stuffed(text);
    int rc =
        smtp_write(smtp, stuffed, err) != 0 || smtp_command(smtp, reply, err, ".") != 0
            ? -1
            : 0;
    free(stuffed);
    return rc;
}

/* ---- mutants ---- */

/* Every second one of an encrypted letter, the others of each kind in turn. */
static enum letter parent_of(unsigned i)
{
    return i % 2 == 0 ? LETTER_ENCRYPTED : (enum letter)(i / 2 % LETTERS);
}

/* A report may pass in cleartext, so the mark would say nothing there. */
static bool is_marked(unsigned i)
{
    return parent_of(i) != LETTER_MAILER_DAEMON && i % 3 == 0;
}

static char *mutant(const struct lane *lane, unsigned i)
{
    unsigned number = lane->number * EACH + i;
    struct mutate m = mutate_of(SEED, number);
    char id[sizeof ID_OF_BASE];
    char *base = cm_strdup(lane->base[parent_of(i)]);
    char *at = strstr(base, ID_OF_BASE);
    snprintf(id, sizeof id, "%016u", number + 1);
    cm_assert(at != NULL);
    memcpy(at, id, sizeof id - 1);
    char *text = mutate_letter(&m, base, is_marked(i));
    free(base);
    return text;
}

static int judge(struct lane *lane, unsigned i, const char *text,
                 const struct smtp_reply *reply, struct cm_err *err)
{
    const char *why = "";
    size_t k = 0;
    while (k < KINDS && (!(lane->incoming ? permitted[k].in : permitted[k].out) ||
                         reply->code != permitted[k].code ||
                         strncmp(reply->text, permitted[k].words,
                                 strlen(permitted[k].words)) != 0)) {
        k++;
    }
    if (k == KINDS) {
        return cm_err_set(err, CM_ERR_REFUSE, "mutant %u of lane %u: %d %.200s", i,
                          lane->number, reply->code, reply->text);
    }
    lane->answers[k]++;
    if (reply->code != 250) {
        return 0;
    }
    lane->accepted++;
    char *received = mutate_received(text);
    bool may = witness_encrypted(received, lane->incoming, &why) ||
               witness_excepted(received, lane->incoming);
    free(received);
    return may ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "mutant %u of lane %u was taken: %s", i,
                            lane->number, why);
}

static int good_one(struct lane *lane, struct smtp *smtp, unsigned i,
                    struct cm_err *err)
{
    struct smtp_reply reply;
    char id[LEDGER_ID];
    snprintf(id, sizeof id, "good-%u-%u@storm.example", lane->number, i);
    const char *base = lane->base[LETTER_ENCRYPTED];
    const char *at = strstr(base, "Message-ID: <"), *end = strchr(at, '>');
    char *text = cm_asprintf("%.*sMessage-ID: <%s%s", (int)(at - base), base, id, end);
    int rc = offer(lane, smtp, text, &reply, err);
    free(text);
    if (rc == 0 && reply.code != 250) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "a good message after mutant %u: %d %.200s",
                        i, reply.code, reply.text);
    }
    if (rc == 0) {
        ledger_add(&lane->good, id, LEDGER_ACCEPTED);
        lane->accepted++;
    }
    return rc;
}

static int play_lane(struct lane *lane, struct smtp *smtp, struct cm_err *err)
{
    int rc = 0;
    for (unsigned i = 0; i < lane->each && rc == 0; i++) {
        struct smtp_reply reply;
        char *text = mutant(lane, i);
        rc = offer(lane, smtp, text, &reply, err);
        if (rc != 0) {
            cm_err_prefix(err, "mutant %u of lane %u", i, lane->number);
        } else {
            rc = judge(lane, i, text, &reply, err);
        }
        free(text);
        if (rc == 0 && (i % GOOD_EVERY == GOOD_EVERY - 1 || i + 1 == lane->each)) {
            rc = good_one(lane, smtp, i, err);
        }
    }
    return rc;
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct smtp *smtp = NULL;
    struct cm_err err = {.text = ""};
    if (enter(lane, &smtp, &err) != 0 || play_lane(lane, smtp, &err) != 0) {
        snprintf(lane->trouble, sizeof lane->trouble, "%.490s", err.text);
    }
    smtp_close(&smtp);
    return NULL;
}

/* ---- lanes ---- */

static int open_lane(struct stage *stage, struct lane *lane, unsigned number,
                     struct cm_err *err)
{
    bool incoming = number % 2 == 1;
    *lane = (struct lane){.stage = stage,
                          .number = number,
                          .incoming = incoming,
                          .door = door_at(number % 4 < 2 ? "edge1" : "edge2", AF_INET,
                                          incoming ? 25 : 465, false),
                          .each = stage->quick ? EACH_QUICK : EACH};
    ledger_init(&lane->good);
    if (account_make(stage, &lane->to, SCENE_DOMAIN, err) != 0 ||
        (!incoming && account_make(stage, &lane->from, SCENE_DOMAIN, err) != 0)) {
        return -1;
    }
    lane->author = incoming ? LITERAL : lane->from.addr;
    for (int i = 0; i < LETTERS; i++) {
        lane->base[i] = letter_text((enum letter)i, lane->author, lane->to.addr,
                                    ID_OF_BASE "@storm.example");
    }
    return 0;
}

static void close_lane(struct lane *lane)
{
    ledger_clear(&lane->good);
    for (int i = 0; i < LETTERS; i++) {
        free(lane->base[i]);
    }
}

/* Mutants may have no Message-ID of ours, so they are only counted. */
static int arrived(const struct stage *stage, struct lane *lane, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + ARRIVE_MS;
    struct mailbox_numbers numbers;
    do {
        if (mailbox_look(stage, &lane->to, &numbers, err) != 0) {
            return -1;
        }
        if (numbers.messages >= (long)lane->accepted) {
            break;
        }
        stage_sleep_ms(1000);
    } while (cm_now_mono_ms() < until);
    return numbers.messages == (long)lane->accepted
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "lane %u: %u taken, %ld in the mailbox",
                            lane->number, lane->accepted, numbers.messages);
}

static void on_id(const char *id, void *ctx)
{
    ledger_found(ctx, id);
}

static int good_ones_there(const struct stage *stage, struct lane *lane,
                           struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct imap *imap = door_imap(stage, &door, &lane->to, STEP_MS, err);
    int rc = imap != NULL ? imap_message_ids(imap, on_id, &lane->good, err) : -1;
    imap_close(&imap);
    lane->good.foreign = 0;
    return rc == 0 && ledger_judge(&lane->good, err) == LEDGER_EVEN ? 0 : -1;
}

/* ---- the filter ---- */

static int nothing_died(struct stage *stage, const struct scene_mark *mark,
                        struct cm_err *err)
{
    char *log = NULL;
    if (scene_sh(
            &stage->scene, "store", 0, &log, err,
            "journalctl --sync; journalctl -q -o cat --no-pager -u chatmail-filter-out"
            " -u chatmail-filter-in --since=@%lld.%06lld"
            " --grep='assert|exited|Failed|killed|dumped|watchdog' || true",
            (long long)(mark->since_us / 1000000),
            (long long)(mark->since_us % 1000000)) != 0) {
        return -1;
    }
    int rc = log[0] == '\0'
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "the filter's journal: %.300s", log);
    free(log);
    return rc;
}

/* Mailboxes and queue, packed and not. */
static int no_cleartext(struct stage *stage, const struct lane *lanes,
                        struct cm_err *err)
{
    char *count = NULL;
    int rc = 0;
    for (unsigned i = 0; i < LANES && rc == 0; i++) {
        rc = scene_sh(&stage->scene, "store", 0, &count, err,
                      "find /home/vmail/mail/*/%s -type f -exec zcat -f {} + | grep -c"
                      " -e " MUTANT_MARK " || true",
                      lanes[i].to.addr);
        if (rc == 0 && strtol(count, NULL, 10) != 0) {
            rc = cm_err_set(err, CM_ERR_REFUSE,
                            "cleartext in the mailbox of lane %u: %s", i, count);
        }
        free(count);
        count = NULL;
    }
    return rc;
}

/* ---- all of it ---- */

static int storm(struct lane *lanes, struct cm_err *err)
{
    for (unsigned i = 0; i < LANES; i++) {
        cm_assert(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]) == 0);
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
    }
    for (unsigned i = 0; i < LANES; i++) {
        if (lanes[i].trouble[0] != '\0') {
            return cm_err_set(err, CM_ERR_REFUSE, "seed %u, %s", SEED,
                              lanes[i].trouble);
        }
    }
    return 0;
}

static void note(struct stage *stage, const struct lane *lanes, int64_t took_ms)
{
    unsigned all = 0, good = 0, kinds[KINDS] = {0};
    for (unsigned i = 0; i < LANES; i++) {
        all += lanes[i].each;
        good += (unsigned)ledger_count(&lanes[i].good, LEDGER_ACCEPTED);
        for (size_t k = 0; k < KINDS; k++) {
            kinds[k] += lanes[i].answers[k];
        }
    }
    stage_note(stage,
               "seed %u: %u mutants on %d connections in %.0f s, %u good between", SEED,
               all, LANES, (double)took_ms / 1000, good);
    for (size_t k = 0; k < KINDS; k++) {
        stage_note(stage, "%u x %d", kinds[k], permitted[k].code);
    }
}

static int play(struct stage *stage, struct lane *lanes, struct cm_err *err)
{
    int64_t before[2], after[2];
    struct scene_mark mark;
    for (size_t i = 0; i < 2; i++) {
        if (unit_pid(stage, "store", units[i], &before[i], err) != 0) {
            return -1;
        }
    }
    if (scene_mark(&stage->scene, "store", &mark, err) != 0) {
        return -1;
    }
    int64_t start = cm_now_mono_ms();
    if (storm(lanes, err) != 0) {
        return -1;
    }
    note(stage, lanes, cm_now_mono_ms() - start);
    for (unsigned i = 0; i < LANES; i++) {
        if (arrived(stage, &lanes[i], err) != 0 ||
            good_ones_there(stage, &lanes[i], err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (unit_pid(stage, "store", units[i], &after[i], err) != 0) {
            return -1;
        }
        if (before[i] == 0 || after[i] != before[i]) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s was %lld, is %lld", units[i],
                              (long long)before[i], (long long)after[i]);
        }
    }
    if (nothing_died(stage, &mark, err) != 0) {
        return -1;
    }
    return no_cleartext(stage, lanes, err);
}

int scenario_filter_storm(struct stage *stage, struct cm_err *err)
{
    static struct lane lanes[LANES];
    int rc = 0;
    for (unsigned i = 0; i < LANES && rc == 0; i++) {
        rc = open_lane(stage, &lanes[i], i, err);
    }
    rc = rc == 0 ? play(stage, lanes, err) : rc;
    for (unsigned i = 0; i < LANES; i++) {
        close_lane(&lanes[i]);
    }
    return rc;
}
