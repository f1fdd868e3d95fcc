/* bench: the parts of bench-store. A part measures on this machine, without the lab,
 * and adds its rows. To add one: a file with its function, a line in the table of
 * main.c, and in CMakeLists.txt what it starts. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "common/err.h"

#include "rows.h"

/* The same rows from less or more work: quick is for tests of the bench itself, the
 * default for a look (some minutes for all), full is what the goals are about. */
enum bench_size { BENCH_QUICK, BENCH_DEFAULT, BENCH_FULL };

struct bench {
    const char *name;
    /* -1 when it could not measure. */
    int (*run)(enum bench_size size, struct rows *rows, struct cm_err *err);
    const char *what;
};

int bench_auth(enum bench_size size, struct rows *rows, struct cm_err *err);
int bench_create(enum bench_size size, struct rows *rows, struct cm_err *err);
int bench_expire(enum bench_size size, struct rows *rows, struct cm_err *err);
int bench_idle(enum bench_size size, struct rows *rows, struct cm_err *err);
int bench_memory(enum bench_size size, struct rows *rows, struct cm_err *err);
int bench_push(enum bench_size size, struct rows *rows, struct cm_err *err);

#endif
