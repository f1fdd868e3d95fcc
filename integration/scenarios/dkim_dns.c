/* Mail of a domain whose key DNS does not give: no answer, SERVFAIL, an answer after
 * eight seconds. The first two are 451 and never final, the third is waited for;
 * meanwhile nobody else waits; and when DNS is well again the same message is taken. */
#include "scenario.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "dns_trouble.h"
#include "door.h"
#include "letters/letters.h"
#include "mailbox.h"
#include "probe/mail.h"
#include "probe/smtp.h"
#include "testing/signer.h"

#define ZONE    "signer.example"
#define AUTHOR  "alice@" ZONE
#define LITERAL "alice@[198.51.100.77]"
#define EHLO    "mx." ZONE
#define STEP_MS 40000 /* more than the filter waits for DNS */
#define FIND_MS 60000
#define SOON_MS 2500
#define TROUBLE "4.7.5 DKIM key cannot be looked up now"
#define WELL    "well"
#define STRING  200 /* characters of a string of a TXT record */

static const struct leg {
    const char *selector;
    int code;
    const char *words;
    int64_t least_ms, most_ms;
} legs[] = {
    {WELL, 250, "", 0, 5000},
    {DNS_TROUBLE_FAIL, 451, TROUBLE, 0, 12000},
    {DNS_TROUBLE_LATE, 250, "", DNS_TROUBLE_LATE_MS, 15000},
    {DNS_TROUBLE_DROP, 451, TROUBLE, 10000, 30000},
};
#define LEGS (sizeof legs / sizeof legs[0])

struct sender {
    const struct stage *stage;
    const struct leg *leg;
    const char *to;
    struct sg_text text;
    char id[LEDGER_ID];
    struct smtp_reply reply;
    int64_t took_ms;
    char trouble[300];
    pthread_t thread;
};

static int publish(struct stage *stage, const struct sg_key *key, struct cm_err *err)
{
    struct cm_buf zone;
    char *record = sg_key_record(key);
    cm_buf_init(&zone, 65536);
    for (size_t i = 0; i < LEGS; i++) {
        cm_buf_fmt(&zone, "%s._domainkey IN TXT (", legs[i].selector);
        for (const char *at = record; *at != '\0';) {
            int n = (int)strnlen(at, STRING);
            cm_buf_fmt(&zone, " \"%.*s\"", n, at);
            at += n;
        }
        cm_buf_str(&zone, " )\n");
    }
    int rc = lab_zone(stage->scene.lab, ZONE, zone.data, err);
    cm_buf_clear(&zone);
    free(record);
    return rc;
}

/* ---- senders ---- */

static int deliver(struct sender *s, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 25, false);
    struct wire_to to = door_wire(s->stage, &door, STEP_MS);
    struct smtp *smtp = smtp_open(&to, EHLO, err);
    int64_t begun = cm_now_mono_ms();
    int rc = smtp == NULL
                 ? -1
                 : smtp_send(smtp, AUTHOR, s->to, s->text.data, &s->reply, err);
    s->took_ms = cm_now_mono_ms() - begun;
    smtp_close(&smtp);
    return rc;
}

static void *run_sender(void *arg)
{
    struct sender *s = arg;
    struct cm_err err;
    if (deliver(s, &err) != 0) {
        snprintf(s->trouble, sizeof s->trouble, "%.290s", err.text);
    }
    return NULL;
}

static void write_message(struct sender *s, const struct sg_key *key)
{
    struct sg_how how = {.key = key,
                         .domain = ZONE,
                         .selector = s->leg->selector,
                         .canon = "relaxed/relaxed",
                         .body_length = -1};
    char token[17];
    mail_random(token, sizeof token);
    snprintf(s->id, sizeof s->id, "%s@" ZONE, token);
    char *text = letter_text(LETTER_ENCRYPTED, AUTHOR, s->to, s->id);
    s->text = sg_sign(&how, text, strlen(text));
    free(text);
}

static int judge(const struct sender *s, struct ledger *ledger, struct cm_err *err)
{
    const struct leg *leg = s->leg;
    if (s->trouble[0] != '\0') {
        return cm_err_set(err, CM_ERR_RETRY, "DNS %s: %s", leg->selector, s->trouble);
    }
    if (s->reply.code != leg->code ||
        strncmp(s->reply.text, leg->words, strlen(leg->words)) != 0 ||
        s->took_ms < leg->least_ms || s->took_ms > leg->most_ms) {
        return cm_err_set(err, CM_ERR_REFUSE, "DNS %s: %d %.200s after %lld ms",
                          leg->selector, s->reply.code, s->reply.text,
                          (long long)s->took_ms);
    }
    if (s->reply.code == 250) {
        ledger_add(ledger, s->id, LEDGER_ACCEPTED);
    }
    return 0;
}

/* ---- others meanwhile ---- */

/* A stranger whose message needs no key. */
static int passes_soon(struct stage *stage, const char *reader, struct ledger *ledger,
                       struct cm_err *err)
{
    struct door door = door_at("edge2", AF_INET, 25, false);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    struct smtp_reply reply = {.code = 0};
    char token[17], id[LEDGER_ID];
    mail_random(token, sizeof token);
    snprintf(id, sizeof id, "%s@other.example", token);
    char *text = letter_text(LETTER_ENCRYPTED, LITERAL, reader, id);
    struct smtp *smtp = smtp_open(&to, EHLO, err);
    int64_t begun = cm_now_mono_ms();
    int rc = smtp == NULL ? -1 : smtp_send(smtp, LITERAL, reader, text, &reply, err);
    int64_t took = cm_now_mono_ms() - begun;
    smtp_close(&smtp);
    free(text);
    if (rc == 0 && (reply.code != 250 || took > SOON_MS)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "meanwhile: %d %.200s after %lld ms",
                        reply.code, reply.text, (long long)took);
    }
    if (rc == 0) {
        ledger_add(ledger, id, LEDGER_ACCEPTED);
    }
    return rc;
}

static int all_at_once(struct stage *stage, struct sender senders[LEGS],
                       struct ledger *ledger, struct cm_err *err)
{
    for (size_t i = 0; i < LEGS; i++) {
        cm_assert(pthread_create(&senders[i].thread, NULL, run_sender, &senders[i]) ==
                  0);
    }
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        stage_sleep_ms(1500);
        rc = passes_soon(stage, senders[0].to, ledger, err);
    }
    for (size_t i = 0; i < LEGS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    for (size_t i = 0; i < LEGS && rc == 0; i++) {
        rc = judge(&senders[i], ledger, err);
        stage_note(stage, "%s: %d after %.1f s", senders[i].leg->selector,
                   senders[i].reply.code, (double)senders[i].took_ms / 1000);
    }
    return rc;
}

/* What was put off comes again, as a sender's relay does. */
static int again(struct sender senders[LEGS], struct ledger *ledger, struct cm_err *err)
{
    for (size_t i = 0; i < LEGS; i++) {
        struct sender *s = &senders[i];
        if (s->leg->code == 250) {
            continue;
        }
        if (deliver(s, err) != 0) {
            return -1;
        }
        if (s->reply.code != 250) {
            return cm_err_set(err, CM_ERR_REFUSE, "DNS %s, well again: %d %.200s",
                              s->leg->selector, s->reply.code, s->reply.text);
        }
        ledger_add(ledger, s->id, LEDGER_ACCEPTED);
    }
    return 0;
}

static int with_trouble(struct stage *stage, struct dns_trouble *trouble,
                        struct sender senders[LEGS], struct ledger *ledger,
                        struct cm_err *err)
{
    if (all_at_once(stage, senders, ledger, err) != 0) {
        return -1;
    }
    for (size_t i = 1; i < LEGS; i++) {
        if (dns_trouble_asked(trouble, legs[i].selector) == 0) {
            return cm_err_set(err, CM_ERR_WORLD, "nobody asked for \"%s\"",
                              legs[i].selector);
        }
    }
    dns_trouble_over(trouble);
    return again(senders, ledger, err);
}

static int play(struct stage *stage, const struct sg_key *key, struct ledger *ledger,
                struct cm_err *err)
{
    struct scene_account reader;
    struct sender senders[LEGS] = {{.stage = NULL}};
    struct door inbox = door_at("edge1", AF_INET, 993, true);
    if (account_make(stage, &reader, SCENE_DOMAIN, err) != 0 ||
        publish(stage, key, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < LEGS; i++) {
        senders[i].stage = stage;
        senders[i].leg = &legs[i];
        senders[i].to = reader.addr;
        write_message(&senders[i], key);
    }
    struct dns_trouble *trouble = dns_trouble_start(stage, err);
    int rc = trouble == NULL ? -1 : with_trouble(stage, trouble, senders, ledger, err);
    /* First the table, so that no question goes astray. */
    rc = dns_trouble_back(stage, err) != 0 ? -1 : rc;
    dns_trouble_stop(&trouble);
    for (size_t i = 0; i < LEGS; i++) {
        free(senders[i].text.data);
    }
    return rc == 0 ? mailbox_even(stage, &inbox, &reader, ledger, FIND_MS, err) : rc;
}

int scenario_dkim_dns(struct stage *stage, struct cm_err *err)
{
    struct ledger ledger;
    struct sg_key *key = sg_key_rsa(2048);
    ledger_init(&ledger);
    int rc = play(stage, key, &ledger, err);
    ledger_clear(&ledger);
    sg_key_free(&key);
    return rc;
}

/* The zone goes as well, should it be there. */
int scenario_dkim_dns_well(struct stage *stage, struct cm_err *err)
{
    if (dns_trouble_back(stage, err) != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "dns", 0, NULL, err,
                    "test ! -e /etc/nsd/nsd.conf.d/" ZONE ".conf ||"
                    " { rm -f /etc/nsd/nsd.conf.d/" ZONE ".conf /etc/nsd/zones/" ZONE
                    "*; systemctl restart nsd; unbound-control -q flush_zone " ZONE
                    "; }");
}
