#include "dialog.h"

#include <stdio.h>
#include <string.h>

#include "common/err.h"

#define BAD_DATA "500 Invalid DATA"

void dialog_init(struct dialog *d, const struct envelope *envelope, int64_t size)
{
    cm_assert(envelope->count > 0);
    *d = (struct dialog){.state = DIALOG_GREETING, .envelope = envelope, .size = size};
    cm_buf_init(&d->out, DIALOG_OUT_MAX);
    cm_buf_init(&d->reply, DIALOG_REPLY_MAX);
    cm_smtpdata_init(&d->data);
}

void dialog_clear(struct dialog *d)
{
    cm_buf_clear(&d->out);
    cm_buf_clear(&d->reply);
}

static void over(struct dialog *d, bool accepted, const char *verdict)
{
    d->state = DIALOG_OVER;
    d->accepted = accepted;
    snprintf(d->verdict, sizeof(d->verdict), "%s", verdict);
}

/* Inside DATA every byte is message: the only way out is to hang up. */
static void over_rudely(struct dialog *d, const char *verdict)
{
    over(d, false, verdict);
    d->rude = true;
    cm_buf_reset(&d->out);
}

void dialog_lost(struct dialog *d, const char *why)
{
    char text[256];
    if (d->state != DIALOG_OVER) {
        snprintf(text, sizeof(text), "451 4.3.0 Mail system: %s", why);
        over_rudely(d, text);
    }
}

/* What we say when Postfix has answered */

static void say_rcpt(struct dialog *d)
{
    cm_buf_fmt(&d->out, "RCPT TO:<%s>\r\n", d->envelope->to[d->rcpt]);
    d->state = DIALOG_RCPT;
}

static void say_mail(struct dialog *d)
{
    cm_buf_fmt(&d->out, "MAIL FROM:<%s>", d->envelope->from);
    if (d->eight_bit) {
        cm_buf_str(&d->out, " BODY=8BITMIME");
    }
    if (d->takes_size && d->size >= 0) {
        cm_buf_fmt(&d->out, " SIZE=%lld", (long long)d->size);
    }
    cm_buf_str(&d->out, "\r\n");
    d->state = DIALOG_MAIL;
}

static void go_on(struct dialog *d)
{
    switch (d->state) {
    case DIALOG_GREETING:
        cm_buf_str(&d->out, "EHLO localhost\r\n");
        d->state = DIALOG_EHLO;
        break;
    case DIALOG_EHLO:
        say_mail(d);
        break;
    case DIALOG_MAIL:
        say_rcpt(d);
        break;
    case DIALOG_RCPT:
        if (++d->rcpt < d->envelope->count) {
            say_rcpt(d);
            break;
        }
        cm_buf_str(&d->out, "DATA\r\n");
        d->state = DIALOG_DATA;
        break;
    case DIALOG_DATA:
        d->state = DIALOG_BODY;
        break;
    case DIALOG_DOT:
        over(d, true, "250 OK");
        cm_buf_str(&d->out, "QUIT\r\n");
        break;
    default: /* an answer to nothing */
        break;
    }
}

/* What Postfix answers */

/* First digit of the reply that lets the session go on. */
static char wanted(const struct dialog *d)
{
    return d->state == DIALOG_DATA ? '3' : '2';
}

static void take_reply(struct dialog *d)
{
    const char *reply = d->reply.data;
    d->reply.len -= 2; /* the last CRLF */
    d->reply.data[d->reply.len] = '\0';
    if (d->state == DIALOG_BODY) { /* Postfix gives up, as when it is stopped */
        over_rudely(d, reply);
    } else if (reply[0] == wanted(d)) {
        go_on(d);
    } else if (d->state == DIALOG_GREETING || d->state == DIALOG_EHLO) {
        dialog_lost(d, "not ready"); /* no judgement on the message */
    } else if (reply[0] == '4' || reply[0] == '5') {
        over(d, false, reply);
        cm_buf_str(&d->out, "QUIT\r\n");
    } else {
        dialog_lost(d, "an answer that is none");
    }
    cm_buf_reset(&d->reply);
    d->line = 0;
}

/* 1: the last line of a reply; 0: there are more; -1: no reply at all. */
static int judge_line(struct dialog *d)
{
    const char *line = d->reply.data + d->line;
    size_t len = d->reply.len - d->line;
    if (len < 5 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' ||
        line[2] < '0' || line[2] > '9' ||
        (line[3] != ' ' && line[3] != '-' && line[3] != '\r')) {
        return -1;
    }
    if (d->state == DIALOG_EHLO) {
        d->eight_bit = d->eight_bit || strncmp(line + 4, "8BITMIME", 8) == 0;
        d->takes_size = d->takes_size || strncmp(line + 4, "SIZE", 4) == 0;
    }
    return line[3] != '-';
}

static void take_line(struct dialog *d)
{
    int rc = judge_line(d);
    if (rc < 0) {
        dialog_lost(d, "an answer that is none");
    } else if (rc > 0) {
        take_reply(d);
    } else {
        d->line = d->reply.len;
    }
}

void dialog_heard(struct dialog *d, const char *data, size_t len)
{
    for (size_t i = 0; i < len && d->state != DIALOG_OVER; i++) {
        cm_buf_add(&d->reply, &data[i], 1);
        size_t n = d->reply.len;
        if (d->reply.overflow || data[i] == '\0') {
            dialog_lost(d, "an answer that is none");
        } else if (data[i] == '\n') {
            if (n < 2 || d->reply.data[n - 2] != '\r') {
                dialog_lost(d, "an answer that is none");
            } else {
                take_line(d);
            }
        }
    }
}

/* The body */

void dialog_body(struct dialog *d, const char *data, size_t len)
{
    cm_assert(d->state == DIALOG_BODY);
    if (!cm_smtpdata_feed(&d->data, data, len)) {
        over_rudely(d, BAD_DATA);
        return;
    }
    cm_buf_add(&d->out, data, len);
    cm_assert(!d->out.overflow); /* the caller waits while much is in it */
}

void dialog_end(struct dialog *d)
{
    cm_assert(d->state == DIALOG_BODY);
    if (!cm_smtpdata_end(&d->data)) {
        over_rudely(d, BAD_DATA);
        return;
    }
    cm_buf_str(&d->out, ".\r\n");
    d->state = DIALOG_DOT;
}
