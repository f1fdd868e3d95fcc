/* chatter: two real clients that know each other and talk while a scenario goes on.
 * Each finds the gateways by DNS, as a user's does, and goes from one to the other by
 * itself. Every text that was handed to a client must reach the other one once. */
#ifndef SCENARIOS_CHATTER_H
#define SCENARIOS_CHATTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "ledger.h"
#include "stage.h"

#define CHATTER_MAX 64 /* texts, both ways together */

struct chatter;

/* Two new accounts, one handshake. NULL: err says why. */
struct chatter *chatter_start(struct stage *stage, struct cm_err *err);
void chatter_stop(struct chatter **chatter); /* accepts a pointer to NULL */

/* Hands one text to each client. Not twice within two seconds: a core sends about one
 * message a second. */
CM_MUSTUSE int chatter_say(struct chatter *chatter, struct cm_err *err);
/* Opens the app on both phones, which makes a client look at its connections. */
CM_MUSTUSE int chatter_wake(struct chatter *chatter, struct cm_err *err);
/* Waits until all texts are there, each once. *count_r: how many. */
CM_MUSTUSE int chatter_even(struct chatter *chatter, int64_t limit_ms, size_t *count_r,
                            struct cm_err *err);

/* Plays a scene with a chatter and an empty ledger of its own. */
typedef int (*chatter_scene)(struct stage *stage, struct chatter *chatter,
                             struct ledger *ledger, struct cm_err *err);
CM_MUSTUSE int chatter_play(struct stage *stage, chatter_scene scene,
                            struct cm_err *err);

#endif
