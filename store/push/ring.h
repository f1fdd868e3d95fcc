/* ring: what follows when somebody rings for an address: its tokens are looked up, and
 * one notification for each is put on record. While PostgreSQL does not answer, those
 * in memory are used, and the address is put on record for a lookup later (lookup.h),
 * so that devices which are not in memory are woken up too. */
#ifndef PUSH_RING_H
#define PUSH_RING_H

#include "pump.h"
#include "queue.h"
#include "tokens.h"

struct ring_env { /* all borrowed, and alive until the callbacks have been called */
    struct queue *queue;
    struct tokens *tokens;
    struct pump *pump;
};

/* cb with NONE: it is on record, or there is no token. Else it is not (RETRY). May come
 * before return. */
void ring_record(const struct ring_env *env, const char *addr, queue_done_cb cb,
                 void *ctx);

/* The same for a ring that waited for PostgreSQL: tokens posted to from memory since
 * are left out. */
void ring_settle(const struct ring_env *env, const char *addr, queue_done_cb cb,
                 void *ctx);

/* One '@' with something on both sides, at most CM_DOORBELL_ADDR_MAX bytes, fit for a
 * file name, and not a temporary one (*.tmp). */
bool ring_is_address(const char *text);

#endif
