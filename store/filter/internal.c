/* Mail that Postfix makes itself (bounces) or that a program of this machine hands to
 * sendmail(1): signed when its author is of our domain, and not judged. Strangers and
 * users have no way here: the socket stands in non_smtpd_milters alone, and a process
 * of this mode has no other. */
#include "filter.h"

static bool internal_rcpt(struct transaction *t, const char *account,
                          struct decision *d)
{
    (void)t;
    (void)account;
    (void)d;
    return true;
}

static void internal_end(struct transaction *t, struct decision *d)
{
    (void)t;
    *d = (struct decision){.action = DECIDE_ACCEPT, .why = WHY_INTERNAL};
}

const struct mode mode_signing = {.name = "signing",
                                  .program = "chatmail-filter-sign",
                                  .side = VERDICT_OUTGOING,
                                  .signs = true,
                                  .rcpt = internal_rcpt,
                                  .end = internal_end};
