/* Against this machine (target ""): scripts, arguments, files. */
#include "host.h"

#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

static char dir[] = "/tmp/chatops-host-XXXXXX";
static struct op_host host;

static void test_arguments_are_not_code(void **state)
{
    struct op_cmd cmd = {.script = "printf '%s|' \"$@\"",
                         .args = {"a b", "$(id)", "it's", "*"}};
    struct cm_err err;
    char *out;

    (void)state;
    assert_int_equal(op_host_run(&host, &cmd, &out, &err), 0);
    assert_string_equal(out, "a b|$(id)|it's|*|");
    free(out);
    char *quoted = op_shell_quote("it's $x");
    assert_string_equal(quoted, "'it'\\''s $x'");
    free(quoted);
}

static void test_failure_says_last_line(void **state)
{
    struct op_cmd cmd = {.script = "echo first >&2; echo second >&2; echo >&2; exit 3"};
    struct cm_err err;

    (void)state;
    assert_int_equal(op_host_run(&host, &cmd, NULL, &err), -1);
    assert_string_equal(err.text, "store: exit 3: second");
}

/* Else a chatops that ends would take another's connection along. */
static void test_connection_is_of_one_process(void **state)
{
    struct op_host here;
    int status;

    (void)state;
    op_host_init(&here, "store", "root@192.0.2.1", dir);
    assert_true(here.control[0] == '/');
    pid_t child = fork();
    if (child == 0) {
        struct op_host there;
        op_host_init(&there, "store", "root@192.0.2.1", dir);
        _exit(strcmp(here.control, there.control) == 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static char *me(void)
{
    return cm_asprintf("%s:%s", getpwuid(getuid())->pw_name,
                       getgrgid(getgid())->gr_name);
}

static void test_put_get_states(void **state)
{
    char *path = cm_asprintf("%s/deep/er/file", dir), *owner = me(), *text;
    const char *paths[] = {path, "/nonexistent/x"};
    struct op_file_state s[2];
    struct cm_err err;

    (void)state;
    assert_int_equal(op_host_get(&host, path, &text, &err), 0);
    assert_int_equal(op_host_put(&host, path, "hello\n", 6, owner, 0640, &err), 0);
    assert_int_equal(op_host_get(&host, path, &text, &err), 1);
    assert_string_equal(text, "hello\n");
    free(text);
    assert_int_equal(op_host_states(&host, paths, 2, s, &err), 0);
    assert_true(s[0].present);
    assert_int_equal(s[0].mode, 0640);
    assert_string_equal(s[0].owner, owner);
    assert_string_equal(s[0].hash, "5891b5b522d5df086d0ff0b110fbd9d2"
                                   "1bb4fc7163af34d08286a2e846f6be03");
    assert_false(s[1].present);
    assert_int_equal(op_host_put(&host, path, "", 0, owner, 0600, &err), 0);
    assert_int_equal(op_host_get(&host, path, &text, &err), 1);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(
        op_host_put(&host, path, "x", 1, "no-such-user:nobody", 0600, &err), -1);
    assert_non_null(strstr(err.text, "no-such-user"));
    free(path);
    free(owner);
}

/* ssh(1) is there, the port is not: an error that says what to do, and no hang. */
static void test_no_connection(void **state)
{
    struct op_host far;
    struct cm_err err;
    char *out;

    (void)state;
    op_host_init(&far, "edge1", "ssh://root@127.0.0.1:1", dir);
    assert_int_equal(op_host_ask(&far, "true", &out, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_non_null(strstr(err.text, "edge1: no connection to ssh://root@127.0.0.1:1"));
    op_host_close(&far);
}

/* An ssh(1) of our own that is killed in the middle of every command, and counts them:
 * that is a lost connection, and a question is asked once more. */
static void test_killed_connection(void **state)
{
    static const char ssh[] = "#!/bin/sh\ncase \"$*\" in *-M*|*-O*) exit 0;; esac\n"
                              "echo x >>${0%/*}/count; kill -9 $$\n";
    char *path = cm_asprintf("%s/bin/ssh", dir),
         *count = cm_asprintf("%s/bin/count", dir);
    char *owner = me(), *old = cm_strdup(getenv("PATH")), *out;
    struct op_cmd change = {.script = "true"};
    struct op_host far;
    struct cm_err err;

    (void)state;
    assert_int_equal(op_host_put(&host, path, ssh, strlen(ssh), owner, 0755, &err), 0);
    char *with = cm_asprintf("%s/bin:%s", dir, old);
    setenv("PATH", with, 1);
    op_host_init(&far, "edge1", "root@far", dir);
    assert_int_equal(op_host_run(&far, &change, NULL, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_non_null(strstr(err.text, "edge1: no connection to root@far"));
    far.open = true; /* it was there before */
    assert_int_equal(op_host_ask(&far, "true", &out, &err), -1);
    op_host_close(&far);
    setenv("PATH", old, 1);
    assert_int_equal(op_host_get(&host, count, &out, &err), 1);
    assert_string_equal(out, "x\nx\nx\n");
    free(out);
    free(with);
    free(old);
    free(owner);
    free(count);
    free(path);
}

static void test_last_line(void **state)
{
    char out[16];

    (void)state;
    op_last_line("a\nb  \n \n", out, sizeof(out));
    assert_string_equal(out, "b");
    op_last_line("\n\n", out, sizeof(out));
    assert_string_equal(out, "");
    op_last_line("0123456789abcdefghij", out, sizeof(out));
    assert_string_equal(out, "0123456789abcde");
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    op_host_init(&host, "store", "", dir);
    return 0;
}

static int tear_down(void **state)
{
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = system(cmd);

    (void)state;
    free(cmd);
    return rc;
}

/* Another chatops that ends must not take this one's connection down. */
static void test_control_is_of_the_process(void **state)
{
    struct op_host here, child;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    op_host_init(&here, "store", "root@192.0.2.1", ".chatops");
    assert_true(here.control[0] != '\0');
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        op_host_init(&child, "store", "root@192.0.2.1", ".chatops");
        _exit(write(ends[1], child.control, sizeof(child.control)) ==
                      (ssize_t)sizeof(child.control)
                  ? 0
                  : 1);
    }
    assert_int_equal(read(ends[0], child.control, sizeof(child.control)),
                     sizeof(child.control));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_not_equal(here.control, child.control);
    op_host_init(&child, "store", "root@192.0.2.1", ".chatops");
    assert_string_equal(here.control, child.control);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_is_of_the_process),
        cmocka_unit_test(test_arguments_are_not_code),
        cmocka_unit_test(test_connection_is_of_one_process),
        cmocka_unit_test(test_failure_says_last_line),
        cmocka_unit_test(test_put_get_states),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_killed_connection),
        cmocka_unit_test(test_last_line),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
