/* What chatmail-cluster takes for "connected through a gateway" (cluster/waker.h), in a
 * real Dovecot: a client in IDLE is in the list awake and hibernating, and no longer
 * when it has gone. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/waker.h"
#include "common/clock.h"
#include "common/run.h"

#include "dovecot.h"

#define USER    "one@chat.example"
#define WAIT_MS 10000

static const char *root;
static struct dovecot dovecot;

static bool is_listed(void)
{
    static const char sockets[] = "ESTAB 0 0 127.0.0.1:143 127.0.0.1:40000\n";
    char conf[128], *text = NULL, *accounts[4];
    unsigned char peers[1][16];
    struct cm_err err;
    snprintf(conf, sizeof(conf), "%s/dovecot.conf", dovecot.dir);
    const char *argv[] = {"doveadm", "-c", conf, "-f", "tab", "who", "-1", NULL};
    if (cm_run_ok(&(struct cm_run){.argv = argv}, &text, &err) != 0) {
        fail_msg("%s", err.text);
    }
    size_t n = waker_peers(sockets, peers, 1);
    size_t m =
        waker_accounts(text, (const unsigned char(*)[16])peers, n, true, accounts, 4);
    bool is = m == 1 && strcmp(accounts[0], USER) == 0;
    for (size_t i = 0; i < m; i++) {
        free(accounts[i]);
    }
    free(text);
    return is;
}

static void until_listed(bool want)
{
    int64_t end = cm_now_mono_ms() + WAIT_MS;
    while (is_listed() != want) {
        if (cm_now_mono_ms() > end) {
            fail_msg("%s", want ? "not listed" : "still listed");
        }
        usleep(100000);
    }
}

static void say(struct wire *wire, const char *command, const char *until)
{
    char line[WIRE_LINE];
    struct cm_err err;
    assert_int_equal(wire_write(wire, command, &err), 0);
    do {
        assert_int_equal(wire_line(wire, line, &err), 1);
    } while (strncmp(line, until, strlen(until)) != 0);
}

static void test_idle(void **state)
{
    (void)state;
    struct wire_to to = {.host = "127.0.0.1", .port = dovecot.imap_port};
    struct cm_err err;
    assert_false(is_listed());
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    say(wire, "", "* OK");
    say(wire, "1 LOGIN " USER " " DOVECOT_PASSWORD "\r\n", "1 OK");
    say(wire, "2 SELECT INBOX\r\n", "2 OK");
    say(wire, "3 IDLE\r\n", "+");
    until_listed(true);
    sleep(3); /* hibernates, where that is on */
    assert_true(is_listed());
    wire_close(&wire);
    until_listed(false);
}

static int awake(void **state)
{
    (void)state;
    return dovecot_start_stock(&dovecot, root, 0);
}

static int hibernating(void **state)
{
    (void)state;
    return dovecot_start_stock(&dovecot, root, 1);
}

static int drop(void **state)
{
    (void)state;
    dovecot_stop(&dovecot, false);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_who DIR (filled by testing/unpack)\n");
        return 2;
    }
    root = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle, awake, drop),
        cmocka_unit_test_setup_teardown(test_idle, hibernating, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
