#include "compare.h"

#include <math.h>
#include <stdlib.h>

#include "common/err.h"

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double compare_median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_size);
    return n == 0       ? 0
           : n % 2 == 1 ? values[n / 2]
                        : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Student's t for 95 %, within 0.01 from seven degrees of freedom on. */
static double student(size_t degrees)
{
    return 1.96 + 2.85 / (double)degrees;
}

/* Of sorted values, the outer `cut` at each end taken for their inner neighbour. */
static double winsorized_variance(const double *values, size_t n, size_t cut)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        size_t at = i < cut ? cut : i >= n - cut ? n - cut - 1 : i;
        sum += values[at];
        squares += values[at] * values[at];
    }
    double mean = sum / (double)n;
    double variance = (squares - mean * sum) / (double)(n - 1);
    return variance > 0 ? variance : 0;
}

struct comparison compare_rounds(const double *a, const double *b, size_t n)
{
    struct comparison out = {0, INFINITY};
    double ratios[COMPARE_MAX], sum = 0;
    size_t cut = n / 4, left = n - 2 * cut;

    cm_assert(n <= COMPARE_MAX);
    for (size_t i = 0; i < n; i++) {
        ratios[i] = b[i] > 0 ? a[i] / b[i] : 0;
    }
    qsort(ratios, n, sizeof(*ratios), by_size);
    for (size_t i = cut; i < n - cut; i++) {
        sum += ratios[i];
    }
    out.ratio = n > 0 ? sum / (double)left : 0;
    if (n >= 4) {
        double share = (double)left / (double)n;
        out.error = student(left - 1) * sqrt(winsorized_variance(ratios, n, cut)) /
                    (share * sqrt((double)n));
    }
    return out;
}
