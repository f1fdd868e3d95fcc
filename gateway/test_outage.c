/* The daemon, the store or the way to it goes away and comes back (tunnelstand.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "netkit/netkit.h"
#include "trial.h"
#include "tunnelstand.h"

static void killed_and_back(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    stand_publish(20, CM_MODE_ACTIVE);
    stand_report(20, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    netkit_stop(&stand.daemon, SIGKILL);
    assert_int_equal(
        netkit_sh(stand.host[GATEWAY], "nft add counter inet chatmail kept"), 0);
    /* The kernel goes on without us. */
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    stand_publish(19, CM_MODE_OFF);
    unlink(stand_file("report"));
    stand_start();
    for (int i = 0; i < 80 && netkit_sh(0, "grep -q 'epoch 19 is older' %s",
                                        stand_file("log")) != 0;
         i++) {
        usleep(100000);
    }
    assert_int_equal(netkit_sh(0, "grep -q 'epoch 19 is older' %s", stand_file("log")),
                     0);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    stand_publish(20, CM_MODE_ACTIVE);
    stand_report(20, &report);
    assert_true(stand_alive(keep));
    /* Nothing was loaded anew. */
    assert_int_equal(
        netkit_sh(stand.host[GATEWAY], "nft list counter inet chatmail kept"), 0);
}

/* Waits until the store has a report that says so. */
static void wait_reverted(int64_t bad, int64_t former, int64_t limit_ms)
{
    struct px_report report = {0};
    int64_t end = cm_now_mono_ms() + limit_ms;
    unlink(stand_file("report"));
    while (cm_now_mono_ms() < end) {
        struct cm_err err;
        char *text = NULL;
        size_t len;
        if (cm_file_read(stand_file("report"), PX_REPORT_MAX, &text, &len, &err) == 1 &&
            px_report_parse(text, len, &report, &err) == 0 &&
            report.reverted_epoch == bad && report.applied_epoch == former) {
            free(text);
            assert_non_null(strstr(report.error, "cut us off from the store"));
            return;
        }
        free(text);
        usleep(100000);
    }
    fail_msg("no report of a revert; the last one was of epoch %d",
             (int)report.applied_epoch);
}

/* Its bus is somewhere else, says the document, and is not. */
static void a_document_that_cuts_off_is_taken_back(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    stand_publish(21, CM_MODE_ACTIVE);
    stand_report(21, &report);
    assert_int_equal(report.reverted_epoch, 0);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    stand.state.bus_port = 4720;
    stand_publish(22, CM_MODE_ACTIVE);
    wait_reverted(22, 21, 60000);
    assert_int_equal(
        netkit_sh(0, "test $(grep -c event=epoch_reverted %s) = 1", stand_file("log")),
        0);
    assert_true(stand_alive(keep));
    /* What is right is taken at once, what is older than the bad one is not. */
    stand.state.bus_port = 4710;
    stand_publish(23, CM_MODE_ACTIVE);
    stand_report(23, &report);
    assert_int_equal(report.reverted_epoch, 0);
    assert_string_equal(report.error, "");
}

/* What is in force stays: a question that was asked under it has been answered, and a
 * further one says that the answer was heard. Who goes away before that has cut the
 * gateway off, for all that it can know. */
static void wait_settled(void)
{
    unsigned enough = *stand.asked + 2;
    int64_t end = cm_now_mono_ms() + 60000;
    while (*stand.asked < enough) {
        if (cm_now_mono_ms() > end) {
            fail_msg("the gateway does not ask");
        }
        usleep(50000);
    }
}

/* The store goes away after a change and comes back: no harm is done. */
static void an_outage_is_no_bad_document(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    stand_publish(24, CM_MODE_ACTIVE);
    stand_report(24, &report);
    wait_settled();
    netkit_stop(&stand.server, SIGKILL);
    usleep((GW_TRIAL_MS + 5000) * 1000);
    assert_int_equal(
        netkit_sh(0, "test $(grep -c event=epoch_reverted %s) = 1", stand_file("log")),
        0);
    unlink(stand_file("report"));
    stand.server = stand_serve(STORE); /* listens before it takes reports */
    stand_report(24, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

/* Dials until the answer is that; fails after limit_ms. Returns how long it took. */
static int64_t until(int want, int64_t limit_ms)
{
    char said[64];
    int64_t start = cm_now_mono_ms();
    while (stand_dial(CLIENT, "198.51.100.11", 993, said, NULL) != want) {
        if (cm_now_mono_ms() - start > limit_ms) {
            fail_msg("not %d within %d ms", want, (int)limit_ms);
        }
        usleep(200000);
    }
    return cm_now_mono_ms() - start;
}

static void a_store_that_is_gone_is_answered_for(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    stand_publish(25, CM_MODE_ACTIVE);
    stand_report(25, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    assert_int_equal(netkit_sh(stand.host[GATEWAY], "ip link set pth0 down"), 0);
    until(ECONNREFUSED, 9000);
    assert_int_equal(stand_dial(CLIENT, "2001:db8:1::11", 993, said, NULL),
                     ECONNREFUSED);
    assert_false(stand_alive(keep));
    assert_int_equal(netkit_sh(stand.host[GATEWAY], "ip link set pth0 up"), 0);
    until(0, 15000);
    assert_int_equal(netkit_sh(0, "grep -q event=store_back %s", stand_file("log")), 0);
    /* Who holds, holds. */
    stand_publish(26, CM_MODE_HOLD);
    stand_report(26, &report);
    assert_int_equal(netkit_sh(stand.host[GATEWAY], "ip link set pth0 down"), 0);
    usleep(8000000);
    assert_int_not_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL),
                         ECONNREFUSED);
    assert_int_equal(netkit_sh(stand.host[GATEWAY], "ip link set pth0 up"), 0);
    stand_publish(27, CM_MODE_ACTIVE);
    stand_report(27, &report);
}

/* Who waits is told within 15 seconds, by a RST that he believes, in both families. */
static void assert_told(const char *cut, const char *mend, int64_t epoch)
{
    struct px_report report;
    struct pollfd waits[2] = {{.events = POLLIN}, {.events = POLLIN}};
    stand_publish(epoch, CM_MODE_ACTIVE);
    stand_report(epoch, &report);
    assert_int_equal(report.counts.carried, 1);
    assert_int_equal(stand_wait_at("198.51.100.11", &waits[0].fd), 0);
    assert_int_equal(stand_wait_at("2001:db8:1::11", &waits[1].fd), 0);
    sleep(1);
    assert_int_equal(netkit_sh(stand.host[GATEWAY], "%s", cut), 0);
    int64_t start = cm_now_mono_ms();
    for (int i = 0; i < 2; i++) {
        char how = 0;
        int64_t left = start + 15000 - cm_now_mono_ms();
        assert_int_equal(poll(&waits[i], 1, left > 0 ? (int)left : 0), 1);
        assert_int_equal(read(waits[i].fd, &how, 1), 1);
        assert_int_equal(how, 'r');
        close(waits[i].fd);
    }
    printf("told after %d ms\n", (int)(cm_now_mono_ms() - start));
    assert_int_equal(netkit_sh(stand.host[GATEWAY], "%s", mend), 0);
    until(0, 30000);
}

static void who_waits_is_told(void **unused)
{
    (void)unused;
    assert_told("ip link set pth0 down", "ip link set pth0 up", 28);
}

/* It hangs: nor does it say how its tunnel is. */
static void who_waits_is_told_of_a_wireguard_that_hangs(void **unused)
{
    (void)unused;
    char stop[64], go_on[64];
    if (stand.tunnels[0] <= 0) {
        skip(); /* the kernel's own does not hang alone */
    }
    snprintf(stop, sizeof(stop), "kill -STOP %d", (int)stand.tunnels[0]);
    snprintf(go_on, sizeof(go_on), "kill -CONT %d", (int)stand.tunnels[0]);
    assert_told(stop, go_on, 29);
}

static void store_dies_and_comes_back(void **unused)
{
    (void)unused;
    struct px_report report;
    netkit_stop(&stand.server, SIGKILL);
    usleep(2000000);
    stand_publish(30, CM_MODE_ACTIVE);
    unlink(stand_file("report"));
    stand.server = stand_serve(STORE);
    stand_report(30, &report);
    assert_string_equal(report.error, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_and_back),
        cmocka_unit_test(a_document_that_cuts_off_is_taken_back),
        cmocka_unit_test(an_outage_is_no_bad_document),
        cmocka_unit_test(a_store_that_is_gone_is_answered_for),
        cmocka_unit_test(who_waits_is_told),
        cmocka_unit_test(who_waits_is_told_of_a_wireguard_that_hangs),
        cmocka_unit_test(store_dies_and_comes_back),
    };
    return cmocka_run_group_tests(tests, stand_up, stand_down);
}
