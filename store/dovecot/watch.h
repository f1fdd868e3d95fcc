/* watch: an inotify instance of our own on a mailbox's directories.
 *
 * Of our own, because two watches on one inode in one instance share a descriptor, and
 * Dovecot's instance has these directories already. Knows nothing of Dovecot. */
#ifndef IDLE_WATCH_H
#define IDLE_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Returns a descriptor (non-blocking, close-on-exec) that becomes readable when a file
 * comes, goes or is renamed in one of the directories; -1 and errno. */
int watch_open(const char *const *dirs, size_t count);
/* The same for a file in the directory that is written to, or renamed into it. */
int watch_open_written(const char *dir);
/* Is there an event that watch_drain has not taken? */
bool watch_pending(int fd);
/* Takes all events there are. Returns how many, -1 and errno when the descriptor is of
 * no more use. */
int watch_drain(int fd);

/* Makes every watch on the directory see an event, whoever's it is: a file that begins
 * with a dot, which no maildir reader looks at, comes and goes. Returns -1 and errno.
 */
int watch_poke(const char *dir);

#endif
