#include "decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const names[WHYS] = {
    [WHY_ENCRYPTED] = "encrypted",
    [WHY_SECUREJOIN] = "securejoin",
    [WHY_SETUP] = "setup_message",
    [WHY_REPORT] = "mailer_daemon",
    [WHY_CLEAR_ALLOWED] = "cleartext_allowed",
    [WHY_SENDER_DISABLED] = "sender_disabled",
    [WHY_NO_RECIPIENT] = "recipients_disabled",
    [WHY_FROM_BAD] = "from_bad",
    [WHY_FROM_OTHER] = "from_other",
    [WHY_UNENCRYPTED] = "unencrypted",
    [WHY_ADDRESS] = "address_bad",
    [WHY_LOGIN] = "login_other",
    [WHY_RATE] = "rate",
    [WHY_UNKNOWN_USER] = "user_unknown",
    [WHY_DKIM_NONE] = "dkim_none",
    [WHY_DKIM_FAIL] = "dkim_fail",
    [WHY_DKIM_TROUBLE] = "dkim_trouble",
    [WHY_DATABASE] = "database_away",
    [WHY_INTERNAL] = "internal",
    [WHY_NOT_SIGNED] = "not_signed",
    [WHY_HEADER_SIZE] = "header_size",
};

const char *decide_why_name(enum decide_why why)
{
    return names[why];
}

bool decide_refuse(struct decision *d, enum decide_why why, const char *code,
                   const char *fmt, ...)
{
    va_list ap;
    d->action = DECIDE_REFUSE;
    d->why = why;
    memcpy(d->code, code, sizeof(d->code));
    va_start(ap, fmt);
    vsnprintf(d->text, sizeof(d->text), fmt, ap);
    va_end(ap);
    for (char *p = d->text; *p != '\0'; p++) {
        if (*p < ' ' || *p > '~' || *p == '%') {
            *p = '?';
        }
    }
    return false;
}

static bool refuse_from(const struct verdict *v, struct decision *d)
{
    return decide_refuse(d, WHY_FROM_BAD, "500", "Invalid FROM header: %s",
                         v->from_problem);
}

static bool refuse_clear(struct decision *d)
{
    return decide_refuse(d, WHY_UNENCRYPTED, "523",
                         "Encryption Needed: Invalid Unencrypted Mail");
}

static void accept_as(struct decision *d, enum decide_why why)
{
    d->action = DECIDE_ACCEPT;
    d->why = why;
    d->code[0] = d->text[0] = '\0';
}

static void drop(struct decision *d, enum decide_why why)
{
    accept_as(d, why);
    d->action = DECIDE_DROP;
}

bool decide_outgoing_content(const struct verdict *v, const char *mail_from,
                             struct decision *d)
{
    if (v->from_problem != NULL) {
        return refuse_from(v, d);
    }
    if (strcasecmp(v->from, mail_from) != 0) {
        return decide_refuse(d, WHY_FROM_OTHER, "500", "Invalid FROM <%s> for <%s>",
                             v->from, mail_from);
    }
    return verdict_kind(v) != VERDICT_CLEAR || refuse_clear(d);
}

/* Takes out who is disabled; returns how many are left, and one of them. */
static size_t remove_disabled(struct rcpt *rcpts, size_t n, const struct rcpt **one_r)
{
    size_t left = 0;
    *one_r = NULL;
    for (size_t i = 0; i < n; i++) {
        rcpts[i].removed = rcpts[i].disabled;
        if (!rcpts[i].removed) {
            *one_r = &rcpts[i];
            left++;
        }
    }
    return left;
}

void decide_outgoing(const struct verdict *v, const struct rcpt *sender,
                     struct rcpt *rcpts, size_t n, struct decision *d)
{
    const struct rcpt *one;
    size_t left = remove_disabled(rcpts, n, &one);
    switch (verdict_kind(v)) {
    case VERDICT_ENCRYPTED:
        accept_as(d, WHY_ENCRYPTED);
        break;
    case VERDICT_SECUREJOIN:
        accept_as(d, WHY_SECUREJOIN);
        break;
    case VERDICT_SETUP:
        if (left != 1 || one->account == NULL || strcmp(one->account, v->from) != 0) {
            refuse_clear(d);
            return;
        }
        accept_as(d, WHY_SETUP);
        break;
    case VERDICT_REPORT:
    case VERDICT_CLEAR:
        refuse_clear(d);
        return;
    }
    if (sender->disabled) {
        drop(d, WHY_SENDER_DISABLED);
    } else if (left == 0) {
        drop(d, WHY_NO_RECIPIENT);
    }
}

bool decide_incoming_from(const struct verdict *v, const char *mail_from,
                          bool *mismatch_r, struct decision *d)
{
    if (v->from_problem != NULL) {
        return refuse_from(v, d);
    }
    if (address_domain(v->from) == NULL) {
        return decide_refuse(d, WHY_FROM_BAD, "553", "Invalid email address: %s",
                             v->from);
    }
    *mismatch_r = strcasecmp(v->from, mail_from) != 0;
    return true;
}

static bool someone_enforces(const struct rcpt *rcpts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!rcpts[i].removed && (rcpts[i].enforces || rcpts[i].account == NULL)) {
            return true;
        }
    }
    return false;
}

void decide_incoming(const struct verdict *v, struct rcpt *rcpts, size_t n,
                     struct decision *d)
{
    const struct rcpt *one;
    size_t left = remove_disabled(rcpts, n, &one);
    switch (verdict_kind(v)) {
    case VERDICT_ENCRYPTED:
        accept_as(d, WHY_ENCRYPTED);
        break;
    case VERDICT_SECUREJOIN:
        accept_as(d, WHY_SECUREJOIN);
        break;
    case VERDICT_REPORT:
        accept_as(d, WHY_REPORT);
        break;
    case VERDICT_SETUP:
    case VERDICT_CLEAR:
        if (someone_enforces(rcpts, n)) {
            refuse_clear(d);
            return;
        }
        accept_as(d, WHY_CLEAR_ALLOWED);
        break;
    }
    if (left == 0) {
        drop(d, WHY_NO_RECIPIENT);
    }
}

bool decide_origin_is_literal(const struct verdict *v)
{
    const char *domain = address_domain(v->from);
    return domain != NULL && address_is_literal(domain, NULL);
}
