/* decide: what is done with a message, once it is known what it is and to whom it goes.
 * Pure; the order of the checks is that of relay-spec.md 2.9.4 and 2.9.8. */
#ifndef FILTER_DECIDE_H
#define FILTER_DECIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"

#define DECIDE_REPLY_MAX 480 /* libmilter sends at most 980 bytes a line */

struct rcpt {
    char *as_given; /* what Postfix knows it by */
    char *account;  /* lower-case, without detail; NULL: not of ours */
    /* From PostgreSQL; an account that does not exist enforces encryption. */
    bool disabled;
    bool enforces;
    bool removed; /* decided: it is not delivered to this one */
};

/* Why a message took its way: labels of the figures, in the order of decide_why_name().
 */
enum decide_why {
    WHY_ENCRYPTED,
    WHY_SECUREJOIN,
    WHY_SETUP,
    WHY_REPORT,
    WHY_CLEAR_ALLOWED, /* incoming: no recipient enforces encryption */
    WHY_SENDER_DISABLED,
    WHY_NO_RECIPIENT, /* all of them are disabled */
    WHY_FROM_BAD,
    WHY_FROM_OTHER,
    WHY_UNENCRYPTED,
    WHY_ADDRESS,
    WHY_LOGIN,
    WHY_RATE,
    WHY_UNKNOWN_USER,
    WHY_DKIM_NONE,
    WHY_DKIM_FAIL,
    WHY_DKIM_TROUBLE,
    WHY_DATABASE,
    WHY_INTERNAL, /* made on this machine; not judged */
    WHY_NOT_SIGNED,
    WHY_HEADER_SIZE, /* of the fields that are signed */
    WHYS
};
const char *decide_why_name(enum decide_why why);

enum decide_action { DECIDE_ACCEPT, DECIDE_DROP, DECIDE_REFUSE };

struct decision {
    enum decide_action action;
    enum decide_why why;
    char code[4];                /* REFUSE: "523" */
    char text[DECIDE_REPLY_MAX]; /* and what follows it; printable ASCII, no '%' */
};

/* Fills d as a refusal. What is not printable ASCII, and '%' (libmilter's), becomes
 * '?'. Returns false, so that a check can end with it. */
bool decide_refuse(struct decision *d, enum decide_why why, const char *code,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Outgoing, as far as nobody needs to be asked: false when it is refused whatever the
 * recipients are. */
bool decide_outgoing_content(const struct verdict *v, const char *mail_from,
                             struct decision *d);
/* And with what PostgreSQL says. sender: the account that sends. */
void decide_outgoing(const struct verdict *v, const struct rcpt *sender,
                     struct rcpt *rcpts, size_t n, struct decision *d);

/* Incoming. False when the From field cannot be used. *mismatch_r: the envelope sender
 * is not the author, and gets no bounce. */
bool decide_incoming_from(const struct verdict *v, const char *mail_from,
                          bool *mismatch_r, struct decision *d);
/* With what PostgreSQL says. ACCEPT and DROP still need the proof of origin, unless
 * decide_origin_is_literal(). */
void decide_incoming(const struct verdict *v, struct rcpt *rcpts, size_t n,
                     struct decision *d);
bool decide_origin_is_literal(const struct verdict *v);

#endif
