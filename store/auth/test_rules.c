#include "rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"

#include "answer.h"
#include "hash.h"
#include "limits.h"

static const struct rules rules = {.domain = "chat.example.org",
                                   .password_min_length = 9,
                                   .username_min_length = 6,
                                   .username_max_length = 10};

static void test_ours(void **state)
{
    (void)state;
    static const char *const yes[] = {"a@chat.example.org", "A+b@chat.example.org",
                                      "a..@chat.example.org"};
    static const char *const no[] = {
        "",
        "@chat.example.org",
        "chat.example.org",
        "a@chat.example.org.invalid",
        "a@xchat.example.org",
        "a@CHAT.example.org",
        "a@b@chat.example.org",
        "../x@chat.example.org",
        "a/b@chat.example.org",
        "..@chat.example.org",
        "a b@chat.example.org",
        "a\n@chat.example.org",
        "\xc3\xa4@chat.example.org",
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        assert_true(rules_is_ours(&rules, yes[i]));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(rules_is_ours(&rules, no[i]));
    }
    char long_one[600];
    memset(long_one, 'a', sizeof(long_one));
    snprintf(long_one + 400, 100, "@chat.example.org");
    assert_false(rules_is_ours(&rules, long_one));
    struct rules ip = {.domain = "[1.2.3.4]"};
    assert_true(rules_is_ours(&ip, "user@[1.2.3.4]"));
}

static int may(const char *local, const char *password, struct cm_err *err)
{
    char addr[128];
    snprintf(addr, sizeof(addr), "%s@chat.example.org", local);
    return rules_may_create(&rules, addr, password, err);
}

static void test_creation(void **state)
{
    (void)state;
    struct cm_err err = {0};
    static const char *const yes[] = {"abcdef", "abcdefg", "abcdefghij",
                                      "abc123", "a.b-c_d", "user.name"};
    static const char *const no[] = {"abcde",   "abcdefghijk", "Abc1234", "ABCDEFG",
                                     "abc def", "abc+def",     "abc!def", "abc@def",
                                     "abc/def", "abc\\def",    ""};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        assert_int_equal(may(yes[i], "123456789", &err), 0);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_int_equal(may(no[i], "123456789", &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
    }
}

static void test_password_is_counted_in_characters(void **state)
{
    (void)state;
    struct cm_err err = {0};
    assert_int_equal(may("abcdef", "12345678", &err), -1);
    assert_null(strstr(err.text, "12345678"));
    assert_int_equal(may("abcdef", "1234567\xc3\xa4", &err), -1); /* 8 characters */
    assert_int_equal(may("abcdef", "12345678\xc3\xa4", &err), 0);
    assert_int_equal(may("abcdef", "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", &err), -1);
    assert_int_equal(may("abcdef", "", &err), -1);
}

static void test_longest_password(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char password[513];
    memset(password, 'p', sizeof(password));
    password[511] = '\0';
    assert_int_equal(may("abcdef", password, &err), 0);
    password[511] = 'p';
    password[512] = '\0';
    assert_int_equal(may("abcdef", password, &err), -1);
    assert_non_null(strstr(err.text, "longer than 511 bytes"));
}

/* limits */

static double fake_load;
static int64_t fake_memory, fake_disk; /* -1: cannot be read */
static char logged[4096];

static int get_load(double *out, struct cm_err *err)
{
    *out = fake_load;
    return fake_load < 0 ? cm_err_set(err, CM_ERR_RETRY, "no load") : 0;
}

static int get_memory(int64_t *out, struct cm_err *err)
{
    *out = fake_memory;
    return fake_memory < 0 ? cm_err_set(err, CM_ERR_RETRY, "no memory") : 0;
}

static int get_disk(const char *path, int64_t *out, struct cm_err *err)
{
    assert_string_equal(path, "/mail");
    *out = fake_disk;
    return fake_disk < 0 ? cm_err_set(err, CM_ERR_RETRY, "no disk") : 0;
}

static const struct limits_readers fake = {get_load, get_memory, get_disk};

static void on_log(const char *line, void *ctx)
{
    (void)ctx;
    size_t len = strlen(logged);
    snprintf(logged + len, sizeof(logged) - len, "%s\n", line);
}

static int check(double load, int64_t memory, int64_t disk, struct cm_err *err)
{
    const struct limits limits = {5, 200, 1024, "/mail"};
    fake_load = load;
    fake_memory = memory;
    fake_disk = disk;
    logged[0] = '\0';
    cm_log_capture(on_log, NULL);
    int rc = limits_check(&limits, &fake, err);
    cm_log_capture(NULL, NULL);
    return rc;
}

static void test_limits(void **state)
{
    (void)state;
    struct cm_err err = {0};
    assert_int_equal(check(5, 200, 1024, &err), 0);
    assert_string_equal(logged, "");
    assert_int_equal(check(5.01, 200, 1024, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_string_equal(err.text,
                        "registration rejected: load average 5.01 is above 5.00");
    assert_int_equal(check(0, 199, 1024, &err), -1);
    assert_memory_equal(err.text, "registration rejected: ", 23);
    assert_int_equal(check(0, 200, 1023, &err), -1);
    assert_memory_equal(err.text, "registration rejected: ", 23);
    assert_int_equal(check(-1, -1, -1, &err), 0);
    assert_non_null(strstr(logged, "ignoring"));
    assert_int_equal(check(-1, 0, 1024, &err), -1); /* the others still count */
    assert_non_null(strstr(logged, "ignoring"));
}

static void test_limits_of_this_machine(void **state)
{
    (void)state;
    struct cm_err err = {0};
    const struct limits open = {1e6, 0, 0, "/"};
    assert_int_equal(limits_check(&open, &limits_machine, &err), 0);
    const struct limits load = {-1, 0, 0, "/"};
    assert_int_equal(limits_check(&load, &limits_machine, &err), -1);
    const struct limits memory = {1e6, INT64_C(99999999) * 1024, 0, "/"};
    assert_int_equal(limits_check(&memory, &limits_machine, &err), -1);
    const struct limits disk = {1e6, 0, INT64_C(99999999) * 1024, "/"};
    assert_int_equal(limits_check(&disk, &limits_machine, &err), -1);
    logged[0] = '\0';
    cm_log_capture(on_log, NULL);
    const struct limits nowhere = {1e6, 0, INT64_C(99999999) * 1024, "/no/such/dir"};
    assert_int_equal(limits_check(&nowhere, &limits_machine, &err), 0);
    cm_log_capture(NULL, NULL);
    assert_non_null(strstr(logged, "ignoring"));
}

/* hash and answer */

static void test_hash(void **state)
{
    (void)state;
    char a[HASH_SIZE], b[HASH_SIZE];
    assert_int_equal(hash_password("correct horse", a), 0);
    assert_int_equal(hash_password("correct horse", b), 0);
    assert_memory_equal(a, "{SHA512-CRYPT}$6$", 17);
    assert_int_equal(a[17 + 16], '$');
    assert_int_equal(strlen(a), 14 + 3 + 16 + 1 + 86);
    assert_string_not_equal(a, b); /* another salt */
}

static void test_answer(void **state)
{
    (void)state;
    struct cm_buf json;
    cm_buf_init(&json, 200);
    assert_true(
        answer_json(&json, "a@x", "/home/vmail/mail/x", "{SHA512-CRYPT}$6$s$h"));
    assert_string_equal(json.data,
                        "{\"addr\":\"a@x\",\"home\":\"/home/vmail/mail/x/a@x\","
                        "\"uid\":\"vmail\",\"gid\":\"vmail\","
                        "\"password\":\"{SHA512-CRYPT}$6$s$h\"}");
    assert_true(answer_json(&json, "a\"\\b@x", "/m", "p")); /* afresh */
    assert_string_equal(json.data,
                        "{\"addr\":\"a\\\"\\\\b@x\","
                        "\"home\":\"/m/a\\\"\\\\b@x\","
                        "\"uid\":\"vmail\",\"gid\":\"vmail\",\"password\":\"p\"}");
    assert_false(answer_json(&json, "a@x", "/m", "\xff"));
    assert_false(answer_json(&json, "a@x", "/m", "x\ny"));
    char longer[200];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_false(answer_json(&json, "a@x", "/m", longer));
    cm_buf_clear(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours),
        cmocka_unit_test(test_creation),
        cmocka_unit_test(test_password_is_counted_in_characters),
        cmocka_unit_test(test_longest_password),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limits_of_this_machine),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
