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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_sorts),
        cmocka_unit_test(goes_on_over_a_reload),
        cmocka_unit_test(is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
