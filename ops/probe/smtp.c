#include "smtp.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/buf.h"
#include "common/mem.h"

#define MAX_REPLY_LINES 100

struct smtp {
    struct wire *wire;
    const char *ehlo;
};

int smtp_reply_line(struct smtp_reply *reply, const char *line)
{
    if (!isdigit((unsigned char)line[0]) || !isdigit((unsigned char)line[1]) ||
        !isdigit((unsigned char)line[2]) ||
        (line[3] != '\0' && line[3] != ' ' && line[3] != '-')) {
        return -1;
    }
    const char *text = line[3] == '\0' ? "" : line + 4;
    size_t used = strlen(reply->text);
    snprintf(reply->text + used, sizeof reply->text - used, "%s%s", used ? " " : "",
             text);
    if (line[3] == '-') {
        return 0;
    }
    reply->code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    return 1;
}

static int read_reply(struct smtp *smtp, struct smtp_reply *reply, struct cm_err *err)
{
    char line[WIRE_LINE];
    memset(reply, 0, sizeof *reply);
    for (int i = 0; i < MAX_REPLY_LINES; i++) {
        int rc = wire_line(smtp->wire, line, err);
        if (rc == 0) {
            return cm_err_set(err, CM_ERR_RETRY, "SMTP server closed the connection");
        }
        if (rc < 0) {
            return -1;
        }
        rc = smtp_reply_line(reply, line);
        if (rc != 0) {
            return rc > 0 ? 0 : cm_err_set(err, CM_ERR_REFUSE, "not SMTP: %.80s", line);
        }
    }
    return cm_err_set(err, CM_ERR_REFUSE, "an SMTP reply without an end");
}

int smtp_command(struct smtp *smtp, struct smtp_reply *reply, struct cm_err *err,
                 const char *fmt, ...)
{
    struct cm_buf line;
    cm_buf_init(&line, WIRE_LINE);
    va_list ap;
    va_start(ap, fmt);
    cm_buf_vfmt(&line, fmt, ap);
    va_end(ap);
    cm_buf_str(&line, "\r\n");
    cm_assert(!line.overflow);
    int rc = wire_write(smtp->wire, line.data, err);
    cm_wipe(line.data, line.len);
    cm_buf_clear(&line);
    return rc != 0 ? -1 : read_reply(smtp, reply, err);
}

static int expect(struct smtp *smtp, int code, struct smtp_reply *reply,
                  const char *command, struct cm_err *err)
{
    if (smtp_command(smtp, reply, err, "%s", command) != 0) {
        return cm_err_prefix(err, "%s", command);
    }
    if (reply->code != code) {
        return cm_err_set(err, CM_ERR_RETRY, "%s: %d %.200s", command, reply->code,
                          reply->text);
    }
    return 0;
}

static int say_hello(struct smtp *smtp, struct cm_err *err)
{
    struct smtp_reply reply;
    char hello[300];
    snprintf(hello, sizeof hello, "EHLO %s", smtp->ehlo);
    return expect(smtp, 250, &reply, hello, err);
}

static int start(struct smtp *smtp, int port, struct cm_err *err)
{
    struct smtp_reply reply;
    bool wrapped = port == 465 || port == 443;
    if (wrapped && wire_tls(smtp->wire, port == 443 ? "smtp" : NULL, err) != 0) {
        return -1;
    }
    if (read_reply(smtp, &reply, err) != 0) {
        return cm_err_prefix(err, "greeting");
    }
    if (reply.code != 220) {
        return cm_err_set(err, CM_ERR_RETRY, "greeting: %d %.200s", reply.code,
                          reply.text);
    }
    if (say_hello(smtp, err) != 0) {
        return -1;
    }
    if (wrapped) {
        return 0;
    }
    if (expect(smtp, 220, &reply, "STARTTLS", err) != 0 ||
        wire_tls(smtp->wire, NULL, err) != 0) {
        return -1;
    }
    return say_hello(smtp, err);
}

struct smtp *smtp_open(const struct wire_to *to, const char *ehlo, struct cm_err *err)
{
    struct smtp *smtp = cm_calloc(1, sizeof *smtp);
    smtp->ehlo = ehlo;
    smtp->wire = wire_open(to, err);
    if (smtp->wire == NULL) {
        smtp_close(&smtp);
        return NULL;
    }
    if (start(smtp, to->port, err) != 0) {
        cm_err_prefix(err, "%s port %d", to->host, to->port);
        smtp_close(&smtp);
        return NULL;
    }
    return smtp;
}

void smtp_close(struct smtp **smtp)
{
    if (*smtp != NULL) {
        wire_close(&(*smtp)->wire);
        free(*smtp);
        *smtp = NULL;
    }
}

void smtp_quit(struct smtp **smtp)
{
    struct smtp_reply reply;
    struct cm_err ignored;
    /* Whether it answers is nobody's concern: the message is already judged. */
    int rc = smtp_command(*smtp, &reply, &ignored, "QUIT");
    (void)rc;
    smtp_close(smtp);
}

struct wire *smtp_wire(struct smtp *smtp)
{
    return smtp->wire;
}

const char *smtp_local(const struct smtp *smtp)
{
    return wire_local(smtp->wire);
}

int smtp_auth(struct smtp *smtp, const char *user, const char *password,
              struct smtp_reply *reply, struct cm_err *err)
{
    unsigned char plain[512];
    unsigned char coded[700];
    int n = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, user, 0, password);
    cm_assert(n > 0 && (size_t)n < sizeof plain);
    EVP_EncodeBlock(coded, plain, n);
    int rc = smtp_command(smtp, reply, err, "AUTH PLAIN %s", (char *)coded);
    cm_wipe(plain, sizeof plain);
    cm_wipe(coded, sizeof coded);
    return rc;
}

int smtp_write(struct smtp *smtp, const char *text, struct cm_err *err)
{
    return wire_write(smtp->wire, text, err);
}

int smtp_answer(struct smtp *smtp, struct smtp_reply *reply, struct cm_err *err)
{
    return read_reply(smtp, reply, err);
}

static int send_text(struct smtp *smtp, const char *text, struct smtp_reply *reply,
                     struct cm_err *err)
{
    /* The texts are our own: CRLF lines, none of which begins with a dot. */
    cm_assert(strstr(text, "\r\n.") == NULL);
    if (wire_write(smtp->wire, text, err) != 0) {
        return -1;
    }
    return smtp_command(smtp, reply, err, "\r\n.");
}

int smtp_begin(struct smtp *smtp, const char *from, const char *to,
               struct smtp_reply *reply, struct cm_err *err)
{
    if (smtp_command(smtp, reply, err, "MAIL FROM:<%s>", from) != 0) {
        return -1;
    }
    if (reply->code == 250 && smtp_command(smtp, reply, err, "RCPT TO:<%s>", to) != 0) {
        return -1;
    }
    if (reply->code == 250 && smtp_command(smtp, reply, err, "DATA") != 0) {
        return -1;
    }
    return 0;
}

int smtp_send(struct smtp *smtp, const char *from, const char *to, const char *text,
              struct smtp_reply *reply, struct cm_err *err)
{
    if (smtp_begin(smtp, from, to, reply, err) != 0) {
        return -1;
    }
    return reply->code == 354 ? send_text(smtp, text, reply, err) : 0;
}
