/* dkim_keys: the public keys of other domains, shared by all threads: a cache in front
 * of DNS.
 *
 * - What was found is kept for its TTL, a day at most; that there is nothing is never
 *   kept, nor is trouble.
 * - A key that a signature did not fit is dropped (dkim_keys_drop) and asked for once
 *   more, so that a new key of a domain loses no mail.
 * - Threads that want the same name wait for one lookup. No lock is held while a lookup
 *   runs: a slow name stops nobody else.
 * - resolv.conf is read again when it changed. */
#ifndef FILTER_DKIM_KEYS_H
#define FILTER_DKIM_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "dkim_dns.h"
#include "dkim_key.h"

#define DKIM_KEYS_CACHE   1000 /* names kept by default; the longest unused one goes */
#define DKIM_KEYS_TTL_MAX 86400

struct dkim_keys;

struct dkim_keys_options {
    const char *servers;     /* see dkim_servers_parse(); NULL: from resolv_conf */
    const char *resolv_conf; /* NULL: "/etc/resolv.conf" */
    int64_t deadline_ms;     /* of a lookup; 0: DKIM_DNS_DEADLINE_MS */
    unsigned cache_max;      /* 0: DKIM_KEYS_CACHE */
    /* For tests, instead of DNS; as dkim_dns_txt(). Several threads may call it. */
    int (*lookup)(void *ctx, const char *name, struct dkim_answer *out,
                  struct cm_err *err);
    void *ctx;
};

/* The records of one name. Belongs to the cache; held between _get and _put. */
struct dkim_key_set {
    unsigned count;
    struct dkim_key key[DKIM_RECORDS_MAX];
};

/* Strings are copied. NULL when `servers` cannot be read, kind WORLD. */
struct dkim_keys *dkim_keys_new(const struct dkim_keys_options *options,
                                struct cm_err *err);
/* No thread may be inside, and every set was put back. */
void dkim_keys_free(struct dkim_keys **keys);

/* 1: *set is held; *cached says that it was not asked for just now. 0: DNS says that
 * there is no such record. -1, kind RETRY: nobody could tell. Waits one lookup at most.
 * fresh: do not take it from the cache. */
CM_MUSTUSE int dkim_keys_get(struct dkim_keys *keys, const char *name, bool fresh,
                             const struct dkim_key_set **set, bool *cached,
                             struct cm_err *err);
void dkim_keys_put(struct dkim_keys *keys, const struct dkim_key_set **set);

/* Forgets this set, should it (and not a newer one) be in the cache. It stays held. */
void dkim_keys_drop(struct dkim_keys *keys, const struct dkim_key_set *set);

/* For metrics; since dkim_keys_new. */
struct dkim_keys_counts {
    uint64_t hits;    /* answered from the cache */
    uint64_t shared;  /* by a lookup that another thread had begun */
    uint64_t lookups; /* made */
    uint64_t trouble; /* of these, without an answer */
};
void dkim_keys_count(struct dkim_keys *keys, struct dkim_keys_counts *out);

#endif
