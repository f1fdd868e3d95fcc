/* pick: the figures that are kept, out of the text of /metrics. Pure.
 *
 * A table says which families, which label tells series apart, and whether the figure
 * is the value or its growth per second. Growth needs two texts; a counter that went
 * back (a restart) gives none that once. Bounds: PICK_MAX series. */
#ifndef MONITOR_PICK_H
#define MONITOR_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

#define PICK_MAX 96

struct pick {
    struct ring_sample last[PICK_MAX]; /* counters as they were, value and name */
    size_t last_count;
    int64_t last_ms; /* when; 0: never */
};

/* Reads a text taken at that time (monotonic). Series are named "PLOT" or
 * "PLOT:LABEL", as plots.c has them. Returns how many there are. */
size_t pick_take(struct pick *pick, const char *text, int64_t now_ms,
                 struct ring_sample out[PICK_MAX]);

/* The value of a sample line "NAME{...label="..."...} VALUE" of that family; label
 * NULL: none is looked at. Calls for each. */
typedef void (*pick_cb)(const char *label, double value, void *ctx);
void pick_each(const char *text, const char *family, const char *label, pick_cb cb,
               void *ctx);

#endif
