#include "common/doorbell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

#define ADDR "someone@chat.example"

static char base[64], path[96], spool[96];

/* ---- the other side ---- */

static int listen_at(int backlog)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

struct push {
    pthread_t thread;
    int listener;
    const char *parts[2]; /* of the answer, said one after the other */
    bool hang_up;
    char heard[300];
};

/* One visitor. */
static void *serve(void *arg)
{
    struct push *p = arg;
    int fd = accept(p->listener, NULL, NULL);
    size_t len = 0;
    while (len == 0 || p->heard[len - 1] != '\n') {
        ssize_t n = recv(fd, p->heard + len, sizeof(p->heard) - 1 - len, 0);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    for (int i = 0; i < 2 && p->parts[i] != NULL; i++) {
        usleep(i * 20000);
        (void)send(fd, p->parts[i], strlen(p->parts[i]), MSG_NOSIGNAL);
    }
    char c;
    while (!p->hang_up && recv(fd, &c, 1, 0) > 0) {
    }
    close(fd);
    return NULL;
}

static void push_start(struct push *p)
{
    p->listener = listen_at(8);
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void push_stop(struct push *p)
{
    pthread_join(p->thread, NULL);
    close(p->listener);
    unlink(path);
}

/* ---- what was left ---- */

static bool is_left(const char *addr)
{
    char file[400];
    struct stat st;
    snprintf(file, sizeof(file), "%s/%s", spool, addr);
    bool there = lstat(file, &st) == 0;
    assert_true(!there || (S_ISREG(st.st_mode) && st.st_size == 0));
    unlink(file);
    return there;
}

static enum cm_doorbell_result ring(const char *addr, int limit_ms)
{
    return cm_doorbell_ring(path, spool, addr, limit_ms);
}

/* ---- tests ---- */

static void test_told(void **state)
{
    (void)state;
    static const char *const answers[][2] = {{"+\n", NULL}, {"+", "\n"}};
    for (int i = 0; i < 2; i++) {
        struct push p = {.parts = {answers[i][0], answers[i][1]}, .hang_up = true};
        push_start(&p);
        assert_int_equal(ring(ADDR, 2000), CM_DOORBELL_TOLD);
        push_stop(&p);
        assert_string_equal(p.heard, ADDR "\n");
        assert_false(is_left(ADDR));
    }
}

static void test_wrong_answers(void **state)
{
    (void)state;
    static const char *const answers[] = {"-\n", "\n", "++", "+ok\n", "+\r\n", "", "+"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct push p = {.parts = {answers[i]}, .hang_up = true};
        push_start(&p);
        assert_int_equal(ring(ADDR, 2000), CM_DOORBELL_LEFT);
        push_stop(&p);
        assert_true(is_left(ADDR));
    }
}

static void test_nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(ring(ADDR, 200), CM_DOORBELL_LEFT); /* no socket */
    assert_int_equal(ring(ADDR, 200), CM_DOORBELL_LEFT); /* the file is there */
    assert_true(is_left(ADDR));
    close(listen_at(1)); /* a socket, nobody behind it */
    assert_int_equal(ring(ADDR, 200), CM_DOORBELL_LEFT);
    assert_true(is_left(ADDR));
    unlink(path);
    char longer[200];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(cm_doorbell_ring(longer, spool, ADDR, 200), CM_DOORBELL_LEFT);
    assert_true(is_left(ADDR));
}

static void test_no_answer(void **state)
{
    (void)state;
    static const char *const answers[] = {NULL, "+"}; /* nothing, half of it */
    for (int i = 0; i < 2; i++) {
        struct push p = {.parts = {answers[i]}};
        push_start(&p);
        int64_t start = cm_now_mono_ms();
        assert_int_equal(ring(ADDR, 100), CM_DOORBELL_LEFT);
        int64_t took = cm_now_mono_ms() - start;
        push_stop(&p);
        assert_in_range(took, 99, 1000);
        assert_true(is_left(ADDR));
    }
}

/* Push is stopped, and so many rang that the kernel queues no more. */
static void test_full_backlog(void **state)
{
    (void)state;
    int listener = listen_at(0), left = 0;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        left += connect(fds[i], (struct sockaddr *)&sun, sizeof(sun)) != 0;
    }
    assert_true(left > 0);
    int64_t start = cm_now_mono_ms();
    assert_int_equal(ring(ADDR, 60000), CM_DOORBELL_LEFT);
    assert_true(cm_now_mono_ms() - start < 5000);
    assert_true(is_left(ADDR));
    for (int i = 0; i < 8; i++) {
        close(fds[i]);
    }
    close(listener);
    unlink(path);
}

static void test_without_a_limit_a_file_at_once(void **state)
{
    (void)state;
    int listener = listen_at(8);
    assert_int_equal(ring(ADDR, 0), CM_DOORBELL_LEFT);
    assert_true(is_left(ADDR));
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(accept(listener, NULL, NULL), -1); /* nobody came */
    close(listener);
    unlink(path);
}

static void test_directory(void **state)
{
    (void)state;
    char none[128];
    snprintf(none, sizeof(none), "%s/none", base);
    assert_int_equal(cm_doorbell_ring(path, none, ADDR, 200), CM_DOORBELL_NOBODY);
    snprintf(none, sizeof(none), "/proc/self/comm"); /* no directory */
    assert_int_equal(cm_doorbell_ring(path, none, ADDR, 200), CM_DOORBELL_FAILED);
    assert_int_equal(errno, ENOTDIR);
}

/* Root may write anywhere: another user has to try. */
static void test_directory_not_writable(void **state)
{
    (void)state;
    assert_int_equal(chmod(spool, 0555), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
            _exit(3);
        }
        bool failed = ring(ADDR, 200) == CM_DOORBELL_FAILED && errno == EACCES;
        _exit(failed ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(spool, 0755), 0);
    assert_int_equal(status, 0);
    assert_false(is_left(ADDR));
}

static void test_never_through_a_link(void **state)
{
    (void)state;
    char link[256], target[128];
    snprintf(target, sizeof(target), "%s/target", base);
    snprintf(link, sizeof(link), "%s/%s", spool, ADDR);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(ring(ADDR, 0), CM_DOORBELL_LEFT); /* EEXIST */
    assert_int_equal(access(target, F_OK), -1);
    unlink(link);
}

static void test_addresses(void **state)
{
    (void)state;
    char big[CM_DOORBELL_ADDR_MAX + 2];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    const char *const bad[] = {"",      "a/b@x",   "../a@x", ".a@x", ".",
                               "a\n@x", "a\x7f@x", "a\t@x",  big};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(ring(bad[i], 200), CM_DOORBELL_REFUSED);
        assert_int_equal(cm_doorbell_forget(path, spool, bad[i], 200), -1);
        assert_int_equal(errno, EINVAL);
    }
    big[CM_DOORBELL_ADDR_MAX] = '\0';
    assert_int_equal(ring(big, 200), CM_DOORBELL_LEFT);
    assert_true(is_left(big));
    assert_int_equal(ring("a b@[127.0.0.1]", 200), CM_DOORBELL_LEFT);
    assert_true(is_left("a b@[127.0.0.1]"));
}

/* Said aloud it would mean: forget x. */
static void test_address_that_begins_with_a_dash(void **state)
{
    (void)state;
    int listener = listen_at(8);
    assert_int_equal(ring("-x@y", 5000), CM_DOORBELL_LEFT);
    assert_true(is_left("-x@y"));
    close(listener);
    unlink(path);
}

static void test_forget(void **state)
{
    (void)state;
    struct push p = {.parts = {"+\n"}, .hang_up = true};
    push_start(&p);
    assert_int_equal(cm_doorbell_forget(path, spool, ADDR, 2000), 0);
    push_stop(&p);
    assert_string_equal(p.heard, "-" ADDR "\n");
    struct push no = {.parts = {"?\n"}, .hang_up = true};
    push_start(&no);
    assert_int_equal(cm_doorbell_forget(path, spool, ADDR, 2000), -1);
    assert_int_equal(errno, EPROTO);
    push_stop(&no);
    assert_int_equal(cm_doorbell_forget(path, spool, ADDR, 200), -1);
    assert_int_equal(errno, ENOENT);
    assert_false(is_left(ADDR));
    assert_int_equal(cm_doorbell_forget(path, "/nonexistent", ADDR, 200), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/test-doorbell-XXXXXX");
    if (mkdtemp(base) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/bell.sock", base);
    snprintf(spool, sizeof(spool), "%s/spool", base);
    return chmod(base, 0755) != 0 || mkdir(spool, 0755) != 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    rmdir(spool);
    return rmdir(base); /* fails when something was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_full_backlog),
        cmocka_unit_test(test_without_a_limit_a_file_at_once),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_not_writable),
        cmocka_unit_test(test_never_through_a_link),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_address_that_begins_with_a_dash),
        cmocka_unit_test(test_forget),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
