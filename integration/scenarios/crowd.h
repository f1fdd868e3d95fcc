/* crowd: clients in IDLE, each in a thread. Each logs in at its first door; told that
 * its connection has ended, or not let in, it comes back by the other, as a chat client
 * does. */
#ifndef SCENARIOS_CROWD_H
#define SCENARIOS_CROWD_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "door.h"
#include "stage.h"

#define CROWD_MAX 256

struct crowd;

/* Client i is one of accounts[i % n_accounts]. All is copied; stage must outlive it. */
struct crowd *crowd_start(const struct stage *stage, size_t n,
                          const struct scene_account *accounts, size_t n_accounts,
                          const struct door doors[2]);
void crowd_stop(struct crowd **crowd);

size_t crowd_idling(const struct crowd *crowd, int door); /* now in IDLE there */
size_t crowd_ended(const struct crowd *crowd); /* how often a connection ended so far */
size_t crowd_announced(const struct crowd *crowd); /* messages, so far */
/* Monotonic: when the first connection ended, and when a client last came to rest. 0:
 * not yet. */
int64_t crowd_first_end_ms(const struct crowd *crowd);
int64_t crowd_last_rest_ms(const struct crowd *crowd);

/* Waits until all idle at that door. */
CM_MUSTUSE int crowd_until_at(const struct crowd *crowd, int door, int64_t limit_ms,
                              struct cm_err *err);

#endif
