#include "key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_good_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *user, *password;
    } cases[] = {
        {"shared/userdb/a@x", "a@x", NULL},
        {"shared/userdb/", "", NULL},
        {"shared/userdb/a\\'b@x", "a'b@x", NULL},
        {"shared/passdb/secret\"a@x", "a@x", "secret"},
        {"shared/passdb/a\\\"b\\'c\\\\d/e/\"a@x", "a@x", "a\"b'c\\d/e/"},
        {"shared/passdb/\\\\\"a@x", "a@x", "\\"},
        {"shared/passdb/\"a@x", "a@x", ""},
        {"shared/passdb/p\"a\"b@x", "a\"b@x", "p"},
        {"shared/passdb/p\"", "", "p"},
        {"shared/passdb/\xc3\xa4\"a@x", "a@x", "\xc3\xa4"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct key key;
        struct cm_err err;
        assert_int_equal(key_parse(cases[i].text, &key, &err), 0);
        assert_string_equal(key.user, cases[i].user);
        if (cases[i].password == NULL) {
            assert_int_equal(key.kind, KEY_USERDB);
            assert_null(key.password);
        } else {
            assert_int_equal(key.kind, KEY_PASSDB);
            assert_string_equal(key.password, cases[i].password);
        }
        key_clear(&key);
        assert_null(key.user);
    }
}

static void test_bad_keys(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "shared/passdb",
        "shared/passdb/",
        "shared/passdb/secret",
        "shared/passdb/secret\\\"a@x",
        "shared/passdb/secret\\",
        "shared/passdb/secret\"a@x\\",
        "shared/userdb/a@x\\",
        "shared/otherdb/secret\"a@x",
        "priv/passdb/secret\"a@x",
        "sharedpassdb/secret\"a@x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct key key = {.user = NULL};
        struct cm_err err = {0};
        assert_int_equal(key_parse(bad[i], &key, &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
        assert_null(strstr(err.text, "secret"));
        assert_null(key.user); /* untouched */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_keys),
        cmocka_unit_test(test_bad_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
