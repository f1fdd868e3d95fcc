#include "common/invite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* printf abcdefghjk23 | sha256sum */
#define TOKEN "abcdefghjk23"
#define HASH  "349d40cde28c79cbaa6ed003a44e51d7ee1eaf299de2fc4639f9b2295ab2be2d"

static void test_make(void **state)
{
    (void)state;
    char seen[1000][CM_INVITE_LEN + 1], hash[CM_INVITE_HASH];
    bool letters[256] = {false};
    struct cm_err err;
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(cm_invite_make(seen[i], &err), 0);
        assert_true(cm_invite_hash(seen[i], hash));
        for (size_t k = 0; k < CM_INVITE_LEN; k++) {
            letters[(unsigned char)seen[i][k]] = true;
        }
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(seen[i], seen[k]);
        }
    }
    for (const char *c = CM_INVITE_ALPHABET; *c != '\0'; c++) {
        assert_true(letters[(unsigned char)*c]);
    }
}

static void test_hash(void **state)
{
    (void)state;
    char hash[CM_INVITE_HASH];
    assert_true(cm_invite_hash(TOKEN, hash));
    assert_string_equal(hash, HASH);
    assert_true(cm_invite_hash("ABCDEFGHJK23", hash)); /* a phone's first capital */
    assert_string_equal(hash, HASH);
    static const char *const none[] = {"",
                                       "abcdefghjk2",
                                       "abcdefghjk234",
                                       "abcdefghjk1l",
                                       "abcdefghjk 2",
                                       "abcdefghjk2.",
                                       "abcdefghjk2\xc3"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(cm_invite_hash(none[i], hash));
    }
}

static void test_split(void **state)
{
    (void)state;
    char hash[CM_INVITE_HASH];
    const char *rest = NULL;
    assert_true(cm_invite_split(TOKEN ".my.secret", hash, &rest));
    assert_string_equal(hash, HASH);
    assert_string_equal(rest, "my.secret");
    assert_true(cm_invite_split(TOKEN ".", hash, &rest));
    assert_string_equal(rest, "");
    static const char *const none[] = {"",
                                       ".",
                                       TOKEN,
                                       "abcdefghjk2.x",
                                       TOKEN "x.yz",
                                       " " TOKEN ".x",
                                       "abcdefghjk1l.secret"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(cm_invite_split(none[i], hash, &rest));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
