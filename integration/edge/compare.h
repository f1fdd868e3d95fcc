/* compare: two carriers that were measured in turn, round by round. */
#ifndef EDGE_COMPARE_H
#define EDGE_COMPARE_H

#include <stddef.h>

#define COMPARE_MAX 64 /* rounds */

/* Sorts. The middle one of n; of none 0. */
double compare_median(double *values, size_t n);

struct comparison {
    double ratio;
    double error; /* with a chance of 95 % the true ratio is not farther away */
};

/* Of the n rounds' ratios a/b, at most COMPARE_MAX, the mean without the lowest and the
 * highest quarter: what hits one round alone leaves it as it is, and all that is left
 * counts. Its error is that of Tukey and McLaughlin (1963), from the winsorized
 * variance; infinite with fewer than four rounds. A round whose b is 0 counts as 0. */
struct comparison compare_rounds(const double *a, const double *b, size_t n);

#endif
