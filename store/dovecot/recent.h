/* recent: the messages that a mailbox was given last, in a file of its own.
 *
 * Mail between relays comes at least once: a sender that loses the answer behind its
 * message sends it again, by the other path too (docs/transport.md). This is how the
 * second copy is known. RECENT_KEPT messages of the last RECENT_DAY_S are kept, in one
 * page of RECENT_FILE bytes; the oldest makes room. Whoever delivers holds the file's
 * lock (flock), so that two copies at one moment are one after the other.
 *
 * Nothing here can refuse or lose a message: a file that cannot be opened, locked
 * within RECENT_LOCK_MS or read knows of none. It is not synced: after a power cut a
 * second copy may be taken for a first. Knows nothing of Dovecot. */
#ifndef DOVECOT_RECENT_H
#define DOVECOT_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define RECENT_DIGEST  24 /* bytes of a cryptographic hash of what names the message */
#define RECENT_KEPT    128
#define RECENT_FILE    (RECENT_KEPT * (RECENT_DIGEST + 8))
#define RECENT_DAY_S   86400
#define RECENT_LOCK_MS 2000

struct recent {
    const char *path; /* borrowed */
    int fd;           /* -1: the file is of no use */
    uint32_t slot;
    int64_t now_s;
    unsigned char digest[RECENT_DIGEST];
};

/* Was that message delivered here before? now_s is the wall clock. Anyhow,
 * recent_end() follows. */
bool recent_begin(struct recent *r, const char *path,
                  const unsigned char digest[RECENT_DIGEST], int64_t now_s);
/* delivered: it is in the mailbox now. */
void recent_end(struct recent *r, bool delivered);

#endif
