/* options: what demo-road and bench-road have in common. */
#ifndef ROAD_OPTIONS_H
#define ROAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "road.h"

struct options {
    struct road_options road;
    bool json;
};

/* -1 after printing the usage. */
CM_MUSTUSE int options_parse(int argc, char **argv, size_t messages,
                             struct options *options_r);
/* Measures; progress goes to stderr. -1 after printing the error. */
CM_MUSTUSE int options_measure(const struct options *options, struct road **road_r);
void options_free(struct road **road);

#endif
