/* bell: those who ring (common/doorbell.h). One connection says "ADDR\n" or "-ADDR\n",
 * is answered "+\n" when that is done, and closed; closed without it when it could not
 * be done or was no address.
 *
 * A ring that Redis does not take is left in the spool. At most BELL_CONNECTIONS_MAX at
 * a time, the rest waits in the backlog; one that says nothing for BELL_IDLE_MS is
 * closed. */
#ifndef PUSH_BELL_H
#define PUSH_BELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"

#include "ring.h"
#include "spool.h"

#define BELL_CONNECTIONS_MAX 2048
#define BELL_IDLE_MS         5000

struct bell_figures {
    uint64_t rings;     /* answered "+" */
    uint64_t spooled;   /* of these, left in the spool */
    uint64_t forgotten; /* accounts */
    uint64_t refused;   /* closed without an answer */
};

struct bell;

/* Both are borrowed. */
struct bell *bell_new(struct cm_loop *loop, const struct ring_env *env,
                      struct spool *spool);
/* No callback of ring or spool may come any more. */
void bell_free(struct bell **bell);

void bell_adopt(struct bell *bell, int fd); /* owns fd, which does not block */
bool bell_full(const struct bell *bell);
size_t bell_busy(const struct bell *bell); /* whose wish is under way */
const struct bell_figures *bell_figures(const struct bell *bell);

#endif
