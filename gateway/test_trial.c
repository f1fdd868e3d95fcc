#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "trial.h"

static void heard_in_time(void **unused)
{
    (void)unused;
    struct gw_trial t = {0};
    gw_trial_begin(&t, false, 1000);
    /* An answer to a question from before does not show anything. */
    assert_false(gw_trial_heard(&t, 1100));
    gw_trial_applied(&t, true, 1200);
    assert_false(gw_trial_lost(&t, 1200 + GW_TRIAL_MS - 1));
    assert_true(gw_trial_heard(&t, 1500));
    /* From now on the store may be away for as long as it likes. */
    assert_false(gw_trial_lost(&t, 1500 + 100 * (int64_t)GW_TRIAL_MS));
    assert_false(gw_trial_heard(&t, 1600));
}

static void cut_off(void **unused)
{
    (void)unused;
    struct gw_trial t = {0};
    gw_trial_begin(&t, false, 0);
    gw_trial_applied(&t, true, 5000);
    assert_false(gw_trial_lost(&t, GW_TRIAL_MS));
    assert_true(gw_trial_lost(&t, 5000 + GW_TRIAL_MS));
    gw_trial_revert(&t, 40000);
    /* Once: the former one is not on trial. */
    assert_false(gw_trial_lost(&t, 40000 + 10 * (int64_t)GW_TRIAL_MS));
    assert_int_equal(gw_trial_barred(&t, 40000), GW_BARRED_MS);
    assert_int_equal(gw_trial_barred(&t, 40000 + GW_BARRED_MS), 0);
}

/* What cannot be applied and silences the store all the same. */
static void never_in_force(void **unused)
{
    (void)unused;
    struct gw_trial t = {0};
    gw_trial_begin(&t, false, 0);
    gw_trial_applied(&t, false, 1000);
    assert_false(gw_trial_heard(&t, 2000));
    assert_false(gw_trial_lost(&t, 2000 + GW_TRIAL_MS - 1));
    assert_true(gw_trial_lost(&t, 2000 + GW_TRIAL_MS));
}

static void backs_off(void **unused)
{
    (void)unused;
    struct gw_trial t = {0};
    int64_t now = 0, want = GW_BARRED_MS;
    for (int i = 0; i < 8; i++) {
        gw_trial_begin(&t, i > 0, now);
        gw_trial_applied(&t, true, now);
        gw_trial_revert(&t, now += GW_TRIAL_MS);
        assert_int_equal(gw_trial_barred(&t, now), want);
        want = want < GW_BARRED_MAX_MS ? want * 2 : want;
    }
    /* Another document starts from the beginning. */
    gw_trial_begin(&t, false, now);
    gw_trial_revert(&t, now);
    assert_int_equal(gw_trial_barred(&t, now), GW_BARRED_MS);
    /* And one that does well forgets. */
    gw_trial_begin(&t, true, now);
    gw_trial_applied(&t, true, now);
    assert_true(gw_trial_heard(&t, now));
    assert_int_equal(t.times, 0);
}

static void other_way(void **unused)
{
    (void)unused;
    static struct px_state a = {
        .bus_port = 4710,
        .gateway_count = 2,
        .gateways = {{.name = "edge1", .number = 1, .wg_port = 51820},
                     {.name = "edge2", .number = 2, .wg_port = 51820}}};
    static struct px_state b;
    b = a;
    b.gateways[1].wg_port = 443;
    b.gateways[0].mode = CM_MODE_DRAIN;
    assert_false(gw_trial_other_way(&a, &b, "edge1"));
    assert_true(gw_trial_other_way(&a, &b, "edge2"));
    b = a;
    b.bus_port = 4720;
    assert_true(gw_trial_other_way(&a, &b, "edge1"));
    b = a;
    strcpy(b.store_wg_public_key, "other");
    assert_true(gw_trial_other_way(&a, &b, "edge1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heard_in_time),  cmocka_unit_test(cut_off),
        cmocka_unit_test(never_in_force), cmocka_unit_test(backs_off),
        cmocka_unit_test(other_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
