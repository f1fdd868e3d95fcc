#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tally.h"

static const char first[] = "table inet chatmail {\n"
                            "\tcounter flows_25 {\n\t\tpackets 3 bytes 180\n\t}\n"
                            "\tcounter in_993 {\n\t\tpackets 10 bytes 1000\n\t}\n"
                            "\tcounter out_993 {\n\t\tpackets 20 bytes 90000\n\t}\n"
                            "\tcounter to_store {\n\t\tpackets 9 bytes 9\n\t}\n"
                            "\tcounter in_ {\n\t\tpackets 9 bytes 9\n\t}\n"
                            "\tcounter in_99999 {\n\t\tpackets 9 bytes 9\n\t}\n"
                            "\tcounter banned {\n\t\tpackets 4 bytes 240\n\t}\n}\n";

static void reads_and_sorts(void **unused)
{
    (void)unused;
    struct gw_tally tally = {.count = 0};
    struct px_counts counts = px_counts_unknown();
    gw_tally_fill(&tally, &counts);
    assert_int_equal(counts.port_count, 0);
    assert_int_equal(counts.banned, -1);
    gw_tally_take(&tally, first);
    gw_tally_fill(&tally, &counts);
    assert_int_equal(counts.port_count, 2);
    assert_int_equal(counts.ports[0].port, 25);
    assert_int_equal(counts.ports[0].flows, 3);
    assert_int_equal(counts.ports[0].in_bytes, 0);
    assert_int_equal(counts.ports[1].port, 993);
    assert_int_equal(counts.ports[1].in_packets, 10);
    assert_int_equal(counts.ports[1].in_bytes, 1000);
    assert_int_equal(counts.ports[1].out_packets, 20);
    assert_int_equal(counts.ports[1].out_bytes, 90000);
    assert_int_equal(counts.banned, 4);
    assert_int_equal(counts.flooding, -1);
}

/* Rules that are loaded anew count from zero; a port that is gone keeps its sum. */
static void goes_on_over_a_reload(void **unused)
{
    (void)unused;
    struct gw_tally tally = {.count = 0};
    struct px_counts counts = px_counts_unknown();
    gw_tally_take(&tally, first);
    gw_tally_take(&tally, first); /* nothing came meanwhile */
    gw_tally_take(&tally, "\tcounter in_993 {\n\t\tpackets 12 bytes 1200\n\t}\n");
    gw_tally_take(&tally, "\tcounter in_993 {\n\t\tpackets 1 bytes 50\n\t}\n"
                          "\tcounter banned {\n\t\tpackets 0 bytes 0\n\t}\n");
    gw_tally_fill(&tally, &counts);
    assert_int_equal(counts.ports[1].in_packets, 13);
    assert_int_equal(counts.ports[1].in_bytes, 1250);
    assert_int_equal(counts.ports[0].flows, 3);
    assert_int_equal(counts.banned, 4);
}

static void is_bounded(void **unused)
{
    (void)unused;
    struct gw_tally tally = {.count = 0};
    struct px_counts counts = px_counts_unknown();
    for (int i = 1; i <= 2 * GW_TALLY_MAX; i++) {
        char text[80];
        snprintf(text, sizeof(text), "\tcounter in_%d {\n\t\tpackets 1 bytes 1\n", i);
        gw_tally_take(&tally, text);
    }
    gw_tally_take(&tally, "\tcounter a_name_that_is_longer_than_any_of_ours {\n\t\t"
                          "packets 1 bytes 1\n");
    gw_tally_take(&tally, "\tcounter in_7 {\n\t\tpackets x\n\tcounter");
    assert_int_equal(tally.count, GW_TALLY_MAX);
    gw_tally_fill(&tally, &counts);
    assert_int_equal(counts.port_count, PX_PORTS_MAX);
}

static FILE *file_of(const char *text)
{
    FILE *f = tmpfile();
    fputs(text, f);
    rewind(f);
    return f;
}

static void uplinks(void **unused)
{
    (void)unused;
    static const char dev_text[] =
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes\n"
        "    lo: 99999 1 0 0 0 0 0 0 99999 1 0 0 0 0 0 0\n"
        "  eth0: 1000 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n"
        "  eth1:7 10 0 0 0 0 0 0 3 5 0 0 0 0 0 0\n"
        " eth10: 80 10 0 0 0 0 0 0 80 5 0 0 0 0 0 0\n"
        "   wg0: 4000 10 0 0 0 0 0 0 4000 5 0 0 0 0 0 0\n";
    static const char route_text[] =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n"
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t00000000\t0201A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
        "wg0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth10\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    static const char route6_text[] =
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
        "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     "
        "eth1\n"
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
        "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       "
        "lo\n";
    FILE *dev = file_of(dev_text), *route = file_of(route_text),
         *route6 = file_of(route6_text);
    assert_int_equal(gw_uplink_bytes(dev, route, route6), 1510);
    rewind(dev);
    rewind(route);
    assert_int_equal(gw_uplink_bytes(dev, route, NULL), 1500);
    rewind(dev);
    assert_int_equal(gw_uplink_bytes(dev, NULL, NULL), -1);
    assert_int_equal(gw_uplink_bytes(NULL, NULL, NULL), -1);
    fclose(dev);
    fclose(route);
    fclose(route6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_sorts),
        cmocka_unit_test(goes_on_over_a_reload),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(uplinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
