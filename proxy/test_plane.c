/* Every text that a node's tools are fed, against the golden files in testdata/. To
 * make them anew after a wanted change: PORTICO_GOLDEN_UPDATE=1, then read the diff. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "plane.h"
#include "sample.h"

static void golden(const char *name, char *text)
{
    char path[512];
    struct cm_err err;
    char *want = NULL;
    size_t len;
    snprintf(path, sizeof(path), "%s/%s", getenv("PORTICO_TESTDATA_DIR"), name);
    if (getenv("PORTICO_GOLDEN_UPDATE") != NULL) {
        assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    }
    assert_int_equal(cm_file_read(path, 1 << 20, &want, &len, &err), 1);
    assert_string_equal(text, want);
    free(want);
    free(text);
}

static void gateway_modes(void **unused)
{
    (void)unused;
    static const enum cm_mode modes[] = {CM_MODE_ACTIVE, CM_MODE_DRAIN, CM_MODE_HOLD,
                                         CM_MODE_OFF};
    struct px_state state = px_sample();
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        state.gateways[0].mode = modes[i];
        snprintf(name, sizeof(name), "gateway_%s.nft", cm_mode_name(modes[i]));
        golden(name, px_gateway_nft(&state, &state.gateways[0]));
    }
}

/* With programs that carry what is open. */
static void gateway_carried(void **unused)
{
    (void)unused;
    static const enum cm_mode modes[] = {CM_MODE_ACTIVE, CM_MODE_DRAIN, CM_MODE_HOLD,
                                         CM_MODE_OFF};
    struct px_state state = px_sample();
    state.gateways[0].carried = true;
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        state.gateways[0].mode = modes[i];
        snprintf(name, sizeof(name), "carried_%s.nft", cm_mode_name(modes[i]));
        golden(name, px_gateway_nft(&state, &state.gateways[0]));
    }
    strcpy(state.gateways[1].addresses[1], "203.0.113.13");
    state.gateways[1].address_count = 2;
    state.gateways[1].carried = true;
    golden("carried_v4_two.nft", px_gateway_nft(&state, &state.gateways[1]));
    state.gateways[1].tracked = true;
    golden("carried_tracked.nft", px_gateway_nft(&state, &state.gateways[1]));
    /* A full table of connections is none of theirs, as long as all are let in. */
    state.gateways[1].crowded = true;
    char *text = px_gateway_nft(&state, &state.gateways[1]);
    assert_null(strstr(text, "name \"crowded\" reject"));
    free(text);
    state.gateways[1].mode = CM_MODE_DRAIN;
    text = px_gateway_nft(&state, &state.gateways[1]);
    assert_non_null(strstr(text, "name \"crowded\" reject"));
    free(text);
    char *document = px_state_dump(&state);
    assert_null(strstr(document, "carried"));
    free(document);
}

static void gateway_proxy(void **unused)
{
    (void)unused;
    static const enum cm_mode modes[] = {CM_MODE_ACTIVE, CM_MODE_DRAIN, CM_MODE_HOLD,
                                         CM_MODE_OFF};
    struct px_state state = px_sample();
    assert_null(px_gateway_proxy(&state, &state.gateways[0]));
    state.gateways[0].by_proxy = true;
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        state.gateways[0].mode = modes[i];
        snprintf(name, sizeof(name), "proxy_%s.nft", cm_mode_name(modes[i]));
        golden(name, px_gateway_nft(&state, &state.gateways[0]));
    }
    golden("proxy_off.conf", px_gateway_proxy(&state, &state.gateways[0]));
}

/* No room for new connections: refused, but where callers shall wait. */
static void crowded(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.gateways[0].crowded = true;
    golden("gateway_crowded.nft", px_gateway_nft(&state, &state.gateways[0]));
    state.gateways[0].mode = CM_MODE_HOLD;
    char *text = px_gateway_nft(&state, &state.gateways[0]);
    assert_null(strstr(text, "name \"crowded\" reject"));
    free(text);
    char *document = px_state_dump(&state);
    assert_null(strstr(document, "crowded"));
    free(document);
}

static void guard_switched_off(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.limits.stranger_rate = 0;
    char *text = px_gateway_nft(&state, &state.gateways[0]);
    assert_null(strstr(text, "@known"));
    assert_null(strstr(text, "acquaint"));
    assert_non_null(strstr(text, "update @fresh4"));
    free(text);
    state.limits.source_rate = 0;
    text = px_gateway_nft(&state, &state.gateways[0]);
    assert_null(strstr(text, "limit rate over"));
    assert_non_null(strstr(text, "ip saddr @banned4"));
    free(text);
}

/* What is over, what is ours and what no client can have is not banned. */
static void bans(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    golden("bans.nft", px_gateway_bans(&state, 1999999000));
    char *text = px_gateway_bans(&state, 2000000000);
    assert_null(strstr(text, "203.0.113.66"));
    assert_non_null(strstr(text, "2001:db8:ba:d0:: timeout 3600s"));
    free(text);
    text = px_gateway_bans(&state, 5); /* a clock that was never set */
    assert_non_null(strstr(text, "203.0.113.66 timeout 2592000s"));
    free(text);
    static const char *const spared[] = {"198.51.100.11",  "203.0.113.12",
                                         "2001:db8:1::11", "10.77.1.1",
                                         "127.0.0.1",      "fd77:1::1"};
    for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++) {
        struct cm_err err;
        state.ban_count = 1;
        assert_int_equal(cm_source_parse(spared[i], state.bans[0].source, &err), 0);
        assert_false(px_ban_allowed(&state, &state.bans[0]));
        text = px_gateway_bans(&state, 1999999000);
        assert_null(strstr(text, "add element"));
        free(text);
    }
}

static void gateway_variants(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.egress = CM_EGRESS_ALL;
    golden("gateway_egress_all.nft", px_gateway_nft(&state, &state.gateways[0]));
    /* One family only, two addresses in it. */
    strcpy(state.gateways[1].addresses[1], "203.0.113.13");
    state.gateways[1].address_count = 2;
    golden("gateway_v4_two.nft", px_gateway_nft(&state, &state.gateways[1]));
    state.gateways[1].egress = false;
    char *text = px_gateway_nft(&state, &state.gateways[1]);
    assert_null(strstr(text, "name \"egress_flows\""));
    free(text);
}

static void freebsd(void **unused)
{
    (void)unused;
    static const enum cm_mode modes[] = {CM_MODE_ACTIVE, CM_MODE_DRAIN, CM_MODE_HOLD,
                                         CM_MODE_OFF};
    struct px_state state = px_sample();
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        state.gateways[0].mode = modes[i];
        snprintf(name, sizeof(name), "freebsd_%s.pf", cm_mode_name(modes[i]));
        golden(name, px_gateway_pf(&state, &state.gateways[0]));
    }
    golden("freebsd.wg", px_gateway_pf_wg(&state, &state.gateways[0]));
    /* One family, two addresses, all of the store's packets. */
    state.egress = CM_EGRESS_ALL;
    strcpy(state.gateways[1].addresses[1], "203.0.113.13");
    state.gateways[1].address_count = 2;
    golden("freebsd_v4_two_all.pf", px_gateway_pf(&state, &state.gateways[1]));
}

/* A proxy on the edge that cannot keep the clients' addresses. */
static void by_header(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    struct px_gateway *gw = &state.gateways[0];
    assert_null(px_gateway_haproxy(&state, gw));
    gw->by_proxy = true;
    gw->by_header = true;
    golden("header.conf", px_gateway_proxy(&state, gw));
    golden("header_store.nft", px_store_nft(&state));
    state.judged = true;
    golden("header_judged.nft", px_store_nft(&state));
    state.judged = false;
    char *text = px_gateway_nft(&state, gw);
    assert_null(strstr(text, "transparent"));
    free(text);
    gw->by_proxy = false;
    gw->agentless = true;
    golden("header_freebsd.pf", px_gateway_pf(&state, gw));
    golden("header_haproxy.cfg", px_gateway_haproxy(&state, gw));
    gw->mode = CM_MODE_HOLD;
    text = px_gateway_pf(&state, gw);
    assert_null(strstr(text, "\npass in quick on ! wg0 inet proto tcp from any"));
    assert_non_null(
        strstr(text, "block drop in quick on ! wg0 inet proto tcp from any"));
    free(text);
}

static void freebsd_unlimited(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.limits = (struct px_limits){0};
    char *text = px_gateway_pf(&state, &state.gateways[0]);
    assert_null(strstr(text, "max-src-conn-rate"));
    assert_null(strstr(text, "syncookies"));
    assert_non_null(strstr(text, "from <chatmail_banned>"));
    free(text);
    state.limits = (struct px_limits){1000, 500, 100000};
    text = px_gateway_pf(&state, &state.gateways[0]);
    assert_non_null(strstr(text, "max-src-conn-rate 1000/1)"));
    assert_non_null(strstr(text, "(start 50%, end 25%)"));
    free(text);
}

/* Neither calls nor mail outward: nothing is translated but the doors. */
static void freebsd_least(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.turn = (struct px_turn){0};
    state.egress = CM_EGRESS_DIRECT;
    char *text = px_gateway_pf(&state, &state.gateways[0]);
    assert_null(strstr(text, "udp"));
    assert_null(strstr(text, "\nnat "));
    assert_null(strstr(text, "tag OUT"));
    assert_non_null(strstr(text, "\nrdr "));
    free(text);
}

static void no_turn(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.turn = (struct px_turn){0};
    for (int mode = CM_MODE_ACTIVE; mode <= CM_MODE_OFF; mode++) {
        state.gateways[0].mode = (enum cm_mode)mode;
        char *text = px_gateway_nft(&state, &state.gateways[0]);
        assert_null(strstr(text, "udp dport {"));
        assert_null(strstr(text, "l4proto udp"));
        free(text);
    }
    char *text = px_store_nft(&state);
    assert_null(strstr(text, "udp"));
    free(text);
}

static void gateway_tools(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    golden("gateway.wg", px_gateway_wg(&state, &state.gateways[0], PX_SAMPLE_PRIVATE));
    golden("gateway.ip", px_gateway_ip(&state, &state.gateways[0]));
}

static void store_tools(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    golden("store.nft", px_store_nft(&state));
    state.judged = true;
    golden("store_judged.nft", px_store_nft(&state));
    state.judged = false;
    golden("store_v4_endpoint.wg",
           px_store_wg(&state, &state.gateways[0], PX_SAMPLE_PRIVATE));
    golden("store_v6_endpoint.wg",
           px_store_wg(&state, &state.gateways[1], PX_SAMPLE_PRIVATE));
    golden("store_egress_gateways.ip", px_store_ip(&state));
    state.egress = CM_EGRESS_ALL;
    golden("store_egress_all.nft", px_store_nft(&state));
    golden("store_egress_all.ip", px_store_ip(&state));
    state.egress = CM_EGRESS_DIRECT;
    char *text = px_store_ip(&state);
    assert_null(strstr(text, "2000"));
    free(text);
}

/* Connection tracking costs every packet of the machine, so it is asked for only where
 * answers may come from anywhere. */
static void store_answers(void **unused)
{
    (void)unused;
    static const enum cm_egress egress[] = {CM_EGRESS_DIRECT, CM_EGRESS_GATEWAYS,
                                            CM_EGRESS_ALL};
    for (size_t i = 0; i < 3; i++) {
        struct px_state state = px_sample();
        state.egress = egress[i];
        char *text = px_store_nft(&state);
        assert_int_equal(strstr(text, " ct ") != NULL, egress[i] == CM_EGRESS_ALL);
        assert_int_equal(strstr(text, "sport { 25, 443 }") != NULL,
                         egress[i] == CM_EGRESS_GATEWAYS);
        free(text);
    }
}

static void egress_table(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    golden("egress_two.ip", px_store_egress_ip(&state, (int[]){2, 1}, 2));
    golden("egress_none.ip", px_store_egress_ip(&state, NULL, 0));
    /* A number that is not in the state has no tunnel. */
    char *text = px_store_egress_ip(&state, (int[]){7}, 1);
    assert_null(strstr(text, "wg7"));
    free(text);
    state.egress = CM_EGRESS_DIRECT;
    text = px_store_egress_ip(&state, NULL, 0);
    assert_string_equal(text, "");
    free(text);
}

static void store_without_gateways(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    state.gateway_count = 0;
    char *text = px_store_ip(&state);
    assert_string_equal(text, "");
    free(text);
    text = px_store_egress_ip(&state, NULL, 0);
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gateway_modes),
        cmocka_unit_test(gateway_carried),
        cmocka_unit_test(gateway_proxy),
        cmocka_unit_test(crowded),
        cmocka_unit_test(guard_switched_off),
        cmocka_unit_test(bans),
        cmocka_unit_test(gateway_variants),
        cmocka_unit_test(gateway_tools),
        cmocka_unit_test(freebsd),
        cmocka_unit_test(freebsd_least),
        cmocka_unit_test(freebsd_unlimited),
        cmocka_unit_test(by_header),
        cmocka_unit_test(store_tools),
        cmocka_unit_test(no_turn),
        cmocka_unit_test(store_answers),
        cmocka_unit_test(egress_table),
        cmocka_unit_test(store_without_gateways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
