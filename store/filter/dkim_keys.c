#include "dkim_keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#define RESOLV_CONF     "/etc/resolv.conf"
#define RESOLV_CONF_MAX 65536

/* A key set and who holds it. */
struct held {
    struct dkim_key_set set; /* first: a set's address is its held's */
    unsigned refs;
};

struct entry {
    uint64_t sum; /* of the name: a look through all entries touches little memory */
    char *name;
    struct held *held;
    int64_t until_ms, used_ms; /* monotonic */
};

/* A lookup that runs; others may wait for it. Lives on the stack of the thread that
 * makes it, which leaves last. */
struct flight {
    const char *name;
    bool landed;
    unsigned waiting;
    int result;
    struct held *held;
    struct cm_err err;
    struct flight *next;
};

struct dkim_keys {
    pthread_mutex_t lock;
    pthread_cond_t landed;
    struct entry *entry;
    unsigned count, max;
    struct flight *flights;
    struct dkim_keys_counts counts;
    int64_t deadline_ms;
    int (*lookup)(void *ctx, const char *name, struct dkim_answer *out,
                  struct cm_err *err);
    void *ctx;
    struct dkim_servers servers;
    char *resolv_conf; /* NULL: servers never change */
    struct stat resolv_stat;
};

/* ---- resolv.conf ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Under the lock. A file that cannot be read leaves things as they are. */
static void refresh_servers(struct dkim_keys *k)
{
    struct stat st;
    struct cm_err err;
    char *text;
    if (k->resolv_conf == NULL || stat(k->resolv_conf, &st) != 0 ||
        same_file(&st, &k->resolv_stat) ||
        cm_file_read(k->resolv_conf, RESOLV_CONF_MAX, &text, NULL, &err) != 1) {
        return;
    }
    dkim_servers_resolv_conf(&k->servers, text);
    k->resolv_stat = st;
    free(text);
}

/* ---- sets ---- */

/* Keys are read once per lookup and not once per signature: building an RSA key takes
 * OpenSSL longer than using it. Called without the lock. */
static struct held *held_new(const struct dkim_answer *answer)
{
    struct held *h = cm_calloc(1, sizeof(*h));
    h->refs = 1;
    for (unsigned i = 0; i < answer->count; i++) {
        dkim_key_read(&h->set.key[h->set.count++], answer->record[i], answer->len[i]);
    }
    return h;
}

static void held_release(struct held *h)
{
    if (--h->refs == 0) {
        for (unsigned i = 0; i < h->set.count; i++) {
            dkim_key_clear(&h->set.key[i]);
        }
        free(h);
    }
}

static struct held *held_of(const struct dkim_key_set *set)
{
    return (struct held *)(uintptr_t)set;
}

/* ---- cache, under the lock ---- */

static uint64_t name_sum(const char *name)
{
    uint64_t sum = 14695981039346656037u; /* FNV-1a */
    for (; *name != '\0'; name++) {
        sum = (sum ^ (unsigned char)*name) * 1099511628211u;
    }
    return sum;
}

static struct entry *cache_find(struct dkim_keys *k, const char *name)
{
    uint64_t sum = name_sum(name);
    for (unsigned i = 0; i < k->count; i++) {
        if (k->entry[i].sum == sum && strcmp(k->entry[i].name, name) == 0) {
            return &k->entry[i];
        }
    }
    return NULL;
}

static void cache_remove(struct dkim_keys *k, struct entry *e)
{
    free(e->name);
    held_release(e->held);
    *e = k->entry[--k->count];
}

/* A walk through all, but only when the cache is full and DNS was just waited for. */
static struct entry *longest_unused(struct dkim_keys *k)
{
    struct entry *oldest = &k->entry[0];
    for (unsigned i = 1; i < k->count; i++) {
        if (k->entry[i].used_ms < oldest->used_ms) {
            oldest = &k->entry[i];
        }
    }
    return oldest;
}

static void cache_add(struct dkim_keys *k, const char *name, struct held *held,
                      int64_t ttl_s)
{
    int64_t now = cm_now_mono_ms();
    struct entry *e = cache_find(k, name);
    if (e != NULL) { /* asked for anew although it was there: the new one counts */
        cache_remove(k, e);
    }
    if (ttl_s <= 0) {
        return;
    }
    if (k->count == k->max) {
        cache_remove(k, longest_unused(k));
    }
    ttl_s = ttl_s < DKIM_KEYS_TTL_MAX ? ttl_s : DKIM_KEYS_TTL_MAX;
    held->refs++;
    k->entry[k->count++] = (struct entry){.sum = name_sum(name),
                                          .name = cm_strdup(name),
                                          .held = held,
                                          .until_ms = now + ttl_s * 1000,
                                          .used_ms = now};
}

static struct held *cache_take(struct dkim_keys *k, const char *name)
{
    int64_t now = cm_now_mono_ms();
    struct entry *e = cache_find(k, name);
    if (e == NULL) {
        return NULL;
    }
    if (now >= e->until_ms) {
        cache_remove(k, e);
        return NULL;
    }
    e->used_ms = now;
    e->held->refs++;
    return e->held;
}

/* ---- lookups ---- */

static int dns_lookup(void *ctx, const char *name, struct dkim_answer *out,
                      struct cm_err *err)
{
    struct dkim_keys *k = ctx;
    pthread_mutex_lock(&k->lock);
    refresh_servers(k);
    struct dkim_servers servers = k->servers;
    pthread_mutex_unlock(&k->lock);
    return dkim_dns_txt(&servers, name, k->deadline_ms, out, err);
}

static struct flight *flight_find(struct dkim_keys *k, const char *name)
{
    struct flight *f = k->flights;
    while (f != NULL && strcmp(f->name, name) != 0) {
        f = f->next;
    }
    return f;
}

static void flight_unlink(struct dkim_keys *k, struct flight *f)
{
    struct flight **p = &k->flights;
    while (*p != f) {
        p = &(*p)->next;
    }
    *p = f->next;
}

/* Under the lock, which is given up while waiting. Bounded, as the lookup is. */
static int join(struct dkim_keys *k, struct flight *f, struct held **held,
                struct cm_err *err)
{
    k->counts.shared++;
    f->waiting++;
    while (!f->landed) {
        pthread_cond_wait(&k->landed, &k->lock);
    }
    int result = f->result;
    if (result > 0) {
        *held = f->held;
        (*held)->refs++;
    } else if (result < 0) {
        *err = f->err;
    }
    f->waiting--;
    pthread_cond_broadcast(&k->landed);
    return result;
}

/* Under the lock, which is given up during the lookup. */
static int fly(struct dkim_keys *k, const char *name, struct held **held,
               struct cm_err *err)
{
    struct dkim_answer answer = {0};
    struct flight f = {.name = name, .next = k->flights};
    k->flights = &f;
    k->counts.lookups++;
    pthread_mutex_unlock(&k->lock);
    f.result = k->lookup(k->ctx, name, &answer, &f.err);
    struct held *found = f.result > 0 ? held_new(&answer) : NULL;
    pthread_mutex_lock(&k->lock);

    flight_unlink(k, &f);
    f.held = found;
    f.landed = true;
    if (found != NULL) { /* absence and trouble are never kept */
        cache_add(k, name, found, answer.ttl_s);
    }
    k->counts.trouble += f.result < 0;
    pthread_cond_broadcast(&k->landed);
    /* The others still read f, which is on this stack. */
    while (f.waiting > 0) {
        pthread_cond_wait(&k->landed, &k->lock);
    }
    dkim_answer_clear(&answer);
    *held = found;
    if (f.result < 0) {
        *err = f.err;
    }
    return f.result;
}

int dkim_keys_get(struct dkim_keys *k, const char *name, bool fresh,
                  const struct dkim_key_set **set, bool *cached, struct cm_err *err)
{
    pthread_mutex_lock(&k->lock);
    struct held *held = fresh ? NULL : cache_take(k, name);
    bool hit = held != NULL;
    int result = 1;
    if (hit) {
        k->counts.hits++;
    } else {
        struct flight *f = flight_find(k, name);
        result = f != NULL ? join(k, f, &held, err) : fly(k, name, &held, err);
    }
    pthread_mutex_unlock(&k->lock);
    if (result > 0) {
        *set = &held->set;
        *cached = hit;
    }
    return result;
}

void dkim_keys_put(struct dkim_keys *k, const struct dkim_key_set **set)
{
    pthread_mutex_lock(&k->lock);
    held_release(held_of(*set));
    pthread_mutex_unlock(&k->lock);
    *set = NULL;
}

void dkim_keys_drop(struct dkim_keys *k, const struct dkim_key_set *set)
{
    pthread_mutex_lock(&k->lock);
    for (unsigned i = 0; i < k->count; i++) {
        if (k->entry[i].held == held_of(set)) {
            cache_remove(k, &k->entry[i]);
            break;
        }
    }
    pthread_mutex_unlock(&k->lock);
}

void dkim_keys_count(struct dkim_keys *k, struct dkim_keys_counts *out)
{
    pthread_mutex_lock(&k->lock);
    *out = k->counts;
    pthread_mutex_unlock(&k->lock);
}

/* ---- life ---- */

struct dkim_keys *dkim_keys_new(const struct dkim_keys_options *o, struct cm_err *err)
{
    struct dkim_servers servers;
    dkim_servers_resolv_conf(&servers, "");
    if (o->servers != NULL && dkim_servers_parse(&servers, o->servers, err) != 0) {
        return NULL;
    }
    struct dkim_keys *k = cm_calloc(1, sizeof(*k));
    k->servers = servers;
    k->max = o->cache_max > 0 ? o->cache_max : DKIM_KEYS_CACHE;
    k->entry = cm_calloc(k->max, sizeof(*k->entry));
    k->deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : DKIM_DNS_DEADLINE_MS;
    k->lookup = o->lookup != NULL ? o->lookup : dns_lookup;
    k->ctx = o->lookup != NULL ? o->ctx : k;
    if (o->servers == NULL) {
        k->resolv_conf =
            cm_strdup(o->resolv_conf != NULL ? o->resolv_conf : RESOLV_CONF);
    }
    cm_assert(pthread_mutex_init(&k->lock, NULL) == 0 &&
              pthread_cond_init(&k->landed, NULL) == 0);
    return k;
}

void dkim_keys_free(struct dkim_keys **keys)
{
    struct dkim_keys *k = *keys;
    if (k == NULL) {
        return;
    }
    cm_assert(k->flights == NULL);
    while (k->count > 0) {
        cache_remove(k, &k->entry[0]);
    }
    pthread_cond_destroy(&k->landed);
    pthread_mutex_destroy(&k->lock);
    free(k->entry);
    free(k->resolv_conf);
    free(k);
    *keys = NULL;
}
