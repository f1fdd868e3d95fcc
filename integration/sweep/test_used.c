/* What chatmail-expire takes for a sign of life (expire/used.h), in a real Dovecot:
 * what a client does counts, mail that comes does not. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "expire/used.h"

#include "dovecot.h"

#define USER    "one@chat.example"
#define DAY     INT64_C(86400)
#define WAIT_MS 10000

static const char *root;
static struct dovecot dovecot;

/* The Maildir lies below the home, as "mailbox" of used_day(). */
static int64_t day(void)
{
    char home[128];
    snprintf(home, sizeof(home), "%s/mail", dovecot.dir);
    int base = open(home, O_RDONLY | O_DIRECTORY);
    assert_true(base >= 0);
    int64_t t = used_day(base, USER "/Maildir", time(NULL));
    close(base);
    return t;
}

static void age(void)
{
    char path[160];
    struct timespec times[2] = {{.tv_sec = time(NULL) - 100 * DAY}};
    times[1] = times[0];
    snprintf(path, sizeof(path), "%s/mail/" USER "/Maildir/cur", dovecot.dir);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void assert_old(void)
{
    assert_true(day() > 0 && day() < time(NULL) - 99 * DAY);
}

/* Dovecot moves mail for a client that hibernates or idles some time after it came. */
static void assert_used(void)
{
    int64_t end = cm_now_mono_ms() + WAIT_MS;
    while (day() < time(NULL) - 2 * DAY) {
        if (cm_now_mono_ms() > end) {
            fail_msg("no trace of the client");
        }
        usleep(50000);
    }
}

static void deliver(void)
{
    struct cm_err err;
    if (dovecot_deliver(&dovecot, USER, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void imap(struct wire *wire, const char *command, const char *until)
{
    char line[WIRE_LINE];
    struct cm_err err;
    if (wire_write(wire, command, &err) != 0) {
        fail_msg("IMAP: %s", err.text);
    }
    do {
        int rc = wire_line(wire, line, &err);
        if (rc != 1) {
            fail_msg("IMAP: %s after %s", rc == 0 ? "closed" : err.text, command);
        }
    } while (strncmp(line, until, strlen(until)) != 0);
}

static struct wire *in(void)
{
    struct wire_to to = {.host = "127.0.0.1", .port = dovecot.imap_port};
    struct cm_err err;
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    imap(wire, "", "* OK");
    imap(wire, "1 LOGIN " USER " " DOVECOT_PASSWORD "\r\n", "1 OK");
    imap(wire, "2 SELECT INBOX\r\n", "2 OK");
    return wire;
}

static void test_mail_alone_is_no_use(void **state)
{
    (void)state;
    deliver();
    age();
    for (int i = 0; i < 5; i++) {
        deliver();
    }
    assert_old();
}

static void test_a_login_that_finds_mail(void **state)
{
    (void)state;
    struct wire *wire = in();
    assert_used();
    imap(wire, "3 LOGOUT\r\n", "3 OK");
    wire_close(&wire);
    age();
    deliver();
    assert_old();
}

static void stays(const char *begin)
{
    struct wire *wire = in();
    imap(wire, "3 IDLE\r\n", "+");
    sleep(2); /* hibernates, where that is on */
    age();
    deliver();
    imap(wire, "", "* ");
    print_message("%s\n", begin);
    assert_used();
    wire_close(&wire);
    sleep(1); /* the session ends */
    age();
    deliver();
    assert_old();
}

static void test_a_client_that_stays(void **state)
{
    (void)state;
    stays("idle");
}

static void test_flags_and_deletes(void **state)
{
    (void)state;
    struct wire *wire = in();
    age();
    imap(wire, "3 STORE 1 +FLAGS (\\Deleted)\r\n", "3 OK");
    assert_used();
    age();
    imap(wire, "4 EXPUNGE\r\n", "4 OK");
    assert_used();
    wire_close(&wire);
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
        fprintf(stderr, "usage: test_used DIR (filled by testing/unpack)\n");
        return 2;
    }
    root = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_alone_is_no_use),
        cmocka_unit_test(test_a_login_that_finds_mail),
        cmocka_unit_test(test_a_client_that_stays),
        cmocka_unit_test(test_flags_and_deletes),
    };
    int failed = cmocka_run_group_tests_name("awake", tests, awake, drop);
    return failed +
           cmocka_run_group_tests_name("hibernating", tests, hibernating, drop);
}
