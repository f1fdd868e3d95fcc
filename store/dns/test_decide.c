#include "decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SETTLE 60000

static struct decide d;
static char told[512];

static void on_place(const struct decide_row *row, const char *reason, void *ctx)
{
    size_t n = strlen(told);

    (void)ctx;
    (void)reason;
    snprintf(told + n, sizeof(told) - n, "%s%s%s", n > 0 ? " " : "",
             row->place == DECIDE_IN ? "+" : "-", row->gateway.name);
}

static const char *step(const char *one, const char *two, int64_t now_ms)
{
    char text[512];
    struct feed feed;
    struct cm_err err = {.text = ""};
    int n = snprintf(text, sizeof(text), "domain chat.example.org\n");

    if (one != NULL) {
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "edge1 %s 198.51.100.11 2001:db8:1::11\n", one);
    }
    if (two != NULL) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "edge2 %s 203.0.113.12\n",
                      two);
    }
    if (feed_parse(text, (size_t)n, &feed, &err) != 0) {
        fail_msg("%s", err.text);
    }
    told[0] = '\0';
    decide_step(&d, &feed, now_ms, SETTLE, on_place, NULL);
    return told;
}

/* Nothing is known at first; what flaps says nothing; a drain is a word. */
static void test_places(void **state)
{
    (void)state;
    d = (struct decide){0};
    assert_string_equal(step("active up", "active down", 0), "");
    assert_false(decide_may_remove(&d));
    assert_string_equal(step("active up", "active down", SETTLE - 1), "");
    assert_true(decide_keeps(&d, "203.0.113.12"));
    assert_string_equal(step("active up", "active down", SETTLE), "+edge1 -edge2");
    assert_true(decide_may_remove(&d));
    assert_false(decide_keeps(&d, "203.0.113.12"));
    assert_string_equal(step("active impaired", "active up", SETTLE + 1000), "");
    assert_string_equal(step("active up", "active down", SETTLE + 50000), "");
    assert_string_equal(step("active up", "active up", SETTLE + 51000), "");
    assert_string_equal(step("active up", "active up", SETTLE + 110999), "");
    assert_string_equal(step("active up", "active up", SETTLE + 111000), "+edge2");
    assert_string_equal(step("drain up", "active up", SETTLE + 112000), "-edge1");
    assert_string_equal(step("active up", "active up", SETTLE + 113000), "");
    assert_string_equal(step("active up", "active up", SETTLE + 173000), "+edge1");
    assert_string_equal(step("hold up", "off down", SETTLE + 174000), "-edge2");
}

static void test_never_the_last(void **state)
{
    (void)state;
    d = (struct decide){0};
    step("active up", "active up", 0);
    assert_string_equal(step("active up", "active up", SETTLE), "+edge1 +edge2");
    assert_string_equal(step("drain up", "drain up", SETTLE + 1), "-edge1 -edge2");
    assert_false(decide_may_remove(&d));
    step("drain up", "active up", SETTLE + 2);
    assert_string_equal(step("drain up", "active up", 2 * SETTLE + 2), "+edge2");
    assert_true(decide_may_remove(&d));
}

static void test_removed(void **state)
{
    (void)state;
    d = (struct decide){0};
    step("active up", "active up", 0);
    step("active up", "active up", SETTLE);
    assert_string_equal(step("active up", NULL, SETTLE + 1), "-edge2");
    assert_string_equal(step("active up", NULL, SETTLE + 2), "");
    assert_string_equal(step("active up", "active up", SETTLE + 3), "");
    assert_true(decide_keeps(&d, "203.0.113.12"));
}

static void test_feed(void **state)
{
    static const char *const bad[] = {
        "edge1 active up 198.51.100.11\n",
        "domain x y\n",
        "domain Chat.example\n",
        "domain chat.example.org\nedge1 active\n",
        "domain chat.example.org\nedge1 sleeping up 198.51.100.11\n",
        "domain chat.example.org\nedge1 active odd 198.51.100.11\n",
        "domain chat.example.org\nedge1 active up not-an-address\n",
        "domain chat.example.org\nedge1 active up 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 "
        "1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9\n"};
    struct feed feed = {.domain = "untouched"};
    struct cm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (feed_parse(bad[i], strlen(bad[i]), &feed, &err) != -1) {
            fail_msg("%s", bad[i]);
        }
    }
    assert_string_equal(feed.domain, "untouched");
    assert_int_equal(feed_parse("", 0, &feed, &err), 0);
    assert_string_equal(feed.domain, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_never_the_last),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_feed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
