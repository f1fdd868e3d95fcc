#include "common/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

static int listener(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    memcpy(at.sun_path, path, strlen(path));
    if (path[0] == '@') {
        at.sun_path[0] = '\0';
    }
    assert_int_equal(
        bind(fd, (struct sockaddr *)&at,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
        0);
    return fd;
}

static void hears(int fd, const char *want)
{
    char text[64] = "";

    (void)!recv(fd, text, sizeof(text) - 1, 0);
    assert_string_equal(text, want);
}

static void test_notify(void **state)
{
    char dir[] = "/tmp/cm-notify-XXXXXX", name[64];
    const char *paths[2];

    (void)state;
    assert_non_null(mkdtemp(dir));
    char *file = cm_asprintf("%s/sock", dir);
    snprintf(name, sizeof(name), "@cm-test-%d", (int)getpid());
    paths[0] = file;
    paths[1] = name;
    for (int i = 0; i < 2; i++) {
        int fd = listener(paths[i]);
        setenv("NOTIFY_SOCKET", paths[i], 1);
        cm_systemd_notify("READY=1");
        hears(fd, "READY=1");
        cm_systemd_notifyf("STATUS=%d of %d", 3, 4);
        hears(fd, "STATUS=3 of 4");
        close(fd);
        cm_systemd_notify("STOPPING=1"); /* nobody there any more */
    }
    unlink(file);
    rmdir(dir);
    free(file);
}

static void test_keep_fd(void **state)
{
    char name[64];
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char text[64] = "";
    struct iovec data = {text, sizeof(text) - 1};
    struct msghdr msg = {.msg_iov = &data,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    int pair[2], got;

    (void)state;
    snprintf(name, sizeof(name), "@cm-test-keep-%d", (int)getpid());
    int fd = listener(name);
    setenv("NOTIFY_SOCKET", name, 1);
    assert_int_equal(pipe(pair), 0);
    cm_systemd_keep_fd("flows", pair[0]);
    hears(fd, "FDSTOREREMOVE=1\nFDNAME=flows");
    assert_true(recvmsg(fd, &msg, 0) > 0);
    assert_string_equal(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=flows");
    assert_int_equal(control.head.cmsg_type, SCM_RIGHTS);
    memcpy(&got, CMSG_DATA(&control.head), sizeof(got));
    /* The very pipe. */
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(read(got, text, 1), 1);
    close(got);
    close(pair[0]);
    close(pair[1]);
    close(fd);
}

/* Neither harms nor says anything. */
static void test_notify_nobody(void **state)
{
    static const char *const bad[] = {"", "/", "relative/path", "vsock:2:9"};
    char text[200];

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    cm_systemd_notify("READY=1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        setenv("NOTIFY_SOCKET", bad[i], 1);
        cm_systemd_notify("READY=1");
    }
    memset(text, '/', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    setenv("NOTIFY_SOCKET", text, 1); /* longer than an address */
    cm_systemd_notify("READY=1");
    unsetenv("NOTIFY_SOCKET");
}

struct given {
    const char *pid, *fds, *names; /* pid "": ours */
    int count;                     /* -1: an error */
    const char *said;              /* the names, joined by blanks */
};

static int in_child(const struct given *g)
{
    struct cm_systemd_fds fds = {.count = 7};
    struct cm_err err;
    char pid[16], said[256] = "";

    for (int i = 0; i < 4; i++) {
        (void)dup2(1, CM_SYSTEMD_FD_FIRST + i);
    }
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", g->pid[0] != '\0' ? g->pid : pid, 1);
    setenv("LISTEN_FDS", g->fds, 1);
    if (g->names != NULL) {
        setenv("LISTEN_FDNAMES", g->names, 1);
    }
    int rc = cm_systemd_take_fds(&fds, &err);
    if (getenv("LISTEN_PID") != NULL || getenv("LISTEN_FDS") != NULL ||
        getenv("LISTEN_FDNAMES") != NULL || (rc != 0) != (g->count < 0)) {
        return 1;
    }
    for (int i = 0; rc == 0 && i < fds.count; i++) {
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s",
                 i > 0 ? " " : "", fds.names[i]);
        if ((fcntl(CM_SYSTEMD_FD_FIRST + i, F_GETFD) & FD_CLOEXEC) == 0) {
            return 2;
        }
        free(fds.names[i]);
    }
    return rc == 0 && (fds.count != g->count || strcmp(said, g->said) != 0) ? 3 : 0;
}

static void test_take_fds(void **state)
{
    static const struct given cases[] = {
        {"", "2", "auth:metrics", 2, "auth metrics"},
        {"", "2", "auth:", 2, "auth "},
        {"", "3", NULL, 3, "unknown unknown unknown"},
        {"", "0", "", 0, ""},
        {"1", "2", "auth:metrics", 0, ""}, /* meant for another process */
        {"", "x", "auth", 0, ""},
        {"", "2 ", "auth:metrics", 0, ""},
        {"", "2", "auth", -1, NULL},
        {"", "1", "auth:metrics", -1, NULL},
        {"", "65", NULL, -1, NULL},
        {"", "99999999999999999999", NULL, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            _exit(in_child(&cases[i]));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0) {
            fail_msg("case %zu: status %d", i, WEXITSTATUS(status));
        }
    }
}

static void test_watchdog(void **state)
{
    char pid[16];

    (void)state;
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(cm_systemd_watchdog_us(), 0);
    setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(cm_systemd_watchdog_us(), 3000000);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(cm_systemd_watchdog_us(), 0);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(cm_systemd_watchdog_us(), 3000000);
    setenv("WATCHDOG_USEC", "-3", 1);
    assert_int_equal(cm_systemd_watchdog_us(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify),        cmocka_unit_test(test_keep_fd),
        cmocka_unit_test(test_notify_nobody), cmocka_unit_test(test_take_fds),
        cmocka_unit_test(test_watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
