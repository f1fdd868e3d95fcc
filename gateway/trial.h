/* trial: whether a document that was put in force has cut this gateway off from the
 * store, and when it may be tried again. Pure; the caller brings the time (monotonic
 * milliseconds).
 *
 * A new document is on trial until the store has answered a question that was asked
 * under it. When no answer comes for GW_TRIAL_MS, the caller goes back to the last
 * document under which one came, once; the newer one is barred for GW_BARRED_MS, twice
 * as long after each further time, at most GW_BARRED_MAX_MS. After that it is taken
 * again when the store offers it. Where the two differ in how the store is reached, the
 * store may itself have gone over to the newer one and never be heard under the former:
 * then the newer is tried again without being offered. */
#ifndef GW_TRIAL_H
#define GW_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/state.h"

#define GW_TRIAL_MS      30000
#define GW_BARRED_MS     60000
#define GW_BARRED_MAX_MS 960000

struct gw_trial {
    bool on;           /* a document is on trial */
    bool in_force;     /* it has been applied: an answer counts */
    int64_t since_ms;  /* the sign of life that GW_TRIAL_MS are counted from */
    bool back;         /* it has cut us off; the former one is in force */
    int64_t barred_ms; /* not before then */
    unsigned times;    /* that this document has cut us off */
};

/* A document was taken. again: the one that had cut us off before. */
void gw_trial_begin(struct gw_trial *trial, bool again, int64_t now_ms);
/* A first attempt to apply it is over; well: it is in force. */
void gw_trial_applied(struct gw_trial *trial, bool well, int64_t now_ms);
/* The store answered. True when that ends the trial well. */
bool gw_trial_heard(struct gw_trial *trial, int64_t now_ms);
/* True when the document is to be taken back now; tell by gw_trial_revert. */
bool gw_trial_lost(const struct gw_trial *trial, int64_t now_ms);
void gw_trial_revert(struct gw_trial *trial, int64_t now_ms);
/* How long the document that was taken back is still barred; 0: it may be tried. */
int64_t gw_trial_barred(const struct gw_trial *trial, int64_t now_ms);

/* Whether the store is reached in another way under b than under a. ours: the name of
 * this gateway, which is in both. */
bool gw_trial_other_way(const struct px_state *a, const struct px_state *b,
                        const char *ours);

#endif
