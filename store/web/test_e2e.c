/* The real program, spoken to as nginx would, over a real Redis and an SMTP server with
 * moods. The real Postfix and nginx are in the lab's scenario "web". */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "redisfixture/redisfixture.h"

#include "families.h"
#include "fakemta.h"

#define ANSWER_MAX  (8u << 20)
#define MESSAGE_MAX 2000000 /* max_message_size of these tests */
#define DOMAIN      "chat.example.org"

static struct redisfixture *fx;
static char dir[64], http_path[96], log_path[96], ini_path[96], nocreate_path[96],
    metrics_dir[96], textfiles[96], queue_path[96];
static int listener, mta_port, metrics_port;
static pid_t daemon_pid;
static char answer[ANSWER_MAX];

/* The program */

static void write_file(const char *path, const char *text)
{
    struct cm_err err;
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
}

static void write_ini(const char *params, const char *store)
{
    char *text = cm_asprintf("[params]\nmail_domain = %s\nmax_message_size = %d\n"
                             "postfix_reinject_port_incoming = %d\n"
                             "[store]\nmetrics_port = %d\n%s",
                             params, MESSAGE_MAX, mta_port, metrics_port, store);
    write_file(ini_path, text);
    free(text);
}

static int say_hello(void);

static void start_daemon(void)
{
    const char *argv[] = {WEB_PROGRAM,
                          "--config",
                          ini_path,
                          "--redis",
                          redisfixture_path(fx),
                          "--nocreate",
                          nocreate_path,
                          "--metrics-dir",
                          metrics_dir,
                          "--textfiles",
                          textfiles,
                          "--queue",
                          queue_path,
                          NULL};
    daemon_pid = daemonkit_start(argv, listener, "http", log_path);
    assert_int_equal(say_hello(), 404);
}

static void stop_daemon(void)
{
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
}

/* New settings for the running program. */
static void reconfigure(const char *params, const char *store)
{
    write_ini(params, store);
    assert_int_equal(truncate(log_path, 0), 0);
    kill(daemon_pid, SIGHUP);
    for (int i = 0; i < 200; i++) {
        char *log = NULL;
        struct cm_err err;
        assert_int_equal(cm_file_read(log_path, 1u << 20, &log, NULL, &err), 1);
        bool done = strstr(log, "event=reloaded") != NULL;
        free(log);
        if (done) {
            return;
        }
        usleep(10000);
    }
    fail_msg("not reloaded");
}

/* HTTP */

static int hear_answer(int fd)
{
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    answer[len] = '\0';
    close(fd);
    int status = 0;
    sscanf(answer, "HTTP/1.1 %d ", &status);
    return status;
}

static int ask(const char *text)
{
    int fd = daemonkit_dial(http_path);
    daemonkit_say_text(fd, text);
    return hear_answer(fd);
}

static int say_hello(void)
{
    return ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
}

static const char *body(void)
{
    const char *b = strstr(answer, "\r\n\r\n");
    assert_non_null(b);
    return b + 4;
}

static const char *field(const char *name) /* "" when it is not there */
{
    static char value[512];
    char *want = cm_asprintf("\r\n%s: ", name);
    const char *at = strstr(answer, want);
    value[0] = '\0';
    if (at != NULL) {
        sscanf(at + strlen(want), "%511[^\r]", value);
    }
    free(want);
    return value;
}

/* /new as nginx passes it on. */
static int ask_new(const char *method, const char *target, const char *client,
                   const char *local)
{
    char *text = cm_asprintf("%s %s HTTP/1.1\r\nHost: x\r\nX-Real-IP: %s\r\n"
                             "X-Portico-Local: %s\r\nContent-Length: 0\r\n\r\n",
                             method, target, client, local);
    int status = ask(text);
    free(text);
    return status;
}

static char *json_text(const char *key) /* caller frees; NULL: not there */
{
    json_t *root = json_loads(body(), 0, NULL);
    assert_non_null(root);
    char *text = cm_strdup(json_string_value(json_object_get(root, key)));
    json_decref(root);
    return text;
}

/* /new */

static void check_account(const char *behind_at, const char *password_begin,
                          size_t password_len, bool url)
{
    char *email = json_text("email"), *password = json_text("password"),
         *dclogin = json_text("dclogin_url");
    assert_string_equal(field("Content-Type"), "application/json");
    assert_string_equal(field("Cache-Control"), "no-store");
    assert_non_null(email);
    assert_string_equal(strchr(email, '@'), behind_at);
    assert_int_equal(strlen(password), password_len);
    assert_memory_equal(password, password_begin, strlen(password_begin));
    assert_int_equal(dclogin != NULL, url);
    free(email);
    free(password);
    free(dclogin);
}

static void test_new(void **state)
{
    (void)state;
    static const char *const paths[] = {"/new", "/cgi-bin/newemail.py", "/new?x=y"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask_new("POST", paths[i], "203.0.113.7", "10.77.1.2"), 200);
        check_account("@" DOMAIN, "", 12, false);
    }
    assert_int_equal(ask_new("GET", "/new", "203.0.113.7", "10.77.1.2"), 301);
    assert_string_equal(field("Location"), "dcaccount:https://" DOMAIN "/new");
    assert_int_equal(ask_new("HEAD", "/new", "203.0.113.7", "10.77.1.2"), 301);
    assert_string_equal(body(), "");
    assert_int_equal(ask_new("PUT", "/new", "203.0.113.7", "10.77.1.2"), 405);
    assert_string_equal(field("Allow"), "GET, HEAD, POST");
    assert_int_equal(ask_new("POST", "/newx", "203.0.113.7", "10.77.1.2"), 404);
    assert_int_equal(ask("POST /new HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
                         "ignored!!"),
                     200);
    assert_int_equal(ask("nonsense\r\n\r\n"), 400);
}

static void test_new_self_signed(void **state)
{
    (void)state;
    reconfigure("_chat.example.org", "");
    assert_int_equal(ask_new("POST", "/new", "203.0.113.7", "10.77.1.2"), 200);
    check_account("@_chat.example.org", "", 12, true);
    assert_int_equal(ask_new("GET", "/new", "203.0.113.7", "10.77.1.2"), 200);
    check_account("@_chat.example.org", "", 12, true);
    reconfigure("1.3.3.7", "");
    assert_int_equal(ask_new("GET", "/new", "203.0.113.7", "10.77.1.2"), 200);
    check_account("@[1.3.3.7]", "", 12, true);
    reconfigure(DOMAIN, "");
}

static void refused(int status, const char *words)
{
    char *reason = json_text("reason");
    int got = 0;
    sscanf(answer, "HTTP/1.1 %d ", &got);
    assert_int_equal(got, status);
    assert_string_equal(field("Content-Type"), "application/json");
    assert_non_null(reason);
    if (strstr(reason, words) == NULL) {
        fail_msg("'%s', not '%s'", reason, words);
    }
    free(reason);
}

static void test_limits(void **state)
{
    (void)state;
    redisfixture_ask(fx, "FLUSHALL", NULL);
    reconfigure(DOMAIN, "creations_per_net = 2\ncreations_per_gateway = 3\n");
    assert_int_equal(ask_new("POST", "/new", "203.0.113.7", "10.77.1.2"), 200);
    assert_int_equal(ask_new("POST", "/new", "203.0.113.8", "fd77:1::2"), 200);
    assert_int_equal(ask_new("POST", "/new", "203.0.113.9", "10.77.2.2"), 429);
    refused(429, "from your network within the last hour. Try again in ");
    int wait = atoi(field("Retry-After"));
    assert_in_range(wait, 3400, 3600);
    assert_int_equal(ask_new("GET", "/new", "203.0.113.9", "10.77.2.2"), 301);
    assert_int_equal(ask_new("POST", "/new", "2001:db8::1", "fd77:1::2"), 200);
    assert_int_equal(ask_new("POST", "/new", "2001:db8:1::1", "10.77.1.2"), 429);
    refused(429, "on this server within the last hour.");
    assert_int_equal(ask_new("POST", "/new", "2001:db8:1::1", "10.77.2.2"), 200);
    stop_daemon(); /* a restart forgets nothing */
    start_daemon();
    assert_int_equal(ask_new("POST", "/new", "203.0.113.9", "10.77.2.2"), 429);
    redisfixture_stop(fx); /* and without Redis the limit holds too */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask_new("POST", "/new", "198.51.100.7", "10.77.3.2"), 200);
    }
    assert_int_equal(ask_new("POST", "/new", "198.51.100.7", "10.77.3.2"), 429);
    redisfixture_start(fx);
    reconfigure(DOMAIN, "");
}

static void test_closed(void **state)
{
    (void)state;
    reconfigure(DOMAIN, "registrations = closed\n");
    assert_int_equal(ask_new("POST", "/new", "203.0.113.7", "10.77.1.2"), 403);
    refused(403, DOMAIN " does not take new accounts");
    reconfigure(DOMAIN, "");
    write_file(nocreate_path, "");
    assert_int_equal(ask_new("POST", "/new", "203.0.113.7", "10.77.1.2"), 403);
    refused(403, DOMAIN " does not take new accounts");
    unlink(nocreate_path);
    assert_int_equal(ask_new("POST", "/new", "203.0.113.7", "10.77.1.2"), 200);
}

#define TOKEN "abcdefghjkmn"

static void test_invite(void **state)
{
    (void)state;
    static const char *const not_invited[] = {"/new",
                                              "/new?invite=",
                                              "/new?invite=abc",
                                              "/new?invite=" TOKEN "x",
                                              "/new?xinvite=" TOKEN,
                                              "/new?invite=abcdefgh%40mn"};
    redisfixture_ask(fx, "FLUSHALL", NULL);
    reconfigure(DOMAIN, "registrations = invite\n");
    for (size_t i = 0; i < sizeof(not_invited) / sizeof(not_invited[0]); i++) {
        assert_int_equal(ask_new("POST", not_invited[i], "203.0.113.7", "10.77.1.2"),
                         403);
        refused(403, "by invitation only");
    }
    assert_int_equal(ask_new("POST", "/new?invite=" TOKEN, "203.0.113.7", "10.77.1.2"),
                     200);
    check_account("@" DOMAIN, TOKEN ".", 12 + 13, false);
    assert_int_equal(
        ask_new("GET", "/new?a=b&invite=" TOKEN, "203.0.113.7", "10.77.1.2"), 301);
    assert_string_equal(field("Location"),
                        "dcaccount:https://" DOMAIN "/new?invite=" TOKEN);
    reconfigure(DOMAIN, "");
    assert_int_equal(ask_new("POST", "/new?invite=" TOKEN, "203.0.113.7", "10.77.1.2"),
                     200);
    check_account("@" DOMAIN, "", 12, false);
}

/* /mxdeliv */

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
    int fd = daemonkit_dial(http_path);
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
    return hear_answer(fd);
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
    assert_string_equal(body(), "250 OK");
    struct fakemta_seen seen = fakemta_seen();
    assert_int_equal(seen.messages, before.messages + 1);
    assert_int_equal(seen.rcpts, 2);
    assert_string_equal(seen.from, "<a@b.example> BODY=8BITMIME SIZE=15");
    assert_int_equal(seen.bytes, strlen(GOOD));
    assert_int_equal(seen.sum, fakemta_sum(0, GOOD, strlen(GOOD)));
    assert_int_equal(post_text("X-MAIL-TO: c@d.example\r\n", GOOD), 200);
    assert_string_equal(fakemta_seen().from, "<> BODY=8BITMIME SIZE=15");
    assert_int_equal(ask("POST /mxdeliv/ HTTP/1.1\r\nHost: x\r\n" ONE
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
    assert_string_equal(body(), "250 OK");
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
        assert_string_equal(body(), cases[i].body);
    }
    fakemta_mood(FAKEMTA_ACCEPT);
    struct fakemta_seen seen = fakemta_seen();
    assert_int_equal(seen.messages, before.messages);
    assert_int_equal(seen.strange, 0);
    assert_int_equal(ask("GET /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE "\r\n"), 405);
    assert_string_equal(body(), "Method Not Allowed");
    assert_string_equal(field("Allow"), "POST");
}

static void test_deliver_too_large(void **state)
{
    (void)state;
    struct cm_buf m;
    struct fakemta_seen before = fakemta_seen();
    fill_message(&m, MESSAGE_MAX);
    assert_int_equal(m.len, MESSAGE_MAX);
    assert_int_equal(post(ONE, m.data, m.len), 200);
    assert_int_equal(fakemta_seen().sum, fakemta_sum(0, m.data, m.len));
    cm_buf_clear(&m);
    fill_message(&m, MESSAGE_MAX + 1);
    assert_int_equal(post(ONE, m.data, m.len), 413);
    assert_string_equal(body(), "552 Message exceeds maximum size");
    int fd = daemonkit_dial(http_path); /* of unknown length */
    daemonkit_say_text(fd, "POST /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE
                           "Transfer-Encoding: chunked\r\n\r\n");
    char *size = cm_asprintf("%zx\r\n", m.len);
    daemonkit_say_text(fd, size);
    free(size);
    daemonkit_say(fd, m.data, m.len);
    assert_int_equal(hear_answer(fd), 413);
    cm_buf_clear(&m);
    assert_int_equal(fakemta_seen().messages, before.messages + 1);
}

/* Whoever is cut off in the middle: nothing is delivered, and we live on. */
static void test_deliver_cut(void **state)
{
    (void)state;
    usleep(100000); /* the server hears late of what was cut off before */
    struct fakemta_seen before = fakemta_seen();
    int fd = daemonkit_dial(http_path);
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
    assert_memory_equal(body(), "451 4.3.0 Mail system: ", 23);
    fakemta_mood(FAKEMTA_ACCEPT);
    cm_buf_clear(&m);
    assert_int_equal(fakemta_seen().messages, before.messages);
}

static void test_postfix_away(void **state)
{
    (void)state;
    int real = mta_port;
    mta_port = metrics_port == 1 ? 2 : 1; /* nobody there */
    reconfigure(DOMAIN, "");
    assert_int_equal(post_text(ONE, GOOD), 400);
    assert_memory_equal(body(), "451 4.3.0 Mail system: ", 23);
    mta_port = real;
    reconfigure(DOMAIN, "");
    assert_int_equal(post_text(ONE, GOOD), 200);
}

static long resident_kib(void)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)daemon_pid);
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
    int fd = daemonkit_dial(http_path);
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
    fill_message(&m, MESSAGE_MAX);
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
    int fd = daemonkit_dial(http_path);
    daemonkit_say_text(fd, "POST /mxdeliv HTTP/1.1\r\nHost: x\r\n" ONE
                           "Content-Length: 15\r\n\r\nA: b\r\n");
    usleep(200000);
    kill(daemon_pid, SIGTERM);
    usleep(200000);
    int other = daemonkit_dial(http_path);
    daemonkit_say_text(other, "POST /new HTTP/1.1\r\nHost: x\r\n\r\n");
    daemonkit_say_text(fd, "\r\nhello\r\n");
    assert_int_equal(hear_answer(fd), 200);
    stop_daemon(); /* asked twice: it ends if it has not yet */
    assert_int_equal(fakemta_seen().messages, before.messages + 1);
    start_daemon();
    assert_int_equal(hear_answer(other), 200);
}

/* /metrics */

static int dial_tcp(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)metrics_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)metrics_port)};
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
    return hear_answer(fd);
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
    if (strstr(body(), line) == NULL) {
        fail_msg("no '%s' in:\n%s", line, body());
    }
}

/* Strictly: every family once, its HELP and TYPE in front of its samples. */
static void must_parse(void)
{
    struct families *f = families_new();
    struct cm_err err;
    char *page = cm_strdup(body());
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
    assert_int_equal(post_text(ONE, GOOD), 200);
    assert_int_equal(ask_new("POST", "/new", "203.0.113.7", "10.77.1.2"), 200);
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
        {"turn", PROCESS("chatmail-turn") "this is no figure\n"},
        {"metadata", NULL},
    };
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s.sock", metrics_dir, programs[i].name);
        talker_start(&talkers[i], path, programs[i].text);
    }
    talker_start(&talkers[4], queue_path,
                 "{\"queue_name\": \"deferred\", \"arrival_time\": 1000, "
                 "\"message_size\": 5, \"recipients\": [{\"address\": \"a@b\", "
                 "\"delay_reason\": \"connect to b: Connection timed out\"}]}\n");
    snprintf(path, sizeof(path), "%s/fsreport.prom", textfiles);
    write_file(path, "# HELP chatmail_accounts Accounts.\n"
                     "# TYPE chatmail_accounts gauge\nchatmail_accounts{kind=\"all\"} "
                     "4\n");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
    for (size_t i = 0; i < 5; i++) {
        pthread_join(talkers[i].thread, NULL);
    }
    assert_string_equal(field("Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    must_parse();
    has("\nchatmail_up{program=\"chatmail-auth\"} 1\n");
    has("\nchatmail_up{program=\"chatmail-push\"} 1\n");
    has("\nchatmail_up{program=\"chatmail-web\"} 1\n");
    has("\nchatmail_up{program=\"chatmail-turn\"} 0\n");     /* nonsense */
    has("\nchatmail_up{program=\"chatmail-metadata\"} 0\n"); /* silent */
    has("\nchatmail_up{program=\"chatmail-cluster\"} 0\n");  /* not there */
    has("chatmail_process_open_fds{program=\"chatmail-auth\"} 7\n"
        "chatmail_process_open_fds{program=\"chatmail-push\"} 7\n"
        "chatmail_process_open_fds{program=\"chatmail-web\"} ");
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
    assert_null(strstr(body(), "chatmail-turn\"} 7"));
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
    assert_int_equal(ask("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
    int old = metrics_port;
    metrics_port = old + 1;
    reconfigure(DOMAIN, "[gateway edge1]\nnumber = 1\naddresses = 203.0.113.9\n"
                        "ssh = root@203.0.113.9\n");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
    metrics_port = old;
    assert_int_equal(dial_tcp("127.0.0.1"), -1);
    reconfigure(DOMAIN, "");
    assert_int_equal(ask_metrics("127.0.0.1", "/metrics"), 200);
}

/* No password and no address in the log, whatever happened above. */
static void test_log_is_discreet(void **state)
{
    (void)state;
    assert_int_equal(ask_new("POST", "/new", "203.0.113.77", "10.77.1.2"), 200);
    char *password = json_text("password"), *log = NULL;
    struct cm_err err;
    assert_int_equal(cm_file_read(log_path, 1u << 20, &log, NULL, &err), 1);
    assert_null(strstr(log, "203.0.113.77"));
    assert_null(strstr(log, password));
    assert_null(strstr(log, "d.example"));
    free(log);
    free(password);
}

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static int group_setup(void **state)
{
    (void)state;
    fx = redisfixture_new();
    if (fx == NULL) {
        return 0;
    }
    snprintf(dir, sizeof(dir), "/tmp/web-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(http_path, sizeof(http_path), "%s/http.sock", dir);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    snprintf(ini_path, sizeof(ini_path), "%s/chatmail.ini", dir);
    snprintf(nocreate_path, sizeof(nocreate_path), "%s/nocreate", dir);
    snprintf(metrics_dir, sizeof(metrics_dir), "%s/metrics", dir);
    snprintf(textfiles, sizeof(textfiles), "%s/textfiles", dir);
    snprintf(queue_path, sizeof(queue_path), "%s/queue.sock", dir);
    assert_int_equal(mkdir(metrics_dir, 0755), 0);
    assert_int_equal(mkdir(textfiles, 0755), 0);
    listener = daemonkit_listen(http_path);
    mta_port = fakemta_start();
    metrics_port = free_port();
    write_ini(DOMAIN, "");
    start_daemon();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (fx == NULL) {
        return 0;
    }
    stop_daemon();
    char *command = cm_asprintf("rm -r %s", dir);
    assert_int_equal(system(command), 0);
    free(command);
    redisfixture_free(&fx);
    return 0;
}

static int need_redis(void **state)
{
    (void)state;
    if (fx == NULL) {
        skip();
    }
    return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, need_redis)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new),
        TEST(test_new_self_signed),
        TEST(test_limits),
        TEST(test_closed),
        TEST(test_invite),
        TEST(test_deliver),
        TEST(test_deliver_nothing),
        TEST(test_deliver_refused),
        TEST(test_deliver_too_large),
        TEST(test_deliver_cut),
        TEST(test_postfix_away),
        TEST(test_parallel),
        TEST(test_drain),
        TEST(test_metrics),
        TEST(test_metrics_addresses),
        TEST(test_log_is_discreet),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
