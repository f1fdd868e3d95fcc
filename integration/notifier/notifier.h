/* notifier: a notification service for tests, as phones' vendors have them behind
 * https://HOST/notify (relay-spec.md 2.5.4): POST, the body is a device token, the
 * answer a status. HTTP/2 or HTTP/1.1 by ALPN. What it is asked is written down, and
 * how it answers is told to it while it runs (book.h), and which of the two it speaks.
 *
 * Limits: NOTIFIER_CONNECTIONS_MAX at a time (more are closed at once), bodies of
 * TALK_BODY_MAX. Requests that are no POST of /notify are answered 404 and only
 * counted. */
#ifndef NOTIFIER_NOTIFIER_H
#define NOTIFIER_NOTIFIER_H

#include "common/err.h"
#include "common/loop.h"

#include "book.h"
#include "tls.h"

#define NOTIFIER_CONNECTIONS_MAX 4096

struct notifier_want {
    const char *host; /* numeric, v4 or v6 */
    int port;         /* 0: any */
    struct tls_files tls;
};

struct notifier_stats {
    uint64_t accepted; /* connections so far */
    size_t open;
    uint64_t strange; /* requests that were no notification */
};

struct notifier;

struct notifier *notifier_new(struct cm_loop *loop, const struct notifier_want *want,
                              struct cm_err *err);
void notifier_free(struct notifier **notifier); /* resets all connections */

int notifier_port(const struct notifier *notifier);
struct book *notifier_book(struct notifier *notifier);
struct notifier_stats notifier_stats(const struct notifier *notifier);

/* Sets a mood in the book and does what follows at once: "refuse" for all closes the
 * listener and resets every connection; another mood opens it again. */
CM_MUSTUSE int notifier_mood(struct notifier *notifier, const char *prefix,
                             const struct mood *mood, struct cm_err *err);
/* What connections from now on are offered; those that are there are reset. */
void notifier_offer(struct notifier *notifier, enum tls_offer offer);
/* All 200 again, and HTTP/2. */
CM_MUSTUSE int notifier_calm(struct notifier *notifier, struct cm_err *err);
/* Resets every connection now; new ones are welcome. */
void notifier_drop(struct notifier *notifier);

#endif
