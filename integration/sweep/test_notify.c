/* NOTIFY (RFC 5465) on mailboxes that are not selected, in a real Dovecot: stock it is
 * told half a second late, with chatmail_idle at once. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "dovecot.h"

#define ROUNDS   8
#define LIMIT_MS 5000
#define LATE_MS  300 /* stock Dovecot takes 500 */

static const char *root;

static void until(struct wire *wire, const char *say, const char *begins)
{
    char line[WIRE_LINE];
    struct cm_err err;
    if (wire_write(wire, say, &err) != 0)
        fail_msg("IMAP: %s", err.text);
    do {
        int rc = wire_line(wire, line, &err);
        if (rc != 1)
            fail_msg("IMAP: %s, not %s", rc == 0 ? "closed" : err.text, begins);
    } while (strncmp(line, begins, strlen(begins)) != 0);
}

/* With INBOX not selected, the middle of a few deliveries; -1 when one was not told. */
static int64_t typical_ms(const struct dovecot *dovecot, bool other_selected)
{
    struct wire_to to = {
        .host = "127.0.0.1", .port = dovecot->imap_port, .timeout_ms = LIMIT_MS};
    struct cm_err err;
    int64_t took[ROUNDS];
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    until(wire, "", "* OK");
    until(wire, "1 LOGIN someone@chat.example " DOVECOT_PASSWORD "\r\n", "1 OK");
    if (other_selected) {
        until(wire, "2 CREATE Other\r\n", "2 ");
        until(wire, "3 SELECT Other\r\n", "3 OK");
    }
    until(wire, "4 NOTIFY SET (personal (MessageNew MessageExpunge))\r\n", "4 OK");
    for (int i = 0; i < ROUNDS; i++) {
        if (dovecot_deliver(dovecot, "someone@chat.example", &err) != 0)
            fail_msg("%s", err.text);
        int64_t start = cm_now_mono_ms();
        until(wire, "", "* STATUS INBOX");
        took[i] = cm_now_mono_ms() - start;
    }
    wire_close(&wire);
    for (int i = 0; i < ROUNDS; i++) /* insertion sort */
        for (int k = i; k > 0 && took[k] < took[k - 1]; k--) {
            int64_t t = took[k];
            took[k] = took[k - 1];
            took[k - 1] = t;
        }
    print_message("told after %lld to %lld ms\n", (long long)took[0],
                  (long long)took[ROUNDS - 1]);
    return took[ROUNDS / 2];
}

static void start(struct dovecot *dovecot, bool plugin)
{
    struct dovecot_want want = {.root = root,
                                .plugin = plugin ? IDLE_PLUGIN : NULL,
                                .plugin_name = "chatmail_idle"};
    struct cm_err err;
    if (dovecot_start(dovecot, &want, &err) != 0) {
        dovecot_stop(dovecot, true);
        fail_msg("%s", err.text);
    }
}

static void stock_dovecot_waits(void **state)
{
    (void)state;
    struct dovecot dovecot;
    start(&dovecot, false);
    int64_t ms = typical_ms(&dovecot, false);
    dovecot_stop(&dovecot, false);
    assert_true(ms > LATE_MS);
}

static void with_the_plugin_it_is_told_at_once(void **state)
{
    (void)state;
    struct dovecot dovecot;
    start(&dovecot, true);
    int64_t none = typical_ms(&dovecot, false), other = typical_ms(&dovecot, true);
    dovecot_stop(&dovecot, false);
    assert_true(none < LATE_MS);
    assert_true(other < LATE_MS);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_notify DIR (filled by testing/unpack)\n");
        return 2;
    }
    root = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stock_dovecot_waits),
        cmocka_unit_test(with_the_plugin_it_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
