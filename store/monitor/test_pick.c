/* What is kept of a text of /metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pick.h"

static const char first[] =
    "# HELP chatmail_gateway_flows Connections through it.\n"
    "# TYPE chatmail_gateway_flows gauge\n"
    "chatmail_gateway_flows{gateway=\"edge1\"} 12\n"
    "chatmail_gateway_flows{gateway=\"edge2\"} 3\n"
    "chatmail_gateway_flows_other{gateway=\"edge2\"} 99\n"
    "chatmail_gateway_received_bytes_total{gateway=\"edge1\"} 1000\n"
    "chatmail_gateway_sent_bytes_total{gateway=\"edge1\"} 500\n"
    "chatmail_gateway_check_seconds{gateway=\"edge1\",where=\"outside4\",port=\"25\"} "
    "0.02\n"
    "chatmail_gateway_check_seconds{gateway=\"edge1\",where=\"inside\",port=\"25\"} "
    "0.004\n"
    "chatmail_queue_messages{state=\"active\"} 1\n"
    "chatmail_queue_messages{state=\"deferred\"} 4\n"
    "chatmail_accounts NaN\n"
    "chatmail_monitor_disk_used_ratio{path=\"/a\\\"}b\"} 0.5\n";

static const char second[] =
    "chatmail_gateway_received_bytes_total{gateway=\"edge1\"} 3000\n"
    "chatmail_gateway_sent_bytes_total{gateway=\"edge1\"} 500\n";

static bool has(const struct ring_sample *s, size_t n, const char *name, double value)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s[i].name, name) == 0)
            return s[i].value == value;
    }
    return false;
}

static void kept(void **state)
{
    (void)state;
    struct pick pick = {.last_ms = 0};
    struct ring_sample s[PICK_MAX];
    size_t n = pick_take(&pick, first, 10000, s);
    assert_true(has(s, n, "flows:edge1", 12));
    assert_true(has(s, n, "flows:edge2", 3));
    assert_true(has(s, n, "latency:edge1", 0.02));
    assert_true(has(s, n, "queue", 5));
    assert_true(has(s, n, "disk:/a\"}b", 0.5));
    assert_int_equal(n, 5);
    n = pick_take(&pick, second, 20000, s);
    assert_int_equal(n, 1);
    assert_true(has(s, n, "traffic:edge1", 200));
    /* Started anew: no figure once, then growth from there. */
    assert_int_equal(pick_take(&pick, first, 30000, s), 5);
    n = pick_take(&pick, second, 40000, s);
    assert_true(has(s, n, "traffic:edge1", 200));
}

static void many(void **state)
{
    (void)state;
    static char text[64 * 400];
    struct pick pick = {.last_ms = 0};
    struct ring_sample s[PICK_MAX];
    size_t at = 0;
    for (int i = 0; i < 300; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at,
                               "chatmail_gateway_flows{gateway=\"e%d\"} 1\n", i);
    assert_int_equal(pick_take(&pick, text, 1, s), PICK_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kept), cmocka_unit_test(many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
