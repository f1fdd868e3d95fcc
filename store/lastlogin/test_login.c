#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "login.h"

#define KEY "shared/last-login/user@example.org"

static int parse(enum cm_dict_op_kind kind, const char *key, const char *value,
                 struct login *login)
{
    struct cm_dict_op op = {kind, key, value, strlen(value)};
    struct cm_err err;
    return login_parse(&op, login, &err);
}

static void test_days(void **state) /* relay-spec.md 6.4, 2 and 3 */
{
    (void)state;
    struct login login;
    for (int i = 0; i < 10; i++) {
        char value[32];
        snprintf(value, sizeof(value), "%d", 86400 * 4 + i);
        assert_int_equal(parse(CM_DICT_SET, KEY, value, &login), 0);
        assert_int_equal(login.day, 4);
    }
    assert_string_equal(login.addr, "user@example.org");
    assert_int_equal(parse(CM_DICT_SET, KEY, "100000", &login), 0);
    assert_int_equal(login.day, 1);
    assert_int_equal(parse(CM_DICT_SET, KEY, "200000", &login), 0);
    assert_int_equal(login.day, 2);
    assert_int_equal(parse(CM_DICT_SET, KEY, "0", &login), 0);
    assert_int_equal(login.day, 0);
    assert_int_equal(parse(CM_DICT_SET, KEY, "253402300799", &login), 0);
    assert_int_equal(login.day, 2932896);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"shared/last-login/",
                                       "shared/last-login/user",
                                       "shared/last-login/@example.org",
                                       "shared/last-login/user@",
                                       "shared/last-login/a@b@c",
                                       "shared/last-login/u/x@example.org",
                                       "shared/last-login/u x@example.org",
                                       "shared/last-login/\xff@example.org",
                                       "shared/last-login/u\x7f@example.org",
                                       "shared/other/user@example.org",
                                       "priv/last-login/user@example.org"};
    struct login login;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(parse(CM_DICT_SET, keys[i], "86400", &login), -1);
    }
    static const char *const values[] = {
        "", "-1", "1x", " 1", "1.5", "253402300800", "99999999999999999999999999"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_equal(parse(CM_DICT_SET, KEY, values[i], &login), -1);
    }
    assert_int_equal(parse(CM_DICT_UNSET, KEY, "", &login), -1);
    assert_int_equal(parse(CM_DICT_INC, KEY, "1", &login), -1);
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "shared/last-login/u@", 20);
    longest[18 + LOGIN_ADDR_MAX + 1] = '\0';
    assert_int_equal(parse(CM_DICT_SET, longest, "1", &login), -1);
    longest[18 + LOGIN_ADDR_MAX] = '\0';
    assert_int_equal(parse(CM_DICT_SET, longest, "1", &login), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
