/* schedule: when a notification that failed is tried again (relay-spec.md 2.5.3). Pure.
 *
 * Try 0 is at once. Before try n it waits base * 8^(n-1), base being 8 s: 8, 64, 512,
 * 4096 s, counted from the moment the try before failed, plus a random part of at most
 * 1/SCHEDULE_JITTER of that, so that what failed together does not come back together.
 * It is given up when try SCHEDULE_TRIES would come, or when the next try (without the
 * random part) would be more than SCHEDULE_LIFE_US after its start. */
#ifndef PUSH_SCHEDULE_H
#define PUSH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_TRIES   5
#define SCHEDULE_BASE_MS 8000
#define SCHEDULE_LIFE_US (INT64_C(18000) * 1000000)
#define SCHEDULE_JITTER  32

/* tries: how many were made, the failed one included, from 1. random: any number.
 * False: given up. */
bool schedule_next(int64_t base_ms, int64_t start_us, int64_t failed_us, unsigned tries,
                   uint32_t random, int64_t *due_us_r);

/* The longest that anything waits for its next try. */
int64_t schedule_longest_us(int64_t base_ms);

#endif
