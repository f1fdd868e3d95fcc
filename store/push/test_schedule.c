/* When it is tried again, and how a notification is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "item.h"
#include "schedule.h"

#define S     INT64_C(1000000)
#define START (INT64_C(1795305600) * S)

static void test_delays(void **state)
{
    (void)state;
    static const int64_t delays[] = {8, 64, 512, 4096};
    int64_t now = START, due;
    for (unsigned tries = 1; tries <= 4; tries++) {
        int64_t delay = delays[tries - 1] * S;
        assert_true(schedule_next(SCHEDULE_BASE_MS, START, now, tries, 0, &due));
        assert_int_equal(due, now + delay);
        for (uint32_t random = 1; random < 1u << 31; random = random * 3 + 1) {
            assert_true(
                schedule_next(SCHEDULE_BASE_MS, START, now, tries, random, &due));
            assert_in_range(due, now + delay, now + delay + delay / 32);
        }
        now += delay + 60 * S; /* each try hangs for its limit */
    }
    assert_false(schedule_next(SCHEDULE_BASE_MS, START, now, 5, 0, &due));
}

static void test_deadline(void **state)
{
    (void)state;
    int64_t due = -1, last = START + 18000 * S - 4096 * S;
    assert_true(schedule_next(SCHEDULE_BASE_MS, START, last, 4, 0, &due));
    assert_int_equal(due, START + 18000 * S);
    due = -1;
    assert_false(schedule_next(SCHEDULE_BASE_MS, START, last + 1, 4, 0, &due));
    assert_int_equal(due, -1);
    assert_true(schedule_next(SCHEDULE_BASE_MS, START, START + 17992 * S, 1, 0, &due));
    assert_false(schedule_next(SCHEDULE_BASE_MS, START, START + 17993 * S, 1, 0, &due));
    /* A start that the clock was set back behind. */
    assert_true(schedule_next(SCHEDULE_BASE_MS, START, START - 3600 * S, 1, 0, &due));
}

static void test_longest(void **state)
{
    (void)state;
    int64_t due, longest = schedule_longest_us(SCHEDULE_BASE_MS);
    assert_int_equal(longest, 4096 * S + 128 * S);
    assert_true(schedule_next(SCHEDULE_BASE_MS, START, START, 4, 128 * S, &due));
    assert_int_equal(due, START + longest);
    assert_int_equal(schedule_longest_us(1), 512 * 1000 + 16 * 1000);
}

static void test_item(void **state)
{
    (void)state;
    char a[ITEM_KEY_LEN + 1], b[ITEM_KEY_LEN + 1];
    item_key("a@x", "token", 5, a);
    assert_int_equal(strlen(a), ITEM_KEY_LEN);
    item_key("a@x", "token", 5, b);
    assert_string_equal(a, b);
    item_key("a@x", "token", 4, b);
    assert_string_not_equal(a, b);
    item_key("a@", "xtoken", 6, b); /* where the address ends counts */
    assert_string_not_equal(a, b);
    /* printf 'a@x\0token' | sha256sum */
    assert_string_equal(a, "688ce8be47f67c573e596433b2660198");

    struct item *item = item_new("a@x", "to\0en", 5);
    assert_string_equal(item->addr, "a@x");
    assert_int_equal(item->len, 5);
    assert_memory_equal(item->token, "to\0en", 6);
    assert_int_equal(item->tries, 0);
    item_free(&item);
    assert_null(item);
    item_free(&item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
