#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_set_formats_and_returns_minus_one(void **state)
{
    (void)state;
    struct cm_err err;
    assert_int_equal(cm_err_set(&err, CM_ERR_RETRY, "port %d is busy", 25), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_string_equal(err.text, "port 25 is busy");
}

static void test_text_is_one_line(void **state)
{
    (void)state;
    struct cm_err err;
    cm_err_set(&err, CM_ERR_WORLD, "%s", "first\nsecond\ttab\x7f\r\n\n");
    assert_string_equal(err.text, "first second tab ");
}

static void test_prefix_goes_in_front_and_keeps_kind(void **state)
{
    (void)state;
    struct cm_err err;
    cm_err_set(&err, CM_ERR_REFUSE, "no");
    assert_int_equal(cm_err_prefix(&err, "node %s", "edge1"), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_string_equal(err.text, "node edge1: no");
}

static void test_own_text_may_be_an_argument(void **state)
{
    (void)state;
    struct cm_err err;
    cm_err_set(&err, CM_ERR_WORLD, "inner");
    cm_err_set(&err, CM_ERR_WORLD, "outer(%s)", err.text);
    assert_string_equal(err.text, "outer(inner)");
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char big[3000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    struct cm_err err;
    cm_err_set(&err, CM_ERR_WORLD, "%s", big);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    cm_err_prefix(&err, "front");
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "front: xxx", 10);
    cm_err_prefix(&err, "%s", big);
    assert_true(strlen(err.text) < sizeof(err.text));
}

static void test_assert_aborts(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        cm_assert(pid != 0);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_formats_and_returns_minus_one),
        cmocka_unit_test(test_text_is_one_line),
        cmocka_unit_test(test_prefix_goes_in_front_and_keeps_kind),
        cmocka_unit_test(test_own_text_may_be_an_argument),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_assert_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
