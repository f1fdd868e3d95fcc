#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "days.h"

static void test_once_per_address(void **state)
{
    (void)state;
    struct days *days = days_new(10);
    struct days_item items[4];
    assert_int_equal(days_oldest(days, items, 4), 0);
    days_put(days, "a@x", 1);
    days_put(days, "b@x", 2);
    days_put(days, "a@x", 3);
    assert_int_equal(days_count(days), 2);
    assert_int_equal(days_oldest(days, items, 4), 2);
    assert_string_equal(items[0].addr, "a@x");
    assert_int_equal(items[0].day, 3);
    assert_string_equal(items[1].addr, "b@x");
    days_put(days, "b@x", 9); /* while the batch is under way */
    days_written(days, items, 2);
    days_items_clear(items, 2);
    assert_int_equal(days_count(days), 1);
    assert_int_equal(days_oldest(days, items, 4), 1);
    assert_string_equal(items[0].addr, "b@x");
    assert_int_equal(items[0].day, 9);
    days_items_clear(items, 1);
    days_free(&days);
    assert_null(days);
    days_free(&days);
}

static void test_bounded(void **state)
{
    (void)state;
    struct days *days = days_new(1000);
    char addr[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(addr, sizeof(addr), "user%d@example.org", i);
        days_put(days, addr, i);
    }
    assert_int_equal(days_count(days), 1000);
    assert_int_equal(days_dropped(days), 4000);
    struct days_item items[2];
    assert_int_equal(days_oldest(days, items, 2), 2);
    assert_string_equal(items[0].addr, "user4000@example.org");
    assert_string_equal(items[1].addr, "user4001@example.org");
    days_put(days, "user4000@example.org", 7); /* known: pushes nobody out */
    assert_int_equal(days_dropped(days), 4000);
    days_put(days, "new@example.org", 7); /* pushes out what is under way */
    days_written(days, items, 2);
    days_items_clear(items, 2);
    assert_int_equal(days_count(days), 999);
    days_free(&days);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_per_address),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
