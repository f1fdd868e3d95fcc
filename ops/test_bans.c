#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bans.h"
#include "common/source.h"
#include "status_budget.h"

static void wishes(void **state)
{
    (void)state;
    char source[CM_SOURCE_TEXT] = "";
    int64_t seconds = 0;
    struct cm_err err;
    assert_int_equal(op_ban_wish("203.0.113.7", NULL, source, &seconds, &err), 0);
    assert_string_equal(source, "203.0.113.7");
    assert_int_equal(seconds, 24 * 3600);
    assert_int_equal(op_ban_wish("2001:db8:1:2:3::4", "15m", source, &seconds, &err),
                     0);
    assert_string_equal(source, "2001:db8:1:2::/64");
    assert_int_equal(seconds, 900);
    assert_int_equal(op_ban_wish("chat.example", "15m", source, &seconds, &err), -1);
    assert_non_null(strstr(err.text, "not an address"));
    assert_int_equal(op_ban_wish("203.0.113.7", "31d", source, &seconds, &err), -1);
    assert_non_null(strstr(err.text, "--for: too large"));
    assert_int_equal(op_ban_wish("203.0.113.7", "soon", source, &seconds, &err), -1);
}

static void left_is(int64_t seconds, const char *want)
{
    char out[32];
    op_ban_left(seconds, out);
    assert_string_equal(out, want);
}

static void for_people(void **state)
{
    (void)state;
    left_is(-5, "0 s");
    left_is(59, "59 s");
    left_is(60, "1 min");
    left_is(3599, "59 min");
    left_is(7500, "2 h 5 min");
    left_is(30 * 86400, "30 d 0 h");
    json_t *o = json_loads("{\"epoch\":5,\"settled\":true,\"bans\":[]}", 0, NULL);
    char *text = op_bans_text(o, 1000);
    assert_string_equal(text, "nobody is banned\n");
    free(text);
    json_decref(o);
    o = json_loads("{\"epoch\":5,\"settled\":false,\"bans\":[{\"source\":"
                   "\"2001:db8:1:2::/64\",\"reason\":\"wrong passwords\",\"since\":1,"
                   "\"until\":4600}]}",
                   0, NULL);
    text = op_bans_text(o, 1000);
    assert_string_equal(text,
                        "  source                    for another   reason\n"
                        "  2001:db8:1:2::/64         1 h 0 min     wrong passwords\n"
                        "not yet in the desired state\n");
    free(text);
    json_decref(o);
}

static void for_pf(void **state)
{
    (void)state;
    json_t *o = json_loads(
        "{\"epoch\":5,\"settled\":true,\"bans\":["
        "{\"source\":\"203.0.113.7\",\"reason\":\"operator\",\"until\":4600},"
        "{\"source\":\"203.0.113.8\",\"reason\":\"operator\",\"until\":1000},"
        "{\"source\":\"2001:db8:1:2::/64\",\"reason\":\"x\",\"until\":4600}]}",
        0, NULL);
    char *text = op_bans_pf(o, 1000);
    assert_string_equal(text, "203.0.113.7\n2001:db8:1:2::/64\n");
    free(text);
    json_decref(o);
    o = json_loads("{\"bans\":[]}", 0, NULL);
    text = op_bans_pf(o, 1000);
    assert_string_equal(text, "");
    free(text);
    json_decref(o);
}

static void budget_is(long long bytes, long long budget, const char *want)
{
    char out[OP_BUDGET_TEXT] = "?";
    json_t *g = json_pack("{s:s,s:I,s:I}", "name", "edge1", "month_bytes",
                          (json_int_t)bytes, "budget", (json_int_t)budget);
    assert_int_equal(op_status_budget(g, out), want != NULL);
    if (want != NULL) {
        assert_string_equal(out, want);
    }
    json_decref(g);
}

static void budgets(void **state)
{
    (void)state;
    const long long tb = 1000000000000;
    budget_is(tb, 0, NULL);
    budget_is(-1, tb, NULL);
    budget_is(tb / 100 * 80 - 1, tb, NULL);
    budget_is(tb / 100 * 80, tb,
              "edge1 has carried 800 GB this month, 80 % of its budget");
    budget_is(tb + tb / 5, tb,
              "edge1 has carried 1200 GB this month, 120 % of its budget; mail leaves "
              "by the other gateways");
    json_t *old = json_pack("{s:s}", "name", "edge1"); /* an older store */
    char out[OP_BUDGET_TEXT];
    assert_false(op_status_budget(old, out));
    json_decref(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wishes),
        cmocka_unit_test(for_people),
        cmocka_unit_test(for_pf),
        cmocka_unit_test(budgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
