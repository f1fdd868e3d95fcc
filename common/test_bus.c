/* The bus over loopback, with both ends in one loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish),
        cmocka_unit_test(ask_and_answer),
        cmocka_unit_test(reports),
        cmocka_unit_test(sizes),
        cmocka_unit_test(freed_in_its_callback),
        cmocka_unit_test(address_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
