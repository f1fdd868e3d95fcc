/* Credentials against values that openssl(1) gave:
 *   printf %s 1700432000 | openssl dgst -sha1 -hmac SECRET -binary | base64 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "credential.h"

static void test_line(void **state)
{
    (void)state;
    char line[CREDENTIAL_MAX];
    credential_line("0123456789abcdef", 1700000000, line);
    assert_string_equal(line, "1700432000:ZmFMspgNu9cTEeJZIA4gRV5iXAs=");
    credential_line("another", 1700000000, line);
    assert_string_equal(line, "1700432000:8ZpmmQi98sgjmWuJoUAZNRZa9lk=");
    credential_line("another", INT64_C(9999999999), line);
    assert_int_equal(strlen(line), strlen("10000431999:") + 28);
}

static void test_secret(void **state)
{
    (void)state;
    static const struct {
        const char *file, *secret; /* NULL: none */
    } cases[] = {{"word\n", "word"},
                 {"word", "word"},
                 {"a\r\nb", "a"},
                 {"", NULL},
                 {"\n", NULL}};
    char path[] = "/tmp/test-credential-XXXXXX";
    struct cm_err err;
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *secret = NULL;
        assert_int_equal(
            cm_file_replace(path, cases[i].file, strlen(cases[i].file), 0600, &err), 0);
        assert_int_equal(credential_secret(path, &secret, &err),
                         cases[i].secret != NULL);
        if (cases[i].secret != NULL) {
            assert_string_equal(secret, cases[i].secret);
        }
        cm_wipe_str(&secret);
    }
    char *secret = NULL;
    unlink(path);
    assert_int_equal(credential_secret(path, &secret, &err), 0);
    assert_int_equal(credential_secret("/", &secret, &err), -1);
    assert_null(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_line),
                                       cmocka_unit_test(test_secret)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
