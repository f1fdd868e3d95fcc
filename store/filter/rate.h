/* rate: how much an account may send (relay-spec.md 2.9.7). Counted in Redis, for all
 * processes together; in this process while Redis is away. Any thread. */
#ifndef FILTER_RATE_H
#define FILTER_RATE_H

#include <stdbool.h>

#include "desk.h"
#include "gcra.h"
#include "tally.h"

struct rate;

struct rate *rate_new(struct desk *desk, struct tally *tally);

/* Takes one message from the share of addr (lower-case). */
bool rate_take(struct rate *rate, const struct gcra *gcra, const char *addr);

/* --- the table for when Redis is away; pure --- */

#define RATE_ROWS 1024
#define RATE_WAYS 8 /* keys of a row; the one that has recovered most makes way */

struct rate_table {
    struct {
        uint64_t key;
        int64_t tat_us;
    } slot[RATE_ROWS][RATE_WAYS];
};

bool rate_table_take(struct rate_table *table, const struct gcra *gcra, uint64_t key,
                     int64_t now_us);

#endif
