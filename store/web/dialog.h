/* dialog: our side of one SMTP session with Postfix, for one message.
 *
 * Bytes from Postfix go in, bytes for Postfix come out; no socket, no clock. One
 * command at a time, never pipelined. The body passes through as it comes and is judged
 * on the way (smtpdata.h): what could end the message early, or be read in two ways, is
 * not passed on, and nothing is said after it, so Postfix throws the message away. */
#ifndef WEB_DIALOG_H
#define WEB_DIALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/smtpdata.h"

#include "envelope.h"

#define DIALOG_REPLY_MAX 2048       /* all lines of one reply */
#define DIALOG_OUT_MAX   (1u << 20) /* not taken yet by Postfix */

enum dialog_state {
    DIALOG_GREETING,
    DIALOG_EHLO,
    DIALOG_MAIL,
    DIALOG_RCPT,
    DIALOG_DATA,
    DIALOG_BODY, /* dialog_body() and dialog_end() may be called */
    DIALOG_DOT,  /* the message is complete, the answer is awaited */
    DIALOG_OVER
};

struct dialog {
    enum dialog_state state;
    const struct envelope *envelope; /* borrowed; at least one recipient */
    int64_t size;                    /* announced in MAIL FROM; -1: not known */
    size_t rcpt;
    bool eight_bit, takes_size; /* what EHLO offers */
    struct cm_buf out;          /* to be sent; the caller consumes it */
    struct cm_buf reply;        /* so far */
    size_t line;                /* where its last line begins */
    struct cm_smtpdata data;
    /* DIALOG_OVER: */
    bool accepted;
    char verdict[DIALOG_REPLY_MAX + 1]; /* an SMTP reply; "250 OK" when accepted */
    bool rude; /* close now: not even QUIT may be sent, out is empty */
};

void dialog_init(struct dialog *d, const struct envelope *envelope, int64_t size);
void dialog_clear(struct dialog *d);

void dialog_heard(struct dialog *d, const char *data, size_t len);
/* Postfix cannot be reached, is silent or hung up. */
void dialog_lost(struct dialog *d, const char *why);
void dialog_body(struct dialog *d, const char *data, size_t len);
void dialog_end(struct dialog *d);

#endif
