/* The operator's status page in headless Chromium, from chatmail-monitor over a forward
 * as ssh makes it: phone and desktop, light and dark, keyboard; the lines move without
 * a reload; without scripts it is read all the same. */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit.h"
#include "cdp.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "monitor/ring.h"

static char dir[64], socket_path[96];
static struct cdp *browser;
static pid_t monitor;
static pthread_t web_thread, forward_thread;
static int web = -1, forward = -1;
static uint16_t forward_port;
static _Atomic bool over;
static _Atomic int flows = 40;

static int listen_tcp(uint16_t *port_r)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port_r = ntohs(at.sin_port);
    return fd;
}

static int next(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    return poll(&p, 1, 50) > 0 ? accept(listener, NULL, NULL) : -1;
}

static void *serve_metrics(void *arg)
{
    (void)arg;
    while (!over) {
        char in[512];
        int fd = next(web);
        if (fd < 0)
            continue;
        (void)!recv(fd, in, sizeof(in), 0);
        char *out = cm_asprintf(
            "HTTP/1.1 200 OK\r\n\r\nchatmail_gateway_up{gateway=\"edge1\"} 1\n"
            "chatmail_gateway_up{gateway=\"edge2\"} 0\n"
            "chatmail_gateway_flows{gateway=\"edge1\"} %d\n"
            "chatmail_gateway_report_age_seconds{gateway=\"edge1\"} 1\n"
            "chatmail_gateway_egress{gateway=\"edge1\"} 1\n"
            "chatmail_queue_messages{state=\"deferred\"} 7\n"
            "chatmail_up{program=\"chatmail-auth\"} 1\n"
            "chatmail_up{program=\"chatmail-push\"} 0\n",
            (int)flows);
        (void)!send(fd, out, strlen(out), MSG_NOSIGNAL);
        free(out);
        close(fd);
    }
    return NULL;
}

/* Both ways, until one side is done. */
static void pass(int a, int b)
{
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    static char chunk[65536];
    while (poll(p, 2, 5000) > 0) {
        for (int i = 0; i < 2; i++) {
            if (p[i].revents == 0)
                continue;
            ssize_t n = recv(p[i].fd, chunk, sizeof(chunk), 0);
            if (n <= 0 || send(p[1 - i].fd, chunk, (size_t)n, MSG_NOSIGNAL) != n)
                return;
        }
    }
}

static void *serve_forward(void *arg)
{
    (void)arg;
    while (!over) {
        struct pollfd first;
        int fd = next(forward);
        if (fd < 0)
            continue;
        /* A browser opens connections ahead of need and leaves them idle. */
        first = (struct pollfd){.fd = fd, .events = POLLIN};
        if (poll(&first, 1, 200) > 0) {
            int to = daemonkit_dial(socket_path);
            pass(fd, to);
            close(to);
        }
        close(fd);
    }
    return NULL;
}

/* A day and a month of two gateways, with a hole. */
static void fill_ring(const char *path)
{
    struct cm_err err;
    struct ring *r = ring_open(path, &err);
    int64_t now = cm_now_wall_ms() / 1000;
    for (int64_t t = now - 30 * 86400; t < now; t += t < now - 86400 ? 3600 : 300) {
        double x = (double)(t % 86400) / 86400 * 6.283;
        const struct ring_sample s[] = {{"flows:edge1", 40 + 30 * sin(x)},
                                        {"flows:edge2", 25 + 20 * cos(x)},
                                        {"traffic:edge1", 9e5 + 8e5 * sin(x)},
                                        {"latency:edge1", .03 + .01 * cos(x)},
                                        {"queue", t % 7200 < 300 ? 12 : 3},
                                        {"accounts:all", 1200 + (double)(t % 997)},
                                        {"disk:/", .41},
                                        {"mail", .5 + .4 * sin(x)}};
        if (t > now - 30000 && t < now - 20000)
            continue;
        assert_int_equal(ring_add(r, t, s, sizeof(s) / sizeof(s[0]), &err), 0);
    }
    ring_close(&r);
}

static void start_monitor(uint16_t web_port)
{
    char ini[96], ring[96], logs[96];
    struct cm_err err;
    daemonkit_path(ini, dir, "chatmail.ini");
    daemonkit_path(ring, dir, "ring");
    daemonkit_path(logs, dir, "log");
    char *text = cm_asprintf("[params]\nmail_domain = chat.example.org\n[store]\n"
                             "metrics_port = %u\n",
                             web_port);
    assert_int_equal(cm_file_replace(ini, text, strlen(text), 0644, &err), 0);
    free(text);
    fill_ring(ring);
    const char *const argv[] = {MONITOR_PROGRAM, "--config", ini, "--ring", ring,
                                "--live",        "1",        NULL};
    monitor = daemonkit_start(argv, daemonkit_listen(socket_path), "page", logs);
}

static int setup(void **state)
{
    (void)state;
    struct cm_err err;
    char profile[96];
    uint16_t port;
    daemonkit_dir(dir, "statuspage");
    daemonkit_path(profile, dir, "profile");
    daemonkit_path(socket_path, dir, "page.sock");
    assert_int_equal(cm_file_mkdirs(SCREENSHOTS, 0755, &err), 0);
    web = listen_tcp(&port);
    forward = listen_tcp(&forward_port);
    assert_int_equal(pthread_create(&web_thread, NULL, serve_metrics, NULL), 0);
    assert_int_equal(pthread_create(&forward_thread, NULL, serve_forward, NULL), 0);
    start_monitor(port);
    browser = cdp_start(profile);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cdp_stop(&browser);
    over = true;
    pthread_join(web_thread, NULL);
    pthread_join(forward_thread, NULL);
    int status = daemonkit_stop(monitor, SIGTERM);
    close(web);
    close(forward);
    daemonkit_dir_remove(dir);
    return status;
}

static void open_page(void)
{
    char *url = cm_asprintf("http://localhost:%u/", forward_port);
    cdp_open(browser, url);
    free(url);
}

static void test_looks(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct cdp_view v = {
            .width = k & 1 ? 1280 : 360, .height = k & 1 ? 800 : 740, .dark = k & 2};
        char *where = cm_asprintf("%d-%s", v.width, v.dark ? "dark" : "light");
        char *shot = cm_asprintf(SCREENSHOTS "/status-%s.png", where);
        cdp_view(browser, &v);
        open_page();
        cdp_until(browser, "document.body.innerText.includes('edge1')", 8000);
        audit_page(browser, where);
        audit_keyboard(browser, where);
        cdp_screenshot(browser, shot);
        free(shot);
        free(where);
    }
}

/* The page that was loaded is the one that changes: a mark on it stays. */
static void test_moves(void **state)
{
    (void)state;
    cdp_view(browser, &(struct cdp_view){.width = 1280, .height = 800});
    open_page();
    json_decref(cdp_eval(browser,
                         "window.mark = 1; window.line = () => document"
                         ".querySelector('#day svg path.c0').getAttribute('d');"
                         " window.before = line(); 1"));
    flows = 4000;
    cdp_until(browser,
              "line() !== before && document.querySelector('#now table')"
              ".innerText.includes('4 k')",
              15000);
    assert_true(cdp_true(browser, "window.mark === 1"));
    assert_true(cdp_true(browser, "document.getElementById('state').textContent === "
                                  "'live'"));
    flows = 40;
}

static void test_without_script(void **state)
{
    (void)state;
    cdp_view(browser,
             &(struct cdp_view){.width = 360, .height = 740, .no_script = true});
    open_page();
    audit_page(browser, "without script");
    assert_true(cdp_true(browser,
                         "document.querySelectorAll('#day svg').length >= 6 && "
                         "document.querySelectorAll('#month svg').length >= 6"));
    assert_true(cdp_true(browser, "document.querySelector('#now').innerText"
                                  ".includes('Silent: chatmail-push')"));
    /* Nothing of it comes from elsewhere. */
    assert_true(cdp_true(browser, "performance.getEntriesByType('resource').every(e => "
                                  "new URL(e.name).host === location.host)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_looks),
                                       cmocka_unit_test(test_moves),
                                       cmocka_unit_test(test_without_script)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
