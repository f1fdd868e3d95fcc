/* The real program with the real coturn, on loopback. */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#define COTURN   "/usr/bin/turnserver"
#define PORT_MIN 52100
#define PORT_MAX 52140
#define PORT     52099
#define EVERY_MS 200
#define LIMIT_MS 15000

static char dir[64], conf[96], metrics[96], log_path[96];
static int listener;
static pid_t turn;
static char figures[65536];

static void write_text(const char *path, const char *text, mode_t mode)
{
    struct cm_err err;
    if (cm_file_replace(path, text, strlen(text), mode, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-turn-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(conf, sizeof(conf), "%s/turnserver.conf", dir);
    snprintf(metrics, sizeof(metrics), "%s/metrics", dir);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    char *text = cm_asprintf(
        "realm=chat.example\nlistening-port=%d\nlistening-ip=127.0.0.1\nmin-port=%d\n"
        "max-port=%d\nuse-auth-secret\nno-tcp\nno-tcp-relay\nno-tls\nno-dtls\nno-cli\n"
        "relay-threads=1\nlog-file=stdout\nsimple-log\nuserdb=%s/db\n"
        "static-auth-secret=secret\n",
        PORT, PORT_MIN, PORT_MAX, dir);
    write_text(conf, text, 0600);
    free(text);
    listener = daemonkit_listen(metrics);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    char command[128];
    close(listener);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void start_with(const char *server)
{
    char every[16];
    snprintf(every, sizeof(every), "%d", EVERY_MS);
    const char *argv[] = {TURN_PROGRAM, "--number", "3",          "--conf", conf,
                          "--server",   server,     "--every-ms", every,    NULL};
    write_text(log_path, "", 0600);
    turn = daemonkit_start(argv, listener, "metrics", log_path);
}

static int leave(void **state)
{
    (void)state;
    if (turn > 0) {
        kill(turn, SIGKILL);
        waitpid(turn, NULL, 0);
        turn = 0;
    }
    return 0;
}

static void need(void)
{
    if (access(COTURN, X_OK) != 0) {
        skip();
    }
}

static double figure(const char *series)
{
    size_t len = 0, size = strlen(series);
    ssize_t n;
    int fd = daemonkit_dial(metrics);
    while ((n = recv(fd, figures + len, sizeof(figures) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    close(fd);
    figures[len] = '\0';
    for (const char *l = figures; l != NULL && *l != '\0'; l = strchr(l, '\n')) {
        l += *l == '\n';
        if (strncmp(l, series, size) == 0 && l[size] == ' ') {
            return strtod(l + size, NULL);
        }
    }
    return -1;
}

static void wait_for(const char *series, double least)
{
    int64_t end_ms = cm_now_mono_ms() + LIMIT_MS;
    double value;
    while ((value = figure(series)) < least) {
        if (cm_now_mono_ms() > end_ms) {
            fail_msg("%s is %g, not %g", series, value, least);
        }
        usleep(20000);
    }
}

static int ended(void)
{
    int status = -1;
    for (int i = 0; i < LIMIT_MS / 20; i++) {
        if (waitpid(turn, &status, WNOHANG) == turn) {
            turn = 0;
            return status;
        }
        usleep(20000);
    }
    fail_msg("it does not end");
    return -1;
}

/* coturn's process, by the one that is our program's child. */
static pid_t server(void)
{
    char path[64], *text;
    struct cm_err err;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)turn, (int)turn);
    assert_int_equal(cm_file_read(path, 256, &text, NULL, &err), 1);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    assert_true(pid > 0);
    return pid;
}

static void assert_gone(pid_t pid)
{
    for (int i = 0; i < 100 && kill(pid, 0) == 0; i++) {
        usleep(20000);
    }
    assert_int_equal(kill(pid, 0), -1);
}

#define UP       "chatmail_turn_up{number=\"3\",ip=\"4\"}"
#define ANSWERED "chatmail_turn_answered_total{number=\"3\",ip=\"4\"}"
#define MISSED   "chatmail_turn_missed_total{number=\"3\",ip=\"4\"}"
#define TOOK     "chatmail_turn_answer_seconds{number=\"3\",ip=\"4\"}"
#define PORTS    "chatmail_turn_relayed_ports{number=\"3\"}"

/* As coturn holds one for a caller (scenario turn has real callers). */
static int hold_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT_MIN + 7)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static void test_answers_and_figures(void **state)
{
    (void)state;
    need();
    start_with(COTURN);
    wait_for(ANSWERED, 5);
    assert_true(figure(UP) == 1);
    double took = figure(TOOK);
    assert_true(took >= 0 && took < 1);
    assert_true(figure(PORTS) == 0);
    assert_non_null(strstr(figures, "program=\"chatmail-turn@3\""));
    int fd = hold_port();
    assert_true(figure(PORTS) == 1);
    close(fd);
    assert_true(figure(PORTS) == 0);
    pid_t coturn = server();
    kill(turn, SIGTERM);
    assert_int_equal(ended(), 0);
    assert_gone(coturn);
    assert_true(daemonkit_log_has(log_path, "event=turn_answers"));
}

/* A coturn that hangs is what no other watch sees. */
static void test_silent(void **state)
{
    (void)state;
    need();
    start_with(COTURN);
    wait_for(ANSWERED, 2);
    pid_t coturn = server();
    double missed = figure(MISSED); /* while coturn began */
    kill(coturn, SIGSTOP);
    wait_for(MISSED, missed + 1);
    assert_true(figure(UP) == 0);
    assert_int_equal(ended(), 1 << 8);
    assert_gone(coturn);
    assert_true(daemonkit_log_has(log_path, "event=turn_silent"));
}

static void test_one_miss_is_forgiven(void **state)
{
    (void)state;
    need();
    start_with(COTURN);
    wait_for(ANSWERED, 2);
    pid_t coturn = server();
    double missed = figure(MISSED);
    kill(coturn, SIGSTOP);
    wait_for(MISSED, missed + 1);
    kill(coturn, SIGCONT);
    double had = figure(ANSWERED);
    wait_for(ANSWERED, had + 5);
    assert_true(figure(UP) == 1);
}

static void test_coturn_ends(void **state)
{
    (void)state;
    need();
    start_with(COTURN);
    wait_for(UP, 1);
    kill(server(), SIGKILL);
    assert_int_equal(ended(), 1 << 8);
    assert_true(
        daemonkit_log_has(log_path, "event=turn_ended number=3 by=\"signal 9\""));
}

static void test_we_are_killed(void **state)
{
    (void)state;
    need();
    start_with(COTURN);
    wait_for(UP, 1);
    pid_t coturn = server();
    kill(turn, SIGKILL);
    (void)ended();
    assert_gone(coturn);
}

static void test_no_coturn(void **state)
{
    (void)state;
    start_with("/nonexistent/turnserver");
    assert_int_equal(ended(), 1 << 8);
    assert_true(daemonkit_log_has(log_path, "by=\"status 127\""));
}

static void test_no_settings(void **state)
{
    (void)state;
    char away[128];
    snprintf(away, sizeof(away), "%s.away", conf);
    assert_int_equal(rename(conf, away), 0);
    start_with(COTURN);
    assert_int_equal(ended(), 1 << 8);
    assert_int_equal(rename(away, conf), 0);
    assert_true(daemonkit_log_has(log_path, "turnserver.conf is not there"));
}

#define EACH(test) cmocka_unit_test_teardown(test, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_answers_and_figures),  EACH(test_silent),
        EACH(test_one_miss_is_forgiven), EACH(test_coturn_ends),
        EACH(test_we_are_killed),        EACH(test_no_coturn),
        EACH(test_no_settings),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
