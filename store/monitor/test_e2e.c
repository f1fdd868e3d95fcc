/* chatmail-monitor as a program, with a chatmail-web of the test's. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

static char dir[64], ini[96], ring[96], page[96], figures[96], logs[96];
static int web = -1, page_listener, figures_listener;
static pid_t daemon_pid;
static _Atomic bool answers = true, over;
static _Atomic int flows = 12;

/* Answers /metrics until the test is over. */
static void *serve(void *arg)
{
    (void)arg;
    while (!over) {
        struct pollfd p = {.fd = web, .events = POLLIN};
        if (poll(&p, 1, 50) <= 0)
            continue;
        int fd = accept(web, NULL, NULL);
        char in[512];
        (void)!recv(fd, in, sizeof(in), 0);
        char *out = cm_asprintf("HTTP/1.1 %s\r\nConnection: close\r\n\r\n"
                                "chatmail_gateway_up{gateway=\"edge1\"} 1\n"
                                "chatmail_gateway_flows{gateway=\"edge1\"} %d\n",
                                answers ? "200 OK" : "503 No", (int)flows);
        (void)!send(fd, out, strlen(out), MSG_NOSIGNAL);
        free(out);
        close(fd);
    }
    return NULL;
}

static uint16_t listen_web(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    web = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(web, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(web, 8), 0);
    assert_int_equal(getsockname(web, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static void start(void)
{
    const char *const argv[] = {MONITOR_PROGRAM, "--config", ini, "--ring", ring,
                                "--live",        "1",        NULL};
    const int listeners[] = {page_listener, figures_listener};
    daemon_pid = daemonkit_start_with(argv, listeners, "page:metrics", logs);
}

static pthread_t server;

static int setup(void **state)
{
    (void)state;
    struct cm_err err;
    daemonkit_dir(dir, "monitor");
    daemonkit_path(ini, dir, "chatmail.ini");
    daemonkit_path(ring, dir, "ring");
    daemonkit_path(page, dir, "page.sock");
    daemonkit_path(figures, dir, "metrics.sock");
    daemonkit_path(logs, dir, "log");
    char *text = cm_asprintf("[params]\nmail_domain = chat.example.org\n"
                             "mailboxes_dir = %s\n[store]\nmetrics_port = %u\n",
                             dir, listen_web());
    assert_int_equal(cm_file_replace(ini, text, strlen(text), 0644, &err), 0);
    free(text);
    page_listener = daemonkit_listen(page);
    figures_listener = daemonkit_listen(figures);
    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int status = daemonkit_stop(daemon_pid, SIGTERM);
    over = true;
    pthread_join(server, NULL);
    close(web);
    daemonkit_dir_remove(dir);
    return status;
}

/* Caller frees. */
static char *ask(const char *socket_path, const char *request)
{
    int fd = daemonkit_dial(socket_path);
    struct cm_buf b;
    char chunk[4096];
    ssize_t n;
    cm_buf_init(&b, 8u << 20);
    daemonkit_say_text(fd, request);
    while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
        cm_buf_add(&b, chunk, (size_t)n);
    close(fd);
    return cm_buf_steal(&b);
}

#define GET(path, host) "GET " path " HTTP/1.1\r\nHost: " host "\r\n\r\n"

static void until(const char *words)
{
    for (int64_t end = cm_now_mono_ms() + 8000;;) {
        char *text = ask(page, GET("/live", "localhost:7903"));
        bool found = strstr(text, words) != NULL;
        if (!found && cm_now_mono_ms() > end)
            fail_msg("no \"%s\" in: %.800s", words, text);
        free(text);
        if (found)
            return;
        usleep(100000);
    }
}

static void expect(const char *request, const char *first, const char *words)
{
    char *text = ask(page, request);
    if (strncmp(text, first, strlen(first)) != 0 || strstr(text, words) == NULL)
        fail_msg("%s: %.600s", request, text);
    free(text);
}

static void test_page(void **state)
{
    (void)state;
    expect(GET("/", "localhost:7903"), "HTTP/1.1 200 ", "<main id=\"live\">");
    expect(GET("/", "127.0.0.1"), "HTTP/1.1 200 ", "<h1>chat.example.org</h1>");
    expect(GET("/page.css", "[::1]:1"), "HTTP/1.1 200 ", "prefers-color-scheme");
    expect(GET("/page.js", "localhost"), "HTTP/1.1 200 ", "fetch('live'");
    expect(GET("/metrics", "localhost"), "HTTP/1.1 404 ", "");
    /* DNS rebinding: a page elsewhere under a name that points here. */
    expect(GET("/", "evil.example:7903"), "HTTP/1.1 403 ", "localhost");
    expect(GET("/live", "localhost.evil.example"), "HTTP/1.1 403 ", "localhost");
    expect("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 405 ", "");
}

static void test_moves(void **state)
{
    (void)state;
    until("edge1</th><td class=\"ok\">up</td><td>12</td>");
    flows = 77;
    until("<td>77</td>");
    answers = false;
    until("No figures from chatmail-web: it was no proper answer");
    answers = true;
    flows = 78;
    until("<td>78</td>");
}

static void test_kept(void **state)
{
    (void)state;
    until("edge1 <b>");
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
    answers = false; /* what is shown now is from the file */
    start();
    until("Connections, last 24 h: edge1 now");
    answers = true;
}

static void test_own_figures(void **state)
{
    (void)state;
    char *text = ask(figures, "");
    assert_non_null(strstr(text, "chatmail_monitor_disk_used_ratio{path=\"/\"} 0."));
    assert_non_null(strstr(text, dir));
    assert_non_null(strstr(text, "chatmail_monitor_scrapes_total "));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page), cmocka_unit_test(test_moves),
        cmocka_unit_test(test_kept), cmocka_unit_test(test_own_figures)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
