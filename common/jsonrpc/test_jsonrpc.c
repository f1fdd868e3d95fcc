#include "jsonrpc.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_request(void **state)
{
    (void)state;
    char *line = jsonrpc_request(7, "add", json_pack("[i, s]", 1, "a\nb"));
    assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"add\","
                              "\"params\":[1,\"a\\nb\"]}\n");
    free(line);
}

static void test_next(void **state)
{
    (void)state;
    struct cm_buf in;
    size_t used = 0;
    cm_buf_init(&in, 1000);
    cm_buf_str(&in, "noise\n{\"id\":1}\n[2]\n{\"id\":3}\n{\"id\"");
    json_t *first = jsonrpc_next(&in, &used), *second = jsonrpc_next(&in, &used);
    assert_int_equal(json_integer_value(json_object_get(first, "id")), 1);
    assert_int_equal(json_integer_value(json_object_get(second, "id")), 3);
    assert_null(jsonrpc_next(&in, &used));
    cm_buf_consume(&in, used);
    assert_string_equal(in.data, "{\"id\"");
    json_decref(first);
    json_decref(second);
    cm_buf_clear(&in);
}

static void test_error(void **state)
{
    (void)state;
    struct cm_err err;
    json_t *good = json_pack("{s:i}", "result", 1);
    json_t *bad = json_pack("{s:{s:s}}", "error", "message", "no such thing");
    json_t *mute = json_pack("{s:n}", "error");
    assert_int_equal(jsonrpc_error(good, "m", &err), 0);
    assert_int_equal(jsonrpc_error(bad, "m", &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_string_equal(err.text, "m: no such thing");
    assert_int_equal(jsonrpc_error(mute, "m", &err), -1);
    json_decref(good);
    json_decref(bad);
    json_decref(mute);
}

static void test_spawn(void **state)
{
    (void)state;
    struct jsonrpc_child child;
    struct cm_err err;
    char said[32] = "";
    const char *argv[] = {"cat", NULL}, *none[] = {"/nonexistent/core", NULL};
    assert_int_equal(jsonrpc_spawn(argv, -1, &child, &err), 0);
    assert_int_equal(getpgid(child.pid), child.pid);
    assert_int_equal(write(child.to, "hello\n", 6), 6);
    struct pollfd p = {.fd = child.from, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(read(child.from, said, sizeof said), 6);
    assert_string_equal(said, "hello\n");
    assert_int_equal(read(child.from, said, sizeof said), -1); /* does not block */
    close(child.to);
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    close(child.from);
    assert_int_equal(jsonrpc_spawn(none, -1, &child, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_non_null(strstr(err.text, "/nonexistent/core"));
}

/* A child that is gone must not take us along. */
static void test_dead_child(void **state)
{
    (void)state;
    struct jsonrpc_child child;
    struct cm_err err;
    const char *argv[] = {"true", NULL};
    assert_int_equal(jsonrpc_spawn(argv, -1, &child, &err), 0);
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    assert_int_equal(write(child.to, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(child.to);
    close(child.from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),    cmocka_unit_test(test_next),
        cmocka_unit_test(test_error),      cmocka_unit_test(test_spawn),
        cmocka_unit_test(test_dead_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
