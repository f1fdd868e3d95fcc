#include "common/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

static const char *const *sh(const char *script)
{
    static const char *argv[4] = {"sh", "-c"};
    argv[2] = script;
    return argv;
}

static struct cm_run_result must_run(struct cm_run run)
{
    struct cm_run_result res;
    struct cm_err err = {0};
    if (cm_run(&run, &res, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return res;
}

static void test_collects_both_streams_and_the_status(void **state)
{
    (void)state;
    struct cm_run_result res =
        must_run((struct cm_run){.argv = sh("echo out; echo err >&2; exit 7")});
    assert_int_equal(res.exit_code, 7);
    assert_false(res.by_signal);
    assert_string_equal(res.out.data, "out\n");
    assert_string_equal(res.err.data, "err\n");
    cm_run_result_clear(&res);
}

static void test_signal_is_128_plus(void **state)
{
    (void)state;
    struct cm_run_result res = must_run((struct cm_run){.argv = sh("kill -TERM $$")});
    assert_int_equal(res.exit_code, 128 + SIGTERM);
    assert_true(res.by_signal);
    cm_run_result_clear(&res);
}

/* More than a pipe holds, both ways at once. */
static void test_input_larger_than_pipes(void **state)
{
    (void)state;
    size_t n = 3 * 1024 * 1024;
    char *input = malloc(n);
    assert_non_null(input);
    memset(input, 'x', n);
    static const char *const argv[] = {"cat", NULL};
    struct cm_run_result res =
        must_run((struct cm_run){.argv = argv, .input = input, .input_len = n});
    assert_int_equal(res.out.len, n);
    assert_memory_equal(res.out.data, input, n);
    cm_run_result_clear(&res);
    free(input);
}

static void test_input_text_and_none(void **state)
{
    (void)state;
    static const char *const argv[] = {"cat", NULL};
    struct cm_run_result res = must_run((struct cm_run){.argv = argv, .input = "text"});
    assert_string_equal(res.out.data, "text");
    cm_run_result_clear(&res);
    res = must_run((struct cm_run){.argv = argv, .input = ""});
    assert_string_equal(res.out.data, "");
    cm_run_result_clear(&res);
    res = must_run((struct cm_run){.argv = argv});
    assert_int_equal(res.exit_code, 0);
    assert_string_equal(res.out.data, "");
    cm_run_result_clear(&res);
}

/* The default action of SIGPIPE would end this test program. */
static void test_unread_input_is_not_fatal(void **state)
{
    (void)state;
    size_t n = 1024 * 1024;
    char *input = calloc(1, n);
    assert_non_null(input);
    signal(SIGPIPE, SIG_DFL);
    struct cm_run_result res = must_run((struct cm_run){
        .argv = sh("exec <&-; echo done; sleep 0.1"), .input = input, .input_len = n});
    assert_string_equal(res.out.data, "done\n");
    cm_run_result_clear(&res);
    sigset_t pending;
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    free(input);
}

static void test_output_beyond_the_limit_is_dropped(void **state)
{
    (void)state;
    struct cm_run_result res = must_run((struct cm_run){
        .argv = sh("head -c 300000 /dev/zero | tr '\\0' x; echo end >&2"),
        .max_output = 1000});
    assert_int_equal(res.exit_code, 0);
    assert_int_equal(res.out.len, 1000);
    assert_true(res.out.overflow);
    assert_string_equal(res.err.data, "end\n");
    cm_run_result_clear(&res);
}

static void test_missing_program(void **state)
{
    (void)state;
    static const char *const argv[] = {"portico-no-such-program", NULL};
    struct cm_run_result res;
    struct cm_err err = {0};
    assert_int_equal(cm_run(&(struct cm_run){.argv = argv}, &res, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_string_equal(
        err.text, "cannot run portico-no-such-program: No such file or directory");
    assert_string_equal(res.out.data, "");
    cm_run_result_clear(&res);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
    assert_int_equal(errno, ECHILD);
}

/* The whole group dies: the inner sleep would print otherwise. */
static void test_time_limit_kills_the_group(void **state)
{
    (void)state;
    struct cm_run_result res;
    struct cm_err err = {0};
    int64_t before = cm_now_mono_ms();
    struct cm_run run = {
        .argv = sh("echo first; sleep 60 & echo $!; wait; echo never"),
        .timeout_ms = 300,
    };
    assert_int_equal(cm_run(&run, &res, &err), -1);
    assert_in_range(cm_now_mono_ms() - before, 299, 10000);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_non_null(strstr(err.text, "did not end within 300 ms"));
    long sleeper = strtol(res.out.data + strlen("first\n"), NULL, 10);
    assert_true(sleeper > 1);
    for (int i = 0; i < 100; i++) { /* it is init's to reap */
        char path[64], status[256] = "";
        snprintf(path, sizeof(path), "/proc/%ld/stat", sleeper);
        FILE *f = fopen(path, "re");
        if (f == NULL) {
            break;
        }
        size_t n = fread(status, 1, sizeof(status) - 1, f);
        fclose(f);
        status[n] = '\0';
        if (strstr(status, ") Z") != NULL) {
            break;
        }
        assert_true(i < 99);
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    cm_run_result_clear(&res);
}

/* A program that leaves a daemon behind with our pipes has ended nevertheless. */
static void test_daemon_left_behind_does_not_hold_us(void **state)
{
    (void)state;
    int64_t before = cm_now_mono_ms();
    struct cm_run_result res = must_run((struct cm_run){
        .argv = sh("echo hello; sleep 5 & exit 3"), .timeout_ms = 4000});
    assert_int_equal(res.exit_code, 3);
    assert_string_equal(res.out.data, "hello\n");
    assert_true(cm_now_mono_ms() - before < 3000);
    cm_run_result_clear(&res);
}

static void test_child_has_only_stdio(void **state)
{
    (void)state;
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec, on purpose */
    assert_true(leak > 2);
    struct cm_run_result res =
        must_run((struct cm_run){.argv = sh("ls /proc/self/fd | wc -l")});
    /* 0 1 2 and the one that ls opens to look */
    assert_int_equal(strtol(res.out.data, NULL, 10), 4);
    close(leak);
    cm_run_result_clear(&res);
}

static void test_child_has_default_signals_and_own_group(void **state)
{
    (void)state;
    void (*old)(int) = signal(SIGTERM, SIG_IGN);
    sigset_t block, saved;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &saved);
    struct cm_run_result res = must_run((struct cm_run){
        .argv = sh(
            "grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f5 /proc/$$/stat; "
            "echo $$")});
    sigprocmask(SIG_SETMASK, &saved, NULL);
    signal(SIGTERM, old);
    assert_memory_equal(res.out.data, "SigBlk:\t0000000000000000\nSigIgn:\t", 33);
    unsigned long ignored = strtoul(res.out.data + 33, NULL, 16);
    assert_int_equal(ignored & (1ul << (SIGTERM - 1)), 0);
    char *group = strchr(res.out.data + 33, '\n');
    assert_non_null(group);
    char *end;
    long pgid = strtol(group, &end, 10);
    assert_int_equal(pgid, strtol(end, NULL, 10));
    assert_int_not_equal(pgid, getpgrp());
    cm_run_result_clear(&res);
}

static void count_bytes(int fd, const char *data, size_t n, void *ctx)
{
    (void)data;
    size_t *bytes = ctx;
    bytes[fd] += n;
}

static void test_output_callback(void **state)
{
    (void)state;
    size_t bytes[3] = {0};
    struct cm_run_result res = must_run((struct cm_run){
        .argv = sh("printf 12345; printf 123 >&2"),
        .on_output = count_bytes,
        .ctx = bytes,
        .max_output = 2,
    });
    assert_int_equal(bytes[1], 5);
    assert_int_equal(bytes[2], 3);
    assert_string_equal(res.out.data, "12");
    cm_run_result_clear(&res);
}

static bool twice(int64_t elapsed_ms, void *ctx)
{
    int *calls = ctx;
    assert_true(elapsed_ms >= 1000 * (*calls + 1) && elapsed_ms < 60000);
    return ++*calls < 2;
}

/* Once a second, and false ends it as the time limit does. */
static void test_wait_callback(void **state)
{
    (void)state;
    int calls = 0;
    struct cm_run_result res;
    struct cm_err err;
    struct cm_run run = {
        .argv = sh("echo begun; sleep 50"), .on_wait = twice, .ctx = &calls};
    assert_int_equal(cm_run(&run, &res, &err), -1);
    assert_int_equal(calls, 2);
    assert_string_equal(res.out.data, "begun\n");
    cm_run_result_clear(&res);
}

static void test_works_without_stdio(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        close(0);
        close(1);
        close(2);
        struct cm_run_result res;
        struct cm_err err;
        struct cm_run run = {.argv = sh("cat; echo err >&2"), .input = "in"};
        int ok = cm_run(&run, &res, &err) == 0 && strcmp(res.out.data, "in") == 0 &&
                 strcmp(res.err.data, "err\n") == 0;
        cm_run_result_clear(&res);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_run_ok(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char *out = NULL;
    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = sh("echo 42")}, &out, &err), 0);
    assert_string_equal(out, "42\n");
    free(out);
    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = sh("true")}, NULL, &err), 0);

    out = NULL;
    struct cm_run bad = {
        .argv = sh("echo before >&2; echo 'the reason' >&2; echo >&2; exit 4")};
    assert_int_equal(cm_run_ok(&bad, &out, &err), -1);
    assert_null(out);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_string_equal(err.text, "sh failed (exit 4): the reason");

    bad.argv = sh("echo only stdout; exit 1");
    assert_int_equal(cm_run_ok(&bad, NULL, &err), -1);
    assert_string_equal(err.text, "sh failed (exit 1): only stdout");
    bad.argv = sh("exit 2");
    assert_int_equal(cm_run_ok(&bad, NULL, &err), -1);
    assert_string_equal(err.text, "sh failed (exit 2)");
}

static int open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return n;
}

static void test_no_descriptor_is_lost(void **state)
{
    (void)state;
    static const char *const missing[] = {"/nonexistent/program", NULL};
    int before = open_fds();
    struct cm_run_result res;
    struct cm_err err;
    for (int i = 0; i < 3; i++) {
        res = must_run((struct cm_run){.argv = sh("cat"), .input = "x"});
        cm_run_result_clear(&res);
        assert_int_equal(cm_run(&(struct cm_run){.argv = missing}, &res, &err), -1);
        cm_run_result_clear(&res);
        struct cm_run slow = {.argv = sh("sleep 9"), .timeout_ms = 50};
        assert_int_equal(cm_run(&slow, &res, &err), -1);
        cm_run_result_clear(&res);
    }
    assert_int_equal(open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collects_both_streams_and_the_status),
        cmocka_unit_test(test_signal_is_128_plus),
        cmocka_unit_test(test_input_larger_than_pipes),
        cmocka_unit_test(test_input_text_and_none),
        cmocka_unit_test(test_unread_input_is_not_fatal),
        cmocka_unit_test(test_output_beyond_the_limit_is_dropped),
        cmocka_unit_test(test_missing_program),
        cmocka_unit_test(test_time_limit_kills_the_group),
        cmocka_unit_test(test_daemon_left_behind_does_not_hold_us),
        cmocka_unit_test(test_child_has_only_stdio),
        cmocka_unit_test(test_child_has_default_signals_and_own_group),
        cmocka_unit_test(test_output_callback),
        cmocka_unit_test(test_wait_callback),
        cmocka_unit_test(test_works_without_stdio),
        cmocka_unit_test(test_run_ok),
        cmocka_unit_test(test_no_descriptor_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
