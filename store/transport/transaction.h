/* transaction: one message on its way through us: its sender, its recipients by
 * destination, its bytes, and in the end a reply for each recipient. */
#ifndef TRANSPORT_TRANSACTION_H
#define TRANSPORT_TRANSACTION_H

#include "dests.h"
#include "env.h"

struct transaction;

struct transaction_hooks {
    /* The replies of recipients first..last-1 are known, in order and gap-free. May
     * free nothing and reserve nothing. */
    void (*ready)(size_t first, size_t last, void *ctx);
    void *ctx;
};

struct transaction *transaction_new(struct env *env, struct dests *dests,
                                    const char *from,
                                    const struct transaction_hooks *hooks);
void transaction_free(struct transaction **transaction); /* breaks off */

/* NULL: taken. Else why not, as an SMTP reply; valid until the next call. */
const char *transaction_add(struct transaction *t, const char *address);
size_t transaction_count(const struct transaction *t);
/* Has at least one recipient's destination a place for the message? */
bool transaction_placed(const struct transaction *t);

void transaction_data(struct transaction *t, const char *data, size_t len);
/* The message is whole (bare: it has a bare LF and must not be passed on). From now on
 * ready() is called, the first time perhaps before this returns. */
void transaction_deliver(struct transaction *t, bool bare);
const char *transaction_reply(const struct transaction *t, size_t recipient);

#endif
