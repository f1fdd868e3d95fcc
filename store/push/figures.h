/* figures: what push counts, as Prometheus text. What only Redis knows is asked for
 * every FIGURES_EVERY_MS. */
#ifndef PUSH_FIGURES_H
#define PUSH_FIGURES_H

#include "common/buf.h"
#include "common/loop.h"

#include "bell.h"
#include "pump.h"
#include "ring.h"
#include "spool.h"

#define FIGURES_EVERY_MS 2000

struct figures_env { /* all borrowed */
    const struct ring_env *ring;
    const struct bell *bell;
    const struct spool *spool;
};

struct figures;

struct figures *figures_new(struct cm_loop *loop, const struct figures_env *env);
/* No callback of queue may come any more. */
void figures_free(struct figures **figures);
void figures_wake(struct figures *figures); /* Redis is back */
void figures_write(const struct figures *figures, struct cm_buf *out);

#endif
