#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "reach.h"

static void comes_and_goes(void **unused)
{
    (void)unused;
    struct gw_reach r = {0};
    assert_false(gw_reach_measure(&r, 100, -1, 1000));
    assert_false(gw_reach_measure(&r, 100, -1, 1000 + GW_GONE_MS - 1));
    assert_false(r.gone);
    assert_true(gw_reach_measure(&r, 100, -1, 1000 + GW_GONE_MS));
    assert_true(r.gone);
    assert_false(gw_reach_measure(&r, 100, -1, 60000));
    assert_true(gw_reach_measure(&r, 101, -1, 61000));
    assert_false(r.gone);
}

/* wireguard-go killed and started anew. */
static void counter_begins_anew(void **unused)
{
    (void)unused;
    struct gw_reach r = {0};
    assert_false(gw_reach_measure(&r, 5000, -1, 1000));
    assert_false(gw_reach_measure(&r, -1, -1, 2000));
    assert_false(gw_reach_measure(&r, 0, -1, 3000)); /* more than "no tunnel" */
    assert_false(gw_reach_measure(&r, 148, -1, 4000));
    assert_false(gw_reach_measure(&r, 148, -1, 4000 + GW_GONE_MS - 1));
    assert_true(gw_reach_measure(&r, 0, -1, 4000 + GW_GONE_MS));
}

/* Only the way out is cut: the store goes on saying everything again. */
static void one_way(void **unused)
{
    (void)unused;
    struct gw_reach r = {0};
    assert_false(gw_reach_measure(&r, 100, 900, 1000));
    assert_false(gw_reach_measure(&r, 200, 900, 900 + GW_UNANSWERED_MS - 1));
    assert_true(gw_reach_measure(&r, 300, 900, 900 + GW_UNANSWERED_MS));
    assert_true(r.gone);
    assert_false(gw_reach_measure(&r, 400, 900, 9000));
    assert_true(gw_reach_measure(&r, 500, 9900, 10000));
    assert_false(r.gone);
    /* And the way in: answered before, and nothing since. */
    assert_true(gw_reach_measure(&r, 500, 9900, 10000 + GW_GONE_MS));
    assert_true(r.gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_and_goes),
        cmocka_unit_test(counter_begins_anew),
        cmocka_unit_test(one_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
