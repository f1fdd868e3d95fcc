#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "uplink.h"

static FILE *file_of(const char *text)
{
    FILE *f = tmpfile();
    fputs(text, f);
    rewind(f);
    return f;
}

static void bytes(void **unused)
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
