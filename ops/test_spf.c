#include "spf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "common/mem.h"
#include "policy.h"
#include "txt.h"

#define D  "chat.example.org"
#define V4 "198.51.100.11"
#define V6 "2001:db8:1::11"

/* The world. "!" is no answer. */
static const struct {
    const char *name, *type, *data;
} world[] = {
    {D, "A", V4},
    {D, "AAAA", V6},
    {D, "MX", "10 " D "."},
    {"mail.example.net", "A", "203.0.113.12"},
    {"pass.example.net", "TXT",
     "\"v=spf1 ip4:198.51.100.0/24 ip6:2001:db8:1::/48 -all\""},
    {"other.example.net", "TXT", "\"V=SPF1 ip4:203.0.113.0/24 \" \"-all\""},
    {"twice.example.net", "TXT", "\"v=spf1 -all\""},
    {"twice.example.net", "TXT", "\"v=spf1 +all\""},
    {"loop.example.net", "TXT", "\"v=spf1 include:loop.example.net -all\""},
    {"deep0.example.net", "TXT", "\"v=spf1 include:deep1.example.net -all\""},
    {"deep1.example.net", "TXT", "\"v=spf1 include:deep2.example.net -all\""},
    {"deep2.example.net", "TXT", "\"v=spf1 redirect=pass.example.net\""},
    {"silent.example.net", "TXT", "!"},
    {"11.100.51.198.spf.example.net", "A", "127.0.0.2"},
};

static int ask(const char *name, const char *type, struct op_answers *out, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof(world) / sizeof(world[0]); i++) {
        if (strcasecmp(world[i].name, name) == 0 && strcmp(world[i].type, type) == 0) {
            if (world[i].data[0] == '!') {
                return -1;
            }
            out->items[out->count++] = cm_strdup(world[i].data);
        }
    }
    return 0;
}

static char why[300];

static enum op_spf check(const char *record, const char *address)
{
    return op_spf_check(record, D, address, ask, NULL, why, sizeof(why));
}

static void test_passes(void **state)
{
    static const char *const records[] = {
        "v=spf1 a ~all",
        "v=spf1 mx -all",
        "v=SPF1 A -ALL",
        "v=spf1 a:" D "/32//128 -all",
        "v=spf1 +ip4:" V4 " ip6:2001:DB8:1::/64 -all",
        "v=spf1 ip4:203.0.113.12 include:pass.example.net -all",
        "v=spf1 redirect=pass.example.net",
        "v=spf1 include:other.example.net include:deep0.example.net ~all exp=x.%{d}",
        "v=spf1 a/24 -all",
        "v=spf1 +all",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        if (check(records[i], V4) != OP_SPF_PASS ||
            check(records[i], V6) != OP_SPF_PASS) {
            fail_msg("%s: %s, %s", records[i], op_spf_name(check(records[i], V4)), why);
        }
    }
    assert_int_equal(check("v=spf1 exists:%{ir}.spf.example.net -all", V4),
                     OP_SPF_PASS);
}

static void test_others(void **state)
{
    static const struct {
        const char *record;
        enum op_spf result;
        const char *why;
    } cases[] = {
        {"v=spf1 ip4:203.0.113.12 ~all", OP_SPF_SOFTFAIL, ""},
        {"v=spf1 ip4:203.0.113.12 -all", OP_SPF_FAIL, ""},
        {"v=spf1 -a ~all", OP_SPF_FAIL, ""},
        {"v=spf1", OP_SPF_NEUTRAL, ""},
        {"v=spf1 ?all", OP_SPF_NEUTRAL, ""},
        {"v=spf1 a:mail.example.net -all", OP_SPF_FAIL, ""},
        {"v=spf1 include:other.example.net -all", OP_SPF_FAIL, ""},
        {"v=spf1 include:silent.example.net a -all", OP_SPF_TEMPERROR, ""},
        {"v=spf1 include:nothing.example.net -all", OP_SPF_PERMERROR, "has no SPF"},
        {"v=spf1 include:twice.example.net -all", OP_SPF_PERMERROR, "several"},
        {"v=spf1 include:loop.example.net -all", OP_SPF_PERMERROR, "ten lookups"},
        {"v=spf1 redirect=nothing.example.net", OP_SPF_PERMERROR, "no SPF"},
        {"v=spf1 ip4:198.51.100.0/33 -all", OP_SPF_PERMERROR, "not an address"},
        {"v=spf1 ipv4:198.51.100.11 -all", OP_SPF_PERMERROR, "no such mechanism"},
        {"v=spf1 a:x1.test a:x2.test a:x3.test -all", OP_SPF_PERMERROR,
         "without a result"},
        {"v=spf1 ptr ptr ptr ptr ptr ptr ptr ptr ptr ptr ptr a", OP_SPF_PERMERROR,
         "more than ten"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum op_spf r = check(cases[i].record, V4);
        if (r != cases[i].result || strstr(why, cases[i].why) == NULL ||
            (cases[i].why[0] == '\0' && why[0] != '\0')) {
            fail_msg("%s: %s, \"%s\"", cases[i].record, op_spf_name(r), why);
        }
    }
}

static void test_txt(void **state)
{
    static const struct {
        const char *wanted, *published;
        bool serves;
    } cases[] = {
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; p=Ab C", true},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "p=AbC; n=ours", true},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; p=abC", false},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; p=", false},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; t=y; p=AbC", false},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; h=sha1; p=AbC", false},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; h=sha1:sha256; p=AbC", true},
        {"v=DKIM1;k=rsa;p=AbC;s=email;t=s", "v=DKIM1; s=other; p=AbC", false},
        {"v=DMARC1;p=reject;adkim=s;aspf=s",
         "v=DMARC1; p=REJECT; rua=mailto:a@b.example; aspf=s; adkim=s", true},
        {"v=DMARC1;p=reject;adkim=s;aspf=s", "v=DMARC1;p=none;adkim=s;aspf=s", false},
        {"v=DMARC1;p=reject;adkim=s;aspf=s", "v=DMARC1;p=reject", false},
        {"v=STSv1; id=2025", "v=STSv1;id=2025;", true},
        {"v=STSv1; id=2025", "v=STSv1; id=2024abc;", true},
        {"v=STSv1; id=2025", "v=STSv1; id=2024-01", false},
        {"v=STSv1; id=2025", "v=STSv1; id=123456789012345678901234567890123", false},
        {"v=STSv1; id=2025", "v=STSv1", false},
        {"dkim=discardable", "dkim=DISCARDABLE", true},
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (op_txt_serves(cases[i].wanted, cases[i].published) != cases[i].serves) {
            fail_msg("%s", cases[i].published);
        }
    }
    op_txt_join("\"a b\" \"c\\\"\\059\"", text, sizeof(text));
    assert_string_equal(text, "a bc\";");
}

static void test_policy(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"version: STSv1\nmode: enforce\nmx: chat.example.org\nmax_age: 86400\n", NULL},
        {"version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmx: *.example.org\r\n"
         "max_age: 1\r\n",
         NULL},
        {"version: STSv1\nmode: testing\nmx: chat.example.org\nmax_age: 1\n",
         "mode is testing"},
        {"version: STSv1\nmode: enforce\nmx: *.chat.example.org\nmax_age: 1\n",
         "no mx line names"},
        {"version: STSv1\nmode: enforce\nmx: chat.example.org\n", "max_age is missing"},
        {"<html>not found</html>", "version is not STSv1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why[0] = '\0';
        bool right = op_policy_is_right(cases[i].text, D, why, sizeof(why));
        if (right != (cases[i].why == NULL) ||
            (!right && strstr(why, cases[i].why) == NULL)) {
            fail_msg("%s: %s", cases[i].text, why);
        }
    }
    /* Nobody listens there. */
    assert_false(op_policy_check("chat.example.org", "127.0.0.255", why, sizeof(why)));
    assert_string_not_equal(why, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_txt),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
