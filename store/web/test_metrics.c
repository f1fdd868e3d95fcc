/* /metrics: one page of many programs, some of which misbehave. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
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

#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#include "families.h"
#include "testsite.h"

static int dial_tcp(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)testsite.metrics_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)testsite.metrics_port)};
    bool six = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    if (!six) {
        assert_int_equal(inet_pton(AF_INET, address, &v4.sin_addr), 1);
    }
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                six ? sizeof(v6) : sizeof(v4)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int ask_metrics(const char *address, const char *path)
{
    int fd = dial_tcp(address);
    assert_true(fd >= 0);
    char *text = cm_asprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    daemonkit_say_text(fd, text);
    free(text);
    return testsite_hear(fd);
}

/* Answers the next connection to it; NULL: never. Runs in a thread. */
struct talker {
    int listener;
    const char *text;
    pthread_t thread;
};

static void *talk_once(void *arg)
{
    struct talker *t = arg;
    int fd = accept(t->listener, NULL, NULL);
    if (t->text == NULL) {
        char c;
        (void)!recv(fd, &c, 1, 0); /* until we are given up */
    } else {
        (void)!send(fd, t->text, strlen(t->text), MSG_NOSIGNAL);
    }
    close(fd);
    close(t->listener);
    return NULL;
}

static void talker_start(struct talker *t, const char *path, const char *text)
{
    t->listener = daemonkit_listen(path);
    t->text = text;
    assert_int_equal(pthread_create(&t->thread, NULL, talk_once, t), 0);
}

static void has(const char *line)
{
    if (strstr(testsite_body(), line) == NULL) {
        fail_msg("no '%s' in:\n%s", line, testsite_body());
    }
}

/* Strictly: every family once, its HELP and TYPE in front of its samples. */
static void must_parse(void)
{
    struct families *f = families_new();
    struct cm_err err;
    char *page = cm_strdup(testsite_body());
    if (families_add(f, page, strlen(page), &err) != 0) {
        fail_msg("%s", err.text);
    }
    /* One family's lines stand together: written again it is the same page. */
    struct cm_buf again;
    cm_buf_init(&again, FAMILIES_PAGE_MAX);
    families_write(f, &again);
    assert_string_equal(again.data, page);
    cm_buf_clear(&again);
    families_free(&f);
    free(page);
}

#define PROCESS(p)                                                                     \
    "# HELP chatmail_process_open_fds Open file descriptors.\n"                        \
    "# TYPE chatmail_process_open_fds gauge\n"                                         \
    "chatmail_process_open_fds{program=\"" p "\"} 7\n"

static void test_metrics(void **state)
{
    (void)state;
    assert_int_equal(testsite_ask("POST /mxdeliv HTTP/1.1\r\nHost: x\r\n"
                                  "X-MAIL-TO: c@d.example\r\n"
                                  "Content-Length: 6\r\n\r\nA: b\r\n"),
                     200);
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.7", "10.77.1.2"),
                     200);
    struct talker talkers[5];
    char path[160];
    const struct {
        const char *name, *text;
    } programs[] = {
        {"auth",
         PROCESS("chatmail-auth") "# HELP chatmail_auth_rejected_registrations_total "
                                  "Refused.\n"
                                  "# TYPE chatmail_auth_rejected_registrations_total "
                                  "counter\n"
                                  "chatmail_auth_rejected_registrations_total{reason="
                                  "\"load\"} 3\n"},
        {"push", PROCESS("chatmail-push") "# TYPE chatmail_push_age_seconds gauge\n"
                                          "chatmail_push_age_seconds 12.5\n"},
        {"turn", PROCESS("chatmail-turn") "# TYPE chatmail_up counter\n"},
        {"metadata", NULL},
    };
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s.sock", testsite.metrics_dir,
                 programs[i].name);
        talker_start(&talkers[i], path, programs[i].text);
    }
    talker_start(&talkers[4], testsite.queue_path,
                 "{\"queue_name\": \"deferred\", \"arrival_time\": 1000, "
                 "\"message_size\": 5, \"recipients\": [{\"address\": \"a@b\", "
                 "\"delay_reason\": \"connect to b: Connection timed out\"}]}\n");
    snprintf(path, sizeof(path), "%s/fsreport.prom", testsite.textfiles);
    testsite_write(path,
                   "# HELP chatmail_accounts Accounts.\n"
                   "# TYPE chatmail_accounts gauge\nchatmail_accounts{kind=\"all\"} "
                   "4\n");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
    for (size_t i = 0; i < 5; i++) {
        pthread_join(talkers[i].thread, NULL);
    }
    assert_string_equal(testsite_field("Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    must_parse();
    has("\nchatmail_up{program=\"chatmail-auth\"} 1\n");
    has("\nchatmail_up{program=\"chatmail-push\"} 1\n");
    has("\nchatmail_up{program=\"chatmail-web\"} 1\n");
    has("\nchatmail_up{program=\"chatmail-turn\"} 0\n"); /* our name, used otherwise */
    has("\nchatmail_up{program=\"chatmail-metadata\"} 0\n"); /* silent */
    has("\nchatmail_up{program=\"chatmail-cluster\"} 0\n");  /* not there */
    has("\nchatmail_up{program=\"chatmail-filter-in\"} 0\n");
    has("\nchatmail_up{program=\"chatmail-filter-out\"} 0\n");
    has("\nchatmail_up{program=\"chatmail-transport\"} 0\n");
    assert_null(strstr(testsite_body(), "chatmail-echo")); /* not configured */
    has("\nchatmail_process_open_fds{program=\"chatmail-auth\"} 7\n"
        "chatmail_process_open_fds{program=\"chatmail-push\"} 7\n");
    has("\nchatmail_process_open_fds{program=\"chatmail-web\"} ");
    has("\nchatmail_push_age_seconds 12.5\n");
    has("\nchatmail_auth_rejected_registrations_total{reason=\"load\"} 3\n");
    has("\nchatmail_web_rejected_registrations_total{reason=\"closed\"} ");
    has("\nchatmail_queue_messages{state=\"deferred\"} 1\n");
    has("\nchatmail_queue_delayed_recipients{reason=\"timeout\"} 1\n");
    has("\nchatmail_queue_up 1\n");
    has("\nchatmail_accounts{kind=\"all\"} 4\n");
    has("\nchatmail_textfile_mtime_seconds{file=\"fsreport.prom\"} ");
    has("chatmail_web_answers_total{route=\"mxdeliv\",code=\"200\"} ");
    has("chatmail_web_answers_total{route=\"new\",code=\"200\"} ");
    assert_null(strstr(testsite_body(), "chatmail-turn\"} 7"));
}

static void test_missing_echo(void **state)
{
    (void)state;
    testsite_reconfigure(TESTSITE_DOMAIN, "echo_core = /usr/bin/core\n");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
    has("\nchatmail_up{program=\"chatmail-echo\"} 0\n");
    testsite_reconfigure(TESTSITE_DOMAIN, "");
}

/* Where it listens, and that nothing else is there. */
static void test_metrics_addresses(void **state)
{
    (void)state;
    assert_int_equal(ask_metrics("127.0.0.1", "/new"), 404);
    assert_int_equal(ask_metrics("::1", "/metrics"), 200);
    must_parse();
    has("\nchatmail_queue_up 1\n"); /* fresh enough */
    assert_int_equal(dial_tcp("127.0.0.2"), -1);
    assert_int_equal(testsite_ask("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
    int old = testsite.metrics_port;
    testsite.metrics_port = old + 1;
    testsite_reconfigure(TESTSITE_DOMAIN,
                         "[gateway edge1]\nnumber = 1\naddresses = 203.0.113.9\n"
                         "ssh = root@203.0.113.9\n");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
    testsite.metrics_port = old;
    assert_int_equal(dial_tcp("127.0.0.1"), -1);
    testsite_reconfigure(TESTSITE_DOMAIN, "");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTSITE_TEST(test_metrics),
        TESTSITE_TEST(test_missing_echo),
        TESTSITE_TEST(test_metrics_addresses),
    };
    return cmocka_run_group_tests(tests, testsite_setup, testsite_teardown);
}
