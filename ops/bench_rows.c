/* The seven things that upstream times. Its Delta Chat clients are what they do on the
 * wire here: messages of the same form, sent over SMTP and awaited in IDLE. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "common/clock.h"
#include "probe/http.h"
#include "probe/mail.h"

#define EHLO       "chatops-bench.invalid"
#define STEP_MS    15000
#define LETTERS    10
#define ARRIVE_M   20000
#define RECOUNT_MS 300

static struct wire_to to_port(const struct op_bench *b, int port)
{
    return (struct wire_to){.host = b->at.address, .port = port, .timeout_ms = STEP_MS};
}

static int fail(struct op_bench *b, const char *what, const char *why)
{
    snprintf(b->said, sizeof(b->said), "%s: %.200s", what, why);
    return -1;
}

/* ---- connections and logins ---- */

static int imap_connect(struct op_bench *b)
{
    struct wire_to to = to_port(b, 993);
    struct cm_err err;
    struct imap *imap = imap_open(&to, &err);

    if (imap == NULL) {
        return fail(b, "imap", err.text);
    }
    imap_close(&imap);
    return 0;
}

static struct imap *imap_in(struct op_bench *b, const struct op_person *who)
{
    struct wire_to to = to_port(b, 993);
    char text[256] = "";
    enum imap_verdict verdict;
    struct cm_err err;
    struct imap *imap = imap_open(&to, &err);

    if (imap == NULL) {
        fail(b, "imap", err.text);
    } else if (imap_login(imap, who->addr, who->password, &verdict, text, &err) != 0) {
        fail(b, "imap login", err.text);
        imap_close(&imap);
    } else if (verdict != IMAP_IN) {
        fail(b, "imap login", text);
        imap_close(&imap);
    }
    return imap;
}

/* Of a new address, so the account is made within the time. */
static int imap_login_new(struct op_bench *b)
{
    struct op_person who;

    op_people_new(&b->people, b->c->conf.domain, &who);
    struct imap *imap = imap_in(b, &who);
    if (imap == NULL) {
        return -1;
    }
    imap_close(&imap);
    if (b->crowd_count < OP_BENCH_CROWD) {
        b->crowd[b->crowd_count++] = who;
    }
    return 0;
}

static int smtp_connect(struct op_bench *b)
{
    struct wire_to to = to_port(b, 465);
    struct cm_err err;
    struct smtp *smtp = smtp_open(&to, EHLO, &err);

    if (smtp == NULL) {
        return fail(b, "smtp", err.text);
    }
    smtp_close(&smtp);
    return 0;
}

static struct smtp *smtp_in(struct op_bench *b, const struct op_person *who)
{
    struct wire_to to = to_port(b, 465);
    struct smtp_reply reply;
    struct cm_err err;
    struct smtp *smtp = smtp_open(&to, EHLO, &err);

    if (smtp == NULL) {
        fail(b, "smtp", err.text);
    } else if (smtp_auth(smtp, who->addr, who->password, &reply, &err) != 0) {
        fail(b, "smtp login", err.text);
        smtp_close(&smtp);
    } else if (reply.code != 235) {
        fail(b, "smtp login", reply.text);
        smtp_close(&smtp);
    }
    return smtp;
}

static int smtp_login_new(struct op_bench *b)
{
    struct op_person who;

    op_people_new(&b->people, b->c->conf.domain, &who);
    struct smtp *smtp = smtp_in(b, &who);
    if (smtp == NULL) {
        return -1;
    }
    smtp_close(&smtp);
    return 0;
}

/* ---- online ---- */

static void go_offline(struct op_talker *t)
{
    smtp_close(&t->smtp);
    imap_close(&t->imap);
}

static int start_idle(struct op_bench *b, struct op_talker *t)
{
    struct cm_err err;

    return imap_idle(t->imap, &err) == 0 ? 0 : fail(b, "idle", err.text);
}

static int go_online(struct op_bench *b, struct op_talker *t)
{
    struct cm_err err;

    go_offline(t);
    op_people_new(&b->people, b->c->conf.domain, &t->who);
    t->imap = imap_in(b, &t->who);
    if (t->imap == NULL) {
        return -1;
    }
    if (imap_command(t->imap, "SELECT INBOX", NULL, NULL, &err) != 0) {
        return fail(b, "select", err.text);
    }
    return start_idle(b, t);
}

static int read_autoconfig(struct op_bench *b)
{
    struct wire_to to = to_port(b, 443);
    struct http_request request = {.method = "GET",
                                   .target =
                                       "/.well-known/autoconfig/mail/config-v1.1.xml",
                                   .host = b->c->conf.mail_domain};
    struct http_answer answer;
    struct cm_err err;

    if (http_ask(&to, false, &request, &answer, &err) != 0) {
        return fail(b, "autoconfig", err.text);
    }
    int rc = answer.status == 200 ? 0 : fail(b, "autoconfig", answer.head);
    http_answer_clear(&answer);
    return rc;
}

static int autoconfig_to_idle(struct op_bench *b)
{
    return read_autoconfig(b) != 0 ? -1 : go_online(b, &b->a);
}

static void all_offline(struct op_bench *b)
{
    go_offline(&b->a);
    go_offline(&b->b);
}

/* ---- talk ---- */

static int two_online(struct op_bench *b)
{
    if (b->a.smtp != NULL && b->b.smtp != NULL) {
        return 0;
    }
    if (go_online(b, &b->a) != 0 || go_online(b, &b->b) != 0) {
        return -1;
    }
    b->a.smtp = smtp_in(b, &b->a.who);
    b->b.smtp = b->a.smtp != NULL ? smtp_in(b, &b->b.who) : NULL;
    return b->b.smtp != NULL ? 0 : -1;
}

/* A limit for one sender lasts longer than a turn: others send in the next. */
static int two_others_online(struct op_bench *b)
{
    all_offline(b);
    if (b->c->conf.max_user_send_burst_size < LETTERS) {
        return fail(b, "max_user_send_burst_size", "below 10");
    }
    return two_online(b);
}

static int send_one(struct op_bench *b, struct op_talker *from,
                    const struct op_talker *to)
{
    struct smtp_reply reply;
    struct cm_err err;
    char name[17], id[64];

    mail_random(name, sizeof(name));
    snprintf(id, sizeof(id), "%s@" EHLO, name);
    char *text = mail_text(from->who.addr, to->who.addr, id);
    int rc = smtp_send(from->smtp, from->who.addr, to->who.addr, text, &reply, &err);
    free(text);
    if (rc != 0) {
        return fail(b, "send", err.text);
    }
    return reply.code == 250 ? 0 : fail(b, "send", reply.text);
}

/* Until the next is announced; IDLE goes on. */
static int hear(struct op_bench *b, struct op_talker *t)
{
    struct cm_err err;
    int rc = imap_idle_wait(t->imap, ARRIVE_M, &err);

    if (rc == 1) {
        return 0;
    }
    return fail(b, "idle", rc == 0 ? "nothing was announced within 20 s" : err.text);
}

static int ping_pong(struct op_bench *b)
{
    return send_one(b, &b->a, &b->b) != 0 || hear(b, &b->b) != 0 ||
                   send_one(b, &b->b, &b->a) != 0 || hear(b, &b->a) != 0
               ? -1
               : 0;
}

static void count_id(const char *id, void *ctx)
{
    (void)id;
    ++*(size_t *)ctx;
}

static int ten(struct op_bench *b)
{
    size_t there = 0;
    int64_t until_ms = cm_now_mono_ms() + ARRIVE_M;
    struct cm_err err;

    for (int i = 0; i < LETTERS; i++) {
        if (send_one(b, &b->a, &b->b) != 0) {
            return -1;
        }
    }
    /* Several may be announced at once, so they are counted in the mailbox. What comes
     * while they are counted is not announced again: then they are counted anew. */
    while (there < LETTERS) {
        int rc = imap_idle_wait(b->b.imap, there == 0 ? ARRIVE_M : RECOUNT_MS, &err);
        if (rc < 0 || (rc == 0 && cm_now_mono_ms() > until_ms)) {
            return fail(b, "idle", rc < 0 ? err.text : "not all came within 20 s");
        }
        there = 0;
        if (imap_done(b->b.imap, &err) != 0 ||
            imap_message_ids(b->b.imap, count_id, &there, &err) != 0) {
            return fail(b, "count", err.text);
        }
        if (there < LETTERS && start_idle(b, &b->b) != 0) {
            return -1;
        }
    }
    return 0;
}

const struct op_bench_row op_bench_rows[] = {
    {"imap_connect", 10, 5, NULL, imap_connect, NULL},
    {"imap_connect_and_login", 10, 10, NULL, imap_login_new, NULL},
    {"smtp_connect", 10, 5, NULL, smtp_connect, NULL},
    {"smtp_connect_and_login", 10, 5, NULL, smtp_login_new, NULL},
    {"autoconfig_and_idle_ready", 5, 3, NULL, autoconfig_to_idle, all_offline},
    {"ping_pong", 5, 3, two_online, ping_pong, all_offline},
    {"send_10_receive_10", 5, 1, two_others_online, ten, all_offline},
    {NULL, 0, 0, NULL, NULL, NULL},
};

/* ---- a crowd ---- */

struct runner {
    struct op_bench own; /* its place for a reason */
    const struct op_person *who;
    int64_t us;
    bool in;
};

static void *run(void *ctx)
{
    struct runner *r = ctx;
    int64_t from = cm_now_mono_us();
    struct imap *imap = imap_in(&r->own, r->who);

    r->us = cm_now_mono_us() - from;
    r->in = imap != NULL;
    imap_close(&imap);
    return NULL;
}

int op_bench_crowd(struct op_bench *b, struct op_timings *t)
{
    struct runner runners[OP_BENCH_CROWD];
    pthread_t threads[OP_BENCH_CROWD];
    size_t started = 0, in = 0;

    for (; started < b->crowd_count; started++) {
        struct runner *r = &runners[started];
        *r =
            (struct runner){.own = {.c = b->c, .at = b->at}, .who = &b->crowd[started]};
        if (pthread_create(&threads[started], NULL, run, r) != 0) {
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        if (runners[i].in) {
            op_timings_add(t, runners[i].us);
            in++;
        } else {
            memcpy(b->said, runners[i].own.said, sizeof(b->said));
        }
    }
    return in == OP_BENCH_CROWD ? 0 : -1;
}
