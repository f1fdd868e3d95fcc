/* [store] and [gateway NAME]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "conftest.h"

#define EDGE1                                                                          \
    "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"                          \
    "addresses = 198.51.100.11 2001:DB8:1:0::11\n"
#define EDGE2 "[gateway edge2]\nnumber = 2\naddresses = 203.0.113.7\n"

#define KEY "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk="

static void test_gateways(void **state)
{
    (void)state;
    struct cm_conf conf = must_parse(
        MINIMAL
        "[store]\nssh = root@10.9.0.2\nbus_port = 5000\n"
        "[gateway edge2]\nnumber = 2\naddresses =\n  203.0.113.7\n  2001:db8:2::7\n"
        "endpoint = edge2.example.net\nwg_port = 443\nmode = drain\negress = "
        "no\nagent = no\nproxy_protocol = yes\nwg_public_key = " KEY "\n" EDGE1);
    assert_string_equal(conf.store.ssh, "root@10.9.0.2");
    assert_int_equal(conf.store.bus_port, 5000);
    assert_int_equal(conf.store.egress, CM_EGRESS_GATEWAYS);
    assert_int_equal(conf.gateway_count, 2);

    const struct cm_conf_gateway *one = &conf.gateways[0];
    assert_string_equal(one->name, "edge1");
    assert_string_equal(one->ssh, "root@198.51.100.11");
    assert_int_equal(one->number, 1);
    assert_string_equal(one->addresses, "198.51.100.11 2001:db8:1::11");
    assert_string_equal(one->endpoint, "198.51.100.11");
    assert_int_equal(one->wg_port, 51820);
    assert_int_equal(one->mode, CM_MODE_ACTIVE);
    assert_true(one->egress);
    assert_int_equal(one->egress_weight, 100);
    assert_int_equal(one->line, 18);
    assert_string_equal(one->wg_public_key, "");
    assert_true(one->agent);
    assert_false(one->proxy_protocol);

    const struct cm_conf_gateway *two = &conf.gateways[1];
    assert_string_equal(two->name, "edge2");
    assert_string_equal(two->ssh, "");
    assert_string_equal(two->addresses, "203.0.113.7 2001:db8:2::7");
    assert_string_equal(two->endpoint, "edge2.example.net");
    assert_int_equal(two->wg_port, 443);
    assert_int_equal(two->mode, CM_MODE_DRAIN);
    assert_false(two->egress);
    assert_false(two->agent);
    assert_true(two->proxy_protocol);
    assert_string_equal(two->wg_public_key, KEY);
    cm_conf_clear(&conf);
}

static const struct wrong wrong_gateways[] = {
    {"[gateway edge1]\naddresses = 198.51.100.11",
     "3: [gateway edge1] number: missing; allowed: 1 to 32, another one for each "
     "gateway"},
    {"[gateway edge1]", "3: [gateway edge1] number: missing; allowed: 1 to 32, another "
                        "one for each gateway"},
    {"[gateway edge1]\nnumber = 1",
     "3: [gateway edge1] addresses: missing; allowed: up to 8 public IPv4 and IPv6 "
     "addresses, separated by blanks"},
    {EDGE2 "proxy_protocol = yes",
     "6: [gateway edge2] proxy_protocol = \"yes\": there is no proxy that would say "
     "it; "
     "allowed: no, or yes with data_plane = proxy or agent = no"},
    {"[gateway edge1]\nnumber = 33",
     "4: [gateway edge1] number = \"33\": too large; allowed: 1 to 32"},
    {EDGE1 EDGE1, "7: section [gateway edge1] is there twice, first on line 3; "
                  "allowed: each section once"},
    {EDGE1 "[gateway edge3]\nnumber = 1\naddresses = 203.0.113.9",
     "8: [gateway edge3] number = \"1\": [gateway edge1] has this number on line 5; "
     "allowed: 1 to 32, another one for each gateway"},
    {EDGE1 "[gateway edge3]\nnumber = 3\naddresses = 203.0.113.9 2001:db8:1::11",
     "9: [gateway edge3] addresses = \"203.0.113.9 2001:db8:1::11\": [gateway edge1] "
     "has 2001:db8:1::11 too; allowed: each address at one gateway"},
    {"[gateway edge1]\naddresses = 198.51.100.300",
     "4: [gateway edge1] addresses = \"198.51.100.300\": 198.51.100.300 is not a "
     "public address; allowed: up to 8 public IPv4 and IPv6 addresses, separated by "
     "blanks"},
    {"[gateway edge1]\naddresses = 2001:db8::1 2001:db8:0::1",
     "4: [gateway edge1] addresses = \"2001:db8::1 2001:db8:0::1\": 2001:db8::1 is "
     "there twice; allowed: each address once"},
    {"[gateway edge1]\naddresses = 203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 "
     "203.0.113.5 203.0.113.6 203.0.113.7 203.0.113.8 203.0.113.9",
     "4: [gateway edge1] addresses = \"203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 "
     "203.0.113.5 ...\": too many addresses; allowed: up to 8 public IPv4 and IPv6 "
     "addresses, separated by blanks"},
    {"[gateway edge1]\nmode = draining", "4: [gateway edge1] mode = \"draining\": not "
                                         "a mode; allowed: active, drain, hold or off"},
    {"[gateway edge1]\nwg_public_key = RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVl=",
     "4: [gateway edge1] wg_public_key = "
     "\"RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVl=\": not a WireGuard key; "
     "allowed: 44 characters of base64, as wg pubkey prints it"},
    {"[gateway edge1]\nwg_public_key = key",
     "4: [gateway edge1] wg_public_key = "
     "\"key\": not a WireGuard key; allowed: 44 characters of base64, as wg pubkey "
     "prints it"},
    {"[gateway edge1]\negress = maybe",
     "4: [gateway edge1] egress = \"maybe\": neither yes nor no; allowed: yes or no"},
    {"[gateway edge1]\nssh = -oProxyCommand=x",
     "4: [gateway edge1] ssh = \"-oProxyCommand=x\": not a destination for ssh; "
     "allowed: [USER@]HOST as for ssh(1)"},
    {"[gateway edge1]\nssh = root@a; reboot",
     "4: [gateway edge1] ssh = \"root@a; reboot\": not a destination for ssh; allowed: "
     "[USER@]HOST as for ssh(1)"},
    {"[gateway edge1]\nendpoint = a b", "4: [gateway edge1] endpoint = \"a b\": not a "
                                        "host; allowed: host name or address"},
    {"[gateway]", "3: [gateway]: bad name; allowed: [gateway NAME] with a name of a-z, "
                  "0-9 and '-', at most 32"},
    {"[gateway Edge]", "3: [gateway Edge]: bad name; allowed: [gateway NAME] with a "
                       "name of a-z, 0-9 and '-', at most 32"},
    {"[gatway edge1]",
     "3: unknown section [gatway edge1]; allowed: [params], [store], [gateway NAME]"},
    {"[other]\na = b",
     "3: unknown section [other]; allowed: [params], [store], [gateway NAME]"},
};

static void test_addresses_no_client_could_reach(void **state)
{
    (void)state;
    static const char *const bad[] = {"127.0.0.1",
                                      "0.0.0.0",
                                      "224.0.0.1",
                                      "169.254.1.1",
                                      "10.77.1.1",
                                      "::",
                                      "::1",
                                      "fe80::1",
                                      "ff02::1",
                                      "fd77:1::1",
                                      "::ffff:198.51.100.1",
                                      "edge1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *text = cm_asprintf(MINIMAL "[store]\naddresses = %s\n", bad[i]);
        struct cm_conf conf;
        struct cm_err err = {0};
        assert_int_equal(cm_conf_parse("c", text, strlen(text), &conf, &err), -1);
        assert_non_null(strstr(err.text, "is not a public address"));
        free(text);
    }
}

static void test_store_settings(void **state)
{
    (void)state;
    struct cm_conf conf =
        must_parse(MINIMAL "[store]\nregistrations = invite\nturn = no\n"
                           "transport = postfix\n"
                           "notification_url = http://[::1]:8080/notify\n"
                           "turn_port_min = 50000\nturn_port_max = 50000\n"
                           "echo_core =\ncreations_per_net = 0\n");
    assert_int_equal(conf.store.registrations, CM_REGISTRATIONS_INVITE);
    assert_string_equal(cm_registrations_name(conf.store.registrations), "invite");
    assert_int_equal(conf.store.transport, CM_TRANSPORT_POSTFIX);
    assert_false(conf.store.turn);
    assert_string_equal(conf.store.notification_url, "http://[::1]:8080/notify");
    assert_int_equal(conf.store.turn_port_max, 50000);
    assert_string_equal(conf.store.echo_core, "");
    assert_int_equal(conf.store.creations_per_net, 0);
    assert_int_equal(conf.store.creations_per_gateway, 6000);
    cm_conf_clear(&conf);
    conf = must_parse(MINIMAL "[store]\nturn = no\n[gateway a]\nnumber = 1\n"
                              "addresses = 198.51.100.11\nwg_port = 3478\n");
    cm_conf_clear(&conf);
}

static const struct wrong wrong_store[] = {
    {"[store]\nturn_port_max = 49159",
     "4: [store] turn_port_max = \"49159\": turn_port_min 49160 to turn_port_max 49159 "
     "is no range; allowed: 1 to 2000 ports"},
    {"[store]\nturn_port_min = 3000\nturn_port_max = 4000",
     "5: [store] turn_port_max = \"4000\": turn_port_min 3000 to turn_port_max 4000 is "
     "no range; allowed: 1 to 2000 ports without 3478"},
    {"[gateway a]\nnumber = 1\naddresses = 198.51.100.11\nwg_port = 49200",
     " [gateway a] wg_port = 49200 is a port of calls; allowed: any but 3478 and "
     "turn_port_min to turn_port_max"},
    {"[store]\nregistrations = maybe",
     "4: [store] registrations = \"maybe\": not a rule for new accounts; allowed: "
     "open, closed or invite"},
    {"[store]\nnotification_url = ftp://example.org/",
     "4: [store] notification_url = \"ftp://example.org/\": not a URL; allowed: URL "
     "that begins with https:// or http://"},
    {"[store]\negress = gateways",
     "4: [store] egress = \"gateways\": no [gateway NAME] with egress = yes; allowed "
     "without one: direct"},
    {"[store]\negress = some\n" EDGE1,
     "4: [store] egress = \"some\": not a way out; allowed: direct, gateways or all"},
    {"[store]\nbus_port = 65534",
     "4: [store] bus_port = \"65534\": too large; allowed: 1024 to 65533"},
};

static enum cm_egress egress_of(const char *text)
{
    struct cm_conf conf = must_parse(text);
    enum cm_egress egress = conf.store.egress;
    cm_conf_clear(&conf);
    return egress;
}

static void test_egress(void **state)
{
    (void)state;
    assert_int_equal(egress_of(MINIMAL EDGE1), CM_EGRESS_GATEWAYS);
    assert_int_equal(egress_of(MINIMAL EDGE1 "egress = no\n" EDGE2),
                     CM_EGRESS_GATEWAYS);
    assert_int_equal(egress_of(MINIMAL EDGE1 "egress = no\n"), CM_EGRESS_DIRECT);
    assert_int_equal(egress_of(MINIMAL "[store]\negress = all\n" EDGE1), CM_EGRESS_ALL);
    assert_int_equal(egress_of(MINIMAL "[store]\negress = direct\n" EDGE1),
                     CM_EGRESS_DIRECT);
}

static void test_wrong_sections(void **state)
{
    (void)state;
    ASSERT_ALL_FAIL(wrong_gateways);
    ASSERT_ALL_FAIL(wrong_store);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(cm_mode_name(CM_MODE_HOLD), "hold");
    assert_string_equal(cm_egress_name(CM_EGRESS_ALL), "all");
    struct cm_err err = {0};
    enum cm_mode mode = CM_MODE_HOLD;
    assert_int_equal(cm_mode_parse("off", &mode, &err), 0);
    assert_int_equal(mode, CM_MODE_OFF);
    assert_int_equal(cm_mode_parse("Off", &mode, &err), -1);
    assert_int_equal(mode, CM_MODE_OFF);
}

static void test_words(void **state)
{
    (void)state;
    char words[3][64];
    assert_int_equal(cm_conf_words("", words, 3), 0);
    assert_int_equal(cm_conf_words(" \t\n ", words, 3), 0);
    assert_int_equal(cm_conf_words(" a\tbb\n ccc ", words, 3), 3);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[2], "ccc");
    assert_int_equal(cm_conf_words("a b c d", words, 3), 3);
    char big[200];
    memset(big, 'w', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(cm_conf_words(big, words, 3), 1);
    assert_int_equal(strlen(words[0]), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gateways),
        cmocka_unit_test(test_addresses_no_client_could_reach),
        cmocka_unit_test(test_store_settings),
        cmocka_unit_test(test_egress),
        cmocka_unit_test(test_wrong_sections),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
