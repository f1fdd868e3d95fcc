/* netlimit_local: the counts of netlimit while Redis is away. Private to common/.
 *
 * A table of NETLIMIT_LOCAL_MAX names; when it is full the one that was used longest
 * ago goes, so a gateway, used by each event, stays. */
#ifndef CM_NETLIMIT_LOCAL_H
#define CM_NETLIMIT_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#define NETLIMIT_LOCAL_MAX 1024
#define NETLIMIT_SLOTS     60 /* minutes: an event counts for 59 to 60 of them */
#define NETLIMIT_SLOT_S    60

struct netlimit_local;

struct netlimit_local *netlimit_local_new(void);
void netlimit_local_free(struct netlimit_local **local);

/* Has `name` (a number that stands for it) room for one event below max at now_s?
 * False: *retry_after_s says when. */
bool netlimit_local_room(struct netlimit_local *local, uint64_t name, int64_t max,
                         int64_t now_s, int64_t *retry_after_s);
void netlimit_local_add(struct netlimit_local *local, uint64_t name, int64_t now_s);

#endif
