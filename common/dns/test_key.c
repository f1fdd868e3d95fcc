#include "key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"

#define SECRET "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI="
#define BIND                                                                           \
    "# made by hand\nkey \"portico.example.\" {\n\talgorithm HMAC-SHA512.;\n"          \
    "\tsecret \"" SECRET "\";\n};\n"
#define KNOT                                                                           \
    "# hmac-sha256:portico:zzz\nkey:\n  - id: portico\n"                               \
    "    algorithm: hmac-sha256\n    secret: " SECRET "\n"

static void test_spellings(void **state)
{
    struct dns_key key;
    struct cm_err err = {.text = ""};

    (void)state;
    assert_int_equal(dns_key_parse(BIND, strlen(BIND), &key, &err), 0);
    assert_string_equal(key.name, "portico.example.");
    assert_string_equal(key.algorithm, "hmac-sha512");
    assert_string_equal(key.secret, SECRET);
    if (dns_key_parse(KNOT, strlen(KNOT), &key, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(key.name, "portico");
    assert_string_equal(key.algorithm, "hmac-sha256");
    assert_string_equal(key.secret, SECRET);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "no name of a key in it"},
        {"key \"a\" { algorithm hmac-sha256; };", "no secret in it"},
        {"key \"a\" { secret \"" SECRET "\"; };", "algorithm \"\"; allowed"},
        {"key \"a\" { algorithm hmac-md5; secret \"" SECRET "\"; };", "hmac-md5"},
        {"key \"a\" { algorithm hmac-sha256; secret \"short\"; };", "not base64"},
        {"key \"a b\" { algorithm hmac-sha256; secret \"" SECRET "\"; };",
         "not understood"},
        {"key \"a..b\" { algorithm hmac-sha256; secret \"" SECRET "\"; };",
         "not a name"},
        {BIND BIND, "a second key; one key only"},
        {"-----BEGIN PRIVATE KEY-----", "not understood; allowed: key"},
    };
    struct dns_key key = {.name = "untouched"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cm_err err = {.text = ""};
        assert_int_equal(
            dns_key_parse(cases[i].text, strlen(cases[i].text), &key, &err), -1);
        if (strstr(err.text, cases[i].why) == NULL) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
        assert_null(strstr(err.text, SECRET));
    }
    assert_string_equal(key.name, "untouched");
}

static void test_file(void **state)
{
    char dir[] = "/tmp/dns-key-XXXXXX", path[64];
    struct dns_key key;
    struct cm_err err = {.text = ""};

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/key", dir);
    assert_int_equal(dns_key_load(path, &key, &err), -1);
    assert_non_null(strstr(err.text, "no such key; make one"));
    assert_int_equal(cm_file_replace(path, BIND, strlen(BIND), 0640, &err), 0);
    assert_int_equal(dns_key_load(path, &key, &err), -1);
    assert_non_null(
        strstr(err.text, "others may read or write this key; do: chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(dns_key_load(path, &key, &err), 0);
    assert_string_equal(key.secret, SECRET);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
