#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "common/source.h"

static void becomes(const char *text, const char *want, bool is_public)
{
    unsigned char source[CM_SOURCE_LEN];
    char back[CM_SOURCE_TEXT];
    struct cm_err err;
    assert_int_equal(cm_source_parse(text, source, &err), 0);
    cm_source_text(source, true, back);
    assert_string_equal(back, want);
    assert_int_equal(cm_source_is_public(source), is_public);
    assert_int_equal(cm_source_is_v6(source), strchr(want, ':') != NULL);
}

static void one_number_for_each(void **unused)
{
    (void)unused;
    becomes("203.0.113.7", "203.0.113.7", true);
    becomes("203.0.113.7/32", "203.0.113.7", true);
    becomes("::ffff:203.0.113.7", "203.0.113.7", true);
    becomes("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", true);
    becomes("2001:db8:1:2::/64", "2001:db8:1:2::/64", true);
    becomes("3fff::1", "3fff::/64", true);
}

static void not_of_the_internet(void **unused)
{
    (void)unused;
    static const char *const private[] = {
        "0.0.0.0",     "10.77.1.1",  "100.64.0.1",   "100.127.255.255",
        "127.0.0.1",   "169.254.1",  "172.31.255.1", "192.0.0.9",
        "192.168.1.1", "198.19.0.1", "224.0.0.1",    "255.255.255.255"};
    for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
        unsigned char source[CM_SOURCE_LEN];
        struct cm_err err;
        if (cm_source_parse(private[i], source, &err) == 0) {
            assert_false(cm_source_is_public(source));
        } else {
            assert_string_equal(private[i], "169.254.1"); /* three numbers */
        }
    }
    becomes("::1", "::/64", false);
    becomes("fd77:1::1", "fd77:1::/64", false);
    becomes("fe80::1", "fe80::/64", false);
    becomes("ff02::1", "ff02::/64", false);
    becomes("4000::1", "4000::/64", false);
    becomes("100.128.0.1", "100.128.0.1", true);
    becomes("172.32.0.1", "172.32.0.1", true);
    becomes("11.0.0.1", "11.0.0.1", true);
}

static void refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"",
                                      "edge1.example",
                                      "203.0.113.7/24",
                                      "203.0.113.7/64",
                                      "2001:db8::1/32",
                                      "2001:db8::1/",
                                      "203.0.113.7 ",
                                      "203.0.113.256",
                                      "1111:2222:3333:4444:5555:6666:7777:8888:9999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned char source[CM_SOURCE_LEN] = {7};
        struct cm_err err;
        assert_int_equal(cm_source_parse(bad[i], source, &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
        assert_int_equal(source[0], 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_number_for_each),
        cmocka_unit_test(not_of_the_internet),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
