/* relay-spec.md 6.9, "/new checks". */
#include "credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/mem.h"

static struct cm_conf conf_of(const char *domain, const char *more)
{
    struct cm_conf conf;
    struct cm_err err;
    char *text = cm_asprintf("[params]\nmail_domain = %s\n%s", domain, more);
    if (cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    free(text);
    return conf;
}

static struct credentials make(const struct cm_conf *conf, const char *invite)
{
    struct credentials c;
    struct cm_err err;
    assert_int_equal(credentials_make(conf, invite, &c, &err), 0);
    return c;
}

static void test_lengths_and_letters(void **state)
{
    (void)state;
    struct cm_conf conf = conf_of("chat.example.org", "");
    bool seen[128] = {false};
    for (int i = 0; i < 2000; i++) {
        struct credentials c = make(&conf, NULL);
        assert_int_equal(strspn(c.email, "abcdefghijklmnopqrstuvwxyz0123456789"), 9);
        assert_string_equal(c.email + 9, "@chat.example.org");
        assert_int_equal(strlen(c.password), 12);
        for (const char *p = c.password; *p != '\0'; p++) {
            assert_in_range(*p, '!', '~');
            seen[(int)*p] = true;
        }
    }
    for (int c = '!'; c <= '~'; c++) { /* 24000 draws of 94: none is missing */
        assert_true(seen[c]);
    }
    cm_conf_clear(&conf);
}

static void test_settings(void **state)
{
    (void)state;
    struct cm_conf conf = conf_of("chat.example.org", "username_max_length = 64\n"
                                                      "password_min_length = 128\n");
    struct credentials c = make(&conf, "abcdefghjkmn");
    assert_int_equal(strcspn(c.email, "@"), 64);
    assert_int_equal(strlen(c.password), 12 + 1 + 131);
    assert_memory_equal(c.password, "abcdefghjkmn.", 13);
    cm_conf_clear(&conf);
}

static void test_all_differ(void **state)
{
    (void)state;
    struct cm_conf conf = conf_of("chat.example.org", "");
    struct credentials a = make(&conf, NULL), b = make(&conf, NULL);
    assert_string_not_equal(a.email, b.email);
    assert_string_not_equal(a.password, b.password);
    cm_conf_clear(&conf);
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *domain, *more, *behind_at;
        bool url;
    } cases[] = {
        {"chat.example.org", "", "@chat.example.org", false},
        {"chat.example.org", "tls_external_cert_and_key = /a /b\n", "@chat.example.org",
         false},
        {"_chat.example.org", "", "@_chat.example.org", true},
        {"1.3.3.7", "", "@[1.3.3.7]", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cm_conf conf = conf_of(cases[i].domain, cases[i].more);
        struct credentials c = make(&conf, NULL);
        char *text = credentials_json(&conf, &c);
        json_t *root = json_loads(text, 0, NULL);
        assert_non_null(root);
        assert_int_equal(json_object_size(root), cases[i].url ? 3 : 2);
        const char *email = json_string_value(json_object_get(root, "email"));
        assert_string_equal(email, c.email);
        assert_string_equal(email + 9, cases[i].behind_at);
        assert_string_equal(json_string_value(json_object_get(root, "password")),
                            c.password);
        const char *url = json_string_value(json_object_get(root, "dclogin_url"));
        assert_int_equal(url != NULL, cases[i].url);
        json_decref(root);
        free(text);
        cm_conf_clear(&conf);
    }
}

static void test_dclogin(void **state)
{
    (void)state;
    struct credentials c = {.email = "name12345@_chat.example.org",
                            .password = "p@ss w+rd"};
    struct cm_conf conf = conf_of("_chat.example.org", "");
    char *url = credentials_dclogin(&conf, &c);
    assert_string_equal(
        url, "dclogin:name12345@_chat.example.org?p=p%40ss%20w%2Brd&v=1&ic=3");
    free(url);
    cm_conf_clear(&conf);

    conf = conf_of("1.3.3.7", "");
    c = (struct credentials){.email = "name12345@[1.3.3.7]", .password = "a&b=c#d%/?"};
    url = credentials_dclogin(&conf, &c);
    assert_string_equal(url, "dclogin:name12345@[1.3.3.7]?p=a%26b%3Dc%23d%25%2F%3F"
                             "&v=1&ih=1.3.3.7&sh=1.3.3.7&ic=3");
    free(url);
    cm_conf_clear(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_and_letters),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_all_differ),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_dclogin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
