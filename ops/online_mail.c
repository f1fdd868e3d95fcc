/* What may be sent, and what comes of it. */
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "online.h"
#include "probe/mail.h"

#define EHLO       "chatops-test.invalid"
#define LETTER_MAX (1 << 20)
#define RATE_MAX   600 /* messages that are sent for it */
#define FAR_MS     60000

enum op_verdict_online op_online_judge(const struct smtp_reply *reply, int code,
                                       const char *words, char *said)
{
    snprintf(said, OP_ONLINE_SAID, "%d %.200s", reply->code, reply->text);
    return reply->code == code && strstr(reply->text, words) != NULL ? OP_ONLINE_GOOD
                                                                     : OP_ONLINE_WRONG;
}

/* who == NULL: as a stranger. */
struct smtp *op_online_smtp(const struct op_online *o, const struct op_entrance *at,
                            int port, const struct op_person *who, char *said)
{
    struct wire_to to = op_online_to(o, at, port);
    struct smtp_reply reply = {.code = 235};
    struct cm_err err;
    struct smtp *smtp = smtp_open(&to, EHLO, &err);

    if (smtp == NULL) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        return NULL;
    }
    if (who != NULL && smtp_auth(smtp, who->addr, who->password, &reply, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "login: %.200s", err.text);
        smtp_close(&smtp);
    } else if (reply.code != 235) {
        snprintf(said, OP_ONLINE_SAID, "login: %d %.200s", reply.code, reply.text);
        smtp_close(&smtp);
    }
    return smtp;
}

/* ---- logins ---- */

static enum op_verdict_online login(struct op_online *o, const struct op_entrance *at,
                                    int port, char *said)
{
    struct smtp *smtp = op_online_smtp(o, at, port, &o->one, said);

    if (smtp == NULL) {
        return OP_ONLINE_WRONG;
    }
    smtp_quit(&smtp);
    return OP_ONLINE_GOOD;
}

enum op_verdict_online op_online_smtps(struct op_online *o,
                                       const struct op_entrance *at, char *said)
{
    return login(o, at, 465, said);
}

enum op_verdict_online op_online_submission(struct op_online *o,
                                            const struct op_entrance *at, char *said)
{
    return login(o, at, 587, said);
}

enum op_verdict_online op_online_smtp_alpn(struct op_online *o,
                                           const struct op_entrance *at, char *said)
{
    return login(o, at, 443, said);
}

enum op_verdict_online op_online_smtp_refused(struct op_online *o,
                                              const struct op_entrance *at, char *said)
{
    struct wire_to to = op_online_to(o, at, 465);
    struct smtp_reply reply = {.code = 0};
    struct cm_err err;
    struct smtp *smtp = smtp_open(&to, EHLO, &err);
    int rc = smtp == NULL
                 ? -1
                 : smtp_auth(smtp, o->one.addr, "not-the-password", &reply, &err);

    smtp_close(&smtp);
    if (rc != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        return OP_ONLINE_WRONG;
    }
    return op_online_judge(&reply, 535, "", said);
}

/* ---- letters ---- */

void op_online_pace(struct op_online *o)
{
    int64_t per_minute = o->conf->max_user_send_per_minute;
    int64_t burst = o->conf->max_user_send_burst_size, now = cm_now_mono_ms();

    /* half of what is allowed at once stays, for what is still counted from before */
    if ((int64_t)o->sent++ >= burst / 2 && o->next_send_ms > now) {
        struct timespec wait = {.tv_sec = (o->next_send_ms - now) / 1000,
                                .tv_nsec = (o->next_send_ms - now) % 1000 * 1000000};
        nanosleep(&wait, NULL);
    }
    o->next_send_ms = cm_now_mono_ms() + (per_minute > 0 ? 60000 / per_minute : 0);
}

static void new_id(char id[64])
{
    char name[17];

    mail_random(name, sizeof(name));
    snprintf(id, 64, "%s@chatops-test.invalid", name);
}

typedef char *letter_maker(const char *from, const char *to, const char *id);

struct letter {
    letter_maker *make;
    const char *envelope; /* MAIL FROM */
    const char *author;   /* From: */
    const char *to;
    char id[64];
};

/* Sends as `one` over the port; the reply. false: it came to none. */
static bool offer(struct op_online *o, const struct op_entrance *at, int port,
                  struct letter *l, struct smtp_reply *reply, char *said)
{
    struct smtp *smtp;
    struct cm_err err;

    op_online_pace(o);
    smtp = op_online_smtp(o, at, port, &o->one, said);
    if (smtp == NULL) {
        return false;
    }
    new_id(l->id);
    char *text = l->make(l->author, l->to, l->id);
    int rc = smtp_send(smtp, l->envelope, l->to, text, reply, &err);
    free(text);
    smtp_close(&smtp);
    if (rc != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
    }
    return rc == 0;
}

static enum op_verdict_online offer_judged(struct op_online *o,
                                           const struct op_entrance *at, int port,
                                           struct letter *l, int code,
                                           const char *words, char *said)
{
    struct smtp_reply reply;

    if (!offer(o, at, port, l, &reply, said)) {
        return OP_ONLINE_WRONG;
    }
    return op_online_judge(&reply, code, words, said);
}

enum op_verdict_online op_online_unencrypted(struct op_online *o,
                                             const struct op_entrance *at, char *said)
{
    struct letter l = {mail_plain, o->one.addr, o->one.addr, o->two.addr, ""};

    return offer_judged(o, at, 587, &l, 523, "", said);
}

enum op_verdict_online op_online_securejoin(struct op_online *o,
                                            const struct op_entrance *at, char *said)
{
    struct letter l = {mail_securejoin, o->one.addr, o->one.addr, o->two.addr, ""};

    return offer_judged(o, at, 465, &l, 250, "", said);
}

enum op_verdict_online op_online_forged(struct op_online *o,
                                        const struct op_entrance *at, char *said)
{
    struct letter l = {mail_text, o->one.addr, o->two.addr, o->two.addr, ""};

    return offer_judged(o, at, 465, &l, 500, "", said);
}

enum op_verdict_online op_online_other_sender(struct op_online *o,
                                              const struct op_entrance *at, char *said)
{
    struct letter l = {mail_text, o->two.addr, o->two.addr, o->one.addr, ""};

    return offer_judged(o, at, 465, &l, 553, "", said);
}

/* ---- what arrives ---- */

struct find {
    const char *id;
    bool found;
};

static void match(const char *id, void *ctx)
{
    struct find *f = ctx;

    f->found = f->found || strcmp(id, f->id) == 0;
}

/* Is it there before limit_ms have gone by? */
static bool arrives(struct imap *imap, const char *id, int64_t limit_ms, char *said)
{
    struct find f = {.id = id};
    int64_t until = cm_now_mono_ms() + limit_ms;
    struct timespec pause = {.tv_nsec = 100000000};
    struct cm_err err;

    for (;;) {
        if (imap_message_ids(imap, match, &f, &err) != 0) {
            snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
            return false;
        }
        if (f.found) {
            return true;
        }
        if (cm_now_mono_ms() > until) {
            snprintf(said, OP_ONLINE_SAID, "taken, but not there after %" PRId64 " s",
                     limit_ms / 1000);
            return false;
        }
        nanosleep(&pause, NULL);
    }
}

static void collect(const char *line, void *ctx)
{
    cm_buf_fmt(ctx, "%s\n", line);
}

/* The header of the newest message, as it is stored. */
static char *newest_header(struct imap *imap, char *said)
{
    struct cm_buf lines;
    struct cm_err err;

    cm_buf_init(&lines, LETTER_MAX);
    if (imap_command(imap, "FETCH * (BODY.PEEK[HEADER])", collect, &lines, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        cm_buf_clear(&lines);
        return NULL;
    }
    return cm_buf_steal(&lines);
}

/* Nothing that says who relayed it and from where (relay-spec.md 6.10: 18, 26, 28). */
static bool is_bare(const char *header, const char *own_address, char *said)
{
    static const char *const fields[] = {
        "\nDKIM-Signature:", "\nAuthentication-Results:", "\nReceived:"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcasestr(header, fields[i]) != NULL) {
            snprintf(said, OP_ONLINE_SAID, "it arrives with %s", fields[i] + 1);
            return false;
        }
    }
    if (strcasestr(header, "\nSubject: [...]") == NULL) {
        snprintf(said, OP_ONLINE_SAID, "its subject is not [...]");
        return false;
    }
    if (own_address[0] != '\0' && strstr(header, own_address) != NULL) {
        snprintf(said, OP_ONLINE_SAID, "it shows the sender's address");
        return false;
    }
    return true;
}

static bool look_at_it(struct imap *imap, const char *id, int64_t limit_ms, char *said)
{
    char *header = arrives(imap, id, limit_ms, said) ? newest_header(imap, said) : NULL;
    bool good = header != NULL && is_bare(header, imap_local(imap), said);

    free(header);
    return good;
}

enum op_verdict_online op_online_delivery(struct op_online *o,
                                          const struct op_entrance *at, char *said)
{
    struct letter l = {mail_text, o->one.addr, o->one.addr, o->two.addr, ""};
    struct smtp_reply reply;
    struct imap *imap = op_online_imap(o, at, 993, &o->two, said);
    bool good = false;

    if (imap != NULL && offer(o, at, 465, &l, &reply, said)) {
        int64_t from = cm_now_mono_ms();
        good = op_online_judge(&reply, 250, "", said) == OP_ONLINE_GOOD &&
               look_at_it(imap, l.id, OP_ONLINE_ARRIVE_MS, said);
        if (good) {
            snprintf(said, OP_ONLINE_SAID, "there after %" PRId64 " ms",
                     cm_now_mono_ms() - from);
        }
    }
    imap_close(&imap);
    return good ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

/* ---- the limit ---- */

enum op_verdict_online op_online_rate(struct op_online *o, const struct op_entrance *at,
                                      char *said)
{
    int64_t burst = o->conf->max_user_send_burst_size;
    int64_t most = 3 * o->conf->max_user_send_per_minute, sent = 0;

    if (most > RATE_MAX || burst > RATE_MAX / 3) {
        snprintf(said, OP_ONLINE_SAID, "%" PRId64 " a minute are too many to try",
                 most / 3);
        return OP_ONLINE_SKIPPED;
    }
    struct smtp *smtp = op_online_smtp(o, at, 465, &o->busy, said);
    struct smtp_reply reply = {.code = 250};
    struct cm_err err;
    int rc = smtp != NULL ? 0 : -1;

    while (rc == 0 && reply.code == 250 && sent < most) {
        char id[64];
        new_id(id);
        char *text = mail_text(o->busy.addr, o->busy.addr, id);
        rc = smtp_send(smtp, o->busy.addr, o->busy.addr, text, &reply, &err);
        free(text);
        if (rc != 0) {
            snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        }
        sent += rc == 0 && reply.code == 250;
    }
    smtp_close(&smtp);
    if (rc != 0) {
        return OP_ONLINE_WRONG;
    }
    snprintf(said, OP_ONLINE_SAID, "after %" PRId64 " messages: %d %.150s", sent,
             reply.code, reply.text);
    return reply.code == 450 && strstr(reply.text, "Too much mail from") != NULL &&
                   sent >= burst
               ? OP_ONLINE_GOOD
               : OP_ONLINE_WRONG;
}

/* ---- another relay ---- */

static bool resolve(const char *name, char out[64], char *said)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai = NULL;
    int rc = getaddrinfo(name, NULL, &hints, &ai);

    if (rc == 0) {
        rc = getnameinfo(ai->ai_addr, ai->ai_addrlen, out, 64, NULL, 0, NI_NUMERICHOST);
        freeaddrinfo(ai);
    }
    if (rc != 0) {
        snprintf(said, OP_ONLINE_SAID, "%s: %s", name, gai_strerror(rc));
    }
    return rc == 0;
}

/* One direction: sent over `from`, to be read over `to`. That it is taken at the other
 * end is the proof of its DKIM signature, which every chatmail relay wants. */
static bool across(struct op_online *o, const struct op_entrance *from,
                   const struct op_person *author, const struct op_entrance *to,
                   const struct op_person *reader, char *said)
{
    struct smtp_reply reply = {.code = 0};
    struct imap *imap = op_online_imap(o, to, 993, reader, said);
    struct smtp *smtp =
        imap == NULL ? NULL : op_online_smtp(o, from, 465, author, said);
    struct cm_err err;
    char id[64];
    bool good = false;

    if (smtp != NULL) {
        new_id(id);
        char *text = mail_text(author->addr, reader->addr, id);
        if (smtp_send(smtp, author->addr, reader->addr, text, &reply, &err) != 0) {
            snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        } else {
            good = op_online_judge(&reply, 250, "", said) == OP_ONLINE_GOOD &&
                   look_at_it(imap, id, FAR_MS, said);
        }
        free(text);
    }
    smtp_close(&smtp);
    imap_close(&imap);
    return good;
}

enum op_verdict_online op_online_second(struct op_online *o,
                                        const struct op_entrance *at, char *said)
{
    struct op_entrance far = {.gateway = "second"};

    if (o->second == NULL) {
        snprintf(said, OP_ONLINE_SAID, "no --second DOMAIN");
        return OP_ONLINE_SKIPPED;
    }
    if (!resolve(o->second, far.address, said)) {
        return OP_ONLINE_WRONG;
    }
    op_people_new(&o->people, o->second, &o->far);
    op_online_pace(o);
    if (!across(o, at, &o->one, &far, &o->far, said) ||
        !across(o, &far, &o->far, at, &o->one, said)) {
        return OP_ONLINE_WRONG;
    }
    said[0] = '\0';
    return OP_ONLINE_GOOD;
}
