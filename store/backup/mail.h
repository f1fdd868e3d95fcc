/* mail: the mailboxes of a store that goes on working meanwhile. What a client may not
 * meet twice (which UID comes next) is taken before the messages, so that one that is
 * delivered in between is in the backup at most under a UID that is given later. */
#ifndef BACKUP_MAIL_H
#define BACKUP_MAIL_H

#include <stdbool.h>

#include "box.h"
#include "place.h"

/* with_messages: else only what Dovecot knows of each mailbox. No mailboxes yet: none.
 */
CM_MUSTUSE int mail_send(struct box *b, const struct place *p, bool with_messages,
                         struct cm_err *err);

#endif
