/* The bus over loopback, with both ends in one loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/bus.h"
#include "common/clock.h"
#include "common/mem.h"

struct inbox {
    char text[64];
    size_t len;
    int count;
    const char *answer;
    bool free_it;
};

static void received(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    struct inbox *in = ctx;
    struct cm_err err;
    in->count++;
    in->len = len;
    snprintf(in->text, sizeof(in->text), "%.*s", (int)(len < 60 ? len : 60), data);
    if (in->answer != NULL) {
        assert_int_equal(cm_bus_send(bus, in->answer, strlen(in->answer), &err), 0);
    }
    if (in->free_it) {
        cm_bus_free(&bus);
    }
}

/* A port that was free a moment ago. */
static char *free_url(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return cm_asprintf("tcp://127.0.0.1:%d", ntohs(a.sin_port));
}

static struct cm_bus *make(struct cm_loop *loop, enum cm_bus_kind kind,
                           struct inbox *in)
{
    struct cm_err err;
    struct cm_bus *bus = cm_bus_new(loop, kind, in != NULL ? received : NULL, in, &err);
    assert_non_null(bus);
    return bus;
}

/* Until `count` messages are in, at most five seconds; sends anew every 20 ms when
 * asked. */
static void run_until(struct cm_loop *loop, const struct inbox *in, int count,
                      struct cm_bus *again, const char *text)
{
    int64_t end = cm_now_mono_ms() + 5000;
    struct cm_err err;
    while (in->count < count && cm_now_mono_ms() < end) {
        if (again != NULL) {
            (void)!cm_bus_send(again, text, strlen(text), &err);
        }
        cm_loop_once(loop, 20);
    }
    assert_true(in->count >= count);
}

static void publish(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox in = {0};
    struct cm_bus *pub = make(loop, CM_BUS_PUB, NULL),
                  *sub = make(loop, CM_BUS_SUB, &in);
    char *url = free_url();
    struct cm_err err;
    int ep;
    /* A doorbell: nobody there is no error. */
    assert_int_equal(cm_bus_send(pub, "early", 5, &err), 0);
    assert_int_equal(cm_bus_connect(sub, url, &ep, &err), 0); /* before the other end */
    assert_int_equal(cm_bus_bind(pub, url, &ep, &err), 0);
    run_until(loop, &in, 1, pub, "epoch");
    assert_string_equal(in.text, "epoch");
    cm_bus_free(&pub);
    cm_bus_free(&sub);
    cm_bus_free(&sub);
    free(url);
    cm_loop_free(&loop);
}

static void ask_and_answer(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox server = {.answer = "newest"}, client = {0};
    struct cm_bus *rep = make(loop, CM_BUS_REP, &server);
    struct cm_bus *req = make(loop, CM_BUS_REQ, &client);
    char *url = free_url();
    struct cm_err err;
    int ep;
    assert_int_equal(cm_bus_bind(rep, url, &ep, &err), 0);
    assert_int_equal(cm_bus_connect(req, url, &ep, &err), 0);
    assert_int_equal(cm_bus_send(req, "have 1", 6, &err), 0);
    run_until(loop, &client, 1, NULL, NULL);
    assert_string_equal(server.text, "have 1");
    assert_string_equal(client.text, "newest");
    /* The store dies with a question open; the next question after its return counts.
     */
    cm_bus_free(&rep);
    assert_int_equal(cm_bus_send(req, "lost", 4, &err), 0);
    cm_loop_once(loop, 50);
    rep = make(loop, CM_BUS_REP, &server);
    assert_int_equal(cm_bus_bind(rep, url, &ep, &err), 0);
    assert_int_equal(cm_bus_send(req, "have 2", 6, &err), 0);
    run_until(loop, &client, 2, NULL, NULL);
    assert_string_equal(server.text, "have 2");
    /* An answer without a question. */
    assert_int_equal(cm_bus_send(rep, "x", 1, &err), -1);
    cm_bus_free(&rep);
    cm_bus_free(&req);
    free(url);
    cm_loop_free(&loop);
}

static void reports(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox in = {0};
    struct cm_bus *push = make(loop, CM_BUS_PUSH, NULL);
    struct cm_bus *pull = make(loop, CM_BUS_PULL, &in);
    char *url = free_url();
    struct cm_err err;
    int ep;
    /* nanomsg would wait for ever here. */
    assert_int_equal(cm_bus_send(push, "r", 1, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_int_equal(cm_bus_bind(pull, url, &ep, &err), 0);
    assert_int_equal(cm_bus_connect(push, url, &ep, &err), 0);
    run_until(loop, &in, 3, push, "report");
    /* The same endpoint opened anew, as after a long silence. */
    cm_bus_unbind(push, ep);
    assert_int_equal(cm_bus_connect(push, url, &ep, &err), 0);
    in.count = 0;
    run_until(loop, &in, 1, push, "again");
    cm_bus_free(&push);
    cm_bus_free(&pull);
    free(url);
    cm_loop_free(&loop);
}

static void sizes(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox in = {0};
    struct cm_bus *push = make(loop, CM_BUS_PUSH, NULL);
    struct cm_bus *pull = make(loop, CM_BUS_PULL, &in);
    char *url = free_url(), *big = cm_calloc(1, CM_BUS_MAX + 1);
    struct cm_err err;
    int ep;
    assert_int_equal(cm_bus_bind(pull, url, &ep, &err), 0);
    assert_int_equal(cm_bus_connect(push, url, &ep, &err), 0);
    run_until(loop, &in, 1, push, "x");
    assert_int_equal(cm_bus_send(push, big, CM_BUS_MAX + 1, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    in.count = 0;
    for (int i = 0; i < 250 && in.len != CM_BUS_MAX; i++) {
        (void)!cm_bus_send(push, big, CM_BUS_MAX, &err);
        cm_loop_once(loop, 20);
    }
    assert_int_equal(in.len, CM_BUS_MAX);
    cm_bus_free(&push);
    cm_bus_free(&pull);
    free(url);
    free(big);
    cm_loop_free(&loop);
}

static void freed_in_its_callback(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox in = {.free_it = true};
    struct cm_bus *push = make(loop, CM_BUS_PUSH, NULL);
    struct cm_bus *pull = make(loop, CM_BUS_PULL, &in);
    char *url = free_url();
    struct cm_err err;
    int ep;
    assert_int_equal(cm_bus_bind(pull, url, &ep, &err), 0);
    assert_int_equal(cm_bus_connect(push, url, &ep, &err), 0);
    run_until(loop, &in, 1, push, "x");
    cm_loop_once(loop, 20);
    assert_int_equal(in.count, 1);
    cm_bus_free(&push);
    free(url);
    cm_loop_free(&loop);
}

static void address_that_is_not_there(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox in = {0};
    struct cm_bus *pull = make(loop, CM_BUS_PULL, &in);
    struct cm_err err;
    int ep;
    assert_int_equal(cm_bus_bind(pull, "tcp://10.77.31.2:4712", &ep, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_int_equal(cm_bus_bind(pull, "4712", &ep, &err), -1);
    cm_bus_free(&pull);
    cm_loop_free(&loop);
}

/* ---- who speaks as nobody should ---- */

static int raw(const char *url, int protocol)
{
    unsigned char hello[8] = {0, 'S', 'P', 0, 0, (unsigned char)protocol, 0, 0};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    if (protocol != 0) {
        assert_int_equal(send(fd, hello, sizeof(hello), 0), sizeof(hello));
    }
    return fd;
}

/* Runs the loop; whether the other end hangs up meanwhile. */
static bool hung_up(struct cm_loop *loop, int fd)
{
    for (int i = 0; i < 100; i++) {
        char some[64];
        cm_loop_once(loop, 10);
        ssize_t n = recv(fd, some, sizeof(some), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return true;
        }
    }
    return false;
}

enum { SUB = 0x21, REQ = 0x30, PUSH = 0x50 };

static void rude_subscribers(void **unused)
{
    (void)unused;
    struct cm_loop *loop = cm_loop_new();
    struct inbox in = {0};
    struct cm_bus *pub = make(loop, CM_BUS_PUB, NULL),
                  *sub = make(loop, CM_BUS_SUB, &in);
    char *url = free_url();
    struct cm_err err;
    int ep;
    assert_int_equal(cm_bus_bind(pub, url, &ep, &err), 0);
    assert_int_equal(cm_bus_connect(sub, url, &ep, &err), 0);
    run_until(loop, &in, 1, pub, "epoch 1");
    /* No nanomsg; another kind of peer; one that talks. */
    int http = raw(url, 0), push = raw(url, PUSH), talks = raw(url, SUB);
    assert_int_equal(send(http, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_true(hung_up(loop, http));
    assert_true(hung_up(loop, push));
    assert_int_equal(send(talks, "\0\0\0\0\0\0\0\1x", 9, 0), 9);
    assert_true(hung_up(loop, talks));
    in.count = 0;
    run_until(loop, &in, 1, pub, "epoch 2");
    assert_string_equal(in.text, "epoch 2");
    close(http);
    close(push);
    close(talks);
    cm_bus_free(&pub);
    cm_bus_free(&sub);
    free(url);
    cm_loop_free(&loop);
}

/* One that reads nothing holds up nobody, and gets the newest when it reads. One more
 * than there is room for takes the place of the oldest. */
static void slow_and_many_subscribers(void **unused)
{
    (void)unused;
    enum { MANY = 64 };
    struct cm_loop *loop = cm_loop_new();
    struct cm_bus *pub = make(loop, CM_BUS_PUB, NULL);
    char *url = free_url(), *big = cm_calloc(1, CM_BUS_MAX), last = 0;
    int fds[MANY], ep;
    struct cm_err err;
    assert_int_equal(cm_bus_bind(pub, url, &ep, &err), 0);
    int slow = raw(url, SUB);
    for (int i = 0; i < 20; i++) {
        cm_loop_once(loop, 5);
    }
    for (int i = 1; i <= 40; i++) {
        memset(big, i, CM_BUS_MAX);
        assert_int_equal(cm_bus_send(pub, big, CM_BUS_MAX, &err), 0);
    }
    for (int quiet = 0; quiet < 20;) {
        char some[65536];
        cm_loop_once(loop, 5);
        ssize_t n = recv(slow, some, sizeof(some), MSG_DONTWAIT);
        quiet = n > 0 ? 0 : quiet + 1;
        last = n > 0 ? some[n - 1] : last;
    }
    assert_int_equal(last, 40);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw(url, SUB);
        cm_loop_once(loop, 5);
    }
    assert_true(hung_up(loop, slow));
    assert_false(hung_up(loop, fds[0]));
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
    close(slow);
    cm_bus_free(&pub);
    free(url);
    free(big);
    cm_loop_free(&loop);
}

/* nanomsg's own ends: whatever comes, the next who speaks properly is heard. */
static void rude_speakers(void **unused)
{
    (void)unused;
    static const struct {
        int protocol;
        const char *bytes;
        size_t len;
    } rude[] = {
        {0, "GET / HTTP/1.1\r\n\r\n", 18},
        {0, "\0SP", 3},
        {SUB, "\0\0\0\0\0\0\0\1x", 9},
        {PUSH, "\0\0\0\0\0\0\0\0", 8},
        {PUSH, "\377\377\377\377\377\377\377\377x", 9},
        {PUSH, "\177\377\377\377\377\377\377\377x", 9},
        {PUSH, "\0\0\0\0\0\10\0\1x", 9}, /* a byte more than CM_BUS_MAX */
        {PUSH, "\0\0\0\0\0\10\0\0x", 9}, /* and nothing follows */
        {REQ, "\0\0\0\0\0\0\0\0", 8},
        {REQ, "\0\0\0\0\0\0\0\2xx", 10},
        {REQ, "\0\0\0\0\0\0\0\4\0\0\0\1", 12},
        {REQ, "\0\0\0\0\0\0\0\10\0\0\0\1\0\0\0\2", 16},
        {REQ, "\377\377\377\377\377\377\377\377xxxx", 12},
    };
    struct cm_loop *loop = cm_loop_new();
    struct inbox asked = {.answer = "newest"}, reported = {0}, answered = {0};
    struct cm_bus *rep = make(loop, CM_BUS_REP, &asked), *req;
    struct cm_bus *pull = make(loop, CM_BUS_PULL, &reported), *push;
    char *urls[2] = {free_url(), free_url()};
    struct cm_err err;
    int ep;
    assert_int_equal(cm_bus_bind(rep, urls[0], &ep, &err), 0);
    assert_int_equal(cm_bus_bind(pull, urls[1], &ep, &err), 0);
    for (size_t i = 0; i < sizeof(rude) / sizeof(rude[0]); i++) {
        for (int which = 0; which < 2; which++) {
            int fd = raw(urls[which], rude[i].protocol);
            (void)!send(fd, rude[i].bytes, rude[i].len, MSG_NOSIGNAL);
            for (int turn = 0; turn < 3; turn++) {
                cm_loop_once(loop, 10);
            }
            close(fd);
        }
    }
    push = make(loop, CM_BUS_PUSH, NULL);
    req = make(loop, CM_BUS_REQ, &answered);
    assert_int_equal(cm_bus_connect(push, urls[1], &ep, &err), 0);
    assert_int_equal(cm_bus_connect(req, urls[0], &ep, &err), 0);
    assert_int_equal(cm_bus_send(req, "have 1", 6, &err), 0);
    run_until(loop, &answered, 1, NULL, NULL);
    reported.count = 0;
    run_until(loop, &reported, 1, push, "report");
    assert_string_equal(reported.text, "report");
    cm_bus_free(&push);
    cm_bus_free(&req);
    cm_bus_free(&pull);
    cm_bus_free(&rep);
    free(urls[0]);
    free(urls[1]);
    cm_loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish),
        cmocka_unit_test(ask_and_answer),
        cmocka_unit_test(reports),
        cmocka_unit_test(sizes),
        cmocka_unit_test(freed_in_its_callback),
        cmocka_unit_test(address_that_is_not_there),
        cmocka_unit_test(rude_subscribers),
        cmocka_unit_test(slow_and_many_subscribers),
        cmocka_unit_test(rude_speakers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
