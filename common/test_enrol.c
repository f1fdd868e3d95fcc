#include "common/enrol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_tokens(void **state)
{
    char a[CM_ENROL_LEN + 1], b[CM_ENROL_LEN + 1], hash_a[CM_ENROL_HASH],
        hash_b[CM_ENROL_HASH];
    struct cm_err err;

    (void)state;
    assert_int_equal(cm_enrol_make(a, &err), 0);
    assert_int_equal(cm_enrol_make(b, &err), 0);
    assert_int_equal(strlen(a), CM_ENROL_LEN);
    assert_string_not_equal(a, b);
    assert_memory_not_equal(a, a + CM_ENROL_LEN / 2, CM_ENROL_LEN / 2);
    assert_true(cm_enrol_hash(a, hash_a) && cm_enrol_hash(b, hash_b));
    assert_string_not_equal(hash_a, hash_b);
}

/* As sha256sum says it. */
static void test_hash(void **state)
{
    char hash[CM_ENROL_HASH];

    (void)state;
    assert_true(cm_enrol_hash("abcdefghjkmnabcdefghjkmn", hash));
    assert_string_equal(
        hash, "ddbb31fbe9d5346c8abf983250e41648256a0ab4cd871950b35bfe26a1a8dacb");
    assert_false(cm_enrol_hash("abcdefghjkmnabcdefghjkm", hash));
    assert_false(cm_enrol_hash("abcdefghjkmnabcdefghjkmnp", hash));
    assert_false(cm_enrol_hash("abcdefghjkmnabcdefghjkm'", hash));
    assert_false(cm_enrol_hash("ABCDEFGHJKMNabcdefghjkmn", hash));
    assert_false(cm_enrol_hash("", hash));
}

static void test_print(void **state)
{
    char print[CM_ENROL_PRINT];

    (void)state;
    cm_enrol_print("RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk=", print);
    assert_string_equal(print, "573e 33c2 540f 3ba3 bb1b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
