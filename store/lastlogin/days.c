#include "days.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/mem.h"

#define BUCKETS 16384u

struct entry {
    struct entry *chain;
    struct entry *older, *newer;
    int32_t day;
    char addr[];
};

struct days {
    struct entry *buckets[BUCKETS];
    struct entry *oldest, *newest;
    size_t count, max;
    uint64_t dropped;
    uint64_t seed; /* users choose their addresses, not the chains they land in */
};

struct days *days_new(size_t max)
{
    struct days *days = cm_calloc(1, sizeof(*days));
    days->max = max;
    if (getrandom(&days->seed, sizeof(days->seed), 0) != sizeof(days->seed)) {
        days->seed = (uintptr_t)days;
    }
    return days;
}

/* The link that points to the entry, or to NULL where it would be. */
static struct entry **find(struct days *days, const char *addr)
{
    uint64_t h = days->seed;
    for (const char *c = addr; *c != '\0'; c++) {
        h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    struct entry **link = &days->buckets[h % BUCKETS];
    while (*link != NULL && strcmp((*link)->addr, addr) != 0) {
        link = &(*link)->chain;
    }
    return link;
}

static void forget(struct days *days, struct entry **link)
{
    struct entry *e = *link;
    *link = e->chain;
    *(e->older != NULL ? &e->older->newer : &days->oldest) = e->newer;
    *(e->newer != NULL ? &e->newer->older : &days->newest) = e->older;
    days->count--;
    free(e);
}

void days_free(struct days **days)
{
    if (*days == NULL) {
        return;
    }
    while ((*days)->oldest != NULL) {
        forget(*days, find(*days, (*days)->oldest->addr));
    }
    free(*days);
    *days = NULL;
}

static struct entry *entry_new(const char *addr)
{
    size_t size = strlen(addr) + 1;
    struct entry *e = cm_calloc(1, sizeof(*e) + size);
    memcpy(e->addr, addr, size);
    return e;
}

void days_put(struct days *days, const char *addr, int32_t day)
{
    struct entry **link = find(days, addr);
    if (*link != NULL) {
        (*link)->day = day;
        return;
    }
    if (days->count == days->max) {
        forget(days, find(days, days->oldest->addr));
        days->dropped++;
        link = find(days, addr);
    }
    struct entry *e = entry_new(addr);
    e->day = day;
    *link = e;
    e->older = days->newest;
    *(e->older != NULL ? &e->older->newer : &days->oldest) = e;
    days->newest = e;
    days->count++;
}

size_t days_count(const struct days *days)
{
    return days->count;
}

uint64_t days_dropped(const struct days *days)
{
    return days->dropped;
}

size_t days_oldest(const struct days *days, struct days_item *items, size_t max)
{
    size_t n = 0;
    for (const struct entry *e = days->oldest; e != NULL && n < max; e = e->newer) {
        items[n].addr = cm_strdup(e->addr);
        items[n++].day = e->day;
    }
    return n;
}

void days_written(struct days *days, const struct days_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct entry **link = find(days, items[i].addr);
        if (*link != NULL && (*link)->day == items[i].day) {
            forget(days, link);
        }
    }
}

void days_items_clear(struct days_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(items[i].addr);
        items[i].addr = NULL;
    }
}
