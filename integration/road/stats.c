#include "stats.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t stats_percentile(const int64_t *samples, size_t n, int percent)
{
    cm_assert(percent >= 1 && percent <= 100);
    if (n == 0) {
        return -1;
    }
    int64_t *sorted = cm_calloc(n, sizeof *sorted);
    memcpy(sorted, samples, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    size_t rank = (n * (size_t)percent + 99) / 100;
    int64_t value = sorted[rank - 1];
    free(sorted);
    return value;
}
