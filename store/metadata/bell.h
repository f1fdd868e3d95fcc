/* bell: rings at chatmail-push (common/doorbell.h) without holding up the loop.
 *
 * Threads ring. When push did not answer one of them in time, the next ones leave their
 * file at once for a while, so nobody waits much longer than CM_DOORBELL_LIMIT_MS. */
#ifndef METADATA_BELL_H
#define METADATA_BELL_H

#include "common/loop.h"

#define BELL_QUIET_MS  1000 /* so long nobody waits for a push that was silent */
#define BELL_QUEUE_MAX 256  /* with more, files are left without asking */

struct bell;

/* The paths are not copied. */
struct bell *bell_new(struct cm_loop *loop, const char *socket_path, const char *dir);
void bell_free(struct bell **bell); /* finishes what is under way, with its callbacks */

/* Exactly one call, perhaps before bell_ring returns: push knows, or is left a file, or
 * there is no push service, or it was tried in vain, which is logged. */
typedef void (*bell_cb)(void *ctx);

void bell_ring(struct bell *bell, const char *addr, bell_cb rung, void *ctx);

#endif
