/* Keys, and transactions boiled down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "change.h"
#include "key.h"

#define SERVER "vendor/vendor.dovecot/pvt/server/vendor/deltachat/"

static void test_keys(void **state) /* relay-spec.md 2.4.2; 6.5, 3 and 22 */
{
    (void)state;
    static const struct {
        const char *text;
        enum key key;
    } cases[] = {
        {"priv/guid00/devicetoken", KEY_TOKEN},
        {"priv//devicetoken", KEY_TOKEN},
        {"priv/guid00/messagenew", KEY_NEW_MESSAGE},
        {"shared/0123/" SERVER "irohrelay", KEY_IROH_RELAY},
        {"shared/0123/" SERVER "turn", KEY_TURN},
        {"shared/0123/" SERVER "maxsmtprecipients", KEY_MAX_RECIPIENTS},
        {"shared/0123/" SERVER "appversions", KEY_APP_VERSIONS},
        {"", KEY_OTHER},
        {"priv/", KEY_OTHER},
        {"priv/devicetoken", KEY_OTHER},
        {"priv/123/chatmail", KEY_OTHER},
        {"priv/1/2/devicetoken", KEY_OTHER},
        {"priv/1/devicetoken/", KEY_OTHER},
        {"priv/1/devicetokens", KEY_OTHER},
        {"shared/1/devicetoken", KEY_OTHER},
        {"shared/0123/" SERVER "unknown", KEY_OTHER},
        {"shared/0123/" SERVER "turn/x", KEY_OTHER},
        {"shared/0123/vendor/deltachat/turn", KEY_OTHER},
        {"shared/0123/turn", KEY_OTHER},
        {"priv/0123/" SERVER "turn", KEY_OTHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (key_parse(cases[i].text) != cases[i].key) {
            fail_msg("%s", cases[i].text);
        }
    }
}

#define SET(k, v)                                                                      \
    {                                                                                  \
        CM_DICT_SET, k, v, sizeof(v) - 1                                               \
    }
#define UNSET(k)                                                                       \
    {                                                                                  \
        CM_DICT_UNSET, k, "", 0                                                        \
    }
#define TOKEN "priv/1/devicetoken"

static void test_in_order(void **state)
{
    (void)state;
    const struct cm_dict_op ops[] = {
        SET(TOKEN, "gone"),      UNSET(TOKEN),
        SET(TOKEN, "a\0\t\1 b"), SET(TOKEN, "c"),
        SET(TOKEN, "c"),         UNSET("priv/1/other"),
        UNSET("shared/1/x"),     SET("priv/1/messagenew", "")};
    struct change change;
    struct cm_err err;
    assert_int_equal(change_from(ops, 8, &change, &err), 0);
    assert_true(change.clear);
    assert_true(change.new_message);
    assert_int_equal(change.count, 2);
    assert_int_equal(change.tokens[0].len, 6);
    assert_memory_equal(change.tokens[0].data, "a\0\t\1 b", 6);
    assert_int_equal(change.bytes, 7);
    assert_int_equal(change_from(ops, 1, &change, &err), 0);
    assert_false(change.clear);
    assert_false(change.new_message);
    assert_int_equal(change_from(ops, 0, &change, &err), 0);
    assert_int_equal(change.count, 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct cm_dict_op bad[] = {SET("priv/1/other", "sEcReT"),
                                            SET(TOKEN, ""),
                                            SET("shared/1/" SERVER "turn", ""),
                                            {CM_DICT_INC, TOKEN, "1", 1}};
    struct change change = {.count = 77};
    struct cm_err err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct cm_dict_op ops[] = {SET(TOKEN, "good"), bad[i]};
        assert_int_equal(change_from(ops, 2, &change, &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
        assert_null(strstr(err.text, "sEcReT"));
        assert_int_equal(change.count, 77); /* untouched */
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct cm_dict_op ops[TOKENS_MAX + 1];
    char values[TOKENS_MAX + 1][8];
    for (int i = 0; i <= TOKENS_MAX; i++) {
        snprintf(values[i], sizeof(values[i]), "t%d", i);
        ops[i] = (struct cm_dict_op){CM_DICT_SET, TOKEN, values[i], strlen(values[i])};
    }
    struct change change;
    struct cm_err err;
    assert_int_equal(change_from(ops, TOKENS_MAX, &change, &err), 0);
    assert_int_equal(change_from(ops, TOKENS_MAX + 1, &change, &err), -1);
    static char big[TOKENS_BYTES_MAX + 1];
    memset(big, 'x', sizeof(big));
    struct cm_dict_op one = {CM_DICT_SET, TOKEN, big, TOKENS_BYTES_MAX};
    assert_int_equal(change_from(&one, 1, &change, &err), 0);
    one.value_len++;
    assert_int_equal(change_from(&one, 1, &change, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
