/* report: struct road as the table of ./demo, as JSON, and as bench rows. Pure. */
#ifndef ROAD_REPORT_H
#define ROAD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "road.h"

/* At most 80 columns. */
void report_table(FILE *out, const struct road *road,
                  const struct road_options *options);
/* One object, one line. */
void report_json(FILE *out, const struct road *road,
                 const struct road_options *options);

/* {name, value, unit, compared_with, ratio, goal, ok}, one row per figure. Returns
 * whether all rows are ok. */
bool report_bench(FILE *out, const struct road *road,
                  const struct road_options *options, bool json);

#endif
