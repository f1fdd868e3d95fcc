/* uidlist: Dovecot's file dovecot-uidlist (version 3) as a backup keeps it. Its first
 * line has the mailbox's UIDVALIDITY and the UID that comes next. A client that meets
 * another UIDVALIDITY, or a smaller next UID, jumps over messages; so the first stays,
 * and the second only grows. */
#ifndef BACKUP_UIDLIST_H
#define BACKUP_UIDLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Messages that a mailbox may have got between a backup and its restoring. */
#define UIDLIST_MARGIN 100000

/* The text with a next UID that is larger by `more` (at most 2^32 - 2); with the lines
 * of messages, of which one that is cut off is left out, or without. NULL when it is no
 * such file. Caller frees. */
char *uidlist_make(const char *text, size_t len, uint32_t more, bool with_messages,
                   size_t *len_r);

#endif
