/* relay-spec.md 6.5, 17 and 25: a control socket in every mood. */
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
#include "turn.h"

static char path[64];
static struct cm_loop *loop;
static struct turns *turns;

struct got {
    int calls;
    char line[TURN_LINE_MAX];
    bool failed;
};

static void on_line(const char *line, const struct cm_err *err, void *ctx)
{
    struct got *got = ctx;
    got->calls++;
    got->failed = line == NULL;
    assert_int_equal(line == NULL, err->kind != CM_ERR_NONE);
    snprintf(got->line, sizeof(got->line), "%.511s", line != NULL ? line : err->text);
}

static int serve(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* What comes of an answer that is these bytes; the server closes after them. */
static struct got ask(const char *answer, bool close_after)
{
    struct got got = {0};
    struct cm_err err;
    int listener = serve();
    assert_int_equal(turn_ask(turns, path, on_line, &got, &err), 0);
    assert_int_equal(got.calls, 0);
    int peer = accept(listener, NULL, NULL);
    assert_int_equal(send(peer, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
    if (close_after) {
        close(peer);
    }
    int64_t until = cm_now_mono_ms() + TURN_LIMIT_MS + 1000;
    while (got.calls == 0 && cm_now_mono_ms() < until) {
        cm_loop_once(loop, 100);
    }
    if (!close_after) {
        close(peer);
    }
    close(listener);
    assert_int_equal(got.calls, 1);
    return got;
}

static void test_line(void **state)
{
    (void)state;
    static const char *const texts[] = {"testuser:testpass\n", "testuser:testpass",
                                        "  testuser:testpass \r\n",
                                        "testuser:testpass\nmore\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct got got = ask(texts[i], true);
        assert_false(got.failed);
        assert_string_equal(got.line, "testuser:testpass");
    }
    struct got got = ask("a:b\n", false); /* does not wait for the end */
    assert_string_equal(got.line, "a:b");
}

static void test_trouble(void **state)
{
    (void)state;
    struct got got = ask("", true);
    assert_true(got.failed);
    got = ask(" \n", true);
    assert_true(got.failed);
    char text[TURN_LINE_MAX + 10];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    got = ask(text, false);
    assert_true(got.failed);
    int64_t start = cm_now_mono_ms();
    got = ask("half", false); /* and then nothing */
    assert_true(got.failed);
    assert_true(cm_now_mono_ms() - start >= TURN_LIMIT_MS - 100);
    struct cm_err err;
    assert_int_equal(turn_ask(turns, path, on_line, &got, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY); /* a socket file, nobody behind it */
    unlink(path);
    assert_int_equal(turn_ask(turns, path, on_line, &got, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
}

static void test_freed_while_waiting(void **state)
{
    (void)state;
    struct got got = {0};
    struct cm_err err;
    int listener = serve();
    struct turns *own = turns_new(loop);
    assert_int_equal(turn_ask(own, path, on_line, &got, &err), 0);
    assert_int_equal(turn_ask(own, path, on_line, &got, &err), 0);
    turns_free(&own);
    cm_loop_once(loop, 10);
    assert_int_equal(got.calls, 0);
    close(listener);
    unlink(path);
}

int main(void)
{
    char dir[] = "/tmp/test-turn-XXXXXX";
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/turn", dir);
    loop = cm_loop_new();
    turns = turns_new(loop);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_freed_while_waiting),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    turns_free(&turns);
    cm_loop_free(&loop);
    unlink(path);
    rmdir(dir);
    return rc;
}
