#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_fresh_is_an_empty_string(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 10);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    cm_buf_reset(&b);
    cm_buf_add(&b, NULL, 0);
    cm_buf_consume(&b, 0);
    char *s = cm_buf_steal(&b);
    assert_string_equal(s, "");
    free(s);
    cm_buf_clear(&b);
    cm_buf_clear(&b);
}

static void test_appends(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 1000);
    cm_buf_str(&b, "one");
    cm_buf_add(&b, "\0two", 4);
    cm_buf_fmt(&b, " %d", 3);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "one\0two 3", 10);
    cm_buf_consume(&b, 4);
    assert_string_equal(b.data, "two 3");
    cm_buf_consume(&b, 5);
    assert_string_equal(b.data, "");
    cm_buf_clear(&b);
}

static void test_grows_to_its_maximum_exactly(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++) {
        cm_buf_add(&b, "x", 1);
    }
    assert_false(b.overflow);
    assert_int_equal(b.len, 1000);
    assert_int_equal(strlen(b.data), 1000);
    cm_buf_add(&b, "y", 1);
    assert_true(b.overflow);
    assert_int_equal(b.len, 1000);
    cm_buf_reset(&b);
    assert_false(b.overflow);
    assert_string_equal(b.data, "");
    cm_buf_clear(&b);
}

static void test_overflow_adds_nothing(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 4);
    cm_buf_str(&b, "abc");
    cm_buf_fmt(&b, "%s", "de");
    assert_true(b.overflow);
    assert_string_equal(b.data, "abc");
    cm_buf_str(&b, "d");
    assert_string_equal(b.data, "abcd");
    assert_true(b.overflow);
    cm_buf_clear(&b);
}

static void test_steal_leaves_a_usable_buffer(void **state)
{
    (void)state;
    struct cm_buf b;
    cm_buf_init(&b, 8);
    cm_buf_str(&b, "abc");
    char *s = cm_buf_steal(&b);
    assert_string_equal(s, "abc");
    assert_string_equal(b.data, "");
    cm_buf_str(&b, "12345678");
    assert_string_equal(b.data, "12345678");
    free(s);
    cm_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fresh_is_an_empty_string),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_grows_to_its_maximum_exactly),
        cmocka_unit_test(test_overflow_adds_nothing),
        cmocka_unit_test(test_steal_leaves_a_usable_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
