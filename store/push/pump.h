/* pump: takes what is due from the queue, has it posted, and puts the outcome on
 * record.
 *
 * At most PUMP_FIRST_MAX first tries and PUMP_AGAIN_MAX later ones are under way, so
 * that what failed before never stands in the way of what is new; the rest stays in
 * Redis. Of one token (key) only one is ever under way; of two tokens of one address
 * the later one is posted when the earlier one was answered, or PUMP_ORDER_MS after it.
 * An outcome that Redis could not be told of is kept, and told when it is back. Of a
 * 200 one notification is done; of a 410 the token is removed from PostgreSQL first,
 * and when that fails it counts as a failed try; all else is tried again by
 * schedule.h. */
#ifndef PUSH_PUMP_H
#define PUSH_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"

#include "courier.h"
#include "queue.h"
#include "tokens.h"

#define PUMP_FIRST_MAX 192
#define PUMP_AGAIN_MAX 64
#define PUMP_ORDER_MS  50

struct pump_figures {
    uint64_t sent;      /* 200 */
    uint64_t gone;      /* 410 */
    uint64_t other;     /* another status */
    uint64_t transport; /* no status */
    uint64_t dropped;   /* given up at the deadline */
};

struct pump;

/* All are borrowed. base_ms: schedule.h. */
struct pump *pump_new(struct cm_loop *loop, struct queue *queue, struct tokens *tokens,
                      struct courier *courier, int64_t base_ms);
void pump_free(struct pump **pump);

void pump_wake(struct pump *pump); /* something is due now */
void pump_redis_back(struct pump *pump);
/* Start of the notification of that key which is under way, or 0. */
int64_t pump_flying_us(const struct pump *pump, const char *key);
size_t pump_flights(const struct pump *pump);
void pump_stop(struct pump *pump); /* takes nothing more */
const struct pump_figures *pump_figures(const struct pump *pump);

#endif
