/* rows: what bench-store prints: one figure a row, against a goal or a second thing. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#define ROWS_MAX 64

struct row {
    char name[28];
    double value;
    const char *unit;          /* static */
    const char *compared_with; /* static; "" for nothing */
    double ratio;              /* 0: none */
    double error;              /* of the ratio, to each side; 0: not told */
    char goal[48];             /* "" when the row only tells */
    bool ok;
    bool open; /* not ok, but by less than the error: neither met nor missed */
};

struct rows {
    struct row items[ROWS_MAX];
    size_t count;
};

/* The row stays valid as long as rows. */
struct row *rows_add(struct rows *rows, const char *name, double value,
                     const char *unit);
/* A table of at most 95 columns, or one JSON array. Returns whether all rows are ok. */
bool rows_print(const struct rows *rows, bool json);

#endif
