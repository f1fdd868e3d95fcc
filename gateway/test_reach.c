#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "reach.h"

static void comes_and_goes(void **unused)
{
    (void)unused;
    struct gw_reach r = {0};
    assert_false(gw_reach_measure(&r, 100, 1000));
    assert_false(gw_reach_measure(&r, 100, 1000 + GW_GONE_MS - 1));
    assert_false(r.gone);
    assert_true(gw_reach_measure(&r, 100, 1000 + GW_GONE_MS));
    assert_true(r.gone);
    assert_false(gw_reach_measure(&r, 100, 60000));
    assert_true(gw_reach_measure(&r, 101, 61000));
    assert_false(r.gone);
}

/* wireguard-go killed and started anew. */
static void counter_begins_anew(void **unused)
{
    (void)unused;
    struct gw_reach r = {0};
    assert_false(gw_reach_measure(&r, 5000, 1000));
    assert_false(gw_reach_measure(&r, -1, 2000));
    assert_false(gw_reach_measure(&r, 0, 3000)); /* more than "no tunnel" */
    assert_false(gw_reach_measure(&r, 148, 4000));
    assert_false(gw_reach_measure(&r, 148, 4000 + GW_GONE_MS - 1));
    assert_true(gw_reach_measure(&r, 0, 4000 + GW_GONE_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_and_goes),
        cmocka_unit_test(counter_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
