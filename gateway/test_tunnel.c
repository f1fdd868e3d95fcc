/* Who is let through a gateway and its tunnel, and who is not (tunnelstand.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "netkit/netkit.h"
#include "tunnelstand.h"

static void forwards_with_the_true_address(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    stand_report(5, &report);
    assert_string_equal(report.applied_mode, "active");
    assert_string_equal(report.error, "");
    assert_in_range(report.handshake_age_s, 0, 60);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    assert_string_equal(said, "198.51.100.40");
    assert_int_equal(stand_dial(CLIENT, "2001:db8:1::11", 25, said, NULL), 0);
    assert_string_equal(said, "2001:db8:1::40");
    /* A port that is not ours, and inner addresses from outside. */
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 5432, said, NULL),
                     ECONNREFUSED);
    assert_int_equal(
        netkit_sh(stand.host[CLIENT], "ip route add 10.77.1.0/30 via 198.51.100.11"),
        0);
    assert_int_not_equal(stand_dial(CLIENT, "10.77.1.2", 993, said, NULL), 0);
    assert_int_not_equal(stand_dial(CLIENT, "10.77.1.1", 22, said, NULL), 0);
}

/* From its own public address, which the store's firewall lets through; what answers
 * there says an address, and no SMTP server does. */
static void knocks_through_the_tunnel(void **unused)
{
    (void)unused;
    struct px_report report = {.probe_count = 0};
    for (int i = 0; i < 150 && report.probe_count == 0; i++) {
        stand_report(5, &report);
        usleep(100000);
    }
    assert_int_equal(report.probe_count, 1); /* 25; neither 143 nor 443 is forwarded */
    assert_int_equal(report.probes[0].port, 25);
    assert_int_equal(report.probes[0].result, PX_PROBE_WRONG);
    assert_in_range(report.probes[0].ms, 0, 4000);
}

/* Neither what is carried nor the tunnel and the bus in it need a place in the table of
 * connections, and dead flows do not keep theirs for days. */
static void takes_no_place_in_the_table(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    stand_report(5, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    if (netkit_sh(stand.host[GATEWAY], "test -r /proc/net/nf_conntrack") != 0) {
        skip();
    }
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "! grep -E 'port=(993|51820|471[0-2])' "
                               "/proc/net/nf_conntrack"),
                     0);
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "grep -qx 7440 /proc/sys/net/netfilter/"
                               "nf_conntrack_tcp_timeout_established"),
                     0);
    assert_true(report.counts.table_used >= 0);
    assert_true(report.counts.table_max > 0);
    assert_int_equal(report.counts.table_full, 0);
}

static void mail_leaves_by_the_gateway(void **unused)
{
    (void)unused;
    char said[64];
    pid_t foreign = stand_serve(CLIENT);
    usleep(300000);
    assert_int_equal(stand_dial(STORE, "198.51.100.40", 25, said, NULL), 0);
    assert_string_equal(said, "198.51.100.11");
    assert_int_equal(stand_dial(STORE, "2001:db8:1::40", 25, said, NULL), 0);
    assert_string_equal(said, "2001:db8:1::11");
    netkit_stop(&foreign, SIGKILL);
}

/* What carries needs no table of connections for that: its packets pass no rule. */
static void nothing_is_tracked(void **unused)
{
    (void)unused;
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "nft list table inet chatmail >%s && "
                               "! grep -E 'type nat|ct (state|status|mark)' %s",
                               stand_file("rules"), stand_file("rules")),
                     0);
}

/* The relay hears who calls, and speaks first to whom it likes. */
static void calls_go_both_ways(void **unused)
{
    (void)unused;
    char said[64];
    pid_t peer = stand_serve(CLIENT);
    usleep(300000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stand_call(CLIENT, "::", 40000, "198.51.100.11", 5, said), 0);
        assert_string_equal(said, "198.51.100.40");
        assert_int_equal(stand_call(CLIENT, "::", 40000, "2001:db8:1::11", 5, said), 0);
        assert_string_equal(said, "2001:db8:1::40");
    }
    assert_int_equal(stand_call(STORE, "10.77.1.2", 49160, "198.51.100.40", 5, said),
                     0);
    assert_string_equal(said, "198.51.100.11");
    assert_int_equal(stand_call(STORE, "fd77:1::2", 49359, "2001:db8:1::40", 5, said),
                     0);
    assert_string_equal(said, "2001:db8:1::11");
    /* In fragments, and whole but wider than the tunnel. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stand_call(CLIENT, "::", 40001, "198.51.100.11", 3000, said),
                         0);
        assert_int_equal(stand_call(CLIENT, "::", 40001, "198.51.100.11", 1400, said),
                         0);
        assert_int_equal(
            stand_call(STORE, "10.77.1.2", 49161, "198.51.100.40", 3000, said), 0);
        assert_string_equal(said, "198.51.100.11");
        assert_int_equal(
            stand_call(STORE, "fd77:1::2", 49161, "2001:db8:1::40", 3000, said), 0);
        assert_string_equal(said, "2001:db8:1::11");
    }
    /* Not from a port of the relay's. */
    assert_int_equal(stand_call(STORE, "10.77.1.2", 49360, "198.51.100.40", 5, said),
                     EAGAIN);
    netkit_stop(&peer, SIGKILL);
}

static void stolen_gateway_reaches_nothing_else(void **unused)
{
    (void)unused;
    char said[64];
    /* From the gateway itself: neither mail with a private source nor the database. */
    assert_int_not_equal(stand_dial(GATEWAY, "10.77.1.2", 993, said, NULL), 0);
    assert_int_not_equal(stand_dial(GATEWAY, "10.77.1.2", 5432, said, NULL), 0);
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "ip addr add 198.51.100.99/32 dev wg0; "
                               "ip route add 10.77.1.2/32 dev wg0 src 198.51.100.99"),
                     0);
    /* Control: a claimed public address reaches a mail port... */
    assert_int_equal(stand_dial(GATEWAY, "10.77.1.2", 993, said, NULL), 0);
    /* ...and nothing else. */
    assert_int_not_equal(stand_dial(GATEWAY, "10.77.1.2", 5432, said, NULL), 0);
    netkit_sh(
        stand.host[GATEWAY],
        "ip route del 10.77.1.2/32 dev wg0; ip addr del 198.51.100.99/32 dev wg0");
}

/* Whoever has the store, and whoever sends to the tunnel's address past the tunnel. */
static void gateway_is_reached_by_nobody(void **unused)
{
    (void)unused;
    char said[64];
    pid_t own = stand_serve(GATEWAY);
    usleep(300000);
    assert_int_equal(stand_dial(GATEWAY, "10.77.1.1", 5432, said, NULL), 0);
    assert_int_equal(stand_dial(STORE, "10.77.1.1", 5432, said, NULL), EINPROGRESS);
    assert_int_equal(stand_dial(STORE, "fd77:1::1", 5432, said, NULL), EINPROGRESS);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 5432, said, NULL), 0);
    netkit_must(stand.host[CLIENT], "ip route add 10.77.1.1/32 via 198.51.100.11");
    assert_int_equal(stand_dial(CLIENT, "10.77.1.1", 5432, said, NULL), EINPROGRESS);
    netkit_must(stand.host[CLIENT], "ip route del 10.77.1.1/32 via 198.51.100.11");
    netkit_stop(&own, SIGKILL);
}

static void refuses_what_is_not_right(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    struct cm_err err;
    stand_publish(4, CM_MODE_OFF);
    for (int i = 0; i < 80 && netkit_sh(0, "grep -q 'epoch 4 is older' %s",
                                        stand_file("log")) != 0;
         i++) {
        usleep(100000);
    }
    assert_int_equal(netkit_sh(0,
                               "grep -q 'event=document_refused.*epoch 4 is older' %s",
                               stand_file("log")),
                     0);
    stand_publish(9, CM_MODE_OFF);
    char *text = NULL;
    size_t len;
    assert_int_equal(cm_file_read(stand_file("envelope"), 1 << 20, &text, &len, &err),
                     1);
    text[len - 3] ^= 1;
    assert_int_equal(cm_file_replace(stand_file("envelope"), text, len, 0600, &err), 0);
    free(text);
    usleep(6000000);
    assert_int_equal(netkit_sh(0, "test $(grep -c event=document_refused %s) = 2",
                               stand_file("log")),
                     0);
    stand_report(5, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

static void drain_hold_off(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    stand_publish(10, CM_MODE_ACTIVE);
    stand_report(10, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    stand_publish(11, CM_MODE_DRAIN);
    stand_report(11, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL),
                     ECONNREFUSED);
    assert_int_equal(stand_dial(CLIENT, "2001:db8:1::11", 993, said, NULL),
                     ECONNREFUSED);
    assert_true(stand_alive(keep));
    /* Calls likewise: this one is on its feet, others are refused. */
    assert_int_equal(stand_call(CLIENT, "::", 40000, "198.51.100.11", 5, said), 0);
    netkit_must(stand.host[CLIENT], "ip addr add 198.51.100.41/24 dev ptc0; ip route "
                                    "add 198.51.100.11 dev ptc0 src 198.51.100.41");
    assert_int_equal(stand_call(CLIENT, "::", 40000, "198.51.100.11", 5, said),
                     ECONNREFUSED);
    netkit_must(stand.host[CLIENT], "ip route del 198.51.100.11 dev ptc0 && "
                                    "ip addr del 198.51.100.41/24 dev ptc0");

    stand_publish(12, CM_MODE_HOLD);
    stand_report(12, &report);
    int why = stand_dial(CLIENT, "198.51.100.11", 993, said, NULL);
    assert_true(why == EINPROGRESS || why == EAGAIN || why == ETIMEDOUT);

    stand_publish(13, CM_MODE_ACTIVE);
    stand_report(13, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    stand_publish(14, CM_MODE_OFF);
    stand_report(14, &report);
    assert_false(stand_alive(keep));
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL),
                     ECONNREFUSED);
    stand_publish(15, CM_MODE_ACTIVE);
    stand_report(15, &report);
}

static int64_t reported_flows(int64_t epoch)
{
    struct px_report report;
    stand_report(epoch, &report);
    for (size_t i = 0; i < report.counts.port_count; i++) {
        if (report.counts.ports[i].port == 993) {
            return report.counts.ports[i].flows;
        }
    }
    return -1;
}

static void wait_open(int64_t epoch, int64_t want)
{
    struct px_report report = {.flows = -1};
    int64_t end = cm_now_mono_ms() + 5000;
    while (report.flows != want && cm_now_mono_ms() < end) {
        stand_report(epoch, &report);
        usleep(100000);
    }
    assert_int_equal(report.flows, want);
}

/* Packets that the rules dropped, of banned sources. */
static uint64_t in_banned(void)
{
    FILE *f = NULL;
    unsigned long long packets = 0;
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "nft list counter inet chatmail banned | "
                               "sed -n 's/.*packets \\([0-9]*\\).*/\\1/p' >%s",
                               stand_file("banned")),
                     0);
    f = fopen(stand_file("banned"), "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu", &packets), 1);
    fclose(f);
    return packets;
}

/* A document that brings a ban leaves the rest of the rules as it is; what was counted
 * arrives in the reports. */
static void bans_and_counts(void **unused)
{
    (void)unused;
    struct cm_err err;
    char said[64];
    int64_t end = cm_now_mono_ms() + 15000, flows = -1;
    while (flows < 3 && cm_now_mono_ms() < end) {
        assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
        flows = reported_flows(stand.state.epoch);
    }
    assert_true(flows >= 3);
    assert_int_equal(
        netkit_sh(stand.host[GATEWAY], "nft add counter inet chatmail kept"), 0);
    usleep(6000000); /* a hand that meddles is noticed, once: then it is loaded anew */
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "nft list counter inet chatmail flows_993 | grep -q "
                               "'packets 0'"),
                     0);
    assert_int_equal(cm_source_parse("198.51.100.40", stand.state.bans[0].source, &err),
                     0);
    stand.state.bans[0].until = cm_now_wall_ms() / 1000 + 600;
    stand.state.ban_count = 1;
    int keep, other;
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    assert_int_equal(stand_dial(CLIENT, "2001:db8:1::11", 993, said, &other), 0);
    wait_open(stand.state.epoch, 2);
    stand_publish(28, CM_MODE_ACTIVE);
    assert_true(reported_flows(28) >= flows);
    wait_open(28, 1);
    assert_int_not_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    /* Nor does what was open before carry anything any more. */
    uint64_t before = in_banned();
    (void)stand_alive(keep);
    assert_true(in_banned() > before);
    assert_true(stand_alive(other));
    assert_int_equal(stand_dial(CLIENT, "2001:db8:1::11", 993, said, NULL), 0);
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "nft list counter inet chatmail flows_993 | grep -q "
                               "'packets [1-9]'"),
                     0);
    stand.state.ban_count = 0;
    stand_publish(29, CM_MODE_ACTIVE);
    assert_true(reported_flows(29) >= flows);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwards_with_the_true_address),
        cmocka_unit_test(knocks_through_the_tunnel),
        cmocka_unit_test(takes_no_place_in_the_table),
        cmocka_unit_test(mail_leaves_by_the_gateway),
        cmocka_unit_test(nothing_is_tracked),
        cmocka_unit_test(calls_go_both_ways),
        cmocka_unit_test(stolen_gateway_reaches_nothing_else),
        cmocka_unit_test(gateway_is_reached_by_nobody),
        cmocka_unit_test(refuses_what_is_not_right),
        cmocka_unit_test(drain_hold_off),
        cmocka_unit_test(bans_and_counts),
    };
    return cmocka_run_group_tests(tests, stand_up, stand_down);
}
