/* The real program between an LMTP client and the mail servers of testing/world.h: both
 * ways, what is answered, where mail goes, LMTP itself. See also test_e2e_dests.c. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "daemonkit/daemonkit.h"
#include "testing/relay.h"
#include "testing/world.h"

/* The two ways */

static void test_https(void **state)
{
    (void)state;
    relay_domain("https.example", 10);
    world_peer(10, &(struct world_mood){.https_status = 200, .smtp = true});
    assert_string_equal(relay_deliver("A@Https.Example b@https.example"),
                        "250 OK (HTTPS)");
    assert_int_equal(world_mails(), 1);
    const struct world_mail *mail = world_mail(0);
    assert_true(mail->https);
    assert_string_equal(mail->from, "me@here.example");
    assert_string_equal(mail->to, "a@https.example b@https.example ");
    assert_int_equal(mail->len, strlen(RELAY_MESSAGE)); /* stuffed, no final dot */
    assert_memory_equal(mail->body, RELAY_MESSAGE, mail->len);
    /* The null sender has no header. */
    int fd = relay_dial();
    relay_begin(fd, "", "b@https.example");
    relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(fd), "250 OK (HTTPS)");
    close(fd);
    assert_string_equal(world_mail(1)->from, "");
    assert_int_equal(world_connections(10, false), 0);
}

static void test_https_refused_then_smtp(void **state)
{
    (void)state;
    relay_domain("both.example", 11);
    world_peer(11, &(struct world_mood){.https_status = 400, .smtp = true});
    assert_string_equal(relay_deliver("a@both.example"), "250 OK (SMTP)");
    assert_int_equal(world_mails(), 1);
    assert_false(world_mail(0)->https);
    assert_memory_equal(world_mail(0)->body, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_int_equal(world_mail(0)->len, strlen(RELAY_MESSAGE));
    assert_string_equal(world_mail(0)->from, "me@here.example");
    /* 400 is about the message: HTTPS stays first. */
    relay_deliver("a@both.example");
    assert_int_equal(world_connections(11, true) >= 1, 1);
    world_peer(11, &(struct world_mood){.https_status = 200, .smtp = true});
    assert_string_equal(relay_deliver("a@both.example"), "250 OK (HTTPS)");
}

static void test_smtp_only_mark(void **state)
{
    (void)state;
    relay_domain("classic.example", 12);
    world_peer(12, &(struct world_mood){.https_status = 404, .smtp = true});
    for (int i = 0; i < 4; i++) {
        assert_string_equal(relay_deliver("a@classic.example"), "250 OK (SMTP)");
    }
    assert_int_equal(world_connections(12, true), 1);
    /* SMTP cannot connect: HTTPS is tried at once again. */
    world_peer(12, &(struct world_mood){.https_status = 200});
    assert_memory_equal(relay_deliver("a@classic.example"), "421 Failed to connect",
                        21);
    assert_string_equal(relay_deliver("a@classic.example"), "250 OK (HTTPS)");
}

static void test_big(void **state)
{
    (void)state;
    relay_domain("big.example", 13);
    world_peer(13, &(struct world_mood){.https_status = 413, .smtp = true});
    char *body = malloc(RELAY_BIG);
    for (size_t i = 0; i < RELAY_BIG; i++) {
        body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i % 23);
    }
    memcpy(body + RELAY_BIG - 2, "\r\n", 2);
    for (int way = 0; way < 2; way++) {
        int fd = relay_dial();
        relay_begin(fd, "me@here.example", "a@big.example");
        relay_finish(fd, body, RELAY_BIG);
        assert_string_equal(relay_hear(fd),
                            way == 0 ? "250 OK (SMTP)" : "250 OK (HTTPS)");
        close(fd);
        assert_int_equal(world_mail((size_t)way)->len, RELAY_BIG);
        assert_memory_equal(world_mail((size_t)way)->body, body, RELAY_BIG);
        world_peer(13, &(struct world_mood){.https_status = 200, .smtp = true});
    }
    free(body);
}

static void test_partial(void **state)
{
    (void)state;
    relay_domain("part.example", 14);
    world_peer(14, &(struct world_mood){.smtp = true,
                                        .refused = "bad",
                                        .rcpt = "550 5.1.1 no bad here"});
    for (int way = 0; way < 2; way++) {
        int fd = relay_dial();
        relay_begin(fd, "me@here.example",
                    "one@part.example bad1@part.example two@part.example "
                    "bad2@part.example");
        relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
        assert_string_equal(relay_hear(fd), "250 OK (SMTP)");
        assert_string_equal(relay_hear(fd),
                            relay_from_peer("550 5.1.1 no bad here", 14));
        assert_string_equal(relay_hear(fd), "250 OK (SMTP)");
        assert_string_equal(relay_hear(fd),
                            relay_from_peer("550 5.1.1 no bad here", 14));
        close(fd);
        assert_string_equal(world_mail((size_t)way)->to,
                            "one@part.example two@part.example ");
        world_peer(14, &(struct world_mood){.smtp = true,
                                            .no_pipelining = true,
                                            .refused = "bad",
                                            .rcpt = "550 5.1.1 no bad here"});
    }
    assert_string_equal(relay_deliver("bad@part.example"),
                        relay_from_peer("550 5.1.1 no bad here", 14));
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
    relay_domain("refuse.example", 15);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_peer(15, &cases[i].mood);
        assert_string_equal(relay_deliver("a@refuse.example"),
                            relay_from_peer(cases[i].reply, 15));
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
        relay_domain(name, n);
        world_peer(n, &cases[i].mood);
        assert_memory_equal(relay_deliver(to),
                            "421 Failed to connect to any mail server; last attempt to "
                            "peer2",
                            60);
        assert_non_null(strstr(relay_reply, cases[i].text));
    }
    assert_int_equal(world_mails(), 0);
}

/* Lost behind the final dot: it may come twice, it is not lost, and no other host gets
 * it now. */
static void test_uncertain(void **state)
{
    (void)state;
    relay_domain("lost.example", 26);
    world_record("lost.example", "MX", "20 peer27.example");
    world_record("peer27.example", "A", "127.0.0.27");
    world_peer(26, &(struct world_mood){.smtp = true, .hang_up = true});
    world_peer(27, &(struct world_mood){.smtp = true});
    assert_memory_equal(relay_deliver("a@lost.example"),
                        "451 4.4.2 Lost the connection", 29);
    assert_int_equal(world_mails(), 1);
    assert_int_equal(world_connections(27, false), 0);
}

/* Where to */

static void test_mx(void **state)
{
    (void)state;
    world_record("null.example", "MX", "0 .");
    assert_string_equal(relay_deliver("a@null.example"),
                        "556 5.1.10 Permanent failure: Recipient address has null MX");
    assert_string_equal(relay_deliver("a@nowhere.example"),
                        "512 Domain nowhere.example does not exist");
    /* No MX: the domain itself. */
    world_record("bare.example", "A", "127.0.0.30");
    world_peer(30, &(struct world_mood){.smtp = true, .name = "bare.example"});
    assert_string_equal(relay_deliver("a@bare.example"), "250 OK (SMTP)");
    /* The better host refuses connections, the next one takes it. */
    world_record("two.example", "MX", "20 peer32.example");
    world_record("two.example", "MX", "10 peer31.example");
    world_record("peer31.example", "A", "127.0.0.31");
    world_record("peer32.example", "A", "127.0.0.32");
    world_peer(32, &(struct world_mood){.smtp = true});
    assert_string_equal(relay_deliver("a@two.example"), "250 OK (SMTP)");
    assert_int_equal(world_mail(1)->peer, 32);
    /* Nobody there at all is no verdict. */
    world_record("empty.example", "MX", "10 ghost.example");
    assert_memory_equal(relay_deliver("a@empty.example"), "451 4.4.4 ", 10);
}

static void test_dns_trouble(void **state)
{
    (void)state;
    relay_domain("slow.example", 33);
    world_peer(33, &(struct world_mood){.smtp = true});
    world_dns_mood(WORLD_DNS_WELL, 2);
    assert_string_equal(relay_deliver("a@slow.example"), "250 OK (SMTP)");
    relay_domain("cut.example", 33);
    world_dns_mood(WORLD_DNS_CUT, 0);
    assert_string_equal(relay_deliver("a@cut.example"), "250 OK (SMTP)");
    relay_domain("fails.example", 33);
    world_dns_mood(WORLD_DNS_FAILS, 0);
    int64_t before = cm_now_mono_ms();
    assert_string_equal(relay_deliver("a@fails.example"),
                        "421 DNS resolution failed for fails.example");
    assert_true(cm_now_mono_ms() - before < 15000);
}

static void test_exceptions(void **state)
{
    (void)state;
    relay_domain("_odd.example", 34);
    world_peer(34, &(struct world_mood){.https_status = 200,
                                        .name = "other.example",
                                        .untrusted = true});
    assert_string_equal(relay_deliver("a@_odd.example"), "250 OK (HTTPS)");
    world_peer(34, &(struct world_mood){
                       .smtp = true, .name = "other.example", .untrusted = true});
    assert_string_equal(relay_deliver("a@_odd.example"), "250 OK (SMTP)");
    relay_domain("strict.example", 35);
    world_peer(35, &(struct world_mood){.https_status = 200,
                                        .name = "other.example",
                                        .untrusted = true});
    assert_memory_equal(relay_deliver("a@strict.example"), "421 Failed to connect", 21);
    relay_domain("nauta.cu", 36);
    world_peer(36, &(struct world_mood){.smtp = true, .no_starttls = true});
    assert_string_equal(relay_deliver("a@nauta.cu"), "250 OK (SMTP)");
    world_peer(37, &(struct world_mood){
                       .smtp = true, .name = "other.example", .untrusted = true});
    assert_string_equal(relay_deliver("a@[127.0.0.37]"), "250 OK (SMTP)");
    world_peer(37, &(struct world_mood){.https_status = 200,
                                        .name = "other.example",
                                        .untrusted = true});
    assert_memory_equal(relay_deliver("a@[127.0.0.37]"), "421 ",
                        4); /* marked SMTP only */
    assert_string_equal(relay_deliver("a@[127.0.0.37]"), "250 OK (HTTPS)");
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
    assert_string_equal(relay_deliver("a@sts.example"), "250 OK (SMTP)");
    assert_int_equal(world_mail(0)->peer, 39);
    assert_int_equal(world_connections(38, false), 0);
    /* Kept over a restart, and in force though it cannot be fetched. */
    relay_stop();
    world_peer(40, &(struct world_mood){.https_status = 404});
    world_peer(39, &(struct world_mood){.smtp = false});
    relay_start(NULL, NULL);
    assert_memory_equal(relay_deliver("a@sts.example"), "421 Failed to connect", 21);
    assert_int_equal(world_connections(38, false), 0);
    assert_int_equal(world_connections(40, true), 1);
}

/* relay-spec.md 6.8, transport checks */

static void test_check_1(void **state)
{
    (void)state;
    relay_stop();
    relay_start("--places", "1");
    relay_domain("d1.example", 50);
    relay_domain("d2.example", 51);
    world_peer(50, &(struct world_mood){.smtp = true});
    world_peer(51, &(struct world_mood){.smtp = true});
    int a = relay_dial(), b = relay_dial(), c = relay_dial();
    assert_memory_equal(relay_begin(a, "me@x.example", "1@d1.example 2@d1.example"),
                        "354", 3);
    assert_memory_equal(relay_begin(b, "me@x.example", "1@d1.example 1@d2.example"),
                        "354", 3);
    assert_string_equal(relay_begin(c, "me@x.example", "3@d1.example 3@d2.example"),
                        "421 Transport busy");
    relay_finish(a, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(a), "250 OK (SMTP)");
    assert_string_equal(relay_hear(a), "250 OK (SMTP)");
    relay_finish(b, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(b), "421 Transport busy");
    assert_string_equal(relay_hear(b), "250 OK (SMTP)");
    /* Places are back. */
    assert_memory_equal(relay_begin(c, "me@x.example", "3@d1.example 3@d2.example"),
                        "354", 3);
    relay_finish(c, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(c), "250 OK (SMTP)");
    assert_string_equal(relay_hear(c), "250 OK (SMTP)");
    close(a);
    close(b);
    close(c);
}

static void test_check_2(void **state)
{
    (void)state;
    world_record("localhost", "A", "127.0.0.1");
    world_peer(1, &(struct world_mood){.smtp = true, .name = "localhost"});
    int fd = relay_dial();
    relay_begin(fd, "me@x.example",
                "a1@localhost a2@localhost b1@[127.0.0.1] b2@[127.0.0.1]");
    relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    for (int i = 0; i < 4; i++) {
        assert_string_equal(relay_hear(fd), "250 OK (SMTP)");
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
    relay_stop();
    relay_start("--places", "1");
    world_record("localhost", "A", "127.0.0.1");
    world_peer(1, &(struct world_mood){.smtp = true, .name = "localhost"});
    int holder = relay_dial(), fd = relay_dial();
    relay_ask(holder, "MAIL FROM:<me@x.example>");
    assert_string_equal(relay_ask(holder, "RCPT TO:<h@[127.0.0.1]>"), "250 OK");
    relay_begin(fd, "me@x.example", "a@localhost b@[127.0.0.1]");
    relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(fd), "250 OK (SMTP)");
    assert_string_equal(relay_hear(fd), "421 Transport busy");
    assert_string_equal(relay_ask(holder, "RSET"), "250 OK");
    relay_begin(fd, "me@x.example", "b@[127.0.0.1]");
    relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(fd), "250 OK (SMTP)");
    close(fd);
    close(holder);
}

static void test_check_4(void **state)
{
    (void)state;
    relay_stop();
    relay_start("--destinations", "1");
    relay_domain("w1.example", 52);
    relay_domain("w2.example", 53);
    world_peer(52, &(struct world_mood){.smtp = true});
    world_peer(53, &(struct world_mood){.smtp = true});
    int a = relay_dial(), b = relay_dial();
    relay_begin(a, "me@x.example", "a@w1.example");
    assert_string_equal(relay_begin(b, "me@x.example", "b@w2.example"),
                        "421 Transport busy");
    assert_int_equal(world_connections(53, false) + world_connections(53, true), 0);
    close(a);
    close(b);
}

/* LMTP itself */

static void test_lmtp(void **state)
{
    (void)state;
    int fd = relay_dial();
    assert_string_equal(relay_ask(fd, "NOOP"), "250 OK");
    assert_string_equal(relay_ask(fd, "WHAT"), "500 Command not recognized");
    assert_string_equal(relay_ask(fd, "MAIL FROM:nothing"),
                        "500 Invalid address in MAIL FROM");
    assert_string_equal(relay_ask(fd, "RCPT TO:<a@b.example>"),
                        "503 5.5.1 Need MAIL command");
    assert_string_equal(relay_ask(fd, "MAIL FROM:<>"), "250 OK");
    assert_memory_equal(relay_ask(fd, "RCPT TO:<a b@c.example>"), "501 5.1.3", 9);
    assert_string_equal(relay_ask(fd, "RCPT TO:<invalid>"),
                        "553 Invalid email address: invalid");
    assert_string_equal(relay_ask(fd, "RCPT TO:<a@b@c>"),
                        "553 Invalid email address: a@b@c");
    assert_memory_equal(relay_ask(fd, "RCPT TO:<a@-.b..c>"), "501 ", 4);
    assert_string_equal(relay_ask(fd, "DATA"), "503 5.5.1 Need RCPT command");
    assert_string_equal(relay_ask(fd, "RSET"), "250 OK");
    /* All at once, two messages. */
    relay_domain("pipe.example", 80);
    world_peer(80, &(struct world_mood){.https_status = 200});
    static const char one[] = "MAIL FROM:<me@x.example>\r\nRCPT TO:<a@pipe.example>\r\n"
                              "DATA\r\nSubject: y\r\n\r\nz\r\n.\r\n";
    daemonkit_say_text(fd, one);
    daemonkit_say_text(fd, one);
    daemonkit_say_text(fd, "QUIT\r\n");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(relay_hear(fd), "250 OK");
        assert_string_equal(relay_hear(fd), "250 OK");
        assert_memory_equal(relay_hear(fd), "354", 3);
        assert_string_equal(relay_hear(fd), "250 OK (HTTPS)");
    }
    assert_string_equal(relay_hear(fd), "221 OK");
    assert_string_equal(relay_hear(fd), "");
    close(fd);
    assert_int_equal(world_mails(), 2);
    /* Too big, and a bare LF: said at the end, nothing is passed on, the session lives.
     */
    fd = relay_dial();
    char *body = malloc(RELAY_LIMIT);
    memset(body, 'x', RELAY_LIMIT);
    memcpy(body + RELAY_LIMIT - 2, "\r\n", 2);
    relay_begin(fd, "me@x.example", "a@pipe.example");
    daemonkit_say_text(fd, "x");
    relay_finish(fd, body, RELAY_LIMIT);
    assert_string_equal(relay_hear(fd), "552 Message exceeds maximum size");
    relay_begin(fd, "me@x.example", "a@pipe.example");
    daemonkit_say_text(fd, "a\n.\nMAIL FROM:<b>\r\n.\r\n");
    assert_string_equal(relay_hear(fd), "500 Invalid DATA");
    relay_begin(fd, "me@x.example", "a@pipe.example");
    relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_string_equal(relay_hear(fd), "250 OK (HTTPS)");
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
    relay_domain("mem.example", 83);
    world_peer(83, &(struct world_mood){.https_status = 200, .https_delay_ms = 100});
    char *body = malloc(RELAY_BIG);
    for (size_t i = 0; i < RELAY_BIG; i++) {
        body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x';
    }
    assert_string_equal(relay_deliver("a@mem.example"), "250 OK (HTTPS)");
    for (int i = 0; i < MANY; i++) {
        fds[i] = relay_dial();
        relay_begin(fds[i], "me@x.example", "a@mem.example");
    }
    for (size_t at = 0; at < RELAY_BIG; at += RELAY_BIG / 16) {
        for (int i = 0; i < MANY; i++) {
            daemonkit_say(fds[i], body + at, RELAY_BIG / 16);
        }
    }
    for (int i = 0; i < MANY; i++) {
        daemonkit_say_text(fds[i], "\r\n.\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        assert_string_equal(relay_hear(fds[i]), "250 OK (HTTPS)");
        close(fds[i]);
    }
    assert_int_equal(world_mails(), MANY + 1);
    free(body);
    char path[64], *text = NULL;
    struct cm_err err;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)relay_pid);
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
    relay_domain("kill.example", 81);
    world_peer(81, &(struct world_mood){.smtp = true, .silent = true});
    int fd = relay_dial();
    relay_begin(fd, "me@x.example", "a@kill.example");
    relay_finish(fd, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    while (world_connections(81, false) == 0) {
        usleep(10000);
    }
    usleep(200000);
    daemonkit_stop(relay_pid, SIGKILL);
    assert_string_equal(relay_hear(fd), "");
    close(fd);
    world_peer(81, &(struct world_mood){.smtp = true});
    relay_start(NULL, NULL);
    assert_string_equal(relay_deliver("a@kill.example"), "250 OK (SMTP)");
    assert_int_equal(world_mails(), 1);
}

static void test_drain_and_reload(void **state)
{
    (void)state;
    relay_domain("drain.example", 82);
    world_peer(82, &(struct world_mood){.https_status = 200, .https_delay_ms = 700});
    int busy = relay_dial(), idle = relay_dial();
    assert_int_equal(kill(relay_pid, SIGHUP), 0);
    relay_begin(busy, "me@x.example", "a@drain.example");
    relay_finish(busy, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    usleep(200000);
    assert_int_equal(kill(relay_pid, SIGTERM), 0);
    assert_memory_equal(relay_hear(idle), "421 4.3.2", 9);
    assert_string_equal(relay_hear(busy), "250 OK (HTTPS)");
    int status;
    assert_int_equal(waitpid(relay_pid, &status, 0), relay_pid);
    relay_pid = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(busy);
    close(idle);
}

#define E2E(name) cmocka_unit_test_setup_teardown(name, relay_setup, relay_teardown)

int main(void)
{
    if (relay_open() != 0) {
        return 1;
    }
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
        E2E(test_lmtp),
        E2E(test_memory),
        E2E(test_kill),
        E2E(test_drain_and_reload),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return relay_close(failed == 0) != 0 || failed != 0;
}
