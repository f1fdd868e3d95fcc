#include "common/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_size_zero_is_valid(void **state)
{
    (void)state;
    void *p = cm_malloc(0);
    assert_non_null(p);
    free(p);
    p = cm_calloc(0, 8);
    assert_non_null(p);
    p = cm_realloc_array(p, 0, 8);
    assert_non_null(p);
    free(p);
}

static void test_strings(void **state)
{
    (void)state;
    assert_null(cm_strdup(NULL));
    char *a = cm_strdup("abc");
    char *b = cm_strndup("abcdef", 3);
    char *c = cm_strndup("ab", 10);
    char *d = cm_asprintf("%s-%d", "n", 7);
    assert_string_equal(a, "abc");
    assert_string_equal(b, "abc");
    assert_string_equal(c, "ab");
    assert_string_equal(d, "n-7");
    free(a);
    free(b);
    free(c);
    free(d);
}

static void test_realloc_keeps(void **state)
{
    (void)state;
    int *p = cm_calloc(2, sizeof(*p));
    assert_int_equal(p[1], 0);
    p[1] = 5;
    p = cm_realloc_array(p, 1000, sizeof(*p));
    assert_int_equal(p[1], 5);
    free(p);
}

static void test_wipe(void **state)
{
    (void)state;
    char secret[] = "secret";
    cm_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++) {
        assert_int_equal(secret[i], 0);
    }
    char *s = cm_strdup("password");
    cm_wipe_str(&s);
    assert_null(s);
    cm_wipe_str(&s);
    cm_wipe(NULL, 0);
}

static void test_impossible_size_aborts(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        free(cm_calloc(SIZE_MAX / 2, 3));
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_zero_is_valid),     cmocka_unit_test(test_strings),
        cmocka_unit_test(test_realloc_keeps),          cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_impossible_size_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
