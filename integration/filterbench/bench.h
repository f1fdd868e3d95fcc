/* bench: the parts of bench-filter, each of which measures and adds its rows. */
#ifndef FILTERBENCH_BENCH_H
#define FILTERBENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "benchrows/rows.h"
#include "common/err.h"

#define BENCH_PARALLEL 50
#define BENCH_LARGE    30000000 /* bytes of a large message */

/* -1 when it could not measure. quick: the same rows from a tenth of the work. */
int bench_verdict(bool quick, struct rows *rows, struct cm_err *err); /* pure */
int bench_daemon(bool quick, struct rows *rows, struct cm_err *err);  /* over milter */
int bench_postfix(bool quick, struct rows *rows, struct cm_err *err); /* in the lab */

/* A letter of any size without holding it: what stands before and behind its armour,
 * and a block of armour between, a whole number of lines, to be repeated. */
struct letter_plan {
    char *head; /* header, parts, BEGIN line, session keys, SEIPD's length */
    char *tail;
    const char *block;
    size_t block_len, blocks;
    size_t bytes; /* in all */
};

/* About `bytes` bytes. */
void plan_letter(struct letter_plan *plan, const char *from, const char *to,
                 size_t bytes);
void plan_clear(struct letter_plan *plan);

double bench_now(void); /* seconds, monotonic */
double bench_cpu(void); /* seconds of one core that this process has used */

#endif
