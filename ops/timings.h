/* timings: durations of one thing done several times, and what they come to. */
#ifndef OP_TIMINGS_H
#define OP_TIMINGS_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/err.h"

#define OP_TIMINGS_MAX 400

struct op_timings {
    int64_t us[OP_TIMINGS_MAX];
    size_t count;
};

/* More than OP_TIMINGS_MAX are dropped. */
void op_timings_add(struct op_timings *t, int64_t us);
void op_timings_sort(struct op_timings *t);
/* Of sorted ones, at least one: the value at index count * percent / 100, as upstream
 * takes the median; 100 is the last. Milliseconds. */
double op_timings_at(const struct op_timings *t, int percent);
/* {"n", "min", "median", "p90", "p99", "max"}, milliseconds. New reference. */
json_t *op_timings_json(const struct op_timings *t);

/* now divided by what the baseline has there, for example under "timings", NAME and
 * "median"; 0 when it has none. base may be NULL. */
double op_timings_ratio(const json_t *base, const char *part, const char *name,
                        const char *key, double now);
/* A file that --save wrote. New reference; NULL with err (REFUSE: no such file). */
json_t *op_baseline_read(const char *path, struct cm_err *err);

#endif
