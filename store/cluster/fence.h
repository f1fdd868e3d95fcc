/* fence: keeps the bans of the desired state as the table says (bans.h), and answers
 * for them on the control socket.
 *
 * When they differ a document is published that is the newest but for its bans; at most
 * one in FENCE_EVERY_MS, so that an attack from many sources does not become one of
 * many epochs, except after a verb. Verbs: ban    "SOURCE SECONDS REASON"; answered
 * when the table says so unban  "SOURCE" bans   bans_json() */
#ifndef FENCE_H
#define FENCE_H

#include <stdbool.h>

#include "bans.h"
#include "control.h"
#include "ledger.h"

#define FENCE_EVERY_MS 5000

struct fence;

struct fence_env { /* what it points to outlives the fence */
    struct bans *bans;
    struct ledger *ledger;
    const struct px_state *state; /* obeyed now; epoch 0: none */
    const char *refused;          /* "" unless the newest document is not obeyed */
};

struct fence *fence_new(const struct fence_env *env);
/* After ledger and pg, which fail what is under way, and before control. */
void fence_free(struct fence **fence);
/* Now and then, and when the table has been read or a document is obeyed. */
void fence_tick(struct fence *fence);
/* False: no verb of these; else the call is or will be answered. */
bool fence_call(struct fence *fence, struct control_call *call, const char *verb,
                const char *input);

#endif
