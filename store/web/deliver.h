/* deliver: POST /mxdeliv, mail from another relay over HTTPS (relay-spec.md 2.10).
 *
 * The body goes to Postfix by SMTP as it comes, over a listener on loopback whose
 * milter is the one of port 25, so that the message is judged like any other and the
 * answer is Postfix's. HTTP has one answer: one refused recipient refuses the message
 * for all, and nothing is queued. A sender that goes away before the end leaves nothing
 * behind.
 *
 * 200 "250 OK": Postfix has the message. 400: the SMTP reply that says why not, 4xx for
 * any trouble of ours. 413: larger than max_message_size. */
#ifndef WEB_DELIVER_H
#define WEB_DELIVER_H

#include "conn.h"

#define DELIVER_SESSIONS_MAX 100
#define DELIVER_ARRIVE_MS    180000 /* the whole body; a sender waits 60 s as a rule */
#define DELIVER_STEP_MS      30000  /* Postfix's answer to a command */
#define DELIVER_TAKE_MS      60000  /* Postfix takes more of the body */
#define DELIVER_DOT_MS       110000 /* Postfix's answer to the message */
#define DELIVER_ANSWER_MS    (DELIVER_DOT_MS + DELIVER_TAKE_MS + 5000)

/* The route's functions; x->site is a struct site. */
void deliver_field(struct exchange *x, const char *name, const char *value);
void deliver_head(struct exchange *x);
void deliver_body(struct exchange *x, const char *data, size_t len);
void deliver_end(struct exchange *x);
void deliver_gone(struct exchange *x);

#endif
