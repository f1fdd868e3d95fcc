/* smtp: a small SMTP client (RFC 5321) that reports every answer instead of judging it.
 *
 * The port says how TLS is done: 465 from the first byte, 443 from the first byte with
 * ALPN "smtp", others (25, 587) by STARTTLS. */
#ifndef PROBE_SMTP_H
#define PROBE_SMTP_H

#include "common/err.h"
#include "probe/wire.h"

struct smtp_reply {
    int code;        /* 0 until complete */
    char text[1024]; /* texts of all lines, joined by blanks; cut when longer */
};

/* Feeds one line of a reply. Returns 1 when it was the last, 0 for more, -1 malformed.
 */
int smtp_reply_line(struct smtp_reply *reply, const char *line);

struct smtp;

/* Greeting, EHLO, TLS, EHLO again. */
struct smtp *smtp_open(const struct wire_to *to, const char *ehlo, struct cm_err *err);
void smtp_close(struct smtp **smtp);       /* just closes */
void smtp_quit(struct smtp **smtp);        /* QUIT, waits for the answer, closes */
struct wire *smtp_wire(struct smtp *smtp); /* borrowed */
const char *smtp_local(const struct smtp *smtp);

/* Each returns 0 when an answer came, whatever its code. A closed connection is RETRY.
 */
CM_MUSTUSE int smtp_command(struct smtp *smtp, struct smtp_reply *reply,
                            struct cm_err *err, const char *fmt, ...) CM_PRINTF(4, 5);
CM_MUSTUSE int smtp_auth(struct smtp *smtp, const char *user, const char *password,
                         struct smtp_reply *reply, struct cm_err *err);
/* MAIL, RCPT and DATA; reply is 354, or the first refusal. */
CM_MUSTUSE int smtp_begin(struct smtp *smtp, const char *from, const char *to,
                          struct smtp_reply *reply, struct cm_err *err);
/* Bytes as they are, dots included; says nothing of an answer. */
CM_MUSTUSE int smtp_write(struct smtp *smtp, const char *text, struct cm_err *err);
/* The next answer, to what smtp_write() asked. */
CM_MUSTUSE int smtp_answer(struct smtp *smtp, struct smtp_reply *reply,
                           struct cm_err *err);
/* MAIL, RCPT, DATA and the text; reply is the first refusal or the answer to the dot.
 */
CM_MUSTUSE int smtp_send(struct smtp *smtp, const char *from, const char *to,
                         const char *text, struct smtp_reply *reply,
                         struct cm_err *err);

#endif
