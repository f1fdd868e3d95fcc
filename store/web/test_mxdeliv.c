/* /mxdeliv over an SMTP server with moods. The real Postfix and nginx are in the lab's
 * scenario "web". */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#include "fakemta.h"
#include "testsite.h"

/* A message of about that size, valid, with a dot-stuffed line. */
static void fill_message(struct cm_buf *out, size_t size)
{
    cm_buf_init(out, size + 4096);
    cm_buf_str(out, "From: a@b.example\r\nTo: c@d.example\r\n\r\n..stuffed\r\n");
    while (out->len + 80 < size) {
        cm_buf_fmt(out, "%-70zu end\r\n", out->len);
    }
    while (out->len < size - 2) {
        cm_buf_str(out, "x");
    }
    cm_buf_str(out, "\r\n");
}

static int post(const char *fields, const char *data, size_t len)
{
    int fd = daemonkit_dial(testsite.http_path);
    char *head = cm_asprintf("POST /mxdeliv HTTP/1.1\r\nHost: x\r\n%s"
                             "Content-Length: %zu\r\n\r\n",
                             fields, len);
    daemonkit_say_text(fd, head);
    free(head);
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, data + at, len - at, MSG_NOSIGNAL);
        if (n <= 0) {
            break; /* answered early */
        }
        at += (size_t)n;
    }
    return testsite_hear(fd);
}

#define ONE  "X-MAIL-FROM: A@B.example\r\nX-MAIL-TO: C@D.example\r\n"
#define GOOD "A: b\r\n\r\nhello\r\n"

static int post_text(const char *fields, const char *text)
{
    return post(fields, text, strlen(text));
}

static void test_deliver(void **state)
{
    (void)state;
    struct fakemta_seen before = fakemta_seen();
    assert_int_equal(post_text(ONE "X-Mail-To: <e+f@d.example>\r\n", GOOD), 200);
    assert_string_equal(testsite_body(), "250 OK");
    struct fakemta_seen seen = fakemta_seen();
    assert_int_equal(seen.messages, before.messages + 1);
    assert_int_equal(seen.rcpts, 2);
    assert_string_equal(seen.from, "<a@b.example> BODY=8BITMIME SIZE=15");
    assert_int_equal(seen.bytes, strlen(GOOD));
    assert_int_equal(seen.sum, fakemta_sum(0, GOOD, strlen(GOOD)));
    assert_int_equal(post_text("X-MAIL-TO: c@d.example\r\n", GOOD), 200);
    assert_string_equal(fakemta_seen().from, "<> BODY=8BITMIME SIZE=15");
    assert_int_equal(testsite_ask("POST /mxdeliv/ HTTP/1.1\r\nHost: x\r\n" ONE
                                  "Transfer-Encoding: chunked\r\n\r\n3\r\nA: \r\n"
                                  "c\r\nb\r\n\r\nhello\r\n\r\n0\r\n\r\n"),
                     200);
    seen = fakemta_seen();
    assert_int_equal(seen.sum, fakemta_sum(0, GOOD, strlen(GOOD)));
    assert_int_equal(seen.messages, before.messages + 3);
    assert_int_equal(seen.strange, 0);
}

static void test_deliver_nothing(void **state)
{
    (void)state;
    struct fakemta_seen before = fakemta_seen();
    assert_int_equal(post_text("X-MAIL-FROM: a@b.example\r\n", GOOD), 200);
    assert_string_equal(testsite_body(), "250 OK");
    assert_int_equal(fakemta_seen().sessions, before.sessions);
}

static void test_deliver_refused(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *text;
        enum fakemta_mood mood;
        int status;
        const char *body;
    } cases[] = {
        {ONE, GOOD, FAKEMTA_REFUSE_MESSAGE, 400,
         "523 Encryption Needed: Invalid Unencrypted Mail"},
        {ONE, GOOD, FAKEMTA_DEFER, 400, "451 4.7.1 DNS"},
        {ONE, GOOD, FAKEMTA_BUSY, 400, "451 4.3.0 Mail system: not ready"},
        {ONE "X-MAIL-TO: nobody@d.example\r\nX-MAIL-TO: g@d.example\r\n", GOOD,
         FAKEMTA_ACCEPT, 400, "550 5.1.1 no such user"},
        {"X-MAIL-FROM: a\r\nX-MAIL-TO: c@d.example\r\n", GOOD, FAKEMTA_ACCEPT, 400,
         "553 Invalid email address: a"},
        {"X-MAIL-TO: c@d.example> SIZE=1\r\n", GOOD, FAKEMTA_ACCEPT, 400,
         "553 Invalid email address: c@d.example> SIZE=1"},
        {ONE, "A: b\r\n\r\n.\r\nRSET\r\n", FAKEMTA_ACCEPT, 400, "500 Invalid DATA"},
        {ONE, "A: b\r\n\r\nno end", FAKEMTA_ACCEPT, 400, "500 Invalid DATA"},
        {ONE, "A: b\n\nunix\n", FAKEMTA_ACCEPT, 400, "500 Invalid DATA"},
        {ONE, "", FAKEMTA_ACCEPT, 400, "500 Invalid DATA"},
    };
    struct fakemta_seen before = fakemta_seen();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fakemta_mood(cases[i].mood);
        assert_int_equal(post_text(cases[i].fields, cases[i].text), cases[i].status);
        assert_string_equal(testsite_body(), cases[i].body);
    }
    fakemta_mood(FAKEMTA_ACCEPT);
    struct fakemta_seen seen = fakemta_seen();
    assert_int_equal(seen.messages, before.messages);
    assert_int_equal(seen.strange, 0);
    assert_int_equal(testsite_ask("GET /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE "\r\n"),
                     405);
    assert_string_equal(testsite_body(), "Method Not Allowed");
    assert_string_equal(testsite_field("Allow"), "POST");
}

static void test_deliver_too_large(void **state)
{
    (void)state;
    struct cm_buf m;
    struct fakemta_seen before = fakemta_seen();
    fill_message(&m, TESTSITE_MESSAGE_MAX);
    assert_int_equal(m.len, TESTSITE_MESSAGE_MAX);
    assert_int_equal(post(ONE, m.data, m.len), 200);
    assert_int_equal(fakemta_seen().sum, fakemta_sum(0, m.data, m.len));
    cm_buf_clear(&m);
    fill_message(&m, TESTSITE_MESSAGE_MAX + 1);
    assert_int_equal(post(ONE, m.data, m.len), 413);
    assert_string_equal(testsite_body(), "552 Message exceeds maximum size");
    int fd = daemonkit_dial(testsite.http_path); /* of unknown length */
    daemonkit_say_text(fd, "POST /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE
                           "Transfer-Encoding: chunked\r\n\r\n");
    char *size = cm_asprintf("%zx\r\n", m.len);
    daemonkit_say_text(fd, size);
    free(size);
    daemonkit_say(fd, m.data, m.len);
    assert_int_equal(testsite_hear(fd), 413);
    cm_buf_clear(&m);
    assert_int_equal(fakemta_seen().messages, before.messages + 1);
}

/* Whoever is cut off in the middle: nothing is delivered, and we live on. */
static void test_deliver_cut(void **state)
{
    (void)state;
    usleep(100000); /* the server hears late of what was cut off before */
    struct fakemta_seen before = fakemta_seen();
    int fd = daemonkit_dial(testsite.http_path);
    daemonkit_say_text(fd, "POST /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE
                           "Content-Length: 100\r\n\r\nA: b\r\n\r\nhalf\r\n");
    usleep(200000);
    close(fd);
    for (int i = 0; i < 200 && fakemta_seen().cut == before.cut; i++) {
        usleep(10000);
    }
    assert_int_equal(fakemta_seen().cut, before.cut + 1);
    struct cm_buf m;
    fill_message(&m, 1000000);
    fakemta_mood(FAKEMTA_HANG_UP);
    assert_int_equal(post(ONE, m.data, m.len), 400);
    assert_memory_equal(testsite_body(), "451 4.3.0 Mail system: ", 23);
    fakemta_mood(FAKEMTA_ACCEPT);
    cm_buf_clear(&m);
    assert_int_equal(fakemta_seen().messages, before.messages);
}

static void test_postfix_away(void **state)
{
    (void)state;
    int real = testsite.mta_port;
    testsite.mta_port = testsite.metrics_port == 1 ? 2 : 1; /* nobody there */
    testsite_reconfigure(TESTSITE_DOMAIN, "");
    assert_int_equal(post_text(ONE, GOOD), 400);
    assert_memory_equal(testsite_body(), "451 4.3.0 Mail system: ", 23);
    testsite.mta_port = real;
    testsite_reconfigure(TESTSITE_DOMAIN, "");
    assert_int_equal(post_text(ONE, GOOD), 200);
}

static long resident_kib(void)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)testsite.pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

struct sender {
    pthread_t thread;
    const struct cm_buf *message;
    bool good;
};

static void *send_one(void *arg)
{
    struct sender *s = arg;
    int fd = daemonkit_dial(testsite.http_path);
    char *head = cm_asprintf("POST /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE
                             "Content-Length: %zu\r\n\r\n",
                             s->message->len);
    daemonkit_say_text(fd, head);
    free(head);
    char got[512] = "";
    size_t at = 0, len = 0;
    ssize_t n;
    while (at < s->message->len && (n = send(fd, s->message->data + at,
                                             s->message->len - at, MSG_NOSIGNAL)) > 0) {
        at += (size_t)n;
    }
    while (len < sizeof(got) - 1 &&
           (n = recv(fd, got + len, sizeof(got) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    close(fd);
    s->good = strncmp(got, "HTTP/1.1 200 ", 13) == 0 && strstr(got, "250 OK") != NULL;
    return NULL;
}

/* A server that takes its time: the senders wait, and memory stays what it is. */
static void test_parallel(void **state)
{
    (void)state;
    struct sender senders[50];
    struct cm_buf m;
    struct fakemta_seen before = fakemta_seen();
    long rss = resident_kib(), most = 0;
    fill_message(&m, TESTSITE_MESSAGE_MAX);
    fakemta_mood(FAKEMTA_SLOW);
    for (size_t i = 0; i < 50; i++) {
        senders[i].message = &m;
        assert_int_equal(
            pthread_create(&senders[i].thread, NULL, send_one, &senders[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        usleep(20000);
        long now = resident_kib();
        most = now > most ? now : most;
    }
    for (size_t i = 0; i < 50; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_true(senders[i].good);
    }
    fakemta_mood(FAKEMTA_ACCEPT);
    cm_buf_clear(&m);
    assert_int_equal(fakemta_seen().messages, before.messages + 50);
    /* 100 MB went through. */
    if (most - rss > 16 * 1024 * (SANITIZED ? 3 : 1)) {
        fail_msg("grew by %ld KiB", most - rss);
    }
    printf("50 messages of 2 MB: grew by %ld KiB\n", most - rss);
}

/* SIGTERM in the middle of a message: it is finished, others wait for the next start.
 */
static void test_drain(void **state)
{
    (void)state;
    struct fakemta_seen before = fakemta_seen();
    int fd = daemonkit_dial(testsite.http_path);
    daemonkit_say_text(fd, "POST /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE
                           "Content-Length: 15\r\n\r\nA: b\r\n");
    usleep(200000);
    kill(testsite.pid, SIGTERM);
    usleep(200000);
    int other = daemonkit_dial(testsite.http_path);
    daemonkit_say_text(other, "POST /new HTTP/1.1\r\nHost: x\r\n\r\n");
    daemonkit_say_text(fd, "\r\nhello\r\n");
    assert_int_equal(testsite_hear(fd), 200);
    testsite_stop(); /* asked twice: it ends if it has not yet */
    assert_int_equal(fakemta_seen().messages, before.messages + 1);
    testsite_start();
    assert_int_equal(testsite_hear(other), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTSITE_TEST(test_deliver),         TESTSITE_TEST(test_deliver_nothing),
        TESTSITE_TEST(test_deliver_refused), TESTSITE_TEST(test_deliver_too_large),
        TESTSITE_TEST(test_deliver_cut),     TESTSITE_TEST(test_postfix_away),
        TESTSITE_TEST(test_parallel),        TESTSITE_TEST(test_drain),
    };
    return cmocka_run_group_tests(tests, testsite_setup, testsite_teardown);
}
