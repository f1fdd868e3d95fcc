#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static void test_runs_forward(void **state)
{
    (void)state;
    int64_t before = cm_now_mono_ms();
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    int64_t after = cm_now_mono_ms();
    assert_true(after >= before + 19);
    assert_true(after < before + 10000);
}

static void test_wall_is_the_wall(void **state)
{
    (void)state;
    int64_t seconds = cm_now_wall_ms() / 1000;
    assert_in_range(seconds, time(NULL) - 2, time(NULL) + 2);
}

static void test_shift_moves_both(void **state)
{
    (void)state;
    int64_t mono = cm_now_mono_ms();
    int64_t wall = cm_now_wall_ms();
    cm_clock_shift(3600000);
    assert_in_range(cm_now_mono_ms() - mono, 3600000, 3605000);
    assert_in_range(cm_now_wall_ms() - wall, 3600000, 3605000);
    cm_clock_shift(0);
    assert_in_range(cm_now_mono_ms() - mono, 0, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_forward),
        cmocka_unit_test(test_wall_is_the_wall),
        cmocka_unit_test(test_shift_moves_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
