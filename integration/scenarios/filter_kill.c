/* The filter, and what it asks, gone in the middle of messages: both processes killed
 * while data comes and while they read it, Redis away, PostgreSQL away. The client
 * hears a temporary answer, never a final one for a trouble of ours, and when it comes
 * again the message is there exactly once. What can be judged without the missing part
 * is judged as ever. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "ledger.h"
#include "letters/letters.h"
#include "mailbox.h"
#include "probe/mail.h"
#include "probe/smtp.h"
#include "send_rate.h"
#include "unit.h"

#define STEP_MS  30000
#define FIND_MS  60000
#define BACK_MS  10000
#define AGAIN_MS 15000
#define EHLO     "kill.client.example"
#define LITERAL  "alice@[198.51.100.77]"
#define BYTES    2000000 /* more than any socket holds */
#define CLEAR    "Encryption Needed: Invalid Unencrypted Mail"
#define NO_BASE  "4.3.0 Accounts cannot be looked up now"
#define REDIS    "redis-server"
#define POSTGRES "postgresql@15-main"

/* One way through the filter. */
struct side {
    const char *unit;
    struct door door;
    const struct scene_account *login; /* NULL: a stranger */
    const char *from;
    struct smtp *smtp;
    char id[LEDGER_ID];
    char *text; /* the message under way */
};

struct cast {
    struct scene_account sender, reader, hasty;
    struct ledger has; /* of the reader */
    struct side sides[2];
};

static int enter(struct stage *stage, struct side *side, struct cm_err *err)
{
    struct wire_to to = door_wire(stage, &side->door, STEP_MS);
    struct smtp_reply reply = {.code = 235};
    side->smtp = smtp_open(&to, EHLO, err);
    if (side->smtp == NULL ||
        (side->login != NULL && smtp_auth(side->smtp, side->login->addr,
                                          side->login->password, &reply, err) != 0)) {
        return -1;
    }
    return reply.code == 235 ? 0
                             : cm_err_set(err, CM_ERR_RETRY, "login: %d", reply.code);
}

static void leave(struct side *side)
{
    smtp_close(&side->smtp);
    free(side->text);
    side->text = NULL;
}

static void new_message(struct side *side, const char *to, size_t bytes)
{
    char token[17];
    mail_random(token, sizeof token);
    snprintf(side->id, sizeof side->id, "%s@kill.example", token);
    side->text = letter_of_size(side->from, to, side->id, bytes);
}

/* Sends it until it is taken. What is answered before that must be temporary. */
static int send_again(struct stage *stage, struct cast *cast, struct side *side,
                      struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + AGAIN_MS;
    struct smtp_reply reply = {.code = 0};
    do {
        smtp_close(&side->smtp);
        if (enter(stage, side, err) == 0 &&
            smtp_send(side->smtp, side->from, cast->reader.addr, side->text, &reply,
                      err) == 0) {
            if (reply.code == 250) {
                ledger_add(&cast->has, side->id, LEDGER_ACCEPTED);
                return 0;
            }
            if (reply.code >= 500) {
                return cm_err_set(err, CM_ERR_REFUSE, "sent again: %d %.200s",
                                  reply.code, reply.text);
            }
            cm_err_set(err, CM_ERR_RETRY, "%d %.200s", reply.code, reply.text);
        }
        stage_sleep_ms(300);
    } while (cm_now_mono_ms() < until);
    return cm_err_prefix(err, "sent again, for %d s", AGAIN_MS / 1000);
}

/* ---- kills ---- */

enum moment {
    BEFORE_TEXT, /* 354 was the last that was heard */
    IN_TEXT,
    IN_FILTER, /* all was sent; the filter has a part of it, and stands still */
    MOMENTS
};
static const char *const moments[MOMENTS] = {"before the text", "in the text",
                                             "while it read the text"};

static int begin(struct stage *stage, struct cast *cast, struct side *side,
                 enum moment moment, struct cm_err *err)
{
    struct smtp_reply reply;
    new_message(side, cast->reader.addr, BYTES);
    if (enter(stage, side, err) != 0 ||
        smtp_begin(side->smtp, side->from, cast->reader.addr, &reply, err) != 0) {
        return -1;
    }
    if (reply.code != 354) {
        return cm_err_set(err, CM_ERR_REFUSE, "%d %.200s", reply.code, reply.text);
    }
    if (moment == IN_TEXT) {
        char half = side->text[BYTES / 2];
        side->text[BYTES / 2] = '\0';
        int rc = smtp_write(side->smtp, side->text, err);
        side->text[BYTES / 2] = half;
        return rc;
    }
    if (moment == IN_FILTER) {
        return scene_sh(&stage->scene, "store", 0, NULL, err,
                        "systemctl kill -s STOP %s", side->unit) != 0 ||
                       smtp_write(side->smtp, side->text, err) != 0 ||
                       smtp_write(side->smtp, ".\r\n", err) != 0
                   ? -1
                   : 0;
    }
    return 0;
}

/* An answer, or a connection that ends: both are heard as "come again". */
static int finish(struct side *side, enum moment moment, struct cm_err *err)
{
    struct smtp_reply reply = {.code = 0};
    struct cm_err lost;
    int rc = 0;
    if (moment != IN_FILTER) {
        const char *rest = side->text + (moment == IN_TEXT ? BYTES / 2 : 0);
        rc = smtp_write(side->smtp, rest, &lost) != 0 ||
                     smtp_write(side->smtp, ".\r\n", &lost) != 0
                 ? -1
                 : 0;
    }
    if (rc == 0) {
        rc = smtp_answer(side->smtp, &reply, &lost);
    }
    return rc != 0 || reply.code / 100 == 4
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%d %.200s", reply.code, reply.text);
}

static int kill_at(struct stage *stage, struct cast *cast, enum moment moment,
                   struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        rc = begin(stage, cast, &cast->sides[i], moment, err);
    }
    if (rc == 0 && moment == IN_FILTER) {
        stage_sleep_ms(500);
    }
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        int64_t ms;
        rc = unit_kill(stage, "store", cast->sides[i].unit, BACK_MS, &ms, err);
    }
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        rc = finish(&cast->sides[i], moment, err) != 0 ||
                     send_again(stage, cast, &cast->sides[i], err) != 0
                 ? cm_err_prefix(err, "%s killed %s", cast->sides[i].unit,
                                 moments[moment])
                 : 0;
    }
    leave(&cast->sides[0]);
    leave(&cast->sides[1]);
    return rc;
}

/* ---- without Redis or PostgreSQL ---- */

static int expect(struct smtp *smtp, const char *from, const char *to, const char *text,
                  int code, const char *words, struct cm_err *err)
{
    struct smtp_reply reply;
    if (smtp_command(smtp, &reply, err, "RSET") != 0 ||
        smtp_send(smtp, from, to, text, &reply, err) != 0) {
        return -1;
    }
    return reply.code == code && strncmp(reply.text, words, strlen(words)) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%d %.200s, not %d %s", reply.code,
                            reply.text, code, words);
}

static int expect_letter(struct side *side, enum letter letter, const char *to,
                         int code, const char *words, struct cm_err *err)
{
    char *text = letter_text(letter, side->from, to, "refused@kill.example");
    int rc = expect(side->smtp, side->from, to, text, code, words, err);
    free(text);
    return rc == 0 ? 0
                   : cm_err_prefix(err, "%s by %s", letter_name(letter), side->unit);
}

static int without_redis(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    const char *reader = cast->reader.addr;
    if (scene_sh(&stage->scene, "store", 0, NULL, err, "systemctl stop " REDIS) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        struct side *side = &cast->sides[i];
        new_message(side, reader, 3000);
        if (enter(stage, side, err) != 0 ||
            expect_letter(side, LETTER_PLAIN, reader, 523, CLEAR, err) != 0 ||
            expect(side->smtp, side->from, reader, side->text, 250, "", err) != 0) {
            return -1;
        }
        ledger_add(&cast->has, side->id, LEDGER_ACCEPTED);
        leave(side);
    }
    if (send_rate_as_people(stage, err) != 0 ||
        send_rate_holds(stage, &cast->hasty, err) != 0 ||
        send_rate_back(stage, err) != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "store", 0, NULL, err, "systemctl start " REDIS);
}

static int recipient_put_off(struct side *side, const char *to, struct cm_err *err)
{
    struct smtp_reply reply;
    if (smtp_command(side->smtp, &reply, err, "RSET") != 0 ||
        smtp_command(side->smtp, &reply, err, "MAIL FROM:<%s>", side->from) != 0 ||
        smtp_command(side->smtp, &reply, err, "RCPT TO:<%s>", to) != 0) {
        return -1;
    }
    return reply.code == 451 && strncmp(reply.text, NO_BASE, strlen(NO_BASE)) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "RCPT of a stranger: %d %.200s",
                            reply.code, reply.text);
}

/* The sessions are there before: to log in is another matter (scenario postgres_away).
 * The stranger's message had its recipient accepted in time. */
static int base_goes(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct side *user = &cast->sides[0], *stranger = &cast->sides[1];
    struct smtp_reply reply;
    const char *reader = cast->reader.addr;
    for (size_t i = 0; i < 2; i++) {
        new_message(&cast->sides[i], reader, 3000);
        if (enter(stage, &cast->sides[i], err) != 0) {
            return -1;
        }
    }
    if (smtp_begin(stranger->smtp, stranger->from, reader, &reply, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err, "systemctl stop " POSTGRES) !=
            0 ||
        smtp_write(stranger->smtp, stranger->text, err) != 0 ||
        smtp_command(stranger->smtp, &reply, err, ".") != 0) {
        return -1;
    }
    if (reply.code != 451 || strncmp(reply.text, NO_BASE, strlen(NO_BASE)) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "a stranger's message: %d %.200s",
                          reply.code, reply.text);
    }
    if (recipient_put_off(stranger, reader, err) != 0 ||
        recipient_put_off(stranger, "nobodyhere@" SCENE_DOMAIN, err) != 0 ||
        expect_letter(user, LETTER_PLAIN, reader, 523, CLEAR, err) != 0 ||
        expect_letter(user, LETTER_FAKE_ENCRYPTED, reader, 523, CLEAR, err) != 0) {
        return -1;
    }
    return expect(user->smtp, user->from, reader, user->text, 451, NO_BASE, err);
}

static int without_postgres(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    int rc = base_goes(stage, cast, err);
    if (rc == 0) {
        rc = scene_sh(&stage->scene, "store", 60, NULL, err,
                      "systemctl start " POSTGRES);
    }
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        rc = send_again(stage, cast, &cast->sides[i], err);
    }
    leave(&cast->sides[0]);
    leave(&cast->sides[1]);
    return rc == 0 ? 0 : cm_err_prefix(err, "PostgreSQL away");
}

/* ---- all of it ---- */

static int play(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    if (account_make(stage, &cast->sender, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &cast->reader, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &cast->hasty, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    cast->sides[0] = (struct side){.unit = "chatmail-filter-out.service",
                                   .door = door_at("edge1", AF_INET, 465, false),
                                   .login = &cast->sender,
                                   .from = cast->sender.addr};
    cast->sides[1] = (struct side){.unit = "chatmail-filter-in.service",
                                   .door = door_at("edge2", AF_INET, 25, false),
                                   .from = LITERAL};
    for (int moment = 0; moment < MOMENTS; moment++) {
        if (kill_at(stage, cast, (enum moment)moment, err) != 0) {
            return -1;
        }
    }
    if (without_redis(stage, cast, err) != 0) {
        return cm_err_prefix(err, "Redis away");
    }
    if (without_postgres(stage, cast, err) != 0) {
        return -1;
    }
    struct door home = door_at("edge1", AF_INET, 993, true);
    if (mailbox_even(stage, &home, &cast->reader, &cast->has, FIND_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%d kills, %zu messages there once", 2 * MOMENTS,
               ledger_count(&cast->has, LEDGER_ACCEPTED));
    return 0;
}

int scenario_filter_kill(struct stage *stage, struct cm_err *err)
{
    static struct cast cast;
    ledger_init(&cast.has);
    int rc = play(stage, &cast, err);
    leave(&cast.sides[0]);
    leave(&cast.sides[1]);
    ledger_clear(&cast.has);
    return rc;
}

int scenario_filter_alive(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 60, NULL, err,
                    "systemctl kill -s CONT chatmail-filter-out chatmail-filter-in;"
                    " systemctl start " REDIS " " POSTGRES) != 0
               ? -1
               : send_rate_back(stage, err);
}
