#include "lru.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct entry {
    struct entry *chain; /* of its bucket */
    struct entry *newer, *older;
    char *key;
    max_align_t value[];
};

struct lru {
    size_t max, count, value_size, buckets;
    void (*on_drop)(void *value);
    struct entry *newest, *oldest;
    struct entry *table[];
};

/* FNV-1a. Whoever chooses names to collide slows down a table of bounded size. */
static size_t bucket(const struct lru *lru, const char *key)
{
    uint64_t h = 14695981039346656037u;
    for (; *key != '\0'; key++) {
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    }
    return (size_t)(h % lru->buckets);
}

struct lru *lru_new(size_t max, size_t value_size)
{
    cm_assert(max > 0);
    struct lru *lru = cm_calloc(1, sizeof(*lru) + max * sizeof(lru->table[0]));
    lru->max = max;
    lru->buckets = max;
    lru->value_size = value_size;
    return lru;
}

void lru_on_drop(struct lru *lru, void (*on_drop)(void *value))
{
    lru->on_drop = on_drop;
}

static void unlink_age(struct lru *lru, struct entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &lru->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &lru->oldest) = e->newer;
}

static void link_newest(struct lru *lru, struct entry *e)
{
    e->newer = NULL;
    e->older = lru->newest;
    *(e->older != NULL ? &e->older->newer : &lru->oldest) = e;
    lru->newest = e;
}

static struct entry **find(struct lru *lru, const char *key)
{
    struct entry **at = &lru->table[bucket(lru, key)];
    while (*at != NULL && strcmp((*at)->key, key) != 0) {
        at = &(*at)->chain;
    }
    return at;
}

static void remove_at(struct lru *lru, struct entry **at)
{
    struct entry *e = *at;
    *at = e->chain;
    unlink_age(lru, e);
    lru->count--;
    if (lru->on_drop != NULL) {
        lru->on_drop(e->value);
    }
    free(e->key);
    free(e);
}

void lru_free(struct lru **lrup)
{
    struct lru *lru = *lrup;
    if (lru == NULL) {
        return;
    }
    while (lru->oldest != NULL) {
        lru_drop(lru, lru->oldest->key);
    }
    free(lru);
    *lrup = NULL;
}

void *lru_get(struct lru *lru, const char *key)
{
    struct entry *e = *find(lru, key);
    if (e == NULL) {
        return NULL;
    }
    unlink_age(lru, e);
    link_newest(lru, e);
    return e->value;
}

void *lru_put(struct lru *lru, const char *key)
{
    void *value = lru_get(lru, key);
    if (value != NULL) {
        return value;
    }
    if (lru->count == lru->max) {
        lru_drop(lru, lru->oldest->key);
    }
    struct entry *e = cm_calloc(1, sizeof(*e) + lru->value_size);
    struct entry **at = find(lru, key);
    e->key = cm_strdup(key);
    *at = e;
    link_newest(lru, e);
    lru->count++;
    return e->value;
}

void lru_drop(struct lru *lru, const char *key)
{
    struct entry **at = find(lru, key);
    if (*at != NULL) {
        remove_at(lru, at);
    }
}

size_t lru_count(const struct lru *lru)
{
    return lru->count;
}

void lru_each(const struct lru *lru,
              void (*cb)(const char *key, const void *value, void *ctx), void *ctx)
{
    for (const struct entry *e = lru->newest; e != NULL; e = e->older) {
        cb(e->key, e->value, ctx);
    }
}
