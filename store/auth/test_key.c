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

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *client, *local, *password;
    } cases[] = {
        {"shared/passdb-from/203.0.113.7/10.77.1.2/a/b\\\"c\"a@x", "203.0.113.7",
         "10.77.1.2", "a/b\"c"},
        {"shared/passdb-from/2001:db8::7/fd77:1::2/\"a@x", "2001:db8::7", "fd77:1::2",
         ""},
        {"shared/passdb-from///203.0.113.7/x\"a@x", "", "", "203.0.113.7/x"},
        {"shared/passdb/203.0.113.7/10.77.1.2/x\"a@x", "", "",
         "203.0.113.7/10.77.1.2/x"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct key key;
        struct cm_err err;
        assert_int_equal(key_parse(cases[i].text, &key, &err), 0);
        assert_int_equal(key.kind, KEY_PASSDB);
        assert_string_equal(key.user, "a@x");
        assert_string_equal(key.client, cases[i].client);
        assert_string_equal(key.local, cases[i].local);
        assert_string_equal(key.password, cases[i].password);
        key_clear(&key);
    }
}

static void test_afterwards(void **state)
{
    (void)state;
    struct key key;
    struct cm_err err;
    assert_int_equal(
        key_parse("shared/failed-from/203.0.113.7/a/b\\\"c\"a@x", &key, &err), 0);
    assert_int_equal(key.kind, KEY_FAILED);
    assert_string_equal(key.client, "203.0.113.7");
    assert_string_equal(key.user, "a@x");
    assert_string_equal(key.password, "a/b\"c");
    key_clear(&key);
    assert_int_equal(key_parse("shared/userdb-from//a@x", &key, &err), 0);
    assert_int_equal(key.kind, KEY_USERDB);
    assert_string_equal(key.client, "");
    assert_string_equal(key.user, "a@x");
    assert_null(key.password);
    key_clear(&key);
    assert_true(key_is_failed("shared/failed-from/x"));
    assert_false(key_is_failed("shared/passdb-from/shared/failed-from/x"));
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
        "shared/passdb-from/",
        "shared/failed-from/secret\"a@x",
        "shared/failed-from/203.0.113.7/secret",
        "shared/userdb-from/a@x",
        "shared/passdb-from/secret\"a@x",
        "shared/passdb-from/203.0.113.7/secret\"a@x",
        "shared/passdb-from/203.0.113.7/10.77.1.2/secret",
        "shared/passdb-from/1111111111222222222233333333334444444444555555555/x/"
        "secret\"a@x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct key key = {.user = NULL};
        struct cm_err err = {0};
        assert_int_equal(key_parse(bad[i], &key, &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
        assert_null(strstr(err.text, "secret"));
        assert_null(key.user); /* untouched */
    }
    assert_true(key_is_passdb("shared/passdb-from/secret"));
    assert_true(key_is_passdb("shared/passdb/secret"));
    assert_false(key_is_passdb("shared/userdb/passdb/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_keys),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_afterwards),
        cmocka_unit_test(test_bad_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
