#include "address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* relay-spec.md 6.7; what is not there and NULL is no address. */
static const struct {
    const char *text, *addr;
} commands[] = {
    {"MAIL FROM:<t1@example.org>", "t1@example.org"},
    {"MAIL FROM:<t2@example.org> SOMETHING=SOMETHING OTHER=OTHER", "t2@example.org"},
    {"MAIL FROM:<SRS1=HHHH=example.com==HHH=TT=example.org=Alice@example.net> A=B",
     "srs1=hhhh=example.com==hhh=tt=example.org=alice@example.net"},
    {"MAIL FROM:<abc+alice@example.net> abc=def", "abc+alice@example.net"},
    {"RCPT TO:<t3@example.org>", "t3@example.org"},
    {"mail from:<t4@example.org>", "t4@example.org"},
    {"<t9@EXAMPLE.org>", "t9@example.org"},
    {"<>", ""},
    {"MAIL FROM:<> SIZE=1", ""},
    {"<@a,@b:t@example.org>", "t@example.org"},
    {"<postmaster>", "postmaster"},
    {"<a b@example.org>", NULL},
    {"<a@b@c>", NULL},
    {"<a@b", NULL},
    {"", NULL},
};

static const struct {
    const char *text, *addr;
} lists[] = {
    {"Foo Bar <t5@example.org>", "t5@example.org"},
    {"t6@example.org", "t6@example.org"},
    {"t7@[192.0.2.0]", "t7@[192.0.2.0]"},
    {"<t7@[192.0.2.0]>", "t7@[192.0.2.0]"},
    {"t8@[IPv6:2001:db8::1]", "t8@[ipv6:2001:db8::1]"},
    {"<t8@[IPv6:2001:db8::1]>", "t8@[ipv6:2001:db8::1]"},
    {"\"a > b\" <x@y>", "x@y"},
    {"\"a \\\" <no@no>\" <x@y>", "x@y"},
    {"x@y (comment (nested) \\) more)", "x@y"},
    {"(a@b) X@Y , c@d", "x@y"},
    {"Group: A <a@b>, c@d;", "a@b"},
    {"Group: a@b;", "a@b"},
    {"=?utf-8?q?B=C3=B6b?= <b@y>", "b@y"},
    {"B\xc3\xb6"
     "b <b@y>",
     "b@y"},
    {"\"john\"@y", "john@y"},
    {"\"john doe\"@y", "\"john doe\"@y"},
    {"j.\"o\".e <j.\"o\".e@y>", "j.o.e@y"},
    {",, a@b", "a@b"},
    {"a@b <c@d>", NULL},
    {"a@b c", NULL},
    {"Nobody", NULL},
    {"Nobody <>", NULL},
    {"undisclosed-recipients:;", NULL},
    {"(not closed a@b", NULL},
    {"\"not closed <a@b>", NULL},
    {"((((((((((a))))))))))x@y", NULL},
    {"", NULL},
};

static void addresses_are_extracted(void **state)
{
    (void)state;
    char out[ADDRESS_SIZE];
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        bool ok = address_command(commands[i].text, out);
        if (ok != (commands[i].addr != NULL) || (ok && strcmp(out, commands[i].addr))) {
            fail_msg("%s: %s", commands[i].text, ok ? out : "none");
        }
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        bool ok = address_first(lists[i].text, out);
        if (ok != (lists[i].addr != NULL) || (ok && strcmp(out, lists[i].addr))) {
            fail_msg("%s: %s", lists[i].text, ok ? out : "none");
        }
    }
}

static void too_long_is_none(void **state)
{
    (void)state;
    char text[600], out[ADDRESS_SIZE];
    memset(text, 'a', sizeof(text));
    memcpy(text + ADDRESS_MAX - 2, "@b", 3);
    assert_true(address_first(text, out));
    assert_int_equal(strlen(out), ADDRESS_MAX);
    memcpy(text + ADDRESS_MAX - 1, "@b", 3);
    assert_false(address_first(text, out));
    memset(text, 'a', sizeof(text));
    memcpy(text + 400, " <a@b>", 7); /* a long name is no matter */
    assert_true(address_first(text, out));
    assert_string_equal(out, "a@b");
}

static void domains_are_found(void **state)
{
    (void)state;
    char ip[46];
    assert_string_equal(address_domain("t1@example.org"), "example.org");
    assert_string_equal(address_domain("\"a@b\"@c"), "c");
    assert_null(address_domain("invalid"));
    assert_null(address_domain("invalid@address@com"));
    assert_null(address_domain("@b"));
    assert_null(address_domain("a@"));
    assert_true(address_is_literal("[192.0.2.0]", ip));
    assert_string_equal(ip, "192.0.2.0");
    assert_true(address_is_literal("[ipv6:2001:db8::1]", ip));
    assert_string_equal(ip, "2001:db8::1");
    assert_true(address_is_literal("[IPv6:2001:db8::1]", NULL));
    assert_false(address_is_literal("[example.org]", NULL));
    assert_false(address_is_literal("[2001:db8::1]", NULL));
    assert_false(address_is_literal("192.0.2.0", NULL));
    assert_false(address_is_literal("[]", NULL));
}

/* No spelling of a recipient names another account than where it is delivered. */
static void recipients_name_their_account(void **state)
{
    (void)state;
    static const struct {
        const char *rcpt, *account;
    } table[] = {
        {"user@example.org", "user@example.org"},
        {"User@Example.ORG", "user@example.org"},
        {"user+tag@example.org", "user@example.org"},
        {"user+tag+more@example.org", "user@example.org"},
        {"\"user\"@example.org", "user@example.org"},
        {"\"us\\er\"@example.org", "user@example.org"},
        {"\"user+a b\"@example.org", "user@example.org"},
        {"\"US\".\"er\"@example.org", "us.er@example.org"},
        {"user@[192.0.2.1]", "user@[192.0.2.1]"},
        {"+tag@example.org", NULL},
        {"user", NULL},
        {"user@", NULL},
        {"@example.org", NULL},
        {"user@example.org ", NULL},
        {"a@b@c", NULL},
    };
    char out[ADDRESS_SIZE];
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        bool ok = address_account(table[i].rcpt, out);
        if (ok != (table[i].account != NULL) || (ok && strcmp(out, table[i].account))) {
            fail_msg("%s: %s", table[i].rcpt, ok ? out : "none");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_extracted),
        cmocka_unit_test(too_long_is_none),
        cmocka_unit_test(domains_are_found),
        cmocka_unit_test(recipients_name_their_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
