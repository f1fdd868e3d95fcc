#include "uidlist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "3 V1795000000 N8 G8f0c0f2ad4b7c6690e2f000059c7b8a1\n"

static void becomes(const char *text, uint32_t more, bool with, const char *want)
{
    size_t len = 0;
    char *made = uidlist_make(text, strlen(text), more, with, &len);

    if (want == NULL) {
        assert_null(made);
        return;
    }
    assert_non_null(made);
    assert_string_equal(made, want);
    assert_int_equal(len, strlen(want));
    free(made);
}

static void test_next(void **state)
{
    (void)state;
    becomes(HEAD "6 W812 :179.M1P2.h,S=790:2,S\n7 :180.M1P2.h\n", 100000, true,
            "3 V1795000000 N100008 G8f0c0f2ad4b7c6690e2f000059c7b8a1\n"
            "6 W812 :179.M1P2.h,S=790:2,S\n7 :180.M1P2.h\n");
    becomes("3 V5 N8\n", 0, true, "3 V5 N8\n");
    becomes("3 V5 N4294967290\n", 100, true, "3 V5 N4294967294\n");
}

static void test_without(void **state)
{
    (void)state;
    becomes("3 V5 N8 G1\n6 :a\n7 :b\n", 1, false, "3 V5 N9 G1\n");
}

/* Dovecot was writing. */
static void test_cut(void **state)
{
    (void)state;
    becomes("3 V5 N8\n6 :a\n7 :1", 1, true, "3 V5 N9\n6 :a\n");
}

static void test_others(void **state)
{
    (void)state;
    becomes("", 1, true, NULL);
    becomes("3 V5 N8", 1, true, NULL);
    becomes("1 1795000000 8\n", 1, true, NULL);
    becomes("3 V5 G1\n6 N7 :a\n", 1, true, NULL);
    becomes("3 V5 Nx\n", 1, true, NULL);
    becomes("3 V5 N99999999999\n", 1, true, NULL);
    becomes("3 V5 N", 1, true, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_without),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
