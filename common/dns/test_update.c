/* Against a real Knot: what is taken, what is refused, and in what words. */
#include "update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dnsfixture/dnsfixture.h"
#include "need/need.h"

#define D "chat.example.org."
#define ZONE                                                                           \
    "@ SOA ns.example.org. h.example.org. 1 3600 600 86400 300\n@ NS ns\n"             \
    "ns A 127.0.0.1\nchat A 198.51.100.11\nchat TXT \"somebody else's\"\n"

static const struct dns_key good = {DNSFIXTURE_KEY, "hmac-sha256", DNSFIXTURE_SECRET};

static struct dns_primary primary_of(struct dnsfixture *fx)
{
    struct dns_primary p;
    struct cm_err err;
    char text[64];

    snprintf(text, sizeof(text), "127.0.0.1@%u", dnsfixture_port(fx));
    assert_int_equal(dns_primary_parse(text, &p, &err), 0);
    if (dns_find_zone(&p, "chat.example.org", &err) != 0) {
        fail_msg("%s", err.text);
    }
    return p;
}

static void test_parse(void **state)
{
    struct dns_primary p;
    struct cm_err err = {.text = ""};

    (void)state;
    assert_int_equal(dns_primary_parse("2001:db8::1", &p, &err), 0);
    assert_string_equal(p.host, "2001:db8::1");
    assert_int_equal(p.port, 53);
    assert_int_equal(dns_primary_parse("ns1.example.net@5353", &p, &err), 0);
    assert_string_equal(p.host, "ns1.example.net");
    assert_int_equal(p.port, 5353);
    assert_int_equal(dns_primary_parse("", &p, &err), -1);
    assert_int_equal(dns_primary_parse("a b", &p, &err), -1);
    assert_int_equal(dns_primary_parse("a@", &p, &err), -1);
    assert_int_equal(dns_primary_parse("a@70000", &p, &err), -1);
    assert_non_null(strstr(err.text, "1 to 65535"));
}

static void test_zone(void **state)
{
    struct dns_primary p = primary_of(*state);
    struct cm_err err = {.text = ""};

    assert_string_equal(p.zone, "example.org.");
    assert_int_equal(dns_find_zone(&p, "chat.example.net", &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_non_null(strstr(err.text, "is not authoritative"));
    p.port = 1;
    assert_int_equal(dns_find_zone(&p, "chat.example.org", &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_non_null(strstr(err.text, "port 1, does not answer"));
}

static void must(const struct dns_primary *p, const struct dns_change *c, size_t n)
{
    struct cm_err err = {.text = ""};

    if (dns_update(p, &good, c, n, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* Twice the same, a set that is replaced as a whole, long TXT in parts. */
static void test_changes(void **state)
{
    struct dns_primary p = primary_of(*state);
    const struct dns_change swap[] = {
        {false, D, "A", "198.51.100.11", 0},
        {true, D, "A", "203.0.113.12", 60},
        {true, "_dmarc." D, "TXT", "\"v=DMARC1;p=reject\"", 3600},
        {true, "_imaps._tcp." D, "SRV", "0 1 993 " D, 3600},
        {true, D, "CAA", "0 issue \"ca.example;accounturi=https://ca.example/1\"",
         3600},
        {true, "opendkim._domainkey." D, "TXT", "\"v=DKIM1;p=AAAA\" \"BBBB;s=email\"",
         3600},
    };
    const struct dns_change back[] = {{true, D, "A", "198.51.100.11", 300},
                                      {false, D, "A", "203.0.113.12", 0}};

    must(&p, swap, 6);
    must(&p, swap, 6);
    must(&p, back, 2);
}

static void expect(const struct dns_primary *p, const struct dns_key *key,
                   const char *why)
{
    const struct dns_change c = {true, D, "A", "203.0.113.12", 60};
    struct cm_err err = {.text = ""};

    assert_int_equal(dns_update(p, key, &c, 1, &err), -1);
    if (strstr(err.text, why) == NULL) {
        fail_msg("%s", err.text);
    }
    assert_null(strstr(err.text, key->secret));
}

static void test_refused(void **state)
{
    struct dns_primary p = primary_of(*state);
    struct dns_key wrong = good, unknown = good;
    const struct dns_change bad = {true, D, "A", "not an address", 60};
    struct cm_err err = {.text = ""};

    wrong.secret[0] ^= 1;
    snprintf(unknown.name, sizeof(unknown.name), "stranger");
    expect(&p, &wrong, "does not accept key portico: it has another secret there");
    expect(&p, &unknown,
           "does not accept key stranger: there is none of that name and algorithm");
    assert_int_equal(dns_update(&p, &good, &bad, 1, &err), -1);
    assert_non_null(strstr(err.text, "not a record"));
    snprintf(p.zone, sizeof(p.zone), "example.net.");
    expect(&p, &good, "zone example.net.");
    p.port = 1;
    expect(&p, &good, "name server 127.0.0.1, port 1, does not answer");
}

static int start(void **state)
{
    *state = dnsfixture_knot("example.org.", ZONE);
    return 0;
}

static int stop(void **state)
{
    struct dnsfixture *fx = *state;

    dnsfixture_free(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test_setup(test_zone, need),
        cmocka_unit_test_setup(test_changes, need),
        cmocka_unit_test_setup(test_refused, need),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
