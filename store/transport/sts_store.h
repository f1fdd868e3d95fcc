/* sts_store: MTA-STS policies of other domains: looked up, fetched, and remembered for
 * as long as they say, over restarts too (RFC 8461 3 and 5).
 *
 * A policy that cannot be fetched anew stays in force until it ends. Bounds:
 * STS_STORE_MAX policies, those not used for longest go; STS_FETCH_MS for a fetch. */
#ifndef TRANSPORT_STS_STORE_H
#define TRANSPORT_STS_STORE_H

#include "env.h"
#include "sts.h"

#define STS_STORE_MAX 500
#define STS_FETCH_MS  10000

struct sts_store;
struct sts_lookup;

/* dir: where the file "mta-sts" lies, NULL: only in memory. A file that cannot be read
 * is logged and not used. */
struct sts_store *sts_store_new(struct env *env, const char *dir);
void sts_store_free(struct sts_store **store); /* writes what was not written yet */

/* policy: NULL when the domain has none. Exactly one call, never before sts_find()
 * returns; the lookup is gone then. */
typedef void (*sts_cb)(const struct sts_policy *policy, void *ctx);
struct sts_lookup *sts_find(struct sts_store *store, const char *domain, sts_cb cb,
                            void *ctx);
void sts_cancel(struct sts_lookup **lookup);

#endif
