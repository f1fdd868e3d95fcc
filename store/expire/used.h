/* used: when the owner of a mailbox last fetched mail, as the disk shows it.
 *
 * Only logins over IMAP are on record (account.last_login), but a client may stay
 * connected, or hibernated, for months. Dovecot delivers into new/; only for a client
 * that has the mailbox open it moves what came to cur/, where the client also flags and
 * deletes. So cur/ of the INBOX changes when a client does something, and never for
 * mail alone.
 *
 * Known limits: chatmail-expire itself removes old mail from cur/, so what was fetched
 * keeps an account for up to delete_mails_after longer. A client that is connected and
 * gets no mail at all, or only sends, leaves no trace. */
#ifndef EXPIRE_USED_H
#define EXPIRE_USED_H

#include <stdint.h>

/* The UTC day's first second, at most now; 0 when there is no trace. base:
 * mailboxes_dir.
 */
int64_t used_day(int base, const char *mailbox, int64_t now);

#endif
