/* envelope: sender and recipients of a message that came over /mxdeliv, from the
 * headers X-MAIL-FROM and X-MAIL-TO (relay-spec.md 2.10).
 *
 * Addresses become SMTP commands, so only what can stand in one as it is gets through:
 * atoms, dots, '@', a name or a literal. All letters are made small, as the filter does
 * for SMTP. */
#ifndef WEB_ENVELOPE_H
#define WEB_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define ENVELOPE_ADDRESS_MAX    254
#define ENVELOPE_RECIPIENTS_MAX 1000 /* Postfix's smtpd_recipient_limit */

struct envelope {
    bool has_from;
    char from[ENVELOPE_ADDRESS_MAX + 1]; /* "" is the null sender */
    char **to;
    size_t count;
};

void envelope_init(struct envelope *e);
void envelope_clear(struct envelope *e);

/* Both take the header's value, perhaps in angle brackets. err->text is the SMTP reply:
 * "553 Invalid email address: ...", "452 4.5.3 Too many recipients". */
CM_MUSTUSE int envelope_from(struct envelope *e, const char *value, struct cm_err *err);
CM_MUSTUSE int envelope_to(struct envelope *e, const char *value, struct cm_err *err);

#endif
