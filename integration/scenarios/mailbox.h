/* mailbox: holds a ledger against what is really in an INBOX; how full it is. */
#ifndef SCENARIOS_MAILBOX_H
#define SCENARIOS_MAILBOX_H

#include <stdint.h>

#include "common/err.h"

#include "door.h"
#include "ledger.h"
#include "stage.h"

/* Looks until the ledger is even, and once more a few seconds later, so that a second
 * copy on its way is seen. Still short after limit_ms, or wrong at any time: an error.
 */
CM_MUSTUSE int mailbox_even(const struct stage *stage, const struct door *door,
                            const struct scene_account *account, struct ledger *ledger,
                            int64_t limit_ms, struct cm_err *err);

struct mailbox_numbers {
    long messages;       /* in the INBOX */
    long kib, limit_kib; /* GETQUOTAROOT's STORAGE */
};
/* By IMAP at edge1, as the user sees it. */
CM_MUSTUSE int mailbox_look(const struct stage *stage,
                            const struct scene_account *account,
                            struct mailbox_numbers *numbers_r, struct cm_err *err);

#endif
