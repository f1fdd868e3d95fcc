/* bench: the parts of bench-store. A part measures on this machine, without the lab,
 * and adds its rows. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>

#include "common/err.h"

#include "rows.h"

struct bench {
    const char *name;
    /* quick: the same rows from a tenth of the work or less. -1 when it could not
     * measure. */
    int (*run)(bool quick, struct rows *rows, struct cm_err *err);
};

int bench_expire(bool quick, struct rows *rows, struct cm_err *err);

#endif
