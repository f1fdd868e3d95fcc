/* Connections over socket pairs, with routes that do what real ones seldom do. */
#include "conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

struct seen {
    int heads, ends, gones;
    size_t body;
    struct exchange *x; /* of the last head */
};

static struct cm_loop *loop;
static struct conns *conns;
static struct seen seen;

static void on_head(struct exchange *x)
{
    seen.heads++;
    seen.x = x;
}

static void on_body(struct exchange *x, const char *data, size_t len)
{
    (void)x;
    (void)data;
    seen.body += len;
}

static void on_end(struct exchange *x)
{
    (void)x;
    seen.ends++;
}

static void on_gone(struct exchange *x)
{
    (void)x;
    seen.gones++;
}

static void pause_at_head(struct exchange *x)
{
    on_head(x);
    exchange_pause(x);
}

static void refuse_at_head(struct exchange *x)
{
    on_head(x);
    exchange_text(x, 413, "no");
}

#define COMMON                                                                         \
    .name = "test", .methods = METHOD_POST, .arrive_ms = 300, .answer_ms = 300,        \
    .end = on_end, .gone = on_gone

static const struct route routes[] = {
    {.path = "/plain", COMMON, .head = on_head, .body = on_body},
    {.path = "/pause", COMMON, .head = pause_at_head, .body = on_body},
    {.path = "/refuse", COMMON, .head = refuse_at_head, .body = on_body},
    {.path = "/ignore", COMMON, .head = on_head},
    {.path = NULL},
};

static int setup(void **state)
{
    (void)state;
    seen = (struct seen){.heads = 0};
    loop = cm_loop_new();
    conns = conns_new(loop, routes, NULL, false, 8);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    conns_free(&conns);
    cm_loop_free(&loop);
    return 0;
}

static int dial(void)
{
    int pair[2];
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    conns_adopt(conns, pair[0]);
    return pair[1];
}

static void turn(int64_t ms)
{
    int64_t end = cm_now_mono_ms() + ms;
    do {
        cm_loop_once(loop, 5);
    } while (cm_now_mono_ms() < end);
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
    turn(20);
}

/* What has come so far begins with that. */
static void heard(int fd, const char *want)
{
    char got[1024];
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
    got[n > 0 ? n : 0] = '\0';
    if (strncmp(got, want, strlen(want)) != 0) {
        fail_msg("'%s', not '%s'", got, want);
    }
}

#define POST(path, len)                                                                \
    "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Length: " len "\r\n\r\n"

static void test_whole(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, POST("/plain", "5") "hel");
    say(fd, "lo");
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.body, 5);
    exchange_text(seen.x, 200, "yes");
    turn(20);
    heard(fd, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(seen.gones, 0);
    close(fd);
    turn(20);
    assert_int_equal(seen.gones, 1);
    assert_int_equal(conns_open(conns), 0);
}

/* A byte now and then does not hold a connection for ever. */
static void test_drip(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, POST("/plain", "100"));
    for (int i = 0; i < 8; i++) {
        say(fd, "x");
        turn(30);
    }
    heard(fd, "HTTP/1.1 408 ");
    assert_int_equal(seen.gones, 1); /* at once: the route must not answer too */
    assert_int_equal(seen.ends, 0);
    close(fd);
    turn(20);
    assert_int_equal(seen.gones, 1);
}

static void test_bad_in_the_middle(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /plain HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2\r\nab\r\n");
    say(fd, "zz\r\n");
    heard(fd, "HTTP/1.1 400 ");
    assert_int_equal(seen.body, 2);
    assert_int_equal(seen.gones, 1);
    close(fd);
    turn(20);
}

static void test_route_never_answers(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, POST("/plain", "0"));
    assert_int_equal(seen.ends, 1);
    turn(400);
    assert_int_equal(seen.gones, 1);
    assert_int_equal(conns_open(conns), 0);
    heard(fd, "");
    close(fd);
}

/* While it is paused nothing is read and nobody is blamed. */
static void test_pause(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, POST("/pause", "10") "01234");
    turn(400);
    assert_int_equal(seen.body, 0);
    assert_int_equal(seen.gones, 0);
    cm_clock_shift(-400); /* the wait was ours */
    exchange_resume(seen.x);
    assert_int_equal(seen.body, 5);
    say(fd, "56789");
    cm_clock_shift(0);
    assert_int_equal(seen.body, 10);
    assert_int_equal(seen.ends, 1);
    exchange_text(seen.x, 200, "yes");
    turn(20);
    heard(fd, "HTTP/1.1 200 ");
    close(fd);
}

/* Whoever goes on sending after the answer still gets to read it. */
static void test_early_answer(void **state)
{
    (void)state;
    char piece[4096];
    int fd = dial();
    memset(piece, 'x', sizeof(piece));
    say(fd, POST("/refuse", "1000000"));
    for (int i = 0; i < 200; i++) {
        ssize_t n = send(fd, piece, sizeof(piece), MSG_NOSIGNAL);
        assert_true(n > 0);
        turn(0);
    }
    assert_int_equal(seen.body, 0);
    heard(fd, "HTTP/1.1 413 ");
    close(fd);
    turn(20);
    assert_int_equal(seen.gones, 1);
}

static void test_ignored_body(void **state)
{
    (void)state;
    char piece[1024];
    int fd = dial();
    memset(piece, 'x', sizeof(piece) - 1);
    piece[sizeof(piece) - 1] = '\0';
    say(fd, POST("/ignore", "1000000"));
    for (int i = 0; i < 80; i++) {
        (void)!send(fd, piece, strlen(piece), MSG_NOSIGNAL);
        turn(0);
    }
    heard(fd, "HTTP/1.1 413 ");
    assert_int_equal(seen.gones, 1);
    close(fd);
}

static void test_limit(void **state)
{
    (void)state;
    int fds[8];
    for (int i = 0; i < 8; i++) {
        assert_false(conns_full(conns));
        fds[i] = dial();
    }
    assert_true(conns_full(conns));
    for (int i = 0; i < 8; i++) {
        close(fds[i]);
    }
    turn(20);
    assert_false(conns_full(conns));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_whole),
        TEST(test_drip),
        TEST(test_bad_in_the_middle),
        TEST(test_route_never_answers),
        TEST(test_pause),
        TEST(test_early_answer),
        TEST(test_ignored_body),
        TEST(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
