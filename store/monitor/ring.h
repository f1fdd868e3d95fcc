/* ring: what was measured over the last day and month, in one file of fixed size.
 *
 * Two tiers: a row for each minute of RING_DAY, and for each hour of RING_MONTH, which
 * is the mean of its minutes. A row has one figure for each series. Series are known by
 * name; one that has no figure left in any row gives its place to a new one, and when
 * all places are taken a new one is not kept. The file is of this machine's byte order;
 * one that is not as this program would write it is started anew. A crash loses at most
 * the row that was being written. */
#ifndef MONITOR_RING_H
#define MONITOR_RING_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define RING_SERIES  96
#define RING_NAME    64 /* with its NUL */
#define RING_DAY     1440
#define RING_DAY_S   60
#define RING_MONTH   744
#define RING_MONTH_S 3600
#define RING_POINTS  RING_DAY /* the longer one */

enum ring_tier { RING_TIER_DAY, RING_TIER_MONTH };

struct ring_sample {
    char name[RING_NAME];
    double value;
};

struct ring;

/* Never fails: what cannot be read is started anew, and err says why (text "" when
 * nothing is wrong). path NULL: in memory only. */
struct ring *ring_open(const char *path, struct cm_err *err);
void ring_close(struct ring **ring);

/* Adds samples taken at that Unix time. Several within a minute: their mean. A time
 * before the newest row is left out. -1: not written to the file; it is kept in memory.
 */
CM_MUSTUSE int ring_add(struct ring *ring, int64_t now_s,
                        const struct ring_sample *samples, size_t count,
                        struct cm_err *err);

/* The points of a series up to that time, the oldest first, NAN where there is none.
 * Returns their number, RING_DAY or RING_MONTH; 0: no such series. out: RING_POINTS. */
size_t ring_read(const struct ring *ring, const char *name, enum ring_tier tier,
                 int64_t now_s, float out[RING_POINTS]);
/* Names that begin so, sorted; at most max. Returns their number. */
size_t ring_names(const struct ring *ring, const char *prefix,
                  const char *names[RING_SERIES], size_t max);

#endif
