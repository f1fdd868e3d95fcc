#include "gcra.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S 1000000

static void a_burst_then_one_each_interval(void **state)
{
    (void)state;
    struct gcra g = gcra_of(60, 10);
    int64_t tat = 0, now = 1000 * (int64_t)S;
    for (int i = 0; i < 10; i++) {
        assert_true(gcra_take(&g, &tat, now));
    }
    assert_false(gcra_take(&g, &tat, now));
    assert_false(gcra_take(&g, &tat, now + S - 1));
    assert_true(gcra_take(&g, &tat, now + S));
    assert_false(gcra_take(&g, &tat, now + S));
    assert_true(gcra_take(&g, &tat, now + 2 * S));
    now += 3600 * (int64_t)S; /* rested: a whole burst again, no more */
    for (int i = 0; i < 10; i++) {
        assert_true(gcra_take(&g, &tat, now));
    }
    assert_false(gcra_take(&g, &tat, now));
}

static void refusals_cost_nothing(void **state)
{
    (void)state;
    struct gcra g = gcra_of(60, 1);
    int64_t tat = 0, now = 5 * S;
    assert_true(gcra_take(&g, &tat, now));
    int64_t before = tat;
    for (int i = 0; i < 100; i++) {
        assert_false(gcra_take(&g, &tat, now + i));
    }
    assert_int_equal(tat, before);
    assert_true(gcra_take(&g, &tat, now + S));
}

static void an_hour_lets_through_what_it_says(void **state)
{
    (void)state;
    struct gcra g = gcra_of(6, 3);
    int64_t tat = 0;
    unsigned through = 0;
    for (int64_t now = S; now < 3601 * (int64_t)S; now += S / 10) {
        through += gcra_take(&g, &tat, now);
    }
    assert_in_range(through, 362, 363);
}

/* A state from slower settings, or from before the clock was set back. */
static void a_state_far_ahead_costs_one_interval(void **state)
{
    (void)state;
    struct gcra slow = gcra_of(1, 1), quick = gcra_of(60000, 10);
    int64_t tat = 0, now = 100 * (int64_t)S;
    assert_true(gcra_take(&slow, &tat, now)); /* a minute ahead */
    assert_false(gcra_take(&quick, &tat, now));
    assert_true(gcra_take(&quick, &tat, now + 1000));
    assert_false(gcra_take(&quick, &tat, now + 1000));
}

static void odd_settings_do_not_overflow(void **state)
{
    (void)state;
    struct gcra g = gcra_of(0, INT64_MAX);
    int64_t tat = 0;
    assert_true(gcra_take(&g, &tat, INT64_MAX / 4));
    g = gcra_of(INT64_MAX, 0);
    tat = 0;
    assert_true(gcra_take(&g, &tat, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_one_each_interval),
        cmocka_unit_test(refusals_cost_nothing),
        cmocka_unit_test(an_hour_lets_through_what_it_says),
        cmocka_unit_test(a_state_far_ahead_costs_one_interval),
        cmocka_unit_test(odd_settings_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
