#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <math.h>
#include <stdint.h>

#include <cmocka.h>

#include "compare.h"

static void equal_ones_are_known_exactly(void **unused)
{
    (void)unused;
    double a[16], b[16];

    for (int i = 0; i < 16; i++) {
        a[i] = 9.7 * (i + 1);
        b[i] = 10.0 * (i + 1);
    }
    struct comparison c = compare_rounds(a, b, 16);
    assert_float_equal(c.ratio, 0.97, 1e-9);
    assert_float_equal(c.error, 0, 1e-6);
}

/* Up to a quarter of the rounds at each end may be what it likes. */
static void what_hits_single_rounds_is_left_out(void **unused)
{
    (void)unused;
    double a[16], b[16];

    for (int i = 0; i < 16; i++) {
        a[i] = i < 4 ? 0.01 : i >= 12 ? 1000 : 1;
        b[i] = 1;
    }
    b[15] = 0; /* the other one failed */
    a[14] = 1;
    struct comparison c = compare_rounds(a, b, 16);
    assert_true(c.ratio < 1.001 && c.ratio > 0.7);
    b[15] = 1;
    c = compare_rounds(a, b, 16);
    assert_float_equal(c.ratio, 1, 1e-9);
}

static void few_rounds_say_nothing(void **unused)
{
    (void)unused;
    double a[3] = {1, 2, 3}, b[3] = {2, 4, 6};

    struct comparison c = compare_rounds(a, b, 3);
    assert_float_equal(c.ratio, 0.5, 1e-9);
    assert_true(isinf(c.error));
    assert_float_equal(compare_rounds(a, b, 0).ratio, 0, 1e-9);
    assert_float_equal(compare_median(a, 3), 2, 1e-9);
    assert_float_equal(compare_median(a, 2), 1.5, 1e-9);
    assert_float_equal(compare_median(a, 0), 0, 1e-9);
}

static double noise(uint64_t *seed)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sum += (double)(*seed >> 11) / (double)(UINT64_C(1) << 53);
    }
    return sum - 6;
}

/* With noise of a tenth the true ratio lies within the error in 95 of 100 benches. */
static void error_is_as_wide_as_it_says(void **unused)
{
    (void)unused;
    uint64_t seed = 7;
    int within = 0;
    double widest = 0;

    for (int bench = 0; bench < 4000; bench++) {
        double a[24], b[24];
        for (int i = 0; i < 24; i++) {
            a[i] = 0.95 * (1 + 0.1 * noise(&seed));
            b[i] = 1;
        }
        struct comparison c = compare_rounds(a, b, 24);
        within += fabs(c.ratio - 0.95) <= c.error;
        widest = c.error > widest ? c.error : widest;
    }
    assert_true(within > 4000 * 93 / 100 && within < 4000 * 97 / 100);
    assert_true(widest < 0.12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_ones_are_known_exactly),
        cmocka_unit_test(what_hits_single_rounds_is_left_out),
        cmocka_unit_test(few_rounds_say_nothing),
        cmocka_unit_test(error_is_as_wide_as_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
