/* days: which address was last seen on which day, as far as that is not in PostgreSQL
 * yet. An address stands here once, with the newest day it was given. */
#ifndef LASTLOGIN_DAYS_H
#define LASTLOGIN_DAYS_H

#include <stddef.h>
#include <stdint.h>

struct days;

struct days_item {
    char *addr;
    int32_t day;
};

/* At most max addresses; one more pushes out the one that came in first. */
struct days *days_new(size_t max);
void days_free(struct days **days);
void days_put(struct days *days, const char *addr, int32_t day);
size_t days_count(const struct days *days);
uint64_t days_dropped(const struct days *days); /* pushed out so far */

/* Copies the oldest, at most max, into items; they stay. Returns how many. */
size_t days_oldest(const struct days *days, struct days_item *items, size_t max);
/* These have been written. One that got another day meanwhile stays. */
void days_written(struct days *days, const struct days_item *items, size_t n);
/* Frees the copies' addresses. */
void days_items_clear(struct days_item *items, size_t n);

#endif
