/* On a kernel that lets programs in but not the rules that go with them
 * (tunnelstand.h): all is done by rules alone, and that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "netkit/netkit.h"
#include "tunnelstand.h"

static char bin[] = "/tmp/pt-bin-XXXXXX";

/* An nft that says what a kernel without nft_tproxy does. */
static int stand_up_plain(void **state)
{
    char path[512];

    assert_non_null(mkdtemp(bin));
    netkit_must(
        0,
        "{ echo '#!/bin/sh'; echo 'text=$(cat)'; "
        "echo 'case $text in *tproxy*) "
        "echo Error: Could not process rule: No such file or directory >&2; "
        "exit 1;; esac'; "
        "echo \"printf %%s \\\"\\$text\\\" | exec $(command -v nft) \\\"\\$@\\\"\"; "
        "} >%s/nft && chmod +x %s/nft",
        bin, bin);
    snprintf(path, sizeof(path), "%s:%s", bin, getenv("PATH"));
    assert_int_equal(setenv("PATH", path, 1), 0);
    return stand_up(state);
}

static int stand_down_plain(void **state)
{
    int rc = stand_down(state);
    return netkit_sh(0, "rm -rf %s", bin) != 0 || rc != 0;
}

static void serves_by_rules_alone(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];

    stand_report(5, &report);
    assert_int_equal(report.counts.carried, 0);
    assert_int_equal(
        netkit_sh(0, "grep -q 'Could not process rule' %s", stand_file("log")), 0);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    assert_string_equal(said, "198.51.100.40");
    assert_int_equal(stand_dial(CLIENT, "2001:db8:1::11", 993, said, NULL), 0);
    assert_int_equal(stand_call(CLIENT, "::", 40000, "198.51.100.11", 5, said), 0);
    pid_t foreign = stand_serve(CLIENT);
    usleep(300000);
    assert_int_equal(stand_dial(STORE, "198.51.100.40", 25, said, NULL), 0);
    assert_string_equal(said, "198.51.100.11");
    netkit_stop(&foreign, SIGKILL);
}

/* A drain refuses who is new and leaves the others; all that by connection tracking. */
static void drains_by_rules_alone(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;

    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    stand_publish(6, CM_MODE_DRAIN);
    stand_report(6, &report);
    assert_int_equal(report.counts.carried, 0);
    assert_int_not_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    assert_true(stand_alive(keep));
    stand_publish(7, CM_MODE_ACTIVE);
    stand_report(7, &report);
    assert_int_equal(stand_dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_by_rules_alone),
        cmocka_unit_test(drains_by_rules_alone),
    };
    return cmocka_run_group_tests(tests, stand_up_plain, stand_down_plain);
}
