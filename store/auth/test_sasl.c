#include "sasl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"

#define AUTH_LINE "AUTH\t1\tPLAIN\tservice=smtp\tresp=c2VjcmV0\n"

struct world {
    struct cm_loop *loop;
    struct sasl *sasl;
    char path[64];
    int listener; /* the fake Dovecot's */
    int postfix;
    int dovecot;
    char log[2048];
};

static void on_log(const char *line, void *ctx)
{
    struct world *w = ctx;
    size_t len = strlen(w->log);
    snprintf(w->log + len, sizeof(w->log) - len, "%s\n", line);
}

static void dovecot_listen(struct world *w)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", w->path);
    unlink(w->path);
    w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(w->listener, 8), 0);
}

static void turn(struct world *w)
{
    for (int i = 0; i < 8; i++) {
        cm_loop_once(w->loop, 1);
    }
}

static void postfix_connect(struct world *w)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    w->postfix = pair[1];
    sasl_adopt(w->sasl, pair[0]);
    turn(w);
}

static void dovecot_accept(struct world *w)
{
    w->dovecot = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(w->dovecot >= 0);
}

static void open_world(struct world *w, bool dovecot)
{
    memset(w, 0, sizeof(*w));
    w->listener = w->postfix = w->dovecot = -1;
    snprintf(w->path, sizeof(w->path), "/tmp/test-sasl-%d", (int)getpid());
    cm_log_capture(on_log, w);
    w->loop = cm_loop_new();
    w->sasl = sasl_new(w->loop, w->path);
    if (dovecot) {
        dovecot_listen(w);
        postfix_connect(w);
        dovecot_accept(w);
    }
}

static void close_world(struct world *w)
{
    sasl_free(&w->sasl);
    cm_loop_free(&w->loop);
    close(w->postfix);
    close(w->dovecot);
    close(w->listener);
    unlink(w->path);
    cm_log_capture(NULL, NULL);
    assert_null(strstr(w->log, "c2VjcmV0"));
}

static void say(struct world *w, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(w);
}

static void expect(int fd, const char *text)
{
    char got[1024];
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
    got[n > 0 ? n : 0] = '\0';
    assert_string_equal(got, text);
}

static void expect_nothing(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void expect_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    assert_true(n == 0 || (n < 0 && errno != EAGAIN));
}

static void test_tempfail_lines(void **state)
{
    (void)state;
    static const char *const yes[] = {"FAIL\t1\ttemp", "FAIL\t1\tuser=a@x\ttemp",
                                      "FAIL\t1\ttemp\tuser=a",
                                      "FAIL\t1\tuser=a\tcode=temp_fail"};
    static const char *const no[] = {"FAIL\t1\tuser=temp",  "FAIL\t1\ttempx", "FAIL",
                                     "OK\t1\ttemp",         "FAIL\t1",        "",
                                     "FAIL\t1\treason=temp"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        assert_true(sasl_is_tempfail(yes[i], strlen(yes[i])));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(sasl_is_tempfail(no[i], strlen(no[i])));
    }
}

static void test_relays_lines_both_ways(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    say(&w, w.postfix, "VERSION\t1\t1\nCPID\t42\n");
    expect(w.dovecot, "VERSION\t1\t1\nCPID\t42\n");
    say(&w, w.dovecot, "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nDONE\n");
    expect(w.postfix, "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nDONE\n");
    say(&w, w.postfix, "AUTH\t1\tPLAIN\tservice=smtp\tre"); /* no line yet */
    expect_nothing(w.dovecot);
    say(&w, w.postfix, "sp=c2VjcmV0\n");
    expect(w.dovecot, AUTH_LINE);
    say(&w, w.dovecot, "FAIL\t1\tuser=a@x\n"); /* wrong password is passed on */
    expect(w.postfix, "FAIL\t1\tuser=a@x\n");
    say(&w, w.postfix, AUTH_LINE);
    expect(w.dovecot, AUTH_LINE);
    say(&w, w.dovecot, "OK\t2\tuser=a@x\n");
    expect(w.postfix, "OK\t2\tuser=a@x\n");
    assert_string_equal(w.log, "");
    close_world(&w);
}

static void test_temporary_failure_closes(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    say(&w, w.postfix, AUTH_LINE);
    expect(w.dovecot, AUTH_LINE);
    say(&w, w.dovecot, "CONT\t1\tx\nFAIL\t1\tuser=a@x\ttemp\n");
    expect(w.postfix, "CONT\t1\tx\n"); /* what came before still arrives */
    expect_closed(w.postfix);
    expect_closed(w.dovecot);
    assert_non_null(strstr(w.log, "sasl_closed"));
    close_world(&w);
}

static void test_temporary_failure_in_pieces(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    say(&w, w.dovecot, "FAIL\t1\tte");
    say(&w, w.dovecot, "mp");
    expect_nothing(w.postfix);
    say(&w, w.dovecot, "\n");
    expect_closed(w.postfix);
    close_world(&w);
}

static void test_either_side_leaving_closes_the_other(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    close(w.dovecot);
    w.dovecot = -1;
    turn(&w);
    expect_closed(w.postfix);
    close_world(&w);

    open_world(&w, true);
    close(w.postfix);
    w.postfix = -1;
    turn(&w);
    expect_closed(w.dovecot);
    close_world(&w);
}

static void test_line_too_long(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    static char line[SASL_LINE_MAX + 1];
    memset(line, 'x', sizeof(line) - 1);
    line[SASL_LINE_MAX - 1] = '\n';
    say(&w, w.postfix, line); /* exactly the limit passes */
    char got[SASL_LINE_MAX + 1];
    assert_int_equal(recv(w.dovecot, got, sizeof(got), 0), SASL_LINE_MAX);
    line[SASL_LINE_MAX - 1] = 'x';
    say(&w, w.postfix, line);
    expect_closed(w.postfix);
    assert_non_null(strstr(w.log, "line too long"));
    assert_null(strstr(w.log, "xxx"));
    close_world(&w);
}

static void test_back_pressure(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    static char line[1000];
    memset(line, 'm', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    size_t sent = 0, stuck = 0;
    while (stuck < 20 && sent < 8u << 20) { /* Postfix does not read */
        ssize_t n = send(w.dovecot, line + sent % sizeof(line),
                         sizeof(line) - sent % sizeof(line), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        stuck = n > 0 ? 0 : stuck + 1;
        cm_loop_once(w.loop, 0);
    }
    assert_true(sent < 4u << 20);
    size_t got = 0;
    static char sink[65536];
    for (int idle = 0; idle < 20;) {
        ssize_t n = recv(w.postfix, sink, sizeof(sink), 0);
        got += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        cm_loop_once(w.loop, 0);
    }
    assert_int_equal(got, sent - sent % sizeof(line)); /* all whole lines, no more */
    close_world(&w);
}

static void test_waits_for_dovecot(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    postfix_connect(&w);
    say(&w, w.postfix, "CPID\t42\n");
    expect_nothing(w.postfix);
    dovecot_listen(&w);
    for (int i = 0; i < 20; i++) {
        cm_loop_once(w.loop, 10);
    }
    dovecot_accept(&w);
    turn(&w);
    expect(w.dovecot, "CPID\t42\n");
    close_world(&w);
}

static void test_dovecot_stays_away(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    postfix_connect(&w);
    cm_clock_shift(SASL_CONNECT_MS + 10);
    for (int i = 0; i < 20; i++) {
        cm_loop_once(w.loop, 10);
    }
    cm_clock_shift(0);
    expect_closed(w.postfix);
    assert_non_null(strstr(w.log, "sasl_closed"));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tempfail_lines),
        cmocka_unit_test(test_relays_lines_both_ways),
        cmocka_unit_test(test_temporary_failure_closes),
        cmocka_unit_test(test_temporary_failure_in_pieces),
        cmocka_unit_test(test_either_side_leaving_closes_the_other),
        cmocka_unit_test(test_line_too_long),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_waits_for_dovecot),
        cmocka_unit_test(test_dovecot_stays_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
