#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "room.h"

#define MAX 10000

static bool take(struct gw_room *r, int64_t used, int64_t dropped, int64_t forgotten)
{
    struct gw_room_sight s = {used, MAX, dropped, forgotten, false};
    return gw_room_take(r, &s);
}

static void full_is_what_drops(void **unused)
{
    (void)unused;
    struct gw_room r = {0};
    assert_false(take(&r, MAX, 500, 0)); /* of before our start, perhaps */
    assert_false(take(&r, MAX, 500, 0)); /* at the brim, and nobody came */
    assert_true(take(&r, MAX, 501, 0));
    assert_true(r.full);
    assert_false(take(&r, MAX, 501, 0)); /* nobody is let that far any more */
    assert_false(take(&r, MAX * 92 / 100, 501, 0));
    assert_true(r.full);
    assert_true(take(&r, MAX * 89 / 100, 501, 0));
    assert_false(r.full);
    assert_false(take(&r, MAX * 92 / 100, 502, 0)); /* for another reason */
}

/* A flood that nobody answers fills the table and takes nobody's place. */
static void flood_without_answer(void **unused)
{
    (void)unused;
    struct gw_room r = {0};
    assert_false(take(&r, MAX, 0, 0));
    assert_false(take(&r, MAX, 3, 9000));
    assert_false(take(&r, MAX, 6, 18000));
    assert_false(r.full);
    /* Full in truth, and then such a flood on top: the kernel makes room for itself. */
    assert_true(take(&r, MAX, 500, 18000));
    assert_true(r.full);
    assert_true(take(&r, MAX, 501, 19000));
    assert_false(r.full);
}

static void unknown_is_not_full(void **unused)
{
    (void)unused;
    struct gw_room r = {0};
    assert_false(take(&r, MAX, 0, 0));
    assert_true(take(&r, MAX, 9, 0));
    assert_true(take(&r, -1, -1, -1));
    assert_false(r.full);
    assert_false(take(&r, MAX, 20, 0)); /* the first sight again */
    assert_true(take(&r, MAX, 21, 0));
}

static void others_make_it_grow(void **unused)
{
    (void)unused;
    struct gw_room r = {0};
    (void)take(&r, 500, 0, 0);
    (void)take(&r, 500, 0, 0);
    (void)take(&r, 300, 0, 0);
    assert_false(r.tracks);
    (void)take(&r, 301, 0, 0);
    assert_true(r.tracks);
    /* Rules that came and went with every look would forget whom they know. */
    for (int i = 0; i < GW_ROOM_QUIET - 1; i++) {
        (void)take(&r, 100, 0, 0);
        assert_true(r.tracks);
    }
    (void)take(&r, 101, 0, 0);
    for (int i = 0; i < GW_ROOM_QUIET; i++) {
        assert_true(r.tracks);
        (void)take(&r, 100, 0, 0);
    }
    assert_false(r.tracks);
}

/* The kernel goes on tracking for a moment when our rules no longer ask for it. What it
 * puts into the table then is ours, too. */
static void our_own_rules_linger(void **unused)
{
    (void)unused;
    struct gw_room r = {0};
    struct gw_room_sight ours = {500, MAX, 0, 0, true};
    (void)gw_room_take(&r, &ours);
    assert_true(r.tracks);
    ours.used = 900;
    (void)gw_room_take(&r, &ours);
    for (int i = 1; i < GW_ROOM_SETTLES; i++) {
        (void)take(&r, 900 + i, 0, 0);
        assert_true(r.tracks);
    }
    (void)take(&r, 910, 0, 0);
    assert_false(r.tracks);
    (void)take(&r, 910, 0, 0);
    assert_false(r.tracks);
    (void)take(&r, 911, 0, 0);
    assert_true(r.tracks);
}

/* Else a restart of the agent would change rules that serve people. */
static void a_restart_goes_on_where_it_was(void **unused)
{
    (void)unused;
    struct gw_room r = {0};
    gw_room_found(&r);
    for (int i = 1; i < GW_ROOM_QUIET; i++) {
        (void)take(&r, 100, 0, 0);
        assert_true(r.tracks);
    }
    (void)take(&r, 100, 0, 0);
    assert_false(r.tracks);
}

static void counters_are_found_by_name(void **unused)
{
    (void)unused;
    char text[] =
        "entries  clashres found new invalid ignore delete chainlength insert "
        "insert_failed drop early_drop icmp_error  expect_new\n"
        "00000007  00000000 00000000 00000000 00000000 00000000 00000000 "
        "00000000 00000000 00000000 0000000a 00000010 00000000  00000000\n"
        "00000007  00000000 00000000 00000000 00000000 00000000 00000000 "
        "00000000 00000000 00000000 00000001 00000002 00000000  00000000\n";
    struct gw_room_sight s;
    FILE *f = fmemopen(text, strlen(text), "r");
    gw_room_counters(f, &s);
    fclose(f);
    assert_int_equal(s.dropped, 11);
    assert_int_equal(s.forgotten, 18);

    char odd[] = "entries found drop\n00000007 00000001 00000003\n";
    f = fmemopen(odd, strlen(odd), "r");
    gw_room_counters(f, &s);
    fclose(f);
    assert_int_equal(s.dropped, -1);
    assert_int_equal(s.forgotten, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_is_what_drops),
        cmocka_unit_test(flood_without_answer),
        cmocka_unit_test(unknown_is_not_full),
        cmocka_unit_test(others_make_it_grow),
        cmocka_unit_test(our_own_rules_linger),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
        cmocka_unit_test(counters_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
