/* What strangers see: certificate, web pages, port 25. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs.h"
#include "common/clock.h"
#include "online.h"
#include "probe/http.h"
#include "probe/mail.h"

#define EHLO      "chatops-test.invalid"
#define SILENT_MS 5000 /* other ports have answered by then */

/* ---- certificate ---- */

struct said {
    char *text;
    size_t place; /* length of "edge1 198.51.100.11 ", which stands above already */
};

static void add_said(void *ctx, const char *text)
{
    struct said *s = ctx;
    size_t len = strlen(s->text);

    snprintf(s->text + len, OP_ONLINE_SAID - len, "%s%s", len > 0 ? "; " : "",
             strlen(text) > s->place ? text + s->place : text);
}

enum op_verdict_online op_online_certificate(struct op_online *o,
                                             const struct op_entrance *at, char *said)
{
    struct said wrong = {.text = said,
                         .place = strlen(at->gateway) + strlen(at->address) + 2};
    struct cm_roots *roots = cm_roots_load(CM_CERT_ROOTS);
    int64_t now = cm_now_wall_ms() / 1000;
    struct op_certs certs;

    op_certs_of(at->gateway, at->address, &certs);
    op_certs_ask(&certs, o->conf->mail_domain, roots, OP_CERTS_MS);
    op_certs_wrong(o->conf, &certs, now, add_said, &wrong);
    bool good = said[0] == '\0';
    if (good) {
        struct cm_buf line;
        cm_buf_init(&line, 2048);
        op_certs_line(&certs, now, &line);
        const char *end = strstr(line.data, ", from ");
        int n = (int)(end != NULL ? (size_t)(end - line.data) : line.len);
        snprintf(said, OP_ONLINE_SAID, "%.*s", n, line.data);
        cm_buf_clear(&line);
    }
    op_certs_clear(&certs);
    cm_roots_free(&roots);
    return good ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

/* ---- web ---- */

static enum op_verdict_online get(struct op_online *o, const struct op_entrance *at,
                                  int port, const char *method, const char *host,
                                  const char *target, int status, const char *words,
                                  char *said)
{
    struct wire_to to = op_online_to(o, at, port);
    struct http_request request = {.method = method, .target = target, .host = host};
    struct http_answer answer;
    struct cm_err err;

    to.name = host;
    request.body = strcmp(method, "POST") == 0 ? "" : NULL;
    if (http_ask(&to, false, &request, &answer, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        return OP_ONLINE_WRONG;
    }
    bool good = answer.status == status && (strstr(answer.body, words) != NULL ||
                                            strstr(answer.head, words) != NULL);
    if (!good) {
        snprintf(said, OP_ONLINE_SAID, "%s: %d, not %d with \"%s\"", target,
                 answer.status, status, words);
    }
    http_answer_clear(&answer);
    return good ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

static const char *host_of(const struct op_online *o)
{
    return o->conf->mail_domain;
}

enum op_verdict_online op_online_page(struct op_online *o, const struct op_entrance *at,
                                      char *said)
{
    return get(o, at, 443, "GET", host_of(o), "/", 200, "", said);
}

enum op_verdict_online op_online_redirect(struct op_online *o,
                                          const struct op_entrance *at, char *said)
{
    return get(o, at, 80, "GET", host_of(o), "/", 301, "https://", said);
}

enum op_verdict_online op_online_autoconfig(struct op_online *o,
                                            const struct op_entrance *at, char *said)
{
    return get(o, at, 443, "GET", host_of(o),
               "/.well-known/autoconfig/mail/config-v1.1.xml", 200, "<emailProvider",
               said);
}

enum op_verdict_online op_online_mta_sts(struct op_online *o,
                                         const struct op_entrance *at, char *said)
{
    char host[300];

    if (o->conf->is_ip || o->conf->tls_mode == CM_TLS_SELF) {
        snprintf(said, OP_ONLINE_SAID, "self-signed: there is no policy");
        return OP_ONLINE_SKIPPED;
    }
    snprintf(host, sizeof(host), "mta-sts.%.250s", o->conf->mail_domain);
    return get(o, at, 443, "GET", host, "/.well-known/mta-sts.txt", 200,
               "mode: enforce", said);
}

static enum op_verdict_online judge_new(const struct op_online *o, const char *body,
                                        char *said)
{
    json_t *made = json_loads(body, 0, NULL);
    const char *email = json_string_value(json_object_get(made, "email"));
    const char *password = json_string_value(json_object_get(made, "password"));
    const char *at = email != NULL ? strchr(email, '@') : NULL;
    bool good = at != NULL && strcmp(at + 1, o->conf->domain) == 0 &&
                password != NULL &&
                strlen(password) > (size_t)o->conf->password_min_length;

    if (!good) {
        snprintf(said, OP_ONLINE_SAID, "no account in the answer: %.100s", body);
    }
    json_decref(made);
    return good ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

enum op_verdict_online op_online_new(struct op_online *o, const struct op_entrance *at,
                                     char *said)
{
    struct wire_to to = op_online_to(o, at, 443);
    char target[64];
    struct http_request request = {
        .method = "POST", .target = target, .host = host_of(o), .body = ""};
    struct http_answer answer;
    struct cm_err err;

    snprintf(target, sizeof(target), "/new%s%s",
             o->people.invite[0] != '\0' ? "?invite=" : "", o->people.invite);
    if (http_ask(&to, false, &request, &answer, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        return OP_ONLINE_WRONG;
    }
    enum op_verdict_online v = OP_ONLINE_WRONG;
    if (answer.status == 200) {
        v = judge_new(o, answer.body, said);
    } else {
        snprintf(said, OP_ONLINE_SAID, "%d %.200s", answer.status, answer.body);
    }
    http_answer_clear(&answer);
    return v;
}

/* ---- port 25 ---- */

/* Many lines let nothing out to port 25: that says nothing of the relay. */
static enum op_verdict_online no_answer(struct op_online *o,
                                        const struct op_entrance *at,
                                        const struct cm_err *err, char *said)
{
    bool blocked = strstr(err->text, "timed out") != NULL;

    if (blocked) {
        snprintf(o->silent_25, sizeof(o->silent_25), "%.63s", at->address);
    }
    snprintf(said, OP_ONLINE_SAID, "%.150s%s", err->text,
             blocked ? " (this line may block port 25)" : "");
    return blocked ? OP_ONLINE_SKIPPED : OP_ONLINE_WRONG;
}

/* Once it was silent it is not asked again. */
static bool was_silent(const struct op_online *o, const struct op_entrance *at,
                       char *said)
{
    bool silent = strcmp(o->silent_25, at->address) == 0;

    if (silent) {
        snprintf(said, OP_ONLINE_SAID, "port 25 does not answer here, see above");
    }
    return silent;
}

static struct wire_to to_25(const struct op_online *o, const struct op_entrance *at)
{
    struct wire_to to = op_online_to(o, at, 25);

    to.timeout_ms = SILENT_MS;
    return to;
}

static struct smtp *stranger(struct op_online *o, const struct op_entrance *at,
                             enum op_verdict_online *v, char *said)
{
    struct wire_to to = to_25(o, at);
    struct cm_err err;

    *v = OP_ONLINE_SKIPPED;
    if (was_silent(o, at, said)) {
        return NULL;
    }
    struct smtp *smtp = smtp_open(&to, EHLO, &err);

    *v = smtp == NULL ? no_answer(o, at, &err, said) : OP_ONLINE_WRONG;
    return smtp;
}

static int read_reply(struct wire *wire, struct smtp_reply *reply, struct cm_err *err)
{
    char line[WIRE_LINE];
    int rc = 0;

    *reply = (struct smtp_reply){.code = 0};
    while (rc == 0) {
        rc = wire_line(wire, line, err);
        rc = rc == 1 ? smtp_reply_line(reply, line) : -1;
    }
    return rc == 1 ? 0 : cm_err_set(err, CM_ERR_RETRY, "port 25 says no SMTP");
}

enum op_verdict_online op_online_starttls(struct op_online *o,
                                          const struct op_entrance *at, char *said)
{
    struct wire_to to = to_25(o, at);
    struct smtp_reply reply;
    struct cm_err err;
    struct wire *wire = wire_open(&to, &err);

    if (wire == NULL) {
        return no_answer(o, at, &err, said);
    }
    int rc = read_reply(wire, &reply, &err);
    if (rc == 0 && (rc = wire_write(wire, "EHLO " EHLO "\r\n", &err)) == 0) {
        rc = read_reply(wire, &reply, &err);
    }
    if (rc == 0 &&
        (rc = wire_write(wire, "MAIL FROM:<test@" EHLO ">\r\n", &err)) == 0) {
        rc = read_reply(wire, &reply, &err);
    }
    wire_close(&wire);
    if (rc != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        return OP_ONLINE_WRONG;
    }
    return op_online_judge(&reply, 530, "", said);
}

enum op_verdict_online op_online_relay(struct op_online *o,
                                       const struct op_entrance *at, char *said)
{
    enum op_verdict_online v;
    struct smtp *smtp = stranger(o, at, &v, said);
    struct smtp_reply reply;
    struct cm_err err;

    if (smtp == NULL) {
        return v;
    }
    if (smtp_command(smtp, &reply, &err, "MAIL FROM:<test@example.org>") != 0 ||
        smtp_command(smtp, &reply, &err, "RCPT TO:<someone@example.net>") != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
    } else {
        snprintf(said, OP_ONLINE_SAID, "%d %.200s", reply.code, reply.text);
        v = reply.code >= 500 ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
    }
    smtp_close(&smtp);
    return v;
}

enum op_verdict_online op_online_vrfy(struct op_online *o, const struct op_entrance *at,
                                      char *said)
{
    const char *words[] = {"nobody-of-that-name", o->one.addr};
    enum op_verdict_online v;
    struct smtp *smtp = stranger(o, at, &v, said);

    if (smtp == NULL) {
        return v;
    }
    v = OP_ONLINE_GOOD;
    for (size_t i = 0; i < 2 && v == OP_ONLINE_GOOD; i++) {
        struct smtp_reply reply;
        struct cm_err err;
        if (smtp_command(smtp, &reply, &err, "VRFY %s", words[i]) != 0) {
            snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
            v = OP_ONLINE_WRONG;
        } else {
            v = op_online_judge(&reply, 252, "2.0.0 ", said);
        }
    }
    smtp_close(&smtp);
    return v;
}

enum op_verdict_online op_online_unsigned(struct op_online *o,
                                          const struct op_entrance *at, char *said)
{
    static const char from[] = "fake@example.org";
    enum op_verdict_online v;
    struct smtp *smtp = stranger(o, at, &v, said);
    struct smtp_reply reply;
    struct cm_err err;

    if (smtp == NULL) {
        return v;
    }
    char *text = mail_text(from, o->one.addr, "unsigned@" EHLO);
    if (smtp_send(smtp, from, o->one.addr, text, &reply, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        v = OP_ONLINE_WRONG;
    } else {
        v = op_online_judge(&reply, 554, "No DKIM signature found", said);
    }
    free(text);
    smtp_close(&smtp);
    return v;
}
