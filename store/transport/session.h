/* session: the LMTP server (RFC 2033, relay-spec.md 2.9.1 and 2.9.9), for Postfix on
 * this machine.
 *
 * Replies to a message come in the order of its recipients, each as soon as it and
 * those before it are known. Limits: SESSIONS_MAX connections, SESSION_RECIPIENTS_MAX
 * recipients of a message, SESSION_IDLE_MS without a byte; a message is kept in a file
 * beyond SPOOL_MEMORY_MAX (spool.h). */
#ifndef TRANSPORT_SESSION_H
#define TRANSPORT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "dests.h"
#include "env.h"

#define SESSIONS_MAX           1024
#define SESSION_RECIPIENTS_MAX 1000
#define SESSION_IDLE_MS        360000

struct sessions;

struct sessions *sessions_new(struct env *env, struct dests *dests);
void sessions_free(struct sessions **sessions);         /* cuts what is left */
void sessions_adopt(struct sessions *sessions, int fd); /* owns fd */
bool sessions_full(const struct sessions *sessions);
size_t sessions_count(const struct sessions *sessions);
/* Those between two messages are closed now, the others behind theirs. */
void sessions_drain(struct sessions *sessions);

#endif
