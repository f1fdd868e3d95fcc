/* The real program between an LMTP client and the mail servers of testing/world.h. */
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
#include "daemonkit/daemonkit.h"
#include "testing/world.h"

#define MESSAGE "Subject: x\r\n\r\nhello\r\n..dot\r\n"
#define BIG     (3u << 20)
#define LIMIT   4000000u

static char dir[64], ca_path[96], ini_path[96], lmtp_path[96], log_path[96],
    egress_path[96], state_path[96];
static int listener;
static pid_t daemon_pid;

/* The program */

static void start(const char *more, const char *more_value)
{
    char dns[40], https[16], smtp[16];
    snprintf(dns, sizeof(dns), "127.0.0.1#%d", world_dns_port());
    snprintf(https, sizeof(https), "%d", world_https_port());
    snprintf(smtp, sizeof(smtp), "%d", world_smtp_port());
    const char *argv[] = {TRANSPORT_PROGRAM,
                          "--config",
                          ini_path,
                          "--egress",
                          egress_path,
                          "--state",
                          state_path,
                          "--spool",
                          dir,
                          "--ca",
                          ca_path,
                          "--resolver",
                          dns,
                          "--https-port",
                          https,
                          "--smtp-port",
                          smtp,
                          "--reach",
                          "any",
                          more,
                          more_value,
                          NULL};
    daemon_pid = daemonkit_start(argv, listener, "lmtp", log_path);
    int fd = daemonkit_dial(lmtp_path); /* until it serves */
    char line[64];
    daemonkit_hear(fd, line, sizeof(line));
    close(fd);
}

static void stop(void)
{
    int status = daemonkit_stop(daemon_pid, SIGTERM);
    daemon_pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int setup(void **state)
{
    (void)state;
    world_forget();
    start(NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (daemon_pid != 0) {
        stop();
    }
    unlink(egress_path);
    world_dns_mood(WORLD_DNS_WELL, 0);
    return 0;
}

/* LMTP */

static char reply[1024];

static const char *hear(int fd)
{
    do {
        daemonkit_hear(fd, reply, sizeof(reply));
    } while (strlen(reply) > 3 && reply[3] == '-');
    reply[strcspn(reply, "\r\n")] = '\0';
    return reply;
}

static const char *ask(int fd, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line) - 2, fmt, ap);
    va_end(ap);
    strcat(line, "\r\n");
    daemonkit_say_text(fd, line);
    return hear(fd);
}

static int dial(void)
{
    int fd = daemonkit_dial(lmtp_path);
    struct timeval limit = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_string_equal(hear(fd), "220 chatmail-transport LMTP");
    assert_string_equal(ask(fd, "LHLO postfix"), "250 8BITMIME");
    return fd;
}

/* Up to DATA's reply; to: addresses separated by blanks, all of them must be taken. */
static const char *begin(int fd, const char *from, const char *to)
{
    char list[1024], *rest = NULL;
    snprintf(list, sizeof(list), "%s", to);
    assert_string_equal(ask(fd, "MAIL FROM:<%s> SIZE=100 BODY=8BITMIME", from),
                        "250 OK");
    for (char *a = strtok_r(list, " ", &rest); a; a = strtok_r(NULL, " ", &rest)) {
        assert_string_equal(ask(fd, "RCPT TO:<%s> NOTIFY=FAILURE", a), "250 OK");
    }
    return ask(fd, "DATA");
}

static void finish(int fd, const char *body, size_t len)
{
    while (len > 0) {
        size_t n = len < 60000 ? len : 60000;
        daemonkit_say(fd, body, n);
        body += n;
        len -= n;
    }
    daemonkit_say_text(fd, ".\r\n");
}

/* A whole message to one recipient or one destination; the first reply. */
static const char *deliver(const char *to)
{
    int fd = dial();
    const char *ready = begin(fd, "me@here.example", to);
    if (ready[0] == '3') {
        finish(fd, MESSAGE, strlen(MESSAGE));
        hear(fd);
    }
    close(fd);
    return reply;
}

/* A domain with one MX at 127.0.0.N. */
static void domain(const char *name, int n)
{
    char mx[80], host[64], ip[32];
    snprintf(host, sizeof(host), "peer%d.example", n);
    snprintf(mx, sizeof(mx), "10 %s", host);
    snprintf(ip, sizeof(ip), "127.0.0.%d", n);
    world_record(name, "MX", mx);
    world_record(host, "A", ip);
}

static const char *from_peer(const char *text, int n)
{
    static char line[512];
    snprintf(line, sizeof(line), "%s (forwarded from peer%d.example[127.0.0.%d:%d])",
             text, n, n, world_smtp_port());
    return line;
}

/* The two ways */

static void test_https(void **state)
{
    (void)state;
    domain("https.example", 10);
    world_peer(10, &(struct world_mood){.https_status = 200, .smtp = true});
    assert_string_equal(deliver("A@Https.Example b@https.example"), "250 OK (HTTPS)");
    assert_int_equal(world_mails(), 1);
    const struct world_mail *mail = world_mail(0);
    assert_true(mail->https);
    assert_string_equal(mail->from, "me@here.example");
    assert_string_equal(mail->to, "a@https.example b@https.example ");
    assert_int_equal(mail->len, strlen(MESSAGE)); /* stuffed, no final dot */
    assert_memory_equal(mail->body, MESSAGE, mail->len);
    /* The null sender has no header. */
    int fd = dial();
    begin(fd, "", "b@https.example");
    finish(fd, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(fd), "250 OK (HTTPS)");
    close(fd);
    assert_string_equal(world_mail(1)->from, "");
    assert_int_equal(world_connections(10, false), 0);
}

static void test_https_refused_then_smtp(void **state)
{
    (void)state;
    domain("both.example", 11);
    world_peer(11, &(struct world_mood){.https_status = 400, .smtp = true});
    assert_string_equal(deliver("a@both.example"), "250 OK (SMTP)");
    assert_int_equal(world_mails(), 1);
    assert_false(world_mail(0)->https);
    assert_memory_equal(world_mail(0)->body, MESSAGE, strlen(MESSAGE));
    assert_int_equal(world_mail(0)->len, strlen(MESSAGE));
    assert_string_equal(world_mail(0)->from, "me@here.example");
    /* 400 is about the message: HTTPS stays first. */
    deliver("a@both.example");
    assert_int_equal(world_connections(11, true) >= 1, 1);
    world_peer(11, &(struct world_mood){.https_status = 200, .smtp = true});
    assert_string_equal(deliver("a@both.example"), "250 OK (HTTPS)");
}

static void test_smtp_only_mark(void **state)
{
    (void)state;
    domain("classic.example", 12);
    world_peer(12, &(struct world_mood){.https_status = 404, .smtp = true});
    for (int i = 0; i < 4; i++) {
        assert_string_equal(deliver("a@classic.example"), "250 OK (SMTP)");
    }
    assert_int_equal(world_connections(12, true), 1);
    /* SMTP cannot connect: HTTPS is tried at once again. */
    world_peer(12, &(struct world_mood){.https_status = 200});
    assert_memory_equal(deliver("a@classic.example"), "421 Failed to connect", 21);
    assert_string_equal(deliver("a@classic.example"), "250 OK (HTTPS)");
}

static void test_big(void **state)
{
    (void)state;
    domain("big.example", 13);
    world_peer(13, &(struct world_mood){.https_status = 413, .smtp = true});
    char *body = malloc(BIG);
    for (size_t i = 0; i < BIG; i++) {
        body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i % 23);
    }
    memcpy(body + BIG - 2, "\r\n", 2);
    for (int way = 0; way < 2; way++) {
        int fd = dial();
        begin(fd, "me@here.example", "a@big.example");
        finish(fd, body, BIG);
        assert_string_equal(hear(fd), way == 0 ? "250 OK (SMTP)" : "250 OK (HTTPS)");
        close(fd);
        assert_int_equal(world_mail((size_t)way)->len, BIG);
        assert_memory_equal(world_mail((size_t)way)->body, body, BIG);
        world_peer(13, &(struct world_mood){.https_status = 200, .smtp = true});
    }
    free(body);
}

static void test_partial(void **state)
{
    (void)state;
    domain("part.example", 14);
    world_peer(14, &(struct world_mood){.smtp = true,
                                        .refused = "bad",
                                        .rcpt = "550 5.1.1 no bad here"});
    for (int way = 0; way < 2; way++) {
        int fd = dial();
        begin(fd, "me@here.example",
              "one@part.example bad1@part.example two@part.example "
              "bad2@part.example");
        finish(fd, MESSAGE, strlen(MESSAGE));
        assert_string_equal(hear(fd), "250 OK (SMTP)");
        assert_string_equal(hear(fd), from_peer("550 5.1.1 no bad here", 14));
        assert_string_equal(hear(fd), "250 OK (SMTP)");
        assert_string_equal(hear(fd), from_peer("550 5.1.1 no bad here", 14));
        close(fd);
        assert_string_equal(world_mail((size_t)way)->to,
                            "one@part.example two@part.example ");
        world_peer(14, &(struct world_mood){.smtp = true,
                                            .no_pipelining = true,
                                            .refused = "bad",
                                            .rcpt = "550 5.1.1 no bad here"});
    }
    assert_string_equal(deliver("bad@part.example"),
                        from_peer("550 5.1.1 no bad here", 14));
    assert_int_equal(world_mails(), 2);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        struct world_mood mood;
        const char *reply;
    } cases[] = {
        {{.smtp = true, .mail = "550 5.7.1 not you"}, "550 5.7.1 not you"},
        {{.smtp = true, .mail = "550 5.7.1 not you", .no_pipelining = true},
         "550 5.7.1 not you"},
        {{.smtp = true, .data = "451 4.3.0 later"}, "451 4.3.0 later"},
        {{.smtp = true, .final_ = "523 Encryption Needed: Invalid Unencrypted Mail"},
         "523 Encryption Needed: Invalid Unencrypted Mail"},
        {{.smtp = true, .final_ = "554 5.7.1 No valid DKIM signature found"},
         "554 5.7.1 No valid DKIM signature found"},
    };
    domain("refuse.example", 15);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_peer(15, &cases[i].mood);
        assert_string_equal(deliver("a@refuse.example"), from_peer(cases[i].reply, 15));
    }
    assert_int_equal(world_mails(), 0);
}

/* Trouble that says nothing about the message: 4xx */
static void test_trouble(void **state)
{
    (void)state;
    static const struct {
        struct world_mood mood;
        const char *text;
    } cases[] = {
        {{.smtp = true, .greeting = "554 5.7.1 your address is blocked"}, "blocked"},
        {{.smtp = true, .no_starttls = true}, "STARTTLS is not offered"},
        {{.smtp = true, .name = "other.example"}, "certificate: hostname mismatch"},
        {{.smtp = true, .untrusted = true}, "certificate: unable to get"},
        {{.smtp = false}, "Connection refused"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[64], to[80];
        int n = 20 + (int)i;
        snprintf(name, sizeof(name), "trouble%d.example", n);
        snprintf(to, sizeof(to), "a@%s", name);
        domain(name, n);
        world_peer(n, &cases[i].mood);
        assert_memory_equal(deliver(to),
                            "421 Failed to connect to any mail server; last attempt to "
                            "peer2",
                            60);
        assert_non_null(strstr(reply, cases[i].text));
    }
    assert_int_equal(world_mails(), 0);
}

/* Lost behind the final dot: it may come twice, it is not lost, and no other host gets
 * it now. */
static void test_uncertain(void **state)
{
    (void)state;
    domain("lost.example", 26);
    world_record("lost.example", "MX", "20 peer27.example");
    world_record("peer27.example", "A", "127.0.0.27");
    world_peer(26, &(struct world_mood){.smtp = true, .hang_up = true});
    world_peer(27, &(struct world_mood){.smtp = true});
    assert_memory_equal(deliver("a@lost.example"), "451 4.4.2 Lost the connection", 29);
    assert_int_equal(world_mails(), 1);
    assert_int_equal(world_connections(27, false), 0);
}

/* Where to */

static void test_mx(void **state)
{
    (void)state;
    world_record("null.example", "MX", "0 .");
    assert_string_equal(deliver("a@null.example"),
                        "556 5.1.10 Permanent failure: Recipient address has null MX");
    assert_string_equal(deliver("a@nowhere.example"),
                        "512 Domain nowhere.example does not exist");
    /* No MX: the domain itself. */
    world_record("bare.example", "A", "127.0.0.30");
    world_peer(30, &(struct world_mood){.smtp = true, .name = "bare.example"});
    assert_string_equal(deliver("a@bare.example"), "250 OK (SMTP)");
    /* The better host refuses connections, the next one takes it. */
    world_record("two.example", "MX", "20 peer32.example");
    world_record("two.example", "MX", "10 peer31.example");
    world_record("peer31.example", "A", "127.0.0.31");
    world_record("peer32.example", "A", "127.0.0.32");
    world_peer(32, &(struct world_mood){.smtp = true});
    assert_string_equal(deliver("a@two.example"), "250 OK (SMTP)");
    assert_int_equal(world_mail(1)->peer, 32);
    /* Nobody there at all is no verdict. */
    world_record("empty.example", "MX", "10 ghost.example");
    assert_memory_equal(deliver("a@empty.example"), "451 4.4.4 ", 10);
}

static void test_dns_trouble(void **state)
{
    (void)state;
    domain("slow.example", 33);
    world_peer(33, &(struct world_mood){.smtp = true});
    world_dns_mood(WORLD_DNS_WELL, 2);
    assert_string_equal(deliver("a@slow.example"), "250 OK (SMTP)");
    domain("cut.example", 33);
    world_dns_mood(WORLD_DNS_CUT, 0);
    assert_string_equal(deliver("a@cut.example"), "250 OK (SMTP)");
    domain("fails.example", 33);
    world_dns_mood(WORLD_DNS_FAILS, 0);
    int64_t before = cm_now_mono_ms();
    assert_string_equal(deliver("a@fails.example"),
                        "421 DNS resolution failed for fails.example");
    assert_true(cm_now_mono_ms() - before < 15000);
}

static void test_exceptions(void **state)
{
    (void)state;
    domain("_odd.example", 34);
    world_peer(34, &(struct world_mood){.https_status = 200,
                                        .name = "other.example",
                                        .untrusted = true});
    assert_string_equal(deliver("a@_odd.example"), "250 OK (HTTPS)");
    world_peer(34, &(struct world_mood){
                       .smtp = true, .name = "other.example", .untrusted = true});
    assert_string_equal(deliver("a@_odd.example"), "250 OK (SMTP)");
    domain("strict.example", 35);
    world_peer(35, &(struct world_mood){.https_status = 200,
                                        .name = "other.example",
                                        .untrusted = true});
    assert_memory_equal(deliver("a@strict.example"), "421 Failed to connect", 21);
    domain("nauta.cu", 36);
    world_peer(36, &(struct world_mood){.smtp = true, .no_starttls = true});
    assert_string_equal(deliver("a@nauta.cu"), "250 OK (SMTP)");
    world_peer(37, &(struct world_mood){
                       .smtp = true, .name = "other.example", .untrusted = true});
    assert_string_equal(deliver("a@[127.0.0.37]"), "250 OK (SMTP)");
    world_peer(37, &(struct world_mood){.https_status = 200,
                                        .name = "other.example",
                                        .untrusted = true});
    assert_memory_equal(deliver("a@[127.0.0.37]"), "421 ", 4); /* marked SMTP only */
    assert_string_equal(deliver("a@[127.0.0.37]"), "250 OK (HTTPS)");
}

#define POLICY "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: peer39.example\n"

static void test_mta_sts(void **state)
{
    (void)state;
    world_record("sts.example", "MX", "5 evil.example");
    world_record("sts.example", "MX", "10 peer39.example");
    world_record("evil.example", "A", "127.0.0.38");
    world_record("peer39.example", "A", "127.0.0.39");
    world_record("_mta-sts.sts.example", "TXT", "v=STSv1; id=1;");
    world_record("mta-sts.sts.example", "A", "127.0.0.40");
    world_peer(38, &(struct world_mood){.smtp = true, .name = "evil.example"});
    world_peer(39, &(struct world_mood){.smtp = true});
    world_peer(40, &(struct world_mood){.https_status = 404,
                                        .policy = POLICY,
                                        .name = "mta-sts.sts.example"});
    assert_string_equal(deliver("a@sts.example"), "250 OK (SMTP)");
    assert_int_equal(world_mail(0)->peer, 39);
    assert_int_equal(world_connections(38, false), 0);
    /* Kept over a restart, and in force though it cannot be fetched. */
    stop();
    world_peer(40, &(struct world_mood){.https_status = 404});
    world_peer(39, &(struct world_mood){.smtp = false});
    start(NULL, NULL);
    assert_memory_equal(deliver("a@sts.example"), "421 Failed to connect", 21);
    assert_int_equal(world_connections(38, false), 0);
    assert_int_equal(world_connections(40, true), 1);
}

/* relay-spec.md 6.8, transport checks */

static void test_check_1(void **state)
{
    (void)state;
    stop();
    start("--places", "1");
    domain("d1.example", 50);
    domain("d2.example", 51);
    world_peer(50, &(struct world_mood){.smtp = true});
    world_peer(51, &(struct world_mood){.smtp = true});
    int a = dial(), b = dial(), c = dial();
    assert_memory_equal(begin(a, "me@x.example", "1@d1.example 2@d1.example"), "354",
                        3);
    assert_memory_equal(begin(b, "me@x.example", "1@d1.example 1@d2.example"), "354",
                        3);
    assert_string_equal(begin(c, "me@x.example", "3@d1.example 3@d2.example"),
                        "421 Transport busy");
    finish(a, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(a), "250 OK (SMTP)");
    assert_string_equal(hear(a), "250 OK (SMTP)");
    finish(b, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(b), "421 Transport busy");
    assert_string_equal(hear(b), "250 OK (SMTP)");
    /* Places are back. */
    assert_memory_equal(begin(c, "me@x.example", "3@d1.example 3@d2.example"), "354",
                        3);
    finish(c, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(c), "250 OK (SMTP)");
    assert_string_equal(hear(c), "250 OK (SMTP)");
    close(a);
    close(b);
    close(c);
}

static void test_check_2(void **state)
{
    (void)state;
    world_record("localhost", "A", "127.0.0.1");
    world_peer(1, &(struct world_mood){.smtp = true, .name = "localhost"});
    int fd = dial();
    begin(fd, "me@x.example",
          "a1@localhost a2@localhost b1@[127.0.0.1] b2@[127.0.0.1]");
    finish(fd, MESSAGE, strlen(MESSAGE));
    for (int i = 0; i < 4; i++) {
        assert_string_equal(hear(fd), "250 OK (SMTP)");
    }
    close(fd);
    assert_int_equal(world_mails(), 2);
    bool names_first = strcmp(world_mail(0)->to, "a1@localhost a2@localhost ") == 0;
    assert_string_equal(world_mail(names_first ? 0 : 1)->to,
                        "a1@localhost a2@localhost ");
    assert_string_equal(world_mail(names_first ? 1 : 0)->to,
                        "b1@[127.0.0.1] b2@[127.0.0.1] ");
}

static void test_check_3(void **state)
{
    (void)state;
    stop();
    start("--places", "1");
    world_record("localhost", "A", "127.0.0.1");
    world_peer(1, &(struct world_mood){.smtp = true, .name = "localhost"});
    int holder = dial(), fd = dial();
    ask(holder, "MAIL FROM:<me@x.example>");
    assert_string_equal(ask(holder, "RCPT TO:<h@[127.0.0.1]>"), "250 OK");
    begin(fd, "me@x.example", "a@localhost b@[127.0.0.1]");
    finish(fd, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(fd), "250 OK (SMTP)");
    assert_string_equal(hear(fd), "421 Transport busy");
    assert_string_equal(ask(holder, "RSET"), "250 OK");
    begin(fd, "me@x.example", "b@[127.0.0.1]");
    finish(fd, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(fd), "250 OK (SMTP)");
    close(fd);
    close(holder);
}

static void test_check_4(void **state)
{
    (void)state;
    stop();
    start("--destinations", "1");
    domain("w1.example", 52);
    domain("w2.example", 53);
    world_peer(52, &(struct world_mood){.smtp = true});
    world_peer(53, &(struct world_mood){.smtp = true});
    int a = dial(), b = dial();
    begin(a, "me@x.example", "a@w1.example");
    assert_string_equal(begin(b, "me@x.example", "b@w2.example"), "421 Transport busy");
    assert_int_equal(world_connections(53, false) + world_connections(53, true), 0);
    close(a);
    close(b);
}

/* Dead ones beside a living one */

static int64_t time_one(const char *to)
{
    int64_t before = cm_now_mono_ms();
    assert_string_equal(deliver(to), "250 OK (HTTPS)");
    return cm_now_mono_ms() - before;
}

#define DEAD 50

static void test_dead_beside_living(void **state)
{
    (void)state;
    int fds[DEAD * 6];
    domain("living.example", 60);
    world_peer(60, &(struct world_mood){.https_status = 200, .https_delay_ms = 20});
    world_black_hole(61);
    int64_t alone = 0, worst = 0;
    for (int i = 0; i < 20; i++) {
        alone += time_one("a@living.example");
    }
    for (int i = 0; i < DEAD * 6; i++) {
        char name[64], to[80];
        snprintf(name, sizeof(name), "dead%d.example", i % DEAD);
        snprintf(to, sizeof(to), "a@%s", name);
        if (i < DEAD) {
            domain(name, 61);
        }
        fds[i] = dial();
        assert_memory_equal(begin(fds[i], "me@x.example", to), "354", 3);
        finish(fds[i], MESSAGE, strlen(MESSAGE));
    }
    int64_t beside = 0;
    for (int i = 0; i < 20; i++) {
        int64_t ms = time_one("a@living.example");
        beside += ms;
        worst = ms > worst ? ms : worst;
    }
    print_message("alone %lld ms, beside %d dead ones %lld ms, worst %lld ms\n",
                  (long long)alone / 20, DEAD, (long long)beside / 20,
                  (long long)worst);
    assert_true(beside / 20 < alone / 20 * 2 + 20);
    /* Those that wait are put off at once when it is clear that nobody answers; the
     * others when their connection has timed out. */
    int64_t before = cm_now_mono_ms();
    for (int i = 0; i < DEAD * 6; i++) {
        hear(fds[i]);
        assert_true(reply[0] == '4');
        close(fds[i]);
    }
    assert_true(cm_now_mono_ms() - before < 25000);
    /* And now the breaker says no before a message is sent. */
    int fd = dial();
    ask(fd, "MAIL FROM:<me@x.example>");
    assert_memory_equal(ask(fd, "RCPT TO:<a@dead7.example>"),
                        "451 4.4.1 dead7.example cannot be reached", 41);
    close(fd);
}

/* Few messages at a time to one that has not answered, more to one that has. */
static void test_concurrency(void **state)
{
    (void)state;
    enum { MANY = 24 };
    int fds[MANY];
    size_t most[2];
    domain("few.example", 62);
    for (int round = 0; round < 2; round++) {
        world_peer(62,
                   &(struct world_mood){.https_status = 200, .https_delay_ms = 300});
        for (int i = 0; i < MANY; i++) {
            fds[i] = dial();
            begin(fds[i], "me@x.example", "a@few.example");
            finish(fds[i], MESSAGE, strlen(MESSAGE));
        }
        if (round == 0) {
            while (world_busiest(62) == 0) {
                usleep(1000);
            }
            usleep(150000);
            assert_int_equal(world_busiest(62), 2);
        }
        for (int i = 0; i < MANY; i++) {
            assert_string_equal(hear(fds[i]), "250 OK (HTTPS)");
            close(fds[i]);
        }
        most[round] = world_busiest(62);
    }
    assert_int_equal(most[0], 8);
    assert_int_equal(most[1], 8);
    assert_int_equal(world_mails(), 2 * MANY);
}

/* All kinds of dead at once, and as much mail for them as they may hold; then the first
 * message ever for one that lives. */
static void test_dead_of_all_kinds(void **state)
{
    (void)state;
    int fds[DEAD * 6], held = 0;
    world_black_hole(63);
    world_peer(64, &(struct world_mood){.mute = true});
    for (int i = 0; i < DEAD * 6; i++) {
        char name[64], to[80];
        int d = i % DEAD;
        snprintf(name, sizeof(name), "kind%d.example", d);
        snprintf(to, sizeof(to), "a@%s", name);
        if (i < DEAD) {
            domain(name, 63 + d % 3); /* 65 refuses */
        }
        fds[held] = dial();
        ask(fds[held], "MAIL FROM:<me@x.example>");
        if (ask(fds[held], "RCPT TO:<%s>", to)[0] == '4' ||
            ask(fds[held], "DATA")[0] == '4') {
            close(fds[held]);
            continue;
        }
        finish(fds[held++], MESSAGE, strlen(MESSAGE));
    }
    assert_true(held >= DEAD);
    domain("stranger.example", 66);
    world_peer(66, &(struct world_mood){.https_status = 200});
    int64_t before = cm_now_mono_ms();
    while (strcmp(deliver("a@stranger.example"), "250 OK (HTTPS)") != 0) {
        assert_string_equal(reply, "421 Transport busy");
        assert_true(cm_now_mono_ms() - before < 4000);
        usleep(50000);
    }
    int64_t first = cm_now_mono_ms() - before;
    before = cm_now_mono_ms();
    for (int i = 0; i < 20; i++) {
        assert_string_equal(deliver("a@stranger.example"), "250 OK (HTTPS)");
    }
    int64_t each = (cm_now_mono_ms() - before) / 20;
    print_message("%d held for %d dead ones; a stranger is served after %lld ms, "
                  "then in %lld ms each\n",
                  held, DEAD, (long long)first, (long long)each);
    assert_true(each < 200);
    for (int i = 0; i < held; i++) {
        close(fds[i]); /* those that are never spoken to would take a minute */
    }
}

/* The breaker, half open */

/* A session that has the first place there is, as soon as there is one: the probe. */
static int probe(const char *to)
{
    for (int i = 0; i < 100; i++) {
        int fd = dial();
        ask(fd, "MAIL FROM:<me@x.example>");
        if (ask(fd, "RCPT TO:<%s>", to)[0] == '2') {
            return fd;
        }
        assert_memory_equal(reply, "451 4.4.1 ", 10);
        close(fd);
        usleep(100000);
    }
    fail_msg("%s stays closed", to);
    return -1;
}

static void test_half_open(void **state)
{
    (void)state;
    enum { OTHERS = 5 };
    int others[OTHERS];
    domain("half.example", 90);
    assert_memory_equal(deliver("a@half.example"), "421 Failed to connect", 21);
    world_peer(90, &(struct world_mood){.https_status = 200, .https_delay_ms = 500});
    /* The first goes without a word; one of those that wait takes its part, and the
     * rest goes when that has arrived. */
    int first = probe("a@half.example");
    for (int i = 0; i < OTHERS; i++) {
        others[i] = dial();
        assert_memory_equal(begin(others[i], "me@x.example", "b@half.example"), "354",
                            3);
        finish(others[i], MESSAGE, strlen(MESSAGE));
    }
    usleep(300000);
    assert_int_equal(world_connections(90, true), 0);
    close(first);
    usleep(300000);
    assert_int_equal(world_busiest(90), 1);
    for (int i = 0; i < OTHERS; i++) {
        assert_string_equal(hear(others[i]), "250 OK (HTTPS)");
        close(others[i]);
    }
    assert_int_equal(world_mails(), OTHERS);
    assert_true(world_busiest(90) > 1);
}

static void test_half_open_in_vain(void **state)
{
    (void)state;
    domain("still.example", 91);
    deliver("a@still.example");
    int first = probe("a@still.example"), other = dial();
    begin(other, "me@x.example", "b@still.example");
    finish(other, MESSAGE, strlen(MESSAGE));
    assert_memory_equal(ask(first, "DATA"), "354", 3);
    finish(first, MESSAGE, strlen(MESSAGE));
    assert_memory_equal(hear(first), "421 Failed to connect", 21);
    assert_memory_equal(hear(other), "451 4.4.1 still.example cannot be reached", 41);
    close(first);
    close(other);
    /* A probe that comes to nothing is not waited for without end. */
    first = probe("a@still.example");
    other = dial();
    begin(other, "me@x.example", "b@still.example");
    int64_t before = cm_now_mono_ms();
    finish(other, MESSAGE, strlen(MESSAGE));
    assert_memory_equal(hear(other), "451 4.4.1 still.example does not answer", 39);
    int64_t waited = cm_now_mono_ms() - before;
    assert_true(waited >= 9000 && waited < 13000);
    close(first);
    close(other);
}

/* Gateways */

static void write_egress(const char *text)
{
    struct cm_err err;
    assert_int_equal(cm_file_replace(egress_path, text, strlen(text), 0644, &err), 0);
}

static void test_egress(void **state)
{
    (void)state;
    domain("via.example", 70);
    world_peer(70, &(struct world_mood){.smtp = true});
    write_egress("1 127.0.1.1 - gw1.example\n2 127.0.1.2 - -\n");
    assert_string_equal(deliver("a@via.example"), "250 OK (SMTP)");
    assert_string_equal(world_mail(0)->ehlo, "gw1.example");
    /* An address that this machine does not have: that gateway cannot be used, the
     * other one is taken, and remembered. */
    write_egress("1 203.0.113.99 - -\n2 127.0.1.2 - -\n");
    assert_string_equal(deliver("a@via.example"), "250 OK (SMTP)");
    assert_string_equal(deliver("a@via.example"), "250 OK (SMTP)");
    assert_string_equal(world_mail(2)->ehlo, "here.example");
    /* None is healthy: it waits. */
    write_egress("");
    assert_memory_equal(deliver("a@via.example"), "451 4.4.1 No gateway", 20);
    assert_int_equal(world_mails(), 3);
}

/* SMTP connections that are kept between messages */

static void expect(const char *to, const char *want)
{
    assert_memory_equal(deliver(to), want, strlen(want));
}

static void test_kept(void **state)
{
    (void)state;
    domain("kept.example", 110);
    for (int way = 0; way < 2; way++) {
        size_t before = world_connections(110, false);
        world_forget();
        world_peer(110, &(struct world_mood){.smtp = true,
                                             .no_pipelining = way == 1,
                                             .refused = "bad",
                                             .rcpt = "550 5.1.1 no bad here"});
        for (int i = 0; i < 10; i++) {
            char to[64];
            snprintf(to, sizeof(to), "a%d@kept.example", i);
            assert_string_equal(deliver(to), "250 OK (SMTP)");
            assert_string_equal(deliver("bad@kept.example"),
                                from_peer("550 5.1.1 no bad here", 110));
        }
        assert_int_equal(world_connections(110, false) - before, 1);
        assert_int_equal(world_mails(), 10);
        for (int i = 0; i < 10; i++) { /* nothing of one is left in the next */
            char to[64];
            snprintf(to, sizeof(to), "a%d@kept.example ", i);
            assert_string_equal(world_mail((size_t)i)->to, to);
            assert_int_equal(world_mail((size_t)i)->len, strlen(MESSAGE));
            assert_memory_equal(world_mail((size_t)i)->body, MESSAGE, strlen(MESSAGE));
        }
    }
    /* Not for long, and with a word of farewell. */
    assert_int_equal(world_quits(110), 0);
    usleep(5500000);
    assert_int_equal(world_quits(110), 1);
}

/* The second message of a connection that ends in one way or another: it goes over a
 * fresh one, unless it was perhaps taken. */
static void test_kept_ends(void **state)
{
    (void)state;
    static const struct {
        enum world_then then;
        const char *second;
        size_t mails, connections;
    } cases[] = {{WORLD_CLOSES, "250 OK (SMTP)", 2, 2},
                 {WORLD_SAYS_421, "250 OK (SMTP)", 2, 2},
                 {WORLD_REFUSES_MAIL, "250 OK (SMTP)", 2, 2},
                 {WORLD_SLEEPS, "250 OK (SMTP)", 2, 2},
                 {WORLD_CUTS_BODY, "250 OK (SMTP)", 2, 2},
                 {WORLD_CUTS_FINAL, "451 4.4.2 Lost the connection", 2, 1}};
    char *body = malloc(BIG);
    memset(body, 'x', BIG);
    memcpy(body + BIG - 2, "\r\n", 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int n = 111 + (int)i;
        char name[64], to[80];
        snprintf(name, sizeof(name), "ends%d.example", n);
        snprintf(to, sizeof(to), "a@%s", name);
        domain(name, n);
        world_forget();
        world_peer(n, &(struct world_mood){
                          .smtp = true, .messages = 1, .then = cases[i].then});
        expect(to, "250 OK (SMTP)");
        usleep(50000);
        int fd = dial();
        begin(fd, "me@here.example", to);
        finish(fd, body, BIG); /* so long that it can be cut in the middle */
        assert_memory_equal(hear(fd), cases[i].second, strlen(cases[i].second));
        close(fd);
        assert_int_equal(world_mails(), cases[i].mails);
        assert_int_equal(world_mail(1)->len, BIG);
        assert_int_equal(world_connections(n, false), cases[i].connections);
    }
    free(body);
}

/* A connection is what it was made as: by a gateway, under a name, with a certificate
 * that was looked at or not. */
static void test_kept_apart(void **state)
{
    (void)state;
    domain("apart.example", 117);
    domain("_apart.example", 117);
    world_peer(117, &(struct world_mood){.smtp = true});
    write_egress("1 127.0.1.1 - gw1.example\n");
    expect("a@apart.example", "250 OK (SMTP)");
    expect("a@_apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 2);
    assert_int_equal(world_resumed(117), 0);
    write_egress("2 127.0.1.2 - gw2.example\n");
    expect("a@apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 3);
    assert_int_equal(world_resumed(117), 1); /* the ticket of the verified one */
    assert_string_equal(world_mail(1)->ehlo, "gw1.example");
    assert_string_equal(world_mail(2)->ehlo, "gw2.example");
    expect("b@apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 3);
    /* Other roots may trust others. */
    assert_int_equal(kill(daemon_pid, SIGHUP), 0);
    usleep(300000);
    expect("c@apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 4);
    assert_int_equal(world_resumed(117), 1);
}

#define MANY_KEPT 40

static int64_t time_many(int n, const struct world_mood *mood)
{
    char name[64], to[80];
    snprintf(name, sizeof(name), "many%d.example", n);
    snprintf(to, sizeof(to), "a@%s", name);
    domain(name, n);
    world_peer(n, mood);
    expect(to, "250 OK (SMTP)"); /* so that HTTPS is out of the way */
    int64_t before = cm_now_mono_ms();
    for (int i = 0; i < MANY_KEPT; i++) {
        expect(to, "250 OK (SMTP)");
    }
    return cm_now_mono_ms() - before;
}

/* With a server whose every turn takes 10 ms, as one at some distance. */
static void test_kept_pays(void **state)
{
    (void)state;
    int64_t single = time_many(
        118, &(struct world_mood){
                 .smtp = true, .turn_ms = 10, .messages = 1, .no_tickets = true});
    int64_t resumed = time_many(
        119, &(struct world_mood){.smtp = true, .turn_ms = 10, .messages = 1});
    int64_t kept = time_many(120, &(struct world_mood){.smtp = true, .turn_ms = 10});
    print_message("%d messages: one connection each %lld ms, with tickets %lld ms, "
                  "over one connection %lld ms; ratio %.1f\n",
                  MANY_KEPT, (long long)single, (long long)resumed, (long long)kept,
                  (double)single / (double)kept);
    assert_int_equal(world_connections(118, false), MANY_KEPT + 1);
    assert_int_equal(world_resumed(118), 0);
    assert_int_equal(world_connections(119, false), MANY_KEPT + 1);
    assert_int_equal(world_resumed(119), MANY_KEPT);
    assert_int_equal(world_connections(120, false), 1);
    assert_true(single > kept * 3 / 2);
}

/* A peer at an IPv6 address, over both ways, from an address of the same family. */
static void test_ipv6(void **state)
{
    (void)state;
    if (!world_has_v6()) {
        skip(); /* no ::1 on this machine */
    }
    world_record("six.example", "MX", "10 peer100.example");
    world_record("peer100.example", "AAAA", "::1");
    world_peer(100, &(struct world_mood){.https_status = 200, .at_v6 = true});
    write_egress("1 127.0.1.1 ::1 gw1.example\n");
    assert_string_equal(deliver("a@six.example"), "250 OK (HTTPS)");
    world_peer(100, &(struct world_mood){.smtp = true,
                                         .at_v6 = true,
                                         .refused = "bad",
                                         .rcpt = "550 5.1.1 no bad here"});
    assert_string_equal(deliver("a@six.example"), "250 OK (SMTP)");
    assert_string_equal(world_mail(1)->ehlo, "gw1.example");
    char want[128];
    snprintf(want, sizeof(want),
             "550 5.1.1 no bad here (forwarded from peer100.example[[::1]:%d])",
             world_smtp_port());
    assert_string_equal(deliver("bad@six.example"), want);
    /* A gateway without IPv6 cannot reach it. */
    write_egress("1 127.0.1.1 - gw1.example\n");
    assert_memory_equal(deliver("a@six.example"), "421 Failed to connect", 21);
    assert_non_null(strstr(reply, "no address of a family that can leave"));
    /* An address literal; and a host with both families, of which IPv6 answers. */
    write_egress("direct\n");
    world_peer(100, &(struct world_mood){.https_status = 200,
                                         .at_v6 = true,
                                         .name = "other.example",
                                         .untrusted = true});
    assert_string_equal(deliver("a@[IPv6:::1]"), "250 OK (HTTPS)");
    world_record("dual.example", "MX", "10 peer101.example");
    world_record("peer101.example", "A", "127.0.0.101");
    world_record("peer101.example", "AAAA", "::1");
    world_peer(100, &(struct world_mood){
                        .smtp = true, .at_v6 = true, .name = "peer101.example"});
    assert_string_equal(deliver("a@dual.example"), "250 OK (SMTP)");
    assert_int_equal(world_mails(), 4);
    world_peer(100, &(struct world_mood){.smtp = false});
    world_peer(101, &(struct world_mood){.smtp = true});
    assert_string_equal(deliver("a@dual.example"), "250 OK (SMTP)");
}

/* LMTP itself */

static void test_lmtp(void **state)
{
    (void)state;
    int fd = dial();
    assert_string_equal(ask(fd, "NOOP"), "250 OK");
    assert_string_equal(ask(fd, "WHAT"), "500 Command not recognized");
    assert_string_equal(ask(fd, "MAIL FROM:nothing"),
                        "500 Invalid address in MAIL FROM");
    assert_string_equal(ask(fd, "RCPT TO:<a@b.example>"),
                        "503 5.5.1 Need MAIL command");
    assert_string_equal(ask(fd, "MAIL FROM:<>"), "250 OK");
    assert_memory_equal(ask(fd, "RCPT TO:<a b@c.example>"), "501 5.1.3", 9);
    assert_string_equal(ask(fd, "RCPT TO:<invalid>"),
                        "553 Invalid email address: invalid");
    assert_string_equal(ask(fd, "RCPT TO:<a@b@c>"), "553 Invalid email address: a@b@c");
    assert_memory_equal(ask(fd, "RCPT TO:<a@-.b..c>"), "501 ", 4);
    assert_string_equal(ask(fd, "DATA"), "503 5.5.1 Need RCPT command");
    assert_string_equal(ask(fd, "RSET"), "250 OK");
    /* All at once, two messages. */
    domain("pipe.example", 80);
    world_peer(80, &(struct world_mood){.https_status = 200});
    static const char one[] = "MAIL FROM:<me@x.example>\r\nRCPT TO:<a@pipe.example>\r\n"
                              "DATA\r\nSubject: y\r\n\r\nz\r\n.\r\n";
    daemonkit_say_text(fd, one);
    daemonkit_say_text(fd, one);
    daemonkit_say_text(fd, "QUIT\r\n");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(hear(fd), "250 OK");
        assert_string_equal(hear(fd), "250 OK");
        assert_memory_equal(hear(fd), "354", 3);
        assert_string_equal(hear(fd), "250 OK (HTTPS)");
    }
    assert_string_equal(hear(fd), "221 OK");
    assert_string_equal(hear(fd), "");
    close(fd);
    assert_int_equal(world_mails(), 2);
    /* Too big, and a bare LF: said at the end, nothing is passed on, the session lives.
     */
    fd = dial();
    char *body = malloc(LIMIT);
    memset(body, 'x', LIMIT);
    memcpy(body + LIMIT - 2, "\r\n", 2);
    begin(fd, "me@x.example", "a@pipe.example");
    daemonkit_say_text(fd, "x");
    finish(fd, body, LIMIT);
    assert_string_equal(hear(fd), "552 Message exceeds maximum size");
    begin(fd, "me@x.example", "a@pipe.example");
    daemonkit_say_text(fd, "a\n.\nMAIL FROM:<b>\r\n.\r\n");
    assert_string_equal(hear(fd), "500 Invalid DATA");
    begin(fd, "me@x.example", "a@pipe.example");
    finish(fd, MESSAGE, strlen(MESSAGE));
    assert_string_equal(hear(fd), "250 OK (HTTPS)");
    close(fd);
    free(body);
    assert_int_equal(world_mails(), 3);
}

/* Many big messages at once are on disk, not in memory. */
static void test_memory(void **state)
{
    (void)state;
    enum { MANY = 50 };
    int fds[MANY];
    domain("mem.example", 83);
    world_peer(83, &(struct world_mood){.https_status = 200, .https_delay_ms = 100});
    char *body = malloc(BIG);
    for (size_t i = 0; i < BIG; i++) {
        body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x';
    }
    assert_string_equal(deliver("a@mem.example"), "250 OK (HTTPS)");
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        begin(fds[i], "me@x.example", "a@mem.example");
    }
    for (size_t at = 0; at < BIG; at += BIG / 16) {
        for (int i = 0; i < MANY; i++) {
            daemonkit_say(fds[i], body + at, BIG / 16);
        }
    }
    for (int i = 0; i < MANY; i++) {
        daemonkit_say_text(fds[i], "\r\n.\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        assert_string_equal(hear(fds[i]), "250 OK (HTTPS)");
        close(fds[i]);
    }
    assert_int_equal(world_mails(), MANY + 1);
    free(body);
    char path[64], *text = NULL;
    struct cm_err err;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon_pid);
    assert_int_equal(cm_file_read(path, 65536, &text, NULL, &err), 1);
    long peak_kb = strtol(strstr(text, "VmHWM:") + 6, NULL, 10);
    free(text);
    print_message("peak with %d messages of 3 MiB: %ld kB\n", MANY, peak_kb);
#if !defined(__SANITIZE_ADDRESS__)
    assert_true(peak_kb < 40000);
#endif
}

/* Killed in the middle: no 250 was given, so Postfix still has it. */
static void test_kill(void **state)
{
    (void)state;
    domain("kill.example", 81);
    world_peer(81, &(struct world_mood){.smtp = true, .silent = true});
    int fd = dial();
    begin(fd, "me@x.example", "a@kill.example");
    finish(fd, MESSAGE, strlen(MESSAGE));
    while (world_connections(81, false) == 0) {
        usleep(10000);
    }
    usleep(200000);
    daemonkit_stop(daemon_pid, SIGKILL);
    assert_string_equal(hear(fd), "");
    close(fd);
    world_peer(81, &(struct world_mood){.smtp = true});
    start(NULL, NULL);
    assert_string_equal(deliver("a@kill.example"), "250 OK (SMTP)");
    assert_int_equal(world_mails(), 1);
}

static void test_drain_and_reload(void **state)
{
    (void)state;
    domain("drain.example", 82);
    world_peer(82, &(struct world_mood){.https_status = 200, .https_delay_ms = 700});
    int busy = dial(), idle = dial();
    assert_int_equal(kill(daemon_pid, SIGHUP), 0);
    begin(busy, "me@x.example", "a@drain.example");
    finish(busy, MESSAGE, strlen(MESSAGE));
    usleep(200000);
    assert_int_equal(kill(daemon_pid, SIGTERM), 0);
    assert_memory_equal(hear(idle), "421 4.3.2", 9);
    assert_string_equal(hear(busy), "250 OK (HTTPS)");
    int status;
    assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
    daemon_pid = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(busy);
    close(idle);
}

#define E2E(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    snprintf(dir, sizeof(dir), "/tmp/transport-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", dir);
    snprintf(ini_path, sizeof(ini_path), "%s/chatmail.ini", dir);
    snprintf(lmtp_path, sizeof(lmtp_path), "%s/lmtp.sock", dir);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    snprintf(egress_path, sizeof(egress_path), "%s/egress", dir);
    snprintf(state_path, sizeof(state_path), "%s/state", dir);
    mkdir(state_path, 0700);
    static const char ini[] =
        "[params]\nmail_domain = here.example\nmax_message_size = 4000000\n";
    struct cm_err err;
    if (cm_file_replace(ini_path, ini, strlen(ini), 0644, &err) != 0) {
        return 1;
    }
    world_open(ca_path);
    listener = daemonkit_listen(lmtp_path);
    const struct CMUnitTest tests[] = {
        E2E(test_https),
        E2E(test_https_refused_then_smtp),
        E2E(test_smtp_only_mark),
        E2E(test_big),
        E2E(test_partial),
        E2E(test_refusals),
        E2E(test_trouble),
        E2E(test_uncertain),
        E2E(test_mx),
        E2E(test_dns_trouble),
        E2E(test_exceptions),
        E2E(test_mta_sts),
        E2E(test_check_1),
        E2E(test_check_2),
        E2E(test_check_3),
        E2E(test_check_4),
        E2E(test_dead_beside_living),
        E2E(test_half_open),
        E2E(test_half_open_in_vain),
        E2E(test_concurrency),
        E2E(test_dead_of_all_kinds),
        E2E(test_egress),
        E2E(test_ipv6),
        E2E(test_kept),
        E2E(test_kept_ends),
        E2E(test_kept_apart),
        E2E(test_kept_pays),
        E2E(test_lmtp),
        E2E(test_memory),
        E2E(test_kill),
        E2E(test_drain_and_reload),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close();
    if (failed == 0) {
        char command[96];
        snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command) != 0;
    }
    return failed;
}
