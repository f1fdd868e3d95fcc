#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

struct entry {
    struct pool *pool;
    struct entry *prev, *next;
    char *host, *ehlo;
    struct pool_key key; /* leads to what is above and below */
    struct peer_source source;
    struct pool_link link;
    struct cm_timer *idle;
};

struct pool {
    struct cm_loop *loop;
    struct entry *first, *last; /* the newest first */
    size_t count;
    int64_t cleared_ms;
};

struct pool *pool_new(struct cm_loop *loop)
{
    struct pool *pool = cm_calloc(1, sizeof(*pool));
    pool->loop = loop;
    return pool;
}

/* Without its wire, which is somebody's. */
static void entry_free(struct entry *e)
{
    struct pool *p = e->pool;
    *(e->prev != NULL ? &e->prev->next : &p->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &p->last) = e->prev;
    p->count--;
    cm_timer_free(&e->idle);
    free(e->host);
    free(e->ehlo);
    free(e);
}

void pool_quit(struct wire **wire)
{
    wire_send(*wire, "QUIT\r\n", 6); /* nobody waits for its reply */
    wire_finish(wire);
}

static void on_idle(void *ctx)
{
    struct entry *e = ctx;
    pool_quit(&e->link.wire);
    entry_free(e);
}

void pool_clear(struct pool *pool)
{
    pool->cleared_ms = cm_now_mono_ms();
    while (pool->first != NULL) {
        on_idle(pool->first);
    }
}

void pool_free(struct pool **pool)
{
    if (*pool != NULL) {
        pool_clear(*pool);
        free(*pool);
        *pool = NULL;
    }
}

static bool same_source(const struct peer_source *a, const struct peer_source *b)
{
    return a->bound == b->bound && a->has_v4 == b->has_v4 && a->has_v6 == b->has_v6 &&
           (!a->has_v4 || memcmp(&a->v4, &b->v4, sizeof(a->v4)) == 0) &&
           (!a->has_v6 || memcmp(&a->v6, &b->v6, sizeof(a->v6)) == 0);
}

static bool same_key(const struct pool_key *a, const struct pool_key *b)
{
    return strcmp(a->host, b->host) == 0 && a->port == b->port && a->tls == b->tls &&
           a->verify == b->verify && strcmp(a->ehlo, b->ehlo) == 0 &&
           same_source(a->source, b->source);
}

static bool leads_there(const struct pool_link *link,
                        const struct peer_address *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (peer_address_same(&link->address, &addresses[i])) {
            return true;
        }
    }
    return false;
}

bool pool_take(struct pool *pool, const struct pool_key *key,
               const struct peer_address *addresses, size_t n, struct pool_link *link_r)
{
    for (struct entry *e = pool->first; e != NULL; e = e->next) {
        if (same_key(&e->key, key) && leads_there(&e->link, addresses, n)) {
            *link_r = e->link;
            entry_free(e);
            return true;
        }
    }
    return false;
}

/* Whatever a server says unasked is that it goes. */
static void on_wire(enum wire_event event, const char *data, size_t len, void *ctx)
{
    (void)data;
    (void)len;
    struct entry *e = ctx;
    if (event == WIRE_DATA || event == WIRE_CLOSED) {
        wire_free(&e->link.wire);
        entry_free(e);
    }
}

static void make_room(struct pool *pool, const struct pool_key *key)
{
    size_t same = 0;
    struct entry *oldest = NULL;
    for (struct entry *e = pool->first; e != NULL; e = e->next) {
        if (same_key(&e->key, key)) {
            same++;
            oldest = e;
        }
    }
    if (same >= POOL_HOST_MAX) {
        on_idle(oldest);
    } else if (pool->count >= POOL_MAX) {
        on_idle(pool->last);
    }
}

void pool_give(struct pool *pool, const struct pool_key *key,
               const struct pool_link *link)
{
    struct wire *wire = link->wire;
    if (link->uses >= POOL_USES_MAX || link->made_ms < pool->cleared_ms ||
        cm_now_mono_ms() - link->made_ms >= POOL_AGE_MS) {
        pool_quit(&wire);
        return;
    }
    make_room(pool, key);
    struct entry *e = cm_calloc(1, sizeof(*e));
    e->pool = pool;
    e->host = cm_strdup(key->host);
    e->ehlo = cm_strdup(key->ehlo);
    e->source = *key->source;
    e->key = *key;
    e->key.host = e->host;
    e->key.ehlo = e->ehlo;
    e->key.source = &e->source;
    e->link = *link;
    e->next = pool->first;
    *(e->next != NULL ? &e->next->prev : &pool->last) = e;
    pool->first = e;
    pool->count++;
    wire_hand_over(wire, on_wire, e);
    e->idle = cm_timer_new(pool->loop, on_idle, e);
    cm_timer_set(e->idle, POOL_IDLE_MS);
}
