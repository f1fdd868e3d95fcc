#include "common/metrics.h"
#include "common/service.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"

static char dir[64];
static char echo_path[96], other_path[96], notify_path[96];

/* The daemon under test, run in a child: answers a connection with one letter. */

struct daemon {
    struct cm_service *svc;
    char letter;
    bool start_fails;
    bool drain_hangs;
    int64_t drain_ms; /* so long something is under way after the SIGTERM */
    bool drained;
    bool full;
    bool away; /* what it stands on */
    bool hold; /* connections stay open until a reload */
    int held[64];
    size_t held_count;
};

static void answer(int fd, void *ctx)
{
    struct daemon *d = ctx;
    ssize_t n = send(fd, &d->letter, 1, MSG_NOSIGNAL);
    (void)n;
    if (d->hold && d->held_count < 64) {
        d->held[d->held_count++] = fd;
    } else {
        close(fd);
    }
}

static void answer_other(int fd, void *ctx)
{
    (void)ctx;
    ssize_t n = send(fd, "o", 1, MSG_NOSIGNAL);
    (void)n;
    close(fd);
}

static bool is_ready(void *ctx)
{
    struct daemon *d = ctx;
    if (!cm_service_settled(d->svc, !d->away)) {
        return false;
    }
    bool full = d->full;
    d->full = false; /* full once, then there is room */
    return !full;
}

static int start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct daemon *d = ctx;
    d->svc = svc;
    cm_service_status(svc, "letter %c", d->letter);
    return d->start_fails ? cm_err_set(err, CM_ERR_WORLD, "do this and that") : 0;
}

static int reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    struct daemon *d = ctx;
    while (d->held_count > 0) {
        close(d->held[--d->held_count]);
    }
    if (d->letter == 'z') {
        return cm_err_set(err, CM_ERR_WORLD, "no letter after z");
    }
    d->letter++;
    return 0;
}

static void drain(void *ctx)
{
    struct daemon *d = ctx;
    cm_service_status(d->svc, "drain %d", (int)d->drain_ms);
}

static bool drained(void *ctx, int64_t waited_ms)
{
    struct daemon *d = ctx;
    d->drained = !d->drain_hangs && waited_ms >= d->drain_ms;
    return d->drained;
}

static void stop(void *ctx)
{
    struct daemon *d = ctx;
    cm_service_status(d->svc, "stopped, %s", d->drained ? "drained" : "cut short");
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct daemon *d = ctx;
    cm_metric_gauge(out, "chatmail_test_letter", "Which one.", d->letter);
}

static int daemon_main(struct daemon *d)
{
    const struct cm_listener listeners[] = {{.name = "echo",
                                             .fallback_path = echo_path,
                                             .accept = answer,
                                             .ready = is_ready},
                                            {.name = "other", .accept = answer_other},
                                            {0}};
    const struct cm_service_def def = {.program = "test-daemon",
                                       .listeners = listeners,
                                       .start = start,
                                       .reload = reload,
                                       .drain = drain,
                                       .drained = drained,
                                       .drain_limit_ms = 200,
                                       .stop = stop,
                                       .metrics = add_metrics};
    cm_log_init("test-daemon", CM_LOG_ERROR);
    return cm_service_run(&def, d);
}

/* The test's side */

static int notify_fd;

static int unix_socket(int type, const char *path)
{
    int fd = socket(AF_UNIX, type, 0);
    assert_true(fd >= 0);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static const char *held_names = "other:stranger";

static pid_t launch(struct daemon *d, int held_fd)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    setenv("NOTIFY_SOCKET", notify_path, 1);
    char self[16];
    snprintf(self, sizeof(self), "%d", (int)getpid());
    if (held_fd >= 0) {
        setenv("LISTEN_PID", self, 1);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_FDNAMES", held_names, 1);
        dup2(held_fd, 3);
        dup2(held_fd, 4);
    }
    setenv("WATCHDOG_PID", self, 1);
    setenv("WATCHDOG_USEC", "100000", 1);
    struct rlimit few = {.rlim_cur = 24, .rlim_max = 24};
    setrlimit(RLIMIT_NOFILE, &few);
    _exit(daemon_main(d));
}

/* Reads notifications until one contains text. */
static void await_notify(const char *text)
{
    char seen[1024] = "";
    for (;;) {
        char msg[512];
        ssize_t n = recv(notify_fd, msg, sizeof(msg) - 1, 0);
        if (n < 0) {
            fail_msg("no \"%s\" came; last was \"%s\"", text, seen);
        }
        msg[n] = '\0';
        snprintf(seen, sizeof(seen), "%s", msg);
        if (strstr(msg, text) != NULL) {
            return;
        }
    }
}

static int dial(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        close(fd);
        return -1;
    }
    struct timeval limit = {.tv_sec = 3};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static char ask(const char *path)
{
    int fd = dial(path);
    char letter = '-';
    if (fd >= 0) {
        if (recv(fd, &letter, 1, 0) != 1) {
            letter = '?';
        }
        close(fd);
    }
    return letter;
}

static void drop_notifications(void)
{
    char msg[512];
    while (recv(notify_fd, msg, sizeof(msg), MSG_DONTWAIT) >= 0) {
    }
}

/* Reads notifications meanwhile: the socket holds few, and a full one blocks the
 * daemon. */
static int wait_exit(pid_t pid)
{
    int status = -1;
    pid_t ended = 0;
    for (int i = 0; i < 1000 && (ended = waitpid(pid, &status, WNOHANG)) == 0; i++) {
        drop_notifications();
        usleep(5000);
    }
    assert_int_equal(ended, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_life(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a'};
    pid_t pid = launch(&d, -1);
    await_notify("STATUS=letter a");
    await_notify("READY=1");
    await_notify("WATCHDOG=1");
    await_notify("WATCHDOG=1");
    for (int i = 0; i < 200; i++) {
        assert_int_equal(ask(echo_path), 'a');
        drop_notifications();
    }
    kill(pid, SIGHUP);
    await_notify("RELOADING=1");
    await_notify("READY=1");
    assert_int_equal(ask(echo_path), 'b');
    kill(pid, SIGTERM);
    await_notify("STOPPING=1");
    await_notify("STATUS=stopped, drained");
    assert_int_equal(wait_exit(pid), 0);
    assert_int_equal(access(echo_path, F_OK), -1);
}

static void test_failed_reload_keeps_running(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'z'};
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    kill(pid, SIGHUP);
    await_notify("RELOADING=1");
    await_notify("READY=1");
    assert_int_equal(ask(echo_path), 'z');
    kill(pid, SIGINT);
    assert_int_equal(wait_exit(pid), 0);
}

static void test_start_failure(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .start_fails = true};
    assert_int_equal(wait_exit(launch(&d, -1)), 1);
    assert_int_equal(access(echo_path, F_OK), -1);
}

static void test_metrics(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a'};
    int held = unix_socket(SOCK_STREAM, other_path);
    assert_int_equal(listen(held, 8), 0);
    held_names = "metrics:stranger";
    pid_t pid = launch(&d, held);
    held_names = "other:stranger";
    await_notify("READY=1");
    int fd = dial(other_path);
    char text[4096];
    size_t len = 0;
    for (ssize_t n; (n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0;) {
        len += (size_t)n;
    }
    text[len] = '\0';
    close(fd);
    assert_non_null(
        strstr(text, "chatmail_process_open_fds{program=\"test-daemon\"} "));
    assert_non_null(strstr(text, "\nchatmail_test_letter 97\n"));
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
    close(held);
}

static void test_stale_socket_is_replaced(void **state)
{
    (void)state;
    close(unix_socket(SOCK_STREAM, echo_path));
    struct daemon d = {.letter = 'a'};
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    assert_int_equal(ask(echo_path), 'a');
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
}

static void test_drained_is_asked_until_it_is(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .drain_ms = 60};
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    int64_t before = cm_now_mono_ms();
    kill(pid, SIGTERM);
    await_notify("STOPPING=1");
    await_notify("STATUS=drain 60");
    await_notify("STATUS=stopped, drained");
    assert_int_equal(wait_exit(pid), 0);
    assert_true(cm_now_mono_ms() - before >= 60);
}

static void test_drain_limit(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .drain_hangs = true};
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    int64_t before = cm_now_mono_ms();
    kill(pid, SIGTERM);
    await_notify("STATUS=stopped, cut short");
    assert_int_equal(wait_exit(pid), 0);
    int64_t took = cm_now_mono_ms() - before;
    assert_true(took >= 150 && took < 2000);
}

static void test_second_signal_hurries(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .drain_hangs = true};
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    int64_t before = cm_now_mono_ms();
    kill(pid, SIGTERM);
    await_notify("STOPPING=1");
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
    assert_true(cm_now_mono_ms() - before < 180);
}

/* systemd's socket outlives the daemon: a client that comes between two lives waits. */
static void test_held_socket_survives_a_crash(void **state)
{
    (void)state;
    int held = unix_socket(SOCK_STREAM, other_path);
    assert_int_equal(listen(held, 16), 0);
    struct daemon d = {.letter = 'a'};
    pid_t pid = launch(&d, held);
    await_notify("READY=1");
    assert_int_equal(ask(other_path), 'o');
    kill(pid, SIGKILL);
    assert_int_equal(wait_exit(pid), 128 + SIGKILL);
    int waiting = dial(other_path);
    assert_true(waiting >= 0);
    pid = launch(&d, held);
    char letter = 0;
    assert_int_equal(recv(waiting, &letter, 1, 0), 1);
    assert_int_equal(letter, 'o');
    close(waiting);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
    assert_int_equal(access(other_path, F_OK), 0); /* not ours to remove */
    close(held);
    unlink(other_path);
}

static void test_full_listener_rests(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .full = true};
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    int64_t before = cm_now_mono_ms();
    assert_int_equal(ask(echo_path), 'a');
    assert_true(cm_now_mono_ms() - before >= 80);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
}

static void test_nobody_is_heard_before_it_is_settled(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .away = true};
    int64_t before = cm_now_mono_ms();
    pid_t pid = launch(&d, -1);
    await_notify("READY=1");
    int fd = dial(echo_path);
    char letter = 0;
    for (int i = 0; i < 300 && recv(fd, &letter, 1, MSG_DONTWAIT) != 1; i++) {
        drop_notifications();
        usleep(10000);
    }
    close(fd);
    assert_int_equal(letter, 'a');
    assert_true(cm_now_mono_ms() - before >= 1000);
    before = cm_now_mono_ms();
    assert_int_equal(ask(echo_path), 'a'); /* late, not away for ever */
    assert_true(cm_now_mono_ms() - before < 500);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
}

static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct daemon d = {.letter = 'a', .hold = true};
    pid_t pid = launch(&d, -1); /* may have 24 descriptors */
    await_notify("READY=1");
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = dial(echo_path);
        assert_true(fds[i] >= 0);
    }
    int answered = 0;
    for (int round = 0; round < 20 && answered < 40; round++) {
        usleep(150000);
        drop_notifications();
        char letter;
        while (answered < 40 && recv(fds[answered], &letter, 1, MSG_DONTWAIT) == 1) {
            answered++;
        }
        assert_true(round > 0 || answered < 24);
        kill(pid, SIGHUP);
    }
    assert_int_equal(answered, 40);
    for (int i = 0; i < 40; i++) {
        close(fds[i]);
    }
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &used), 0);
    assert_true(used.ru_utime.tv_sec == 0); /* it rested, it did not spin */
}

static void test_path_that_cannot_be_bound(void **state)
{
    (void)state;
    char good[sizeof(echo_path)];
    memcpy(good, echo_path, sizeof(good));
    snprintf(echo_path, sizeof(echo_path), "%.30s/no/such/directory/sock", dir);
    struct daemon d = {.letter = 'a'};
    assert_int_equal(wait_exit(launch(&d, -1)), 1);
    memcpy(echo_path, good, sizeof(good));
}

static int group_setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-service-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(echo_path, sizeof(echo_path), "%s/echo", dir);
    snprintf(other_path, sizeof(other_path), "%s/other", dir);
    snprintf(notify_path, sizeof(notify_path), "%s/notify", dir);
    notify_fd = unix_socket(SOCK_DGRAM, notify_path);
    struct timeval limit = {.tv_sec = 3};
    return setsockopt(notify_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static int group_teardown(void **state)
{
    (void)state;
    close(notify_fd);
    unlink(notify_path);
    return rmdir(dir);
}

static int drop_old_notifications(void **state)
{
    (void)state;
    drop_notifications();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_life, drop_old_notifications),
        cmocka_unit_test_setup(test_failed_reload_keeps_running,
                               drop_old_notifications),
        cmocka_unit_test_setup(test_start_failure, drop_old_notifications),
        cmocka_unit_test_setup(test_metrics, drop_old_notifications),
        cmocka_unit_test_setup(test_stale_socket_is_replaced, drop_old_notifications),
        cmocka_unit_test_setup(test_drained_is_asked_until_it_is,
                               drop_old_notifications),
        cmocka_unit_test_setup(test_drain_limit, drop_old_notifications),
        cmocka_unit_test_setup(test_second_signal_hurries, drop_old_notifications),
        cmocka_unit_test_setup(test_held_socket_survives_a_crash,
                               drop_old_notifications),
        cmocka_unit_test_setup(test_full_listener_rests, drop_old_notifications),
        cmocka_unit_test_setup(test_nobody_is_heard_before_it_is_settled,
                               drop_old_notifications),
        cmocka_unit_test_setup(test_out_of_descriptors, drop_old_notifications),
        cmocka_unit_test_setup(test_path_that_cannot_be_bound, drop_old_notifications),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
