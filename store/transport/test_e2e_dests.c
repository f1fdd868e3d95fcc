/* Many messages at once and one after the other: dead destinations beside living ones,
 * breakers, gateways, connections that are kept. */
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

/* Dead ones beside a living one */

static int64_t time_one(const char *to)
{
    int64_t before = cm_now_mono_ms();
    assert_string_equal(relay_deliver(to), "250 OK (HTTPS)");
    return cm_now_mono_ms() - before;
}

#define DEAD 50

static void test_dead_beside_living(void **state)
{
    (void)state;
    int fds[DEAD * 6];
    relay_domain("living.example", 60);
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
            relay_domain(name, 61);
        }
        fds[i] = relay_dial();
        assert_memory_equal(relay_begin(fds[i], "me@x.example", to), "354", 3);
        relay_finish(fds[i], RELAY_MESSAGE, strlen(RELAY_MESSAGE));
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
    /* A dead one that is waited for costs seconds; the rest is for a busy machine. */
    assert_true(beside / 20 < alone / 20 * 2 + 200);
    /* Those that wait are put off at once when it is clear that nobody answers; the
     * others when their connection has timed out. */
    int64_t before = cm_now_mono_ms();
    for (int i = 0; i < DEAD * 6; i++) {
        relay_hear(fds[i]);
        assert_true(relay_reply[0] == '4');
        close(fds[i]);
    }
    assert_true(cm_now_mono_ms() - before < 25000);
    /* And now the breaker says no before a message is sent. */
    int fd = relay_dial();
    relay_ask(fd, "MAIL FROM:<me@x.example>");
    assert_memory_equal(relay_ask(fd, "RCPT TO:<a@dead7.example>"),
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
    relay_domain("few.example", 62);
    for (int round = 0; round < 2; round++) {
        world_peer(62, &(struct world_mood){.https_status = 200,
                                            .https_delay_ms = round == 0 ? 1000 : 300});
        for (int i = 0; i < MANY; i++) {
            fds[i] = relay_dial();
            relay_begin(fds[i], "me@x.example", "a@few.example");
            relay_finish(fds[i], RELAY_MESSAGE, strlen(RELAY_MESSAGE));
        }
        if (round == 0) {
            for (int i = 0; i < 5000 && world_busiest(62) < 2; i++) {
                usleep(1000);
            }
            usleep(100000);
            assert_int_equal(world_busiest(62), 2);
        }
        for (int i = 0; i < MANY; i++) {
            assert_string_equal(relay_hear(fds[i]), "250 OK (HTTPS)");
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
            relay_domain(name, 63 + d % 3); /* 65 refuses */
        }
        fds[held] = relay_dial();
        relay_ask(fds[held], "MAIL FROM:<me@x.example>");
        if (relay_ask(fds[held], "RCPT TO:<%s>", to)[0] == '4' ||
            relay_ask(fds[held], "DATA")[0] == '4') {
            close(fds[held]);
            continue;
        }
        relay_finish(fds[held++], RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    }
    assert_true(held >= DEAD);
    relay_domain("stranger.example", 66);
    world_peer(66, &(struct world_mood){.https_status = 200});
    int64_t before = cm_now_mono_ms();
    while (strcmp(relay_deliver("a@stranger.example"), "250 OK (HTTPS)") != 0) {
        assert_string_equal(relay_reply, "421 Transport busy");
        assert_true(cm_now_mono_ms() - before < 4000);
        usleep(50000);
    }
    int64_t first = cm_now_mono_ms() - before;
    before = cm_now_mono_ms();
    for (int i = 0; i < 20; i++) {
        assert_string_equal(relay_deliver("a@stranger.example"), "250 OK (HTTPS)");
    }
    int64_t each = (cm_now_mono_ms() - before) / 20;
    print_message("%d held for %d dead ones; a stranger is served after %lld ms, "
                  "then in %lld ms each\n",
                  held, DEAD, (long long)first, (long long)each);
    assert_true(each < 500);
    for (int i = 0; i < held; i++) {
        close(fds[i]); /* those that are never spoken to would take a minute */
    }
}

/* The breaker, half open */

/* A session that has the first place there is, as soon as there is one: the probe. */
static int probe(const char *to)
{
    for (int i = 0; i < 100; i++) {
        int fd = relay_dial();
        relay_ask(fd, "MAIL FROM:<me@x.example>");
        if (relay_ask(fd, "RCPT TO:<%s>", to)[0] == '2') {
            return fd;
        }
        assert_memory_equal(relay_reply, "451 4.4.1 ", 10);
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
    relay_domain("half.example", 90);
    assert_memory_equal(relay_deliver("a@half.example"), "421 Failed to connect", 21);
    world_peer(90, &(struct world_mood){.https_status = 200, .https_delay_ms = 500});
    /* The first goes without a word; one of those that wait takes its part, and the
     * rest goes when that has arrived. */
    int first = probe("a@half.example");
    for (int i = 0; i < OTHERS; i++) {
        others[i] = relay_dial();
        assert_memory_equal(relay_begin(others[i], "me@x.example", "b@half.example"),
                            "354", 3);
        relay_finish(others[i], RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    }
    usleep(300000);
    assert_int_equal(world_connections(90, true), 0);
    close(first);
    for (int i = 0; i < 1000 && world_busiest(90) == 0; i++) {
        usleep(1000);
    }
    assert_int_equal(world_busiest(90), 1);
    for (int i = 0; i < OTHERS; i++) {
        assert_string_equal(relay_hear(others[i]), "250 OK (HTTPS)");
        close(others[i]);
    }
    assert_int_equal(world_mails(), OTHERS);
    assert_true(world_busiest(90) > 1);
}

static void test_half_open_in_vain(void **state)
{
    (void)state;
    relay_domain("still.example", 91);
    relay_deliver("a@still.example");
    int first = probe("a@still.example"), other = relay_dial();
    relay_begin(other, "me@x.example", "b@still.example");
    relay_finish(other, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_memory_equal(relay_ask(first, "DATA"), "354", 3);
    relay_finish(first, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_memory_equal(relay_hear(first), "421 Failed to connect", 21);
    assert_memory_equal(relay_hear(other), "451 4.4.1 still.example cannot be reached",
                        41);
    close(first);
    close(other);
    /* A probe that comes to nothing is not waited for without end. */
    first = probe("a@still.example");
    other = relay_dial();
    relay_begin(other, "me@x.example", "b@still.example");
    int64_t before = cm_now_mono_ms();
    relay_finish(other, RELAY_MESSAGE, strlen(RELAY_MESSAGE));
    assert_memory_equal(relay_hear(other), "451 4.4.1 still.example does not answer",
                        39);
    int64_t waited = cm_now_mono_ms() - before;
    assert_true(waited >= 9000 && waited < 13000);
    close(first);
    close(other);
}

/* Gateways */

static void test_egress(void **state)
{
    (void)state;
    relay_domain("via.example", 70);
    world_peer(70, &(struct world_mood){.smtp = true});
    relay_write_egress("1 127.0.1.1 - gw1.example\n2 127.0.1.2 - -\n");
    assert_string_equal(relay_deliver("a@via.example"), "250 OK (SMTP)");
    assert_string_equal(world_mail(0)->ehlo, "gw1.example");
    /* An address that this machine does not have: that gateway cannot be used, the
     * other one is taken, and remembered. */
    relay_write_egress("1 203.0.113.99 - -\n2 127.0.1.2 - -\n");
    assert_string_equal(relay_deliver("a@via.example"), "250 OK (SMTP)");
    assert_string_equal(relay_deliver("a@via.example"), "250 OK (SMTP)");
    assert_string_equal(world_mail(2)->ehlo, "here.example");
    /* None is healthy: it waits. */
    relay_write_egress("");
    assert_memory_equal(relay_deliver("a@via.example"), "451 4.4.1 No gateway", 20);
    assert_int_equal(world_mails(), 3);
}

/* SMTP connections that are kept between messages */

static void expect(const char *to, const char *want)
{
    assert_memory_equal(relay_deliver(to), want, strlen(want));
}

static void test_kept(void **state)
{
    (void)state;
    relay_domain("kept.example", 110);
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
            assert_string_equal(relay_deliver(to), "250 OK (SMTP)");
            assert_string_equal(relay_deliver("bad@kept.example"),
                                relay_from_peer("550 5.1.1 no bad here", 110));
        }
        assert_int_equal(world_connections(110, false) - before, 1);
        assert_int_equal(world_mails(), 10);
        for (int i = 0; i < 10; i++) { /* nothing of one is left in the next */
            char to[64];
            snprintf(to, sizeof(to), "a%d@kept.example ", i);
            assert_string_equal(world_mail((size_t)i)->to, to);
            assert_int_equal(world_mail((size_t)i)->len, strlen(RELAY_MESSAGE));
            assert_memory_equal(world_mail((size_t)i)->body, RELAY_MESSAGE,
                                strlen(RELAY_MESSAGE));
        }
    }
    /* Not for long, and with a word of farewell. */
    assert_int_equal(world_quits(110), 0);
    for (int i = 0; i < 80 && world_quits(110) == 0; i++) {
        usleep(100000);
    }
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
    char *body = malloc(RELAY_BIG);
    memset(body, 'x', RELAY_BIG);
    memcpy(body + RELAY_BIG - 2, "\r\n", 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int n = 111 + (int)i;
        char name[64], to[80];
        snprintf(name, sizeof(name), "ends%d.example", n);
        snprintf(to, sizeof(to), "a@%s", name);
        relay_domain(name, n);
        world_forget();
        world_peer(n, &(struct world_mood){
                          .smtp = true, .messages = 1, .then = cases[i].then});
        expect(to, "250 OK (SMTP)");
        usleep(50000);
        int fd = relay_dial();
        relay_begin(fd, "me@here.example", to);
        relay_finish(fd, body,
                     RELAY_BIG); /* so long that it can be cut in the middle */
        assert_memory_equal(relay_hear(fd), cases[i].second, strlen(cases[i].second));
        close(fd);
        assert_int_equal(world_mails(), cases[i].mails);
        assert_int_equal(world_mail(1)->len, RELAY_BIG);
        assert_int_equal(world_connections(n, false), cases[i].connections);
    }
    free(body);
}

/* A connection is what it was made as: by a gateway, under a name, with a certificate
 * that was looked at or not. */
static void test_kept_apart(void **state)
{
    (void)state;
    relay_domain("apart.example", 117);
    relay_domain("_apart.example", 117);
    world_peer(117, &(struct world_mood){.smtp = true});
    relay_write_egress("1 127.0.1.1 - gw1.example\n");
    expect("a@apart.example", "250 OK (SMTP)");
    expect("a@_apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 2);
    assert_int_equal(world_resumed(117), 0);
    relay_write_egress("2 127.0.1.2 - gw2.example\n");
    expect("a@apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 3);
    assert_int_equal(world_resumed(117), 1); /* the ticket of the verified one */
    assert_string_equal(world_mail(1)->ehlo, "gw1.example");
    assert_string_equal(world_mail(2)->ehlo, "gw2.example");
    expect("b@apart.example", "250 OK (SMTP)");
    assert_int_equal(world_connections(117, false), 3);
    /* Other roots may trust others. */
    assert_int_equal(kill(relay_pid, SIGHUP), 0);
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
    relay_domain(name, n);
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
    relay_write_egress("1 127.0.1.1 ::1 gw1.example\n");
    assert_string_equal(relay_deliver("a@six.example"), "250 OK (HTTPS)");
    world_peer(100, &(struct world_mood){.smtp = true,
                                         .at_v6 = true,
                                         .refused = "bad",
                                         .rcpt = "550 5.1.1 no bad here"});
    assert_string_equal(relay_deliver("a@six.example"), "250 OK (SMTP)");
    assert_string_equal(world_mail(1)->ehlo, "gw1.example");
    char want[128];
    snprintf(want, sizeof(want),
             "550 5.1.1 no bad here (forwarded from peer100.example[[::1]:%d])",
             world_smtp_port());
    assert_string_equal(relay_deliver("bad@six.example"), want);
    /* A gateway without IPv6 cannot reach it. */
    relay_write_egress("1 127.0.1.1 - gw1.example\n");
    assert_memory_equal(relay_deliver("a@six.example"), "421 Failed to connect", 21);
    assert_non_null(strstr(relay_reply, "no address of a family that can leave"));
    /* An address literal; and a host with both families, of which IPv6 answers. */
    relay_write_egress("direct\n");
    world_peer(100, &(struct world_mood){.https_status = 200,
                                         .at_v6 = true,
                                         .name = "other.example",
                                         .untrusted = true});
    assert_string_equal(relay_deliver("a@[IPv6:::1]"), "250 OK (HTTPS)");
    world_record("dual.example", "MX", "10 peer101.example");
    world_record("peer101.example", "A", "127.0.0.101");
    world_record("peer101.example", "AAAA", "::1");
    world_peer(100, &(struct world_mood){
                        .smtp = true, .at_v6 = true, .name = "peer101.example"});
    assert_string_equal(relay_deliver("a@dual.example"), "250 OK (SMTP)");
    assert_int_equal(world_mails(), 4);
    world_peer(100, &(struct world_mood){.smtp = false});
    world_peer(101, &(struct world_mood){.smtp = true});
    assert_string_equal(relay_deliver("a@dual.example"), "250 OK (SMTP)");
}

#define E2E(name) cmocka_unit_test_setup_teardown(name, relay_setup, relay_teardown)

int main(void)
{
    if (relay_open() != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        E2E(test_dead_beside_living),
        E2E(test_concurrency),
        E2E(test_dead_of_all_kinds),
        E2E(test_half_open),
        E2E(test_half_open_in_vain),
        E2E(test_egress),
        E2E(test_kept),
        E2E(test_kept_ends),
        E2E(test_kept_apart),
        E2E(test_kept_pays),
        E2E(test_ipv6),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return relay_close(failed == 0) != 0 || failed != 0;
}
