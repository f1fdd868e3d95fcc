#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "seen.h"

static const char log_text[] =
    "Login: user=<ptok1@_chat.example>, method=PLAIN, rip=2001:db8:9::30, "
    "lip=fd77:1::2,"
    " mpid=12, TLS, session=<x>\n"
    "connect from unknown[203.0.113.30]\n"
    "NOQUEUE: reject: RCPT from unknown[203.0.113.30]: 554 5.7.1 <a@b>: Relay access"
    " denied; from=<x@y> to=<a@b> proto=ESMTP helo=<ptok2.example>\n"
    "NOQUEUE: reject: RCPT from unknown[2001:db8:9::30]: 553 5.7.1 <a@b>: Sender;"
    " helo=<ptok3.example>\n"
    "203.0.113.31 - - [22/Nov/2025:19:00:00 +0000] \"GET /ptok4 HTTP/1.1\" 404 0\n"
    "_chat.example 2001:db8:9::31 \"GET /ptok5 HTTP/1.1\" 404\n"
    "a line with ptok6 and no address at 12:30:01\n"
    "connect from relay[198.51.100.11]\n"
    "connect from unknown[203.0.113.30]\n"
    "disconnect from unknown[198.51.100.99]\n";

static void expect_seen(const char *token, const char *address)
{
    char out[SEEN_ADDRESS];
    assert_int_equal(seen_address(log_text, token, out), 1);
    assert_string_equal(out, address);
}

static void each_daemons_line_is_read(void **state)
{
    (void)state;
    expect_seen("ptok1", "2001:db8:9::30");
    expect_seen("ptok2", "203.0.113.30");
    expect_seen("ptok3", "2001:db8:9::30");
    expect_seen("ptok4", "203.0.113.31");
    expect_seen("ptok5", "2001:db8:9::31");
}

static void a_time_is_not_an_address(void **state)
{
    (void)state;
    char out[SEEN_ADDRESS] = "untouched";
    assert_int_equal(seen_address(log_text, "ptok6", out), 0);
    assert_string_equal(out, "untouched");
    assert_int_equal(seen_address(log_text, "absent", out), 0);
    assert_int_equal(seen_address("", "absent", out), 0);
}

static void connects_are_listed_once(void **state)
{
    (void)state;
    char out[200];
    seen_connects(log_text, out, sizeof out);
    assert_string_equal(out, "203.0.113.30 198.51.100.11");
    seen_connects("", out, sizeof out);
    assert_string_equal(out, "");
}

static void posts_are_seen(void **state)
{
    (void)state;
    char out[200] = "203.0.113.30";
    seen_posts("198.51.100.11 \"POST _r.example/mxdeliv\" 200 96\n"
               "2001:db8:2::12 \"POST _r.example/mxdeliv\" 200 96\n"
               "198.51.100.12 \"POST _r.example/mxdeliv\" 400 96\n"
               "198.51.100.13 \"POST _r.example/new\" 200 96\n"
               "198.51.100.11 \"POST _r.example/mxdeliv\" 200 96\n",
               "/mxdeliv\" 200", out, sizeof out);
    assert_string_equal(out, "203.0.113.30 198.51.100.11 2001:db8:2::12");
}

int main(void)

{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_daemons_line_is_read),
        cmocka_unit_test(a_time_is_not_an_address),
        cmocka_unit_test(connects_are_listed_once),
        cmocka_unit_test(posts_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
