#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "report.h"

static void counts_flows(void **unused)
{
    (void)unused;
    static char text[] =
        "ipv4     2 tcp      6 431999 ESTABLISHED src=198.51.100.40 dst=198.51.100.11 "
        "sport=40000 dport=993 src=10.77.1.2 dst=198.51.100.40 sport=993 dport=40000 "
        "[ASSURED] mark=0 zone=0 use=2\n"
        "ipv4     2 tcp      6 100 TIME_WAIT src=198.51.100.40 dst=198.51.100.11 "
        "sport=40001 dport=993 src=10.77.1.2 dst=198.51.100.40 sport=993 dport=40001 "
        "[ASSURED] mark=0 zone=0 use=2\n"
        "ipv4     2 tcp      6 431999 ESTABLISHED src=198.51.100.40 dst=198.51.100.11 "
        "sport=40002 dport=22 src=198.51.100.11 dst=198.51.100.40 sport=22 dport=40002 "
        "[ASSURED] mark=0 zone=0 use=2\n"
        "ipv6     10 tcp      6 431999 ESTABLISHED "
        "src=2001:0db8:0001:0000:0000:0000:0000:0040 "
        "dst=2001:0db8:0001:0000:0000:0000:0000:0011 sport=40000 dport=993 "
        "src=fd77:0001:0000:0000:0000:0000:0000:0002 "
        "dst=2001:0db8:0001:0000:0000:0000:0000:0040 sport=993 dport=40000 [ASSURED]\n"
        "ipv4     2 tcp      6 9 ESTABLISHED src=10.77.1.20 dst=192.0.2.9 sport=1 "
        "dport=25 src=192.0.2.9 dst=198.51.100.11 sport=25 dport=1\n";
    struct px_counts counts = px_counts_unknown();
    counts.port_count = 2;
    counts.ports[0] = (struct px_port_counts){.port = 22, .open = -1};
    counts.ports[1] = (struct px_port_counts){.port = 993, .open = -1};
    FILE *f = fmemopen(text, strlen(text), "r");
    assert_int_equal(gw_report_flows(f, 1, &counts), 2);
    assert_int_equal(counts.ports[0].open, 0); /* of the machine itself */
    assert_int_equal(counts.ports[1].open, 2);
    rewind(f);
    assert_int_equal(gw_report_flows(f, 2, &counts), 0);
    assert_int_equal(counts.ports[1].open, 0);
    fclose(f);
}

/* A look of 500 ms at a full table is not the next one's reason to begin at once. */
static void looks_take_a_twentieth(void **unused)
{
    (void)unused;
    struct gw_flows flows = {.next_ms = 0};
    gw_report_paced(&flows, 1000, 1500);
    assert_int_equal(flows.next_ms, 11000);
    gw_report_paced(&flows, 11000, 11001);
    assert_true(flows.next_ms < 12000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_flows),
                                       cmocka_unit_test(looks_take_a_twentieth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
