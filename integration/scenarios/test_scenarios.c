/* The pure parts: counting messages, judging the cluster's status, comparing units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "ledger.h"
#include "unit.h"
#include "verb.h"

static void ledger_of_three(struct ledger *ledger)
{
    ledger_init(ledger);
    ledger_add(ledger, "a@x", LEDGER_ACCEPTED);
    ledger_add(ledger, "r@x", LEDGER_REFUSED);
    ledger_add(ledger, "u@x", LEDGER_UNKNOWN);
}

static enum ledger_state judge(struct ledger *ledger, const char *const *ids,
                               struct cm_err *err)
{
    ledger_forget_found(ledger);
    for (; *ids != NULL; ids++) {
        ledger_found(ledger, *ids);
    }
    return ledger_judge(ledger, err);
}

static void test_ledger(void **state)
{
    static const struct {
        const char *ids[4];
        enum ledger_state want;
        const char *text;
    } cases[] = {
        {{NULL}, LEDGER_SHORT, "1 of 1 accepted messages are not there"},
        {{"a@x", NULL}, LEDGER_EVEN, ""},
        {{"a@x", "u@x", NULL}, LEDGER_EVEN, ""},
        {{"a@x", "a@x", NULL}, LEDGER_WRONG, "a@x: 2 times, sent once"},
        {{"a@x", "u@x", "u@x", NULL}, LEDGER_WRONG, "u@x: 2 times"},
        {{"a@x", "r@x", NULL}, LEDGER_WRONG, "though refused"},
        {{"a@x", "z@x", NULL}, LEDGER_WRONG, "nobody sent"},
        {{"u@x", "u@x", NULL}, LEDGER_WRONG, "u@x"},
    };
    struct ledger ledger;
    (void)state;
    ledger_of_three(&ledger);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cm_err err = {.text = ""};
        assert_int_equal(judge(&ledger, cases[i].ids, &err), cases[i].want);
        assert_non_null(strstr(err.text, cases[i].text));
    }
    assert_int_equal(ledger_count(&ledger, LEDGER_ACCEPTED), 1);
    ledger_clear(&ledger);
}

static void test_ledger_grows(void **state)
{
    struct ledger ledger;
    struct cm_err err;
    (void)state;
    ledger_init(&ledger);
    for (unsigned i = 0; i < 1000; i++) {
        char id[LEDGER_ID];
        snprintf(id, sizeof id, "%u@x", i);
        ledger_add(&ledger, id, LEDGER_ACCEPTED);
        ledger_found(&ledger, id);
    }
    assert_int_equal(ledger_judge(&ledger, &err), LEDGER_EVEN);
    assert_int_equal(ledger_count(&ledger, LEDGER_ACCEPTED), 1000);
    ledger_clear(&ledger);
}

#define EDGE(name, epoch, mode, age, shake, error)                                     \
    "{\"name\":\"" name "\",\"number\":1,\"mode\":\"active\",\"applied_epoch\":" epoch \
    ",\"applied_mode\":\"" mode "\",\"report_age_ms\":" age                            \
    ",\"handshake_age_s\":" shake ",\"flows\":0,\"error\":\"" error "\"}"
#define GOOD(name)       EDGE(name, "7", "active", "900", "12", "")
#define STATUS(one, two) "{\"epoch\":7,\"gateways\":[" one "," two "]}"

static int judged(const char *line, struct cm_err *err)
{
    struct cluster_status status;
    assert_int_equal(cluster_parse(line, &status, err), 0);
    return cluster_judge(&status, err);
}

static void test_cluster_good(void **state)
{
    struct cm_err err;
    struct cluster_status status;
    (void)state;
    assert_int_equal(judged(STATUS(GOOD("edge1"), GOOD("edge2")), &err), 0);
    assert_int_equal(cluster_parse(STATUS(GOOD("edge1"), GOOD("edge2")), &status, &err),
                     0);
    assert_int_equal(status.epoch, 7);
    assert_string_equal(status.gateways[1].name, "edge2");
    assert_int_equal(status.gateways[1].handshake_age_s, 12);
}

static void test_cluster_bad(void **state)
{
    static const struct {
        const char *line;
        const char *text;
    } cases[] = {
        {STATUS(GOOD("edge1"), EDGE("edge2", "6", "active", "9", "1", "")),
         "edge2 has epoch 6"},
        {STATUS(GOOD("edge1"), EDGE("edge2", "7", "drain", "9", "1", "")), "(drain)"},
        {STATUS(GOOD("edge1"), EDGE("edge2", "7", "active", "60000", "1", "")),
         "60000 ms old"},
        {STATUS(GOOD("edge1"), EDGE("edge2", "7", "active", "-1", "1", "")),
         "-1 ms old"},
        {STATUS(GOOD("edge1"), EDGE("edge2", "7", "active", "9", "-1", "")),
         "handshake"},
        {STATUS(GOOD("edge1"), EDGE("edge2", "7", "active", "9", "1", "nft failed")),
         "edge2 reports: nft failed"},
        {"{\"epoch\":7,\"gateways\":[" GOOD("edge1") "]}", "1 gateways, not 2"},
        {"{\"epoch\":0,\"gateways\":[]}", "0 gateways"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cm_err err;
        assert_int_equal(judged(cases[i].line, &err), -1);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

static void test_cluster_not_a_status(void **state)
{
    static const char *const lines[] = {"",   "no json",           "{}",
                                        "[]", "{\"epoch\":\"x\"}", "{\"gateways\":[]}"};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct cluster_status status;
        struct cm_err err;
        assert_int_equal(cluster_parse(lines[i], &status, &err), -1);
    }
}

static void test_units_same(void **state)
{
    struct cm_err err;
    (void)state;
    assert_int_equal(units_same("a 1\nb 2\n", "a 1\nb 2\n", &err), 0);
    assert_int_equal(units_same("a 1\nb 2\nc 3\n", "a 1\nb 9\nc 3\n", &err), -1);
    assert_string_equal(err.text, "restarted: was 'b 2', is 'b 9'");
    assert_int_equal(units_same("a 1\n", "", &err), -1);
    assert_string_equal(err.text, "restarted: was 'a 1', is ''");
}

#define ENVELOPE(exit, ok)                                                             \
    "{\"chatops\":1,\"verb\":\"run\",\"ok\":" ok ",\"exit\":" exit                     \
    ",\"ms\":1,\"error\":null,\"warnings\":[],\"notes\":[],\"data\":{}}\n"

static void test_verb_lines(void **state)
{
    static const struct {
        const char *said, *verb;
        int status, rc;
    } cases[] = {
        {ENVELOPE("0", "true"), "run", 0, 0},
        {"{\"event\":\"step\"}\n" ENVELOPE("0", "true"), "run", 0, 0},
        {ENVELOPE("0", "true"), "status", 0, -1},
        {ENVELOPE("0", "true"), NULL, 0, -1},
        {ENVELOPE("1", "true"), "run", 1, -1},
        {ENVELOPE("1", "false"), "run", 0, -1},
        {"text\n" ENVELOPE("0", "true"), "run", 0, -1},
        {ENVELOPE("0", "true") ENVELOPE("0", "true"), "run", 0, -1},
        {ENVELOPE("0", "true") "{\"event\":\"x\"}\n", "run", 0, -1},
        {"{\"event\":\"step\"}\n", "run", 0, -1},
        {"", "run", 0, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cm_err err;
        assert_int_equal(
            verb_check_lines(cases[i].said, cases[i].verb, cases[i].status, NULL, &err),
            cases[i].rc);
    }
}

#define W80                                                                            \
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890"

static void test_verb_screens(void **state)
{
    struct cm_err err;
    int escapes = 0;
    (void)state;
    assert_int_equal(verb_check_plain(W80 "\nchatops: " W80 W80 "\n", &err), 0);
    assert_int_equal(verb_check_plain(W80 "1\n", &err), -1);
    assert_int_equal(verb_check_plain("a\033[32mb\n", &err), -1);
    assert_int_equal(verb_check_plain("a\rb\n", &err), -1);
    assert_int_equal(
        verb_check_terminal("\r\033[K\033[32m" W80 "\033[0m\r\n", &escapes, &err), 0);
    assert_int_equal(escapes, 2);
    assert_int_equal(verb_check_terminal(W80 "1\r\n", &escapes, &err), -1);
    assert_int_equal(verb_check_terminal("ab\r\n", &escapes, &err), 0);
    assert_int_equal(escapes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger),
        cmocka_unit_test(test_ledger_grows),
        cmocka_unit_test(test_cluster_good),
        cmocka_unit_test(test_cluster_bad),
        cmocka_unit_test(test_cluster_not_a_status),
        cmocka_unit_test(test_units_same),
        cmocka_unit_test(test_verb_lines),
        cmocka_unit_test(test_verb_screens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
