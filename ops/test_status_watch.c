/* chatops status --watch as a program: in place on a terminal, one report after the
 * other elsewhere, an object for each round with --json; ended by SIGINT. The store is
 * this machine, with a systemctl of the test's. */
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#define LIMIT_MS 20000

static char dir[] = "/tmp/chatops-watch-XXXXXX";
static char *config;

static void write_text(const char *name, const char *text, mode_t mode)
{
    struct cm_err err;
    char *path = cm_asprintf("%s/%s", dir, name);
    assert_int_equal(cm_file_replace(path, text, strlen(text), mode, &err), 0);
    free(path);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    char *path = cm_asprintf("%s:/usr/bin:/bin", dir);
    setenv("PATH", path, 1);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    free(path);
    config = cm_asprintf("%s/chatmail.ini", dir);
    write_text("chatmail.ini", "[params]\nmail_domain = chat.example.org\n", 0644);
    write_text("systemctl", "#!/bin/sh\necho active\n", 0755);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = system(cmd);
    free(cmd);
    free(config);
    return rc;
}

static void run(const char *more)
{
    execl(CHATOPS, "chatops", "--config", config, "status", "--watch", "--every", "1",
          "--no-probe", more, (char *)NULL);
    _exit(127);
}

/* Reads until `words` were seen `times`; the text so far stays in b. */
static void hear(int fd, struct cm_buf *b, const char *words, int times)
{
    int64_t until = cm_now_mono_ms() + LIMIT_MS;
    for (;;) {
        int seen = 0;
        for (const char *p = b->data; (p = strstr(p, words)) != NULL; p++)
            seen++;
        if (seen >= times)
            return;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char chunk[4096];
        int64_t left = until - cm_now_mono_ms();
        ssize_t n = left > 0 && poll(&p, 1, (int)left) > 0
                        ? read(fd, chunk, sizeof(chunk))
                        : -1;
        if (n <= 0)
            fail_msg("%d times \"%s\" in: %.1500s", seen, words, b->data);
        cm_buf_add(b, chunk, (size_t)n);
    }
}

/* 1: something is wrong out there (no cluster, no package). */
static void interrupt(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static pid_t start_pipe(int *fd_r, const char *more)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        run(more);
    }
    close(fds[1]);
    *fd_r = fds[0];
    return pid;
}

static void test_appended(void **state)
{
    (void)state;
    struct cm_buf b;
    int fd;
    cm_buf_init(&b, 1u << 20);
    pid_t pid = start_pipe(&fd, NULL);
    hear(fd, &b, "chatmail domain: chat.example.org\n", 2);
    assert_null(strchr(b.data, '\033'));
    assert_null(strchr(b.data, '\r'));
    interrupt(pid);
    close(fd);
    cm_buf_clear(&b);
}

static void test_json(void **state)
{
    (void)state;
    struct cm_buf b;
    int fd;
    cm_buf_init(&b, 1u << 20);
    pid_t pid = start_pipe(&fd, "--json");
    hear(fd, &b, "}\n", 2);
    interrupt(pid);
    hear(fd, &b, "\"data\"", 1);
    close(fd);
    int rounds = 0;
    for (char *line = b.data, *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1) {
        json_t *o = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_non_null(o);
        bool last = json_object_get(o, "event") == NULL;
        const json_t *said = last ? json_object_get(o, "data") : o;
        assert_true(json_is_false(json_object_get(said, "ok")));
        assert_non_null(json_object_get(said, "probe"));
        rounds += !last;
        json_decref(o);
    }
    assert_true(rounds >= 2);
    cm_buf_clear(&b);
}

/* Nothing is cleared but at the start; no line is wider or lower than the terminal. */
static void test_in_place(void **state)
{
    (void)state;
    struct winsize size = {.ws_row = 10, .ws_col = 60};
    struct cm_buf b;
    int fd;
    cm_buf_init(&b, 1u << 20);
    pid_t pid = forkpty(&fd, NULL, NULL, &size);
    assert_true(pid >= 0);
    if (pid == 0)
        run(NULL);
    hear(fd, &b, "\033[K\033[J", 2); /* as a frame ends */
    assert_ptr_equal(strstr(b.data, "\033[2J"), b.data + strlen("\033[?25l"));
    assert_null(strstr(b.data + strlen("\033[?25l\033[2J"), "\033[2J"));
    const char *first = strstr(b.data, "\033[H"), *end = strstr(first, "\033[J");
    int lines = 1;
    for (const char *p = first; p < end; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 10);
    assert_non_null(strstr(first, "more lines"));
    assert_non_null(strstr(first, "\033[31mwrong: "));
    interrupt(pid);
    cm_buf_reset(&b);
    hear(fd, &b, "\033[?25h", 1);
    close(fd);
    cm_buf_clear(&b);
}

/* "| head": it ends by itself when nobody reads. */
static void test_reader_gone(void **state)
{
    (void)state;
    struct cm_buf b;
    int fd, status;
    cm_buf_init(&b, 1u << 20);
    pid_t pid = start_pipe(&fd, NULL);
    hear(fd, &b, "chatmail domain", 1);
    close(fd);
    int64_t until = cm_now_mono_ms() + LIMIT_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (cm_now_mono_ms() > until) {
            kill(pid, SIGKILL);
            fail_msg("it goes on");
        }
        usleep(50000);
    }
    cm_buf_clear(&b);
}

static void test_wrong_use(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "x", "3601", "5s"};
    for (size_t i = 0; i < 4; i++) {
        char *cmd = cm_asprintf("%s --config %s status --watch --every %s >%s/out 2>&1",
                                CHATOPS, config, bad[i], dir);
        int status = system(cmd);
        assert_int_equal(WEXITSTATUS(status), 2);
        free(cmd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appended), cmocka_unit_test(test_json),
        cmocka_unit_test(test_in_place), cmocka_unit_test(test_reader_gone),
        cmocka_unit_test(test_wrong_use)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
