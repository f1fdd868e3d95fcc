/* pair: two real chat clients that stay joined through whatever a scenario does to the
 * cluster, and must go on talking. */
#ifndef SCENARIOS_PAIR_H
#define SCENARIOS_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "chat/chat.h"
#include "common/err.h"

#include "stage.h"

#define PAIR_TEXTS 64

struct pair {
    struct chat_client *clients[2];
    struct chat_end ends[2];
    struct {
        size_t to; /* which end it was for */
        char text[17];
    } texts[PAIR_TEXTS];
    size_t count;
};

/* In node client; their servers are found by DNS, as a user's client finds them. Close
 * in both cases. */
CM_MUSTUSE int pair_open(struct stage *stage, struct pair *pair_r, struct cm_err *err);
/* Both users open their app: a client in IDLE whose connection is gone without a word
 * finds out by this, or after minutes by its own time-out. */
CM_MUSTUSE int pair_open_app(struct pair *pair, struct cm_err *err);
/* A message each way, each there within limit_ms. *ms_r (may be NULL): the slower. */
CM_MUSTUSE int pair_talk(struct pair *pair, int64_t limit_ms, int64_t *ms_r,
                         struct cm_err *err);
/* All that was said has arrived once; how much is noted. */
CM_MUSTUSE int pair_even(struct stage *stage, struct pair *pair, struct cm_err *err);
void pair_close(struct pair *pair); /* accepts a zeroed one */

#endif
