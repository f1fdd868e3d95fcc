/* lookup: settles what rang while PostgreSQL was away, when it is back.
 *
 * Addresses wait in Redis (push:lookup). One that rang more than SCHEDULE_LIFE_US ago
 * is given up, with an error that says deadline. */
#ifndef PUSH_LOOKUP_H
#define PUSH_LOOKUP_H

#include "common/loop.h"

#include "ring.h"

struct lookup;

/* env is borrowed. */
struct lookup *lookup_new(struct cm_loop *loop, const struct ring_env *env);
void lookup_free(struct lookup **lookup);

void lookup_wake(struct lookup *lookup); /* PostgreSQL or Redis is back */
void lookup_stop(struct lookup *lookup);

#endif
