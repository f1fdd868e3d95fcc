/* lru: a bounded table from text to a value of fixed size; when it is full, what was
 * not used for longest goes. Pure. */
#ifndef TRANSPORT_LRU_H
#define TRANSPORT_LRU_H

#include <stddef.h>

struct lru;

struct lru *lru_new(size_t max, size_t value_size);
void lru_free(struct lru **lru);
/* Called for each value that leaves the table, also by lru_free(). */
void lru_on_drop(struct lru *lru, void (*on_drop)(void *value));
/* The value, now the one used last; NULL when there is none. Valid until the next
 * lru_put() or lru_drop(). */
void *lru_get(struct lru *lru, const char *key);
/* The same, made (all zero) when there is none. */
void *lru_put(struct lru *lru, const char *key);
void lru_drop(struct lru *lru, const char *key);
size_t lru_count(const struct lru *lru);
/* Each entry, the one used last first. */
void lru_each(const struct lru *lru,
              void (*cb)(const char *key, const void *value, void *ctx), void *ctx);

#endif
