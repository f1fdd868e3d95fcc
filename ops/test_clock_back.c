/* The script that chatmail-clock.service runs, with a clock and a systemctl made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/run.h"

#define SAID_MAX 4096

static char dir[64];

/* date adds what stands in "shift"; systemctl notes what it was asked for, and then
 * does what stands in "event", once. */
static const char make_script[] =
    "cd $1; mkdir bin; echo 0 >shift; : >asked; : >event\n"
    "cat >bin/date <<'E'\n#!/bin/sh\necho $(($(/bin/date \"$@\") + $(cat shift)))\nE\n"
    "cat >bin/systemctl <<'E'\n#!/bin/sh\necho \"$@\" >>asked\n"
    "mv event happens; : >event; . ./happens\nE\n"
    "chmod +x bin/date bin/systemctl\n";

static int sh(const char *script, char **said_r, struct cm_err *err)
{
    const char *argv[] = {"sh", "-ec", script, "sh", dir, CLOCK_SCRIPT, NULL};

    return cm_run_ok(&(struct cm_run){.argv = argv}, said_r, err);
}

static void must(const char *script)
{
    struct cm_err err;

    if (sh(script, NULL, &err) != 0)
        fail_msg("%s: %s", script, err.text);
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-clock-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    must(make_script);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    must("rm -rf $1");
    return 0;
}

static int run_clock(struct cm_err *err)
{
    return sh("cd $1; PATH=$1/bin:$PATH RUNTIME_DIRECTORY=$1 $2", NULL, err);
}

/* Moves the clock to so many milliseconds beside the true time, and says what systemctl
 * was asked for. */
static void moved_to(long ms, const char *want)
{
    struct cm_err err;
    char path[128], text[32], *asked;

    snprintf(path, sizeof(path), "%s/shift", dir);
    snprintf(text, sizeof(text), "%ld\n", ms);
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    must(": >$1/asked");
    if (run_clock(&err) != 0)
        fail_msg("%s", err.text);
    snprintf(path, sizeof(path), "%s/asked", dir);
    assert_int_equal(cm_file_read(path, SAID_MAX, &asked, NULL, &err), 1);
    assert_string_equal(asked, want);
    free(asked);
}

#define ANEW "try-restart dovecot.service\n"

static void test_back(void **state)
{
    (void)state;
    moved_to(0, "");
    moved_to(0, "");
    moved_to(-3600000, ANEW);
    moved_to(-3600000, "");
    moved_to(-3605000, ANEW);
}

static void test_forward_and_a_little_back(void **state)
{
    (void)state;
    moved_to(3600000, "");
    moved_to(7200000, "");
    moved_to(7200000 - 2000, "");
    moved_to(0, ANEW);
}

/* No trigger comes for what happens while the service runs. */
static void test_back_again_meanwhile(void **state)
{
    (void)state;
    moved_to(0, "");
    must("echo 'echo -7200000 >shift' >$1/event");
    moved_to(-3600000, ANEW ANEW);
    moved_to(-7200000, "");
}

static void test_a_failure_is_not_forgotten(void **state)
{
    struct cm_err err;

    (void)state;
    moved_to(0, "");
    must("echo 'exit 1' >$1/event; echo -3600000 >$1/shift");
    assert_int_equal(run_clock(&err), -1);
    moved_to(-3600000, ANEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_back, make, drop),
        cmocka_unit_test_setup_teardown(test_forward_and_a_little_back, make, drop),
        cmocka_unit_test_setup_teardown(test_back_again_meanwhile, make, drop),
        cmocka_unit_test_setup_teardown(test_a_failure_is_not_forgotten, make, drop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
