#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "links.h"
#include "plane.h"
#include "sample.h"

/* As iproute2 6.1 of Debian 12 prints it. */
#define LINK(name, flags, addr)                                                        \
    "{\"ifname\":\"" name "\",\"flags\":[" flags "],\"mtu\":1280,\"addr_info\":[" addr \
    "]}"
#define ADDR4(a)                                                                       \
    "{\"family\":\"inet\",\"local\":\"" a "\",\"prefixlen\":30,\"scope\":\"global\"}"
#define ADDR6(a)                                                                       \
    "{\"family\":\"inet6\",\"local\":\"" a "\",\"prefixlen\":64,\"scope\":\"global\"}"
#define UP "\"POINTOPOINT\",\"UP\""

static const char links_good[] = "[" LINK("eth0", UP, ADDR4("10.9.0.2")) "," LINK(
    "wg1", UP,
    ADDR4("10.77.1.2") "," ADDR6("fd77:1::2")) "," LINK("wg2", UP,
                                                        ADDR4("10.77.2.2") "," ADDR6(
                                                            "fd77:2::2")) "]";
static const char rules_good[] =
    "[{\"priority\":0,\"src\":\"all\",\"table\":\"255\"},"
    "{\"priority\":1001,\"src\":\"10.77.1.2\",\"table\":\"101\"},"
    "{\"priority\":1002,\"src\":\"10.77.2.2\",\"table\":\"102\"},"
    "{\"priority\":2000,\"src\":\"all\",\"ipproto\":\"ipproto-6\",\"dport\":25,"
    "\"table\":"
    "\"200\"},"
    "{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]";
static const char routes_good[] =
    "[{\"dst\":\"default\",\"dev\":\"wg1\",\"table\":\"101\",\"prefsrc\":\"10.77.1.2\"}"
    ","
    "{\"dst\":\"default\",\"dev\":\"wg2\",\"table\":\"102\",\"prefsrc\":\"10.77.2.2\"},"
    "{\"dst\":\"default\",\"dev\":\"wg1\",\"table\":\"200\",\"prefsrc\":\"10.77.1.2\","
    "\"metric\":10},"
    "{\"type\":\"7\",\"dst\":\"default\",\"table\":\"200\",\"metric\":32000},"
    "{\"dst\":\"default\",\"gateway\":\"10.9.0.1\",\"dev\":\"eth0\"}]";

static void expect(const char *want, const char *addr, const char *rule,
                   const char *route, unsigned scope, const char *batch)
{
    struct px_links_have have = {addr, rule, route};
    struct cm_err err = {0};
    char *got;
    if (px_links_diff(want, &have, 0, scope, &got, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(got, batch);
    free(got);
}

#define TUNNELS (PX_LINKS_ADDRESSES | PX_LINKS_ROUTES)

static void nothing_to_do(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    char *text = px_store_ip(&state);
    expect(text, links_good, rules_good, routes_good, TUNNELS, "");
    free(text);
    text = px_store_egress_ip(&state, (int[]){1}, 1);
    expect(text, links_good, rules_good, routes_good, PX_LINKS_EGRESS, "");
    free(text);
}

static void from_nothing(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    char *text = px_store_ip(&state);
    /* wg2 has not come up yet: its lines wait, its rule does no harm. */
    expect(text, "[" LINK("wg1", "", "") "]", "[]", "", TUNNELS,
           "link set dev wg1 mtu 1280 up\n"
           "addr replace 10.77.1.2/30 dev wg1\n"
           "route replace default dev wg1 src 10.77.1.2 table 101\n"
           "rule add pref 1001 from 10.77.1.2 lookup 101\n"
           "rule add pref 1002 from 10.77.2.2 lookup 102\n"
           "rule add pref 2000 ipproto tcp dport 25 lookup 200\n");
    free(text);
}

static void leftovers_go_others_stay(void **unused)
{
    (void)unused;
    expect("", links_good, rules_good, routes_good, TUNNELS | PX_LINKS_EGRESS,
           "rule del pref 1001 from 10.77.1.2 lookup 101\n"
           "rule del pref 1002 from 10.77.2.2 lookup 102\n"
           "rule del pref 2000 from all ipproto tcp dport 25 lookup 200\n"
           "route del default dev wg1 table 101 metric 0\n"
           "route del default dev wg2 table 102 metric 0\n"
           "route del default dev wg1 table 200 metric 10\n"
           "route del unreachable default table 200 metric 32000\n");
    expect("", links_good, rules_good, routes_good, PX_LINKS_ADDRESSES, "");
}

static void egress_moves(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    /* The new one takes the old one's place in one step, so nothing is deleted. */
    char *text = px_store_egress_ip(&state, (int[]){2}, 1);
    expect(text, links_good, rules_good, routes_good, PX_LINKS_EGRESS,
           "route replace default dev wg2 src 10.77.2.2 table 200 metric 10\n");
    free(text);
    text = px_store_egress_ip(&state, NULL, 0);
    expect(text, links_good, rules_good, routes_good, PX_LINKS_EGRESS,
           "route del default dev wg1 table 200 metric 10\n");
    free(text);
}

static void egress_mode_changes(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.egress = CM_EGRESS_ALL;
    char *text = px_store_ip(&state);
    expect(text, links_good, rules_good, routes_good, TUNNELS,
           "rule add pref 1900 fwmark 0x7077 lookup main\n"
           "rule add pref 1950 lookup main suppress_prefixlength 0\n"
           "rule add pref 2000 lookup 200\n"
           "rule del pref 2000 from all ipproto tcp dport 25 lookup 200\n");
    free(text);
}

static void wrong_address_goes(void **unused)
{
    (void)unused;
    expect("link set dev wg0 mtu 1280 up\naddr replace 10.77.1.1/30 dev wg0\n",
           "[" LINK("wg0", UP, ADDR4("10.77.9.1")) "," LINK("eth0", UP,
                                                            ADDR4("10.9.0.2")) "]",
           rules_good, routes_good, PX_LINKS_ADDRESSES,
           "addr replace 10.77.1.1/30 dev wg0\naddr del 10.77.9.1/30 dev wg0\n");
}

static void bad_answers(void **unused)
{
    (void)unused;
    struct px_links_have have = {"[]", "{}", "[]"};
    struct cm_err err;
    char *got;
    assert_int_equal(px_links_diff("", &have, 0, TUNNELS, &got, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    have = (struct px_links_have){"[]", "[]", "[]"};
    assert_int_equal(px_links_diff("neigh flush all\n", &have, 0, TUNNELS, &got, &err),
                     -1);
    assert_int_equal(px_links_diff("route replace default dev eth0 table 254\n", &have,
                                   0, TUNNELS, &got, &err),
                     -1);
    assert_int_equal(
        px_links_diff("rule add pref 5 lookup 200\n", &have, 0, TUNNELS, &got, &err),
        -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(from_nothing),
        cmocka_unit_test(egress_moves),
        cmocka_unit_test(leftovers_go_others_stay),
        cmocka_unit_test(egress_mode_changes),
        cmocka_unit_test(wrong_address_goes),
        cmocka_unit_test(bad_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
