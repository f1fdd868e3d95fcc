/* What the store tells about its certificate and its account at the CA. */
#include "acme.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void account(const char *text, const char *url, const char *issuer)
{
    struct op_acme_account a;

    op_acme_account_parse(text, &a);
    assert_string_equal(a.url, url);
    assert_string_equal(a.issuer, issuer);
}

static void test_account(void **state)
{
    (void)state;
    account("https://ca.example/acct/1\nletsencrypt.org\n", "https://ca.example/acct/1",
            "letsencrypt.org");
    account("https://ca.example/acct/1\n\n", "https://ca.example/acct/1", "");
    account("https://ca.example/acct/1", "https://ca.example/acct/1", "");
    account("", "", "");
    account("http://ca.example/1\nx.org\n", "", "");
    account("https://ca.example/1;policy=x\nx.org\n", "", "");
    account("https://ca.example/\"1\nx.org\n", "", "");
    account("https://ca.example/1\nx.org; y\n", "https://ca.example/1", "");
}

static void test_told(void **state)
{
    (void)state;
    struct op_tls_told t;

    op_tls_told_parse("{\"temporary\":true,\"not_after\":1800000000,\"issuer\":\"X\","
                      "\"problem\":\"\"}\n{\"problem\":\"no\\naddress\"}\n",
                      &t);
    assert_true(t.temporary);
    assert_int_equal(t.not_after, 1800000000);
    assert_string_equal(t.issuer, "X");
    assert_string_equal(t.tls_problem, "");
    assert_string_equal(t.acme_problem, "no address");
    op_tls_told_parse("{}", &t);
    assert_false(t.temporary);
    assert_string_equal(t.acme_problem, "");
    op_tls_told_parse("rubbish\n[1]\n", &t);
    assert_int_equal(t.not_after, 0);
    assert_string_equal(t.tls_problem, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_account),
                                       cmocka_unit_test(test_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
