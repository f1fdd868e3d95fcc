/* dests: the destinations that have mail, and who may have how much of us, so that
 * fifty dead ones do not delay a live one.
 *
 * A transaction reserves a place at each of its destinations before its message is
 * taken. Places are limited for each destination (fewer as long as it has not answered
 * lately), and for all those together that have not. Few messages are under way to one
 * destination at a time, the others wait in order; those who wait for one that has not
 * answered are put off as soon as the first attempt has been silent for DESTS_STALL_MS.
 * A destination whose attempts failed is closed by its breaker (breaker.h). While one
 * attempt shows whether it opens again, others wait for its outcome,
 * DESTS_PROBE_WAIT_MS at most; only one is under way.
 *
 * Bounds: dests_limits; an idle destination is kept DESTS_IDLE_MS for its route. */
#ifndef TRANSPORT_DESTS_H
#define TRANSPORT_DESTS_H

#include <stddef.h>

#include "address.h"
#include "common/buf.h"
#include "env.h"
#include "spool.h"

#define DESTS_IDLE_MS         60000
#define DESTS_ACTIVE_MAX      8 /* messages under way to one that answers */
#define DESTS_ACTIVE_NEW      2 /* to one that has not answered lately */
#define DESTS_STALL_MS        3000
#define DESTS_STALL_PROVEN_MS 10000
#define DESTS_PROBE_WAIT_MS   10000
#define DESTS_REPLY_MAX       512

struct dests_limits {
    size_t destinations; /* 500 as upstream */
    size_t places;       /* of one that answers; 200 */
    size_t places_new;   /* of one that has not lately; 30 as upstream */
    size_t all_new;      /* of all those together; 300 */
};

struct dests;
struct parcel; /* what one transaction has for one destination */

struct dests *dests_new(struct env *env, const struct dests_limits *limits);
void dests_free(struct dests **dests); /* no parcel may be left */

enum dests_answer {
    DESTS_RESERVED,
    DESTS_BUSY,  /* no place: "421 Transport busy" */
    DESTS_CLOSED /* cannot be reached at present; reply says so, 451 */
};
enum dests_answer dests_reserve(struct dests *dests, const struct domain *domain,
                                struct parcel **parcel_r, char reply[DESTS_REPLY_MAX]);

/* replies: one line for each of to. Exactly one call, never before parcel_send()
 * returns. The parcel must still be freed, perhaps inside; nothing may be reserved
 * inside. */
typedef void (*parcel_cb)(char *const *replies, void *ctx);
/* All is borrowed until the callback. Once per parcel. */
void parcel_send(struct parcel *parcel, const char *from, const char *const *to,
                 size_t to_count, const struct spool *message, parcel_cb cb, void *ctx);
/* Gives the place back; what is under way is broken off without a callback. */
void parcel_free(struct parcel **parcel);

/* Parcels and breakers by state, for /metrics. */
void dests_figures(const struct dests *dests, struct cm_buf *out);

#endif
