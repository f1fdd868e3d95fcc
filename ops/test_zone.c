#include "zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

static char key[393];

static void two_gateways(struct cm_conf *conf, const char *extra)
{
    struct cm_err err = {.text = ""};
    char *text = cm_asprintf("[params]\nmail_domain = chat.example.org\n%s\n"
                             "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                             "addresses = 198.51.100.11 2001:db8:1::11\n"
                             "[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"
                             "addresses = 203.0.113.12 2001:db8:2::12\n",
                             extra);

    if (cm_conf_parse("test.ini", text, strlen(text), conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    free(text);
}

static void build(const struct cm_conf *conf, struct op_zone *zone)
{
    struct op_zone_input in = {.conf = conf,
                               .dkim_key = key,
                               .acme_account = "https://acme.example/acct/1",
                               .mta_sts_id = "202501010000"};

    op_zone_build(&in, zone);
}

/* Frees have. */
static void same_as_golden(char *have, const char *name)
{
    struct cm_err err = {.text = ""};
    char *want = NULL,
         *path = cm_asprintf("%s/%s", getenv("PORTICO_TESTDATA_DIR"), name);
    size_t len;

    if (getenv("UPDATE_GOLDEN") != NULL) {
        assert_int_equal(cm_file_replace(path, have, strlen(have), 0644, &err), 0);
    }
    assert_int_equal(cm_file_read(path, 65536, &want, &len, &err), 1);
    assert_string_equal(have, want);
    free(have);
    free(want);
    free(path);
}

static void golden(const char *name, const char *extra)
{
    struct cm_conf conf;
    struct op_zone zone;

    two_gateways(&conf, extra);
    build(&conf, &zone);
    char *have = op_zone_text(&zone);
    same_as_golden(have, name);
    op_zone_clear(&zone);
    cm_conf_clear(&conf);
}

/* A form of each kind of record; relative to a zone above, and as JSON. */
static void golden_form(const char *name, bool json)
{
    struct cm_conf conf;
    struct op_zone zone;

    two_gateways(&conf, "[store]\ndns_follow = yes\n");
    build(&conf, &zone);
    char *have = json ? op_zone_form_json(&zone, "example.org.")
                      : op_zone_form(&zone, "example.org.");
    same_as_golden(have, name);
    op_zone_clear(&zone);
    cm_conf_clear(&conf);
}

static void test_form(void **state)
{
    (void)state;
    golden_form("zone-form.txt", false);
    golden_form("zone-form.json", true);
}

static void test_text(void **state)
{
    (void)state;
    golden("zone-external.zone", "tls_external_cert_and_key = /a /b");
    golden("zone-acme.zone", "");
    golden("zone-follow.zone", "[store]\ndns_follow = yes\n");
    golden("zone-no-ipv6.zone",
           "tls_external_cert_and_key = /a /b\ndisable_ipv6 = true");
}

/* Finds the set and judges it against a NULL-ended list. */
static enum op_verdict judge(const struct op_zone *zone, const char *name,
                             const char *type, const char *const *published)
{
    size_t count = 0;
    char why[512];

    while (published[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < zone->count; i++) {
        if (strcmp(zone->items[i].name, name) == 0 &&
            strcmp(zone->items[i].type, type) == 0) {
            return op_zone_judge(zone, i, published, count, why, sizeof(why));
        }
    }
    fail_msg("no %s %s in the zone", name, type);
    return OP_MISSING;
}

#define D                  "chat.example.org."
#define SET(...)           ((const char *const[]){__VA_ARGS__, NULL})
#define NONE               ((const char *const[]){NULL})
#define EXPECT(v, n, t, p) assert_int_equal(judge(&zone, n, t, p), v)

static void test_sets(void **state)
{
    struct cm_conf conf;
    struct op_zone zone;

    (void)state;
    two_gateways(&conf, "");
    build(&conf, &zone);
    EXPECT(OP_RIGHT, D, "A", SET("203.0.113.12", "198.51.100.11"));
    EXPECT(OP_WRONG, D, "A", SET("203.0.113.12"));
    EXPECT(OP_WRONG, D, "A", SET("203.0.113.12", "198.51.100.11", "10.0.0.1"));
    EXPECT(OP_MISSING, D, "A", NONE);
    EXPECT(OP_RIGHT, D, "AAAA", SET("2001:DB8:1:0::11", "2001:db8:2::12"));
    EXPECT(OP_RIGHT, D, "MX", SET("10  Chat.Example.ORG."));
    EXPECT(OP_WRONG, D, "MX", SET("10 chat.example.org.", "20 old.example.org."));
    EXPECT(OP_RIGHT, "www." D, "CNAME", SET("CHAT.example.org."));
    EXPECT(OP_RIGHT, "_imaps._tcp." D, "SRV", SET("0 1 993 chat.example.org."));
    EXPECT(OP_WRONG, "_imaps._tcp." D, "SRV", SET("0 1 143 chat.example.org."));
    op_zone_clear(&zone);
    cm_conf_clear(&conf);
}

/* What the store took out for good reason is not missed; what is foreign is wrong. */
static void test_follows(void **state)
{
    struct cm_conf conf;
    struct op_zone zone;

    (void)state;
    two_gateways(&conf, "[store]\ndns_follow = yes\n");
    build(&conf, &zone);
    EXPECT(OP_RIGHT, D, "A", SET("203.0.113.12"));
    EXPECT(OP_WRONG, D, "A", SET("203.0.113.12", "10.0.0.1"));
    EXPECT(OP_MISSING, D, "A", NONE);
    op_zone_clear(&zone);
    conf.gateways[0].mode = CM_MODE_DRAIN;
    build(&conf, &zone);
    EXPECT(OP_WRONG, D, "A", SET("203.0.113.12", "198.51.100.11"));
    assert_int_equal(zone.egress_count, 4); /* SPF still names it */
    op_zone_clear(&zone);
    cm_conf_clear(&conf);
}

static void test_texts(void **state)
{
    struct cm_conf conf;
    struct op_zone zone;

    (void)state;
    two_gateways(&conf, "");
    build(&conf, &zone);
    EXPECT(OP_RIGHT, D, "TXT", SET("\"other=1\"", "\"v=spf1 a ~all\""));
    EXPECT(OP_MISSING, D, "TXT", SET("\"other=1\""));
    EXPECT(OP_RIGHT, D, "TXT", SET("\"v=spf1 mx ~all\"")); /* evaluated in look.c */
    EXPECT(OP_WRONG, D, "TXT", SET("\"v=spf1 a ~all\"", "\"v=spf1 -all\""));
    EXPECT(OP_RIGHT, "_dmarc." D, "TXT",
           SET("\"v=DMARC1; p=reject; adkim=s; aspf=s;\""));
    EXPECT(OP_RIGHT, D, "CAA",
           SET("0 issue \"other.example\"",
               "0 issue \"letsencrypt.org;accounturi=https://acme.example/acct/1\""));

    char *odd_split =
        cm_asprintf("\"v=DKIM1; k=rsa; p=%.100s\" \"%.200s\" \"%s; s=email; "
                    "t=s\"",
                    key, key + 100, key + 300);
    char *other_key = cm_asprintf("\"v=DKIM1;k=rsa;p=B%s;s=email;t=s\"", key + 1);
    EXPECT(OP_RIGHT, "opendkim._domainkey." D, "TXT", SET(odd_split));
    EXPECT(OP_WRONG, "opendkim._domainkey." D, "TXT", SET(other_key));
    EXPECT(OP_WRONG, "opendkim._domainkey." D, "TXT", SET(odd_split, other_key));
    free(odd_split);
    free(other_key);
    op_zone_clear(&zone);
    cm_conf_clear(&conf);
}

static void test_reverse(void **state)
{
    static const char text[] =
        "[params]\nmail_domain = chat.example.org\n"
        "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
        "addresses = 198.51.100.11 198.51.100.99 2001:db8:1::11\n"
        "[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\negress = no\n"
        "addresses = 203.0.113.12\n";
    static const char name6[] = "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
                                "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    struct cm_conf conf;
    struct op_zone zone;
    struct cm_err err = {.text = ""};
    size_t reverse = 0;

    (void)state;
    assert_int_equal(cm_conf_parse("test.ini", text, strlen(text), &conf, &err), 0);
    build(&conf, &zone);
    EXPECT(OP_RIGHT, "11.100.51.198.in-addr.arpa.", "PTR", SET("Chat.Example.Org."));
    EXPECT(OP_WRONG, "11.100.51.198.in-addr.arpa.", "PTR", SET("vps7.hoster.example."));
    EXPECT(OP_MISSING, name6, "PTR", NONE);
    for (size_t i = 0; i < zone.count; i++) {
        reverse += strcmp(zone.items[i].type, OP_REVERSE) == 0;
    }
    assert_int_equal(reverse, 2); /* not for addresses that mail never leaves from */
    op_zone_clear(&zone);
    conf.store.egress = CM_EGRESS_DIRECT; /* by a line that is not in the settings */
    build(&conf, &zone);
    for (size_t i = 0; i < zone.count; i++) {
        assert_string_not_equal(zone.items[i].type, OP_REVERSE);
    }
    op_zone_clear(&zone);
    cm_conf_clear(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_form),
        cmocka_unit_test(test_sets),  cmocka_unit_test(test_follows),
        cmocka_unit_test(test_texts), cmocka_unit_test(test_reverse),
    };
    memset(key, 'A', sizeof(key) - 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
