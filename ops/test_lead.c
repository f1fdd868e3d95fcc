/* Where the mail domain leads. */
#include "lead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OWN "198.51.100.11 2001:db8:1::11 203.0.113.12"

static void test_judge(void **state)
{
    const char *found[] = {"203.0.113.12", "2001:db8:1::11", "203.0.113.1"};
    char why[300] = "";

    (void)state;
    assert_true(op_lead_judge("a.example", OWN, found, 2, why, sizeof(why)));
    assert_string_equal(why, "");
    /* the beginning of one of ours is none of ours */
    assert_false(op_lead_judge("a.example", OWN, found, 3, why, sizeof(why)));
    assert_string_equal(why, "a.example leads to 203.0.113.1, which is none of " OWN);
    assert_false(op_lead_judge("www.a.example", OWN, found, 0, why, sizeof(why)));
    assert_string_equal(why, "www.a.example has no A or AAAA record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_judge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
