/* stats: order statistics of a handful of samples. */
#ifndef ROAD_STATS_H
#define ROAD_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Nearest-rank percentile, percent 1..100; -1 without samples. The samples are not
 * moved. */
int64_t stats_percentile(const int64_t *samples, size_t n, int percent);

#endif
