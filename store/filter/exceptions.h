/* exceptions: the three kinds of cleartext that may pass (relay-spec.md 2.9.4, 2.9.6,
 * 2.9.8). Pure. */
#ifndef FILTER_EXCEPTIONS_H
#define FILTER_EXCEPTIONS_H

#include <stdbool.h>

#include "content_type.h"
#include "header.h"

/* A securejoin request, by its header: "vc-request" or "vg-request", exactly, once; and
 * by the decoded text of its only part, without the blanks at its ends. */
bool securejoin_header(const struct fields *fields);
bool securejoin_text(const char *text);

/* By its header, a message with which an account gives its key to another device of its
 * own. Whoever asks also looks that it goes from an address to itself, alone. */
bool setup_message(const struct fields *fields, const struct ctype *ctype);

/* By its header, a report of another relay's mailer-daemon. from: its address. */
bool mailer_daemon_report(const struct fields *fields, const struct ctype *ctype,
                          const char *from);

#endif
