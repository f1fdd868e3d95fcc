#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vanish.h"

static struct px_state state;
static struct health health;
static struct vanish vanish;
static struct px_tunnel_facts tunnel[CM_GATEWAYS_MAX + 1];
static int woke[CM_GATEWAYS_MAX + 1], forgot[CM_GATEWAYS_MAX + 1];
static int64_t now;

static const struct px_tunnel_facts *facts(int number, void *ctx)
{
    (void)ctx;
    return &tunnel[number];
}

static void on_deed(int number, enum vanish_deed deed, void *ctx)
{
    (void)ctx;
    (deed == VANISH_WAKE ? woke : forgot)[number]++;
}

static int begin(void **unused)
{
    (void)unused;
    state = (struct px_state){
        .gateway_count = 2,
        .gateways = {{.name = "edge1", .number = 1}, {.name = "edge2", .number = 2}}};
    health_init(&health);
    vanish_init(&vanish);
    for (int n = 0; n < 3; n++) {
        woke[n] = forgot[n] = 0;
        tunnel[n].rx_bytes = 1000;
    }
    now = 100000;
    return 0;
}

/* Half seconds in which these report and those carry something. */
static void pass(int64_t ms, bool report1, bool report2, bool carries1, bool carries2)
{
    bool report[] = {false, report1, report2}, carries[] = {false, carries1, carries2};
    for (int64_t end = now + ms; now < end; now += 500) {
        for (int n = 1; n <= 2; n++) {
            if (report[n]) {
                health.rows[n].report_ms = now;
            }
            health.rows[n].up = health.rows[n].report_ms >= 0 &&
                                now - health.rows[n].report_ms <= HEALTH_SILENCE_MS;
            tunnel[n].rx_bytes += carries[n] ? 100 : 0;
        }
        vanish_judge(&vanish, &health, &state, 100000, facts, on_deed, NULL, now);
    }
}

static void wakes_once_then_forgets(void **unused)
{
    (void)unused;
    pass(20000, true, true, true, true);
    pass(VANISH_WAKE_MS - 500, false, true, false, true);
    assert_int_equal(woke[1], 0);
    pass(1500, false, true, false, true);
    assert_int_equal(woke[1], 1);
    assert_int_equal(forgot[1], 0);
    pass(VANISH_FORGET_MS, false, true, false, true);
    assert_int_equal(forgot[1], 1);
    pass(600000, false, true, false, true);
    assert_int_equal(woke[1], 1);
    assert_int_equal(forgot[1], 1);
    assert_int_equal(woke[2] + forgot[2], 0);
    /* Up again, and gone again. */
    pass(20000, true, true, true, true);
    pass(60000, false, true, false, true);
    assert_int_equal(woke[1], 2);
    assert_int_equal(forgot[1], 2);
}

static void not_again_at_once(void **unused)
{
    (void)unused;
    pass(20000, true, true, true, true);
    for (int i = 0; i < 4; i++) {
        pass(60000, false, true, false, true);
        pass(10000, true, true, true, true);
    }
    assert_int_equal(woke[1], 1);
    assert_int_equal(forgot[1], 4);
}

/* Its agent is down, its kernel forwards. */
static void a_tunnel_that_carries_has_not_vanished(void **unused)
{
    (void)unused;
    pass(20000, true, true, true, true);
    pass(300000, false, true, true, true);
    assert_int_equal(woke[1] + forgot[1], 0);
}

/* A handshake begun anew in vain: the counter jumps back, again and again. */
static void a_counter_that_starts_anew_is_no_life(void **unused)
{
    (void)unused;
    pass(20000, true, true, true, true);
    for (int i = 0; i < 10; i++) {
        tunnel[1].rx_bytes = 0;
        pass(6000, false, true, false, true);
    }
    assert_int_equal(woke[1], 1);
    assert_int_equal(forgot[1], 1);
}

static void our_own_line_is_no_gateway(void **unused)
{
    (void)unused;
    pass(20000, true, true, true, true);
    pass(600000, false, false, false, false);
    assert_int_equal(woke[1] + woke[2] + forgot[1] + forgot[2], 0);
    /* One is back some seconds before the other. */
    pass(VANISH_WITNESS_MS - 1000, false, true, false, true);
    pass(60000, true, true, true, true);
    assert_int_equal(woke[1] + woke[2] + forgot[1] + forgot[2], 0);
    /* Or the other one never comes back. */
    pass(600000, false, false, false, false);
    pass(VANISH_WITNESS_MS + 3000, false, true, false, true);
    assert_int_equal(woke[1], 1);
    assert_int_equal(forgot[1], 1);
}

static void nobody_woken_does_not_count(void **unused)
{
    (void)unused;
    pass(20000, true, true, true, true);
    pass(15000, false, true, false, true);
    assert_int_equal(woke[1], 1);
    vanish_woke_nobody(&vanish, 1);
    pass(20000, true, true, true, true);
    pass(15000, false, true, false, true);
    assert_int_equal(woke[1], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nobody_woken_does_not_count, begin),
        cmocka_unit_test_setup(wakes_once_then_forgets, begin),
        cmocka_unit_test_setup(not_again_at_once, begin),
        cmocka_unit_test_setup(a_tunnel_that_carries_has_not_vanished, begin),
        cmocka_unit_test_setup(a_counter_that_starts_anew_is_no_life, begin),
        cmocka_unit_test_setup(our_own_line_is_no_gateway, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
