/* Addresses, peers, replies, LMTP, MX order, breakers, MTA-STS, the egress file.
 * Also the pool of connections, over socket pairs.
 * Numbers in comments are sections of relay-spec.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "address.h"
#include "breaker.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/loop.h"
#include "dns_packet.h"
#include "egress.h"
#include "lmtp.h"
#include "lru.h"
#include "mx.h"
#include "peer.h"
#include "pool.h"
#include "reply.h"
#include "spool.h"
#include "sts.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Addresses */

static void test_extract(void **state) /* 6.7 */
{
    (void)state;
    static const char *const cases[][2] = {
        {"<t1@example.org>", "t1@example.org"},
        {"<T2@Example.Org> SOMETHING=SOMETHING OTHER=OTHER", "t2@example.org"},
        {"<SRS1=HHH=example.org==HHH=TT=example.com=user@example.net> abc=def",
         "srs1=hhh=example.org==hhh=tt=example.com=user@example.net"},
        {"<abc+alice@example.net> abc=def", "abc+alice@example.net"},
        {"Foo Bar <t5@example.org>", "t5@example.org"},
        {"t6@example.org", "t6@example.org"},
        {"t7@[192.0.2.0]", "t7@[192.0.2.0]"},
        {"<t7@[192.0.2.0]>", "t7@[192.0.2.0]"},
        {"t8@[IPv6:2001:db8::1]", "t8@[ipv6:2001:db8::1]"},
        {"<t8@[IPv6:2001:db8::1]>", "t8@[ipv6:2001:db8::1]"},
        {"<>", ""},
        {" <> BODY=8BITMIME", ""},
        {"<@a.example,@b.example:c@d.example>", "c@d.example"},
        {"<\"a>b\"@c.example>", "\"a>b\"@c.example"},
    };
    static const char *const bad[] = {"",          " ",           "<a@b",   "<a b@c.d>",
                                      "<a\r@c.d>", "<a@b.c\x7f>", "<\"a@b>"};
    char out[ADDRESS_MAX];
    struct cm_err err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(address_extract(cases[i][0], strlen(cases[i][0]), out, &err),
                         0);
        assert_string_equal(out, cases[i][1]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(address_extract(bad[i], strlen(bad[i]), out, &err), -1);
    }
    char longest[ADDRESS_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(address_extract(longest, ADDRESS_MAX - 1, out, &err), 0);
    assert_int_equal(address_extract(longest, ADDRESS_MAX, out, &err), -1);
}

static void test_domain(void **state) /* 6.7 */
{
    (void)state;
    static const struct {
        const char *address, *name;
        bool literal;
    } cases[] = {
        {"t1@example.org", "example.org", false},
        {"srs1=hhh=example.org==hhh=tt=example.com=user@Example.NET", "example.net",
         false},
        {"a@_odd.example", "_odd.example", false},
        {"t7@[192.0.2.0]", "192.0.2.0", true},
        {"t8@[ipv6:2001:db8::1]", "2001:db8::1", true},
        {"t8@[IPv6:2001:DB8:0::1]", "2001:db8::1", true},
    };
    static const char *const bad[][2] = {
        {"invalid", "553 Invalid email address: invalid"},
        {"invalid@address@com", "553 Invalid email address: invalid@address@com"},
        {"@x", "553 Invalid email address: @x"},
        {"x@", "553 Invalid email address: x@"},
        {"x@a..b", "501 Invalid domain name"},
        {"x@a b", "501 Invalid domain name"},
        {"x@.", "501 Invalid domain name"},
        {"x@[300.1.1.1]", "501 Invalid address literal"},
        {"x@[]", "501 Invalid address literal"},
    };
    struct domain d;
    struct cm_err err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(address_domain(cases[i].address, &d, &err), 0);
        assert_string_equal(d.name, cases[i].name);
        assert_int_equal(d.literal, cases[i].literal);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(address_domain(bad[i][0], &d, &err), -1);
        assert_string_equal(err.text, bad[i][1]);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
    }
}

static void test_peer(void **state) /* 6.7, peer formatting */
{
    (void)state;
    static const char *const cases[][3] = {
        {"192.0.2.0", "192.0.2.0", "192.0.2.0:25"},
        {"2001:db8::1", "2001:db8::1", "[2001:db8::1]:25"},
        {"example.org", "192.0.2.0", "example.org[192.0.2.0:25]"},
        {"example.org", "2001:db8::1", "example.org[[2001:db8::1]:25]"},
    };
    char out[PEER_TEXT_MAX];
    struct peer_address a;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_true(peer_address_parse(cases[i][1], &a));
        peer_format(cases[i][0], &a, 25, out);
        assert_string_equal(out, cases[i][2]);
    }
    peer_format("example.org", NULL, 25, out);
    assert_string_equal(out, "example.org[?:?]");
}

static void test_public(void **state)
{
    (void)state;
    static const char *const others[] = {"192.0.2.1",  "198.51.100.9",  "8.8.8.8",
                                         "172.32.0.1", "100.64.0.1",    "2001:db8::1",
                                         "2a01::1",    "::ffff:8.8.8.8"};
    static const char *const ours[] = {"127.0.0.1",
                                       "10.77.1.2",
                                       "192.168.1.1",
                                       "172.16.0.1",
                                       "172.31.255.255",
                                       "169.254.1.1",
                                       "0.0.0.0",
                                       "224.0.0.1",
                                       "255.255.255.255",
                                       "::1",
                                       "::",
                                       "fe80::1",
                                       "fd77:1::2",
                                       "ff02::1",
                                       "::ffff:10.0.0.1"};
    struct peer_address a;
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_true(peer_address_parse(others[i], &a) && peer_is_public(&a));
    }
    for (size_t i = 0; i < COUNT(ours); i++) {
        assert_true(peer_address_parse(ours[i], &a));
        assert_false(peer_is_public(&a));
    }
}

/* Replies */

/* Fed in pieces of `piece`; how many replies came, the last one in r->reply; -1. */
static int feed(struct reply_reader *r, const char *text, size_t piece)
{
    size_t len = strlen(text), at = 0;
    int replies = 0;
    reply_init(r);
    while (at < len) {
        size_t n = len - at < piece ? len - at : piece, used;
        int rc = reply_feed(r, text + at, n, &used);
        assert_true(used <= n);
        at += used;
        if (rc < 0) {
            return -1;
        }
        replies += rc;
    }
    return replies;
}

static void test_reply(void **state)
{
    (void)state;
    static struct reply_reader r;
    char flat[REPLY_FLAT_MAX];
    for (size_t piece = 1; piece < 80; piece++) {
        assert_int_equal(
            feed(&r, "220 hello\r\n250-a\r\n250-STARTTLS\r\n250 SIZE 1\r\n", piece), 2);
        assert_int_equal(r.reply.code, 250);
        assert_string_equal(r.reply.text, "a\nSTARTTLS\nSIZE 1");
        assert_true(reply_offers(&r.reply, "starttls"));
        assert_true(reply_offers(&r.reply, "SIZE"));
        assert_false(reply_offers(&r.reply, "START"));
        assert_false(reply_offers(&r.reply, "PIPELINING"));
    }
    assert_int_equal(feed(&r, "550-5.1.1 no such\r\n550 5.1.1 user\there\r\n", 9), 1);
    reply_flat(&r.reply, flat);
    assert_string_equal(flat, "550 5.1.1 no such user?here");
    assert_int_equal(feed(&r, "550-5.1.1 a\n550 5.7.1 b\n", 99), 1); /* bare LF too */
    reply_flat(&r.reply, flat);
    assert_string_equal(flat, "550 5.1.1 a 5.7.1 b");
    assert_int_equal(feed(&r, "354\r\n", 1), 1);
    reply_flat(&r.reply, flat);
    assert_string_equal(flat, "354");
    static const char *const bad[] = {
        "\r\n",     "25\r\n",           "150 x\r\n",         "650 x\r\n",
        "250x\r\n", "HTTP/1.1 400\r\n", "250-a\r\n251 b\r\n"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(feed(&r, bad[i], 3), -1);
    }
}

static void test_reply_limits(void **state)
{
    (void)state;
    static struct reply_reader r;
    static char text[REPLY_LINE_MAX * 3];
    char flat[REPLY_FLAT_MAX];
    memset(text, 'x', REPLY_LINE_MAX - 1);
    memcpy(text, "250 ", 4);
    memcpy(text + REPLY_LINE_MAX - 1, "\r\n", 3);
    assert_int_equal(feed(&r, text, 100), 1); /* with the CR just so long */
    assert_int_equal(reply_flat(&r.reply, flat), REPLY_FLAT_MAX - 1);
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "250 ", 4);
    assert_int_equal(feed(&r, text, 100), -1);
    struct cm_buf many;
    cm_buf_init(&many, 1u << 20);
    for (int i = 0; i < REPLY_LINES_MAX; i++) {
        cm_buf_str(&many, "250-0123456789012345678901234567890\r\n");
    }
    assert_int_equal(feed(&r, many.data, 1000), 0);
    assert_true(r.reply.len < REPLY_TEXT_MAX);
    cm_buf_str(&many, "250 end\r\n");
    assert_int_equal(feed(&r, many.data, 1000), -1);
    cm_buf_clear(&many);
}

/* LMTP */

static void test_commands(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum lmtp_verb verb;
        const char *rest;
    } cases[] = {
        {"LHLO postfix", LMTP_LHLO, " postfix"},
        {"ehlo x", LMTP_LHLO, " x"},
        {"mail from:<a@b> X=Y", LMTP_MAIL, "<a@b> X=Y"},
        {"RCPT TO: <a@b>", LMTP_RCPT, " <a@b>"},
        {"DATA", LMTP_DATA, ""},
        {"Data now", LMTP_DATA, " now"},
        {"QUIT", LMTP_QUIT, ""},
        {"DATAX", LMTP_UNKNOWN, "DATAX"},
        {"MAIL TO:<a@b>", LMTP_UNKNOWN, "MAIL TO:<a@b>"},
        {"", LMTP_UNKNOWN, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lmtp_command c;
        lmtp_command_parse(cases[i].line, strlen(cases[i].line), &c);
        assert_int_equal(c.verb, cases[i].verb);
        assert_int_equal(c.rest_len, strlen(cases[i].rest));
        assert_memory_equal(c.rest, cases[i].rest, c.rest_len);
    }
}

static void keep(const char *data, size_t len, void *ctx)
{
    cm_buf_add(ctx, data, len);
}

static void test_data(void **state) /* 6.6, as this end sees it */
{
    (void)state;
    static const struct {
        const char *in, *message, *rest; /* rest NULL: no end */
        bool bare;
    } cases[] = {
        {".\r\n", "", "", false},
        {"hello\r\n.\r\nQUIT\r\n", "hello\r\n", "QUIT\r\n", false},
        {"a\r\n..\r\n.\r\n", "a\r\n..\r\n", "", false},
        {"a\r\n..x\r\n.\r\nx", "a\r\n..x\r\n", "x", false},
        {".x\r\n.\r\n", ".x\r\n", "", false},
        {" .\r\n.\r\n", " .\r\n", "", false},
        {"a\n.\r\n.\r\n", "a\n.\r\n", "", true},
        {"a\r\n.\nMAIL\r\n.\r\n", "a\r\n.\nMAIL\r\n", "", true},
        {"a\r\n.\r.\r\n.\r\n", "a\r\n.\r.\r\n", "", false},
        {"a\r\r\n.\r\n", "a\r\r\n", "", false},
        {"a\r\n.\r\r\n.\r\n", "a\r\n.\r\r\n", "", false},
        {"a\r\n.", "a\r\n", NULL, false},
        {"a\r\n.\r", "a\r\n", NULL, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t piece = 1; piece < 12; piece++) {
            struct lmtp_data d = {.bare = false};
            struct cm_buf out;
            const char *in = cases[i].in;
            size_t len = strlen(in), at = 0;
            bool end = false;
            cm_buf_init(&out, 1024);
            while (!end && at < len) {
                size_t n = len - at < piece ? len - at : piece, used;
                end = lmtp_data_feed(&d, in + at, n, &used, keep, &out);
                at += used;
            }
            assert_int_equal(end, cases[i].rest != NULL);
            assert_string_equal(out.data, cases[i].message);
            assert_string_equal(in + at, cases[i].rest != NULL ? cases[i].rest : "");
            assert_int_equal(d.bare, cases[i].bare);
            cm_buf_clear(&out);
        }
    }
}

/* Where to */

static void test_mx(void **state)
{
    (void)state;
    struct mx list[] = {{20, "b.example"}, {10, "z.example"}, {10, "a.example"},
                        {30, "a.example"}, {5, "."},          {40, "bad host"},
                        {50, "c.example"}, {51, "d.example"}, {52, "e.example"}};
    assert_false(mx_is_null(list, COUNT(list)));
    assert_int_equal(mx_sort(list, COUNT(list)), MX_HOSTS_MAX);
    static const char *const want[] = {"a.example", "z.example", "b.example",
                                       "c.example", "d.example"};
    for (size_t i = 0; i < MX_HOSTS_MAX; i++) {
        assert_string_equal(list[i].host, want[i]);
    }
    struct mx null[] = {{0, "."}};
    assert_true(mx_is_null(null, 1));
    assert_false(mx_is_null(null, 0));
    assert_int_equal(mx_sort(null, 1), 0);
}

static void test_breaker(void **state)
{
    (void)state;
    struct breaker b = {0};
    int64_t now = 1000;
    assert_true(breaker_admit(&b, now));
    assert_false(breaker_proven(&b, now));
    /* A stranger: one failure opens. */
    breaker_bad(&b, now, 0, true);
    assert_int_equal(breaker_state(&b, now), BREAKER_OPEN);
    assert_false(breaker_admit(&b, now + BREAKER_FIRST_MS - 1));
    /* Failures that had begun before count once. */
    breaker_bad(&b, now + 1, 0, true);
    assert_int_equal(breaker_state(&b, now + BREAKER_FIRST_MS), BREAKER_HALF_OPEN);
    assert_true(breaker_admit(&b, now + BREAKER_FIRST_MS));
    assert_false(breaker_admit(&b, now + BREAKER_FIRST_MS)); /* one at a time */
    breaker_unused(&b);
    assert_true(breaker_admit(&b, now + BREAKER_FIRST_MS));
    /* Longer each time, up to a limit; less by chance, at most half. */
    int64_t before = 0;
    for (int i = 0; i < 12; i++) {
        now = b.until_ms;
        breaker_bad(&b, now, 0, true);
        assert_true(b.until_ms - now >= before);
        before = b.until_ms - now;
    }
    assert_int_equal(before, BREAKER_LONGEST_MS);
    now = b.until_ms;
    breaker_bad(&b, now, BREAKER_LONGEST_MS / 2, true);
    assert_int_equal(b.until_ms - now, BREAKER_LONGEST_MS / 2);
    now = b.until_ms;
    breaker_bad(&b, now, 0, false); /* our own trouble does not grow */
    assert_int_equal(b.until_ms - now, BREAKER_FIRST_MS);
    /* One that was good is given more patience, for a while. */
    breaker_good(&b, now);
    assert_true(breaker_proven(&b, now));
    breaker_bad(&b, now + 1, 0, true);
    assert_true(breaker_proven(&b, now + 1));
    breaker_bad(&b, now + 2, 0, true);
    assert_int_equal(breaker_state(&b, now + 2), BREAKER_OPEN);
    assert_false(breaker_proven(&b, now + 2));
    breaker_good(&b, now + 3);
    assert_false(breaker_proven(&b, now + 3 + BREAKER_MEMORY_MS));
}

static void count(const char *key, const void *value, void *ctx)
{
    (void)value;
    strcat(ctx, key);
}

static void test_lru(void **state)
{
    (void)state;
    struct lru *lru = lru_new(3, sizeof(int));
    char keys[16] = "";
    *(int *)lru_put(lru, "a") = 1;
    *(int *)lru_put(lru, "b") = 2;
    *(int *)lru_put(lru, "c") = 3;
    assert_int_equal(*(int *)lru_get(lru, "a"), 1);
    assert_int_equal(*(int *)lru_put(lru, "d"), 0); /* b goes */
    assert_null(lru_get(lru, "b"));
    assert_int_equal(lru_count(lru), 3);
    lru_each(lru, count, keys);
    assert_string_equal(keys, "dac");
    lru_drop(lru, "a");
    lru_drop(lru, "nothing");
    assert_int_equal(lru_count(lru), 2);
    lru_free(&lru);
    assert_null(lru);
}

/* MTA-STS */

static void test_sts_record(void **state)
{
    (void)state;
    char id[STS_ID_MAX];
    assert_true(sts_record_parse("v=STSv1; id=20160831085700Z;", id));
    assert_string_equal(id, "20160831085700Z");
    assert_true(sts_record_parse("v=STSv1;x=y; id = abc", id));
    static const char *const bad[] = {"",
                                      "v=spf1 -all",
                                      "v=STSv1;",
                                      "v=STSv1; id=;",
                                      "v=STSv1; id=a b;",
                                      "v=STSv2; id=1;",
                                      "id=1; v=STSv1;",
                                      "v=STSv1; id=123456789012345678901234567890123;"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(sts_record_parse(bad[i], id));
    }
}

static void test_sts_policy(void **state)
{
    (void)state;
    static struct sts_policy p;
    struct cm_err err;
    static const char good[] =
        "version: STSv1\r\nmode: enforce\r\nmx: Mail.Example.com\r\n"
        "mx: *.example.net\r\nfuture: thing\r\nmax_age: 604800\r\n"
        "max_age: 1\r\n";
    assert_int_equal(sts_policy_parse(good, strlen(good), &p, &err), 0);
    assert_int_equal(p.mode, STS_ENFORCE);
    assert_int_equal(p.max_age_s, 604800);
    assert_int_equal(p.mx_count, 2);
    assert_string_equal(p.mx[0], "mail.example.com");
    static const char *const bad[] = {
        "",
        "version: STSv1\nmode: enforce\nmax_age: 1\n",
        "version: STSv2\nmode: none\nmax_age: 1\n",
        "mode: none\nmax_age: 1\n",
        "version: STSv1\nmode: maybe\nmx: a.b\nmax_age: 1\n",
        "version: STSv1\nmode: none\nmax_age: -1\n",
        "version: STSv1\nmode: none\nmax_age: 12345678901\n",
        "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n",
        "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n",
        "<html>"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(sts_policy_parse(bad[i], strlen(bad[i]), &p, &err), -1);
    }
    assert_int_equal(p.mx_count, 2); /* untouched */
    static const char none[] = "version: STSv1\nmode: none\nmax_age: 4294967296\n";
    assert_int_equal(sts_policy_parse(none, strlen(none), &p, &err), 0);
    assert_int_equal(p.max_age_s, STS_AGE_MAX_S);
}

static void test_sts_pattern(void **state)
{
    (void)state;
    assert_true(sts_pattern_matches("mx.example.org", "MX.example.org"));
    assert_true(sts_pattern_matches("*.example.org", "mx.example.org"));
    assert_false(sts_pattern_matches("*.example.org", "example.org"));
    assert_false(sts_pattern_matches("*.example.org", "a.mx.example.org"));
    assert_false(sts_pattern_matches("*.example.org", ".example.org"));
    assert_false(sts_pattern_matches("mx.example.org", "mx.example.orgx"));
}

/* The egress file */

static void test_egress_file(void **state)
{
    (void)state;
    static struct egress_list list;
    struct cm_err err;
    static const char text[] =
        "1 10.77.1.2 fd77:1::2 e1.example.org\n2 10.77.2.2 - -\n";
    assert_int_equal(egress_parse(text, strlen(text), &list, &err), 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].number, 1);
    assert_true(list.items[0].source.bound && list.items[0].source.has_v6);
    assert_string_equal(list.items[0].ehlo, "e1.example.org");
    assert_false(list.items[1].source.has_v6);
    assert_string_equal(list.items[1].ehlo, "");
    assert_int_equal(egress_find(&list, 2), 1);
    assert_int_equal(egress_find(&list, 7), 0);
    static const char *const bad[] = {"x\n",
                                      "1 10.77.1.2 -\n",
                                      "33 10.77.1.2 - -\n",
                                      "1 10.77.1 - -\n",
                                      "1 10.77.1.2 - a..b\n",
                                      "1 10.77.1.2 - - more\n",
                                      "1 10.77.1.2 - - 1001\n",
                                      "1 10.77.1.2 - - 5 more\n"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(egress_parse(bad[i], strlen(bad[i]), &list, &err), -1);
    }
    assert_int_equal(list.count, 2);
    assert_int_equal(egress_parse("direct\n", 7, &list, &err), 0);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].number, 0);
    assert_false(list.items[0].source.bound);
    assert_int_equal(egress_parse("", 0, &list, &err), 0);
    assert_int_equal(egress_find(&list, 1), SIZE_MAX);
}

static void test_egress_shares(void **state)
{
    (void)state;
    static struct egress_list list;
    struct cm_err err;
    static const char text[] = "1 10.77.1.2 - - 300\n2 10.77.2.2 - - 100\n"
                               "3 10.77.3.2 - - 0\n";
    unsigned got[3] = {0};
    assert_int_equal(egress_parse(text, strlen(text), &list, &err), 0);
    for (int i = 0; i < 4000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "relay%d.example", i);
        size_t at = egress_choose(&list, -1, name);
        assert_int_equal(egress_choose(&list, -1, name), at);
        got[at]++;
    }
    assert_in_range(got[0], 2850, 3150);
    assert_in_range(got[1], 850, 1150);
    assert_int_equal(got[2], 0);
    /* What worked before comes first, as long as it is there. */
    assert_int_equal(egress_choose(&list, 3, "relay1.example"), 2);
    assert_int_not_equal(egress_choose(&list, 9, "relay1.example"), 2);
    static const char old[] = "2 10.77.2.2 - -\n1 10.77.1.2 - -\n";
    assert_int_equal(egress_parse(old, strlen(old), &list, &err), 0);
    assert_int_equal(egress_choose(&list, -1, "a.example"), 0);
    list.count = 0;
    assert_int_equal(egress_choose(&list, -1, "a.example"), SIZE_MAX);
}

static void test_egress_required(void **state)
{
    (void)state;
    struct egress_watch *w = egress_watch_new("/nonexistent/egress");
    assert_int_equal(egress_now(w)->count, 1);
    egress_watch_require(w, true);
    assert_int_equal(egress_now(w)->count, 0); /* never past the gateways */
    egress_watch_free(&w);
}

/* Spool */

static void test_spool(void **state)
{
    (void)state;
    static char piece[10000], back[10000];
    struct cm_err err;
    for (int pieces = 1; pieces < 40; pieces += 19) { /* in memory, in a file */
        struct spool *s = spool_new("/tmp");
        for (int i = 0; i < pieces; i++) {
            memset(piece, 'a' + i % 26, sizeof(piece));
            assert_int_equal(spool_add(s, piece, sizeof(piece), &err), 0);
        }
        assert_int_equal(spool_close(s, &err), 0);
        assert_int_equal(spool_size(s), (uint64_t)pieces * sizeof(piece));
        for (int i = pieces - 1; i >= 0; i--) {
            uint64_t at = (uint64_t)i * sizeof(piece);
            assert_int_equal(spool_read(s, at, back, sizeof(back)), sizeof(back));
            assert_int_equal(back[0], 'a' + i % 26);
            assert_int_equal(back[sizeof(back) - 1], 'a' + i % 26);
        }
        assert_int_equal(spool_read(s, spool_size(s), back, 1), 0);
        spool_free(&s);
    }
    struct spool *s = spool_new("/nonexistent");
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++) {
        rc = spool_add(s, piece, sizeof(piece), &err);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    spool_free(&s);
}

/* SMTP connections between two messages */

static void nothing(enum wire_event event, const char *data, size_t len, void *ctx)
{
    (void)event;
    (void)data;
    (void)len;
    (void)ctx;
}

static struct pool_link pool_link_new(struct cm_loop *loop, int *other_r)
{
    int fds[2];
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *other_r = fds[1];
    struct pool_link link = {.wire = wire_new(loop, fds[0], nothing, NULL),
                             .address = {.family = AF_INET},
                             .uses = 1,
                             .made_ms = cm_now_mono_ms()};
    return link;
}

/* "" : open, and nothing was said. */
static const char *pool_heard(int fd)
{
    static char text[64];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return n == 0 ? "closed" : text;
}

static struct pool_key pool_key_for(const char *host, const struct peer_source *source)
{
    return (struct pool_key){.host = host,
                             .port = 25,
                             .tls = true,
                             .verify = true,
                             .ehlo = "us.example",
                             .source = source};
}

static void test_pool(void **state)
{
    (void)state;
    struct cm_loop *loop = cm_loop_new();
    struct pool *pool = pool_new(loop);
    struct peer_source source = {.bound = false}, other_source = {.bound = true};
    struct pool_key key = pool_key_for("mx.example", &source);
    struct peer_address here = {.family = AF_INET}, there = here;
    there.ip.v4.s_addr = htonl(0xc6336407);
    struct pool_link link;
    int fds[POOL_HOST_MAX + 2];
    for (size_t i = 0; i < COUNT(fds); i++) {
        link = pool_link_new(loop, &fds[i]);
        pool_give(pool, &key, &link);
    }
    /* The oldest are over the limit of one host. */
    for (size_t i = 0; i < COUNT(fds); i++) {
        assert_string_equal(pool_heard(fds[i]), i < 2 ? "QUIT\r\n" : "");
    }
    struct pool_key others[] = {key, key, key, key, key, key};
    others[0].host = "mx2.example";
    others[1].port = 26;
    others[2].tls = false;
    others[3].verify = false;
    others[4].ehlo = "we.example";
    others[5].source = &other_source;
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(pool_take(pool, &others[i], &here, 1, &link));
    }
    assert_false(pool_take(pool, &key, &there, 1, &link));
    assert_true(pool_take(pool, &key, &here, 1, &link));
    /* One that has served its time is not kept, nor one that was made before. */
    link.uses = POOL_USES_MAX;
    pool_give(pool, &key, &link);
    assert_string_equal(pool_heard(fds[5]), "QUIT\r\n");
    assert_true(pool_take(pool, &key, &here, 1, &link));
    pool_clear(pool);
    link.made_ms--;
    pool_give(pool, &key, &link);
    for (size_t i = 2; i < 5; i++) {
        assert_string_equal(pool_heard(fds[i]), "QUIT\r\n");
    }
    assert_false(pool_take(pool, &key, &here, 1, &link));
    for (size_t i = 0; i < COUNT(fds); i++) {
        close(fds[i]);
    }
    pool_free(&pool);
    cm_loop_free(&loop);
}

/* By the other side, or to make room. */
static void test_pool_ends(void **state)
{
    (void)state;
    struct cm_loop *loop = cm_loop_new();
    struct pool *pool = pool_new(loop);
    struct peer_source source = {.bound = false};
    struct pool_key key = pool_key_for("mx.example", &source);
    struct peer_address here = {.family = AF_INET};
    struct pool_link link;
    int fds[2];
    for (int hangs_up = 0; hangs_up < 2; hangs_up++) {
        link = pool_link_new(loop, &fds[0]);
        pool_give(pool, &key, &link);
        if (hangs_up) {
            close(fds[0]);
        } else {
            assert_int_equal(send(fds[0], "421 late\r\n", 10, 0), 10);
        }
        cm_loop_once(loop, 100);
        assert_false(pool_take(pool, &key, &here, 1, &link));
        if (!hangs_up) {
            close(fds[0]);
        }
    }
    for (size_t i = 0; i < POOL_MAX + 1; i++) { /* of all hosts together */
        char host[32];
        snprintf(host, sizeof(host), "mx%zu.example", i);
        key.host = host;
        link = pool_link_new(loop, &fds[0]);
        pool_give(pool, &key, &link);
        if (i > 0) {
            close(fds[0]); /* not seen before the loop turns */
        } else {
            fds[1] = fds[0];
        }
    }
    assert_string_equal(pool_heard(fds[1]), "QUIT\r\n");
    close(fds[1]);
    pool_free(&pool);
    cm_loop_free(&loop);
}

/* DNS */

static void test_dns_packet(void **state)
{
    (void)state;
    unsigned char q[512];
    static struct dns_found found;
    size_t n = dns_packet_question("example.org", DNS_MX, 0x1234, q, sizeof(q));
    assert_true(n > 12);
    assert_int_equal(q[0], 0x12);
    assert_int_equal(q[2] & 1, 1); /* recursion desired */
    /* The question itself is no answer; with the QR bit it is an empty one. */
    assert_int_equal(dns_packet_answer(q, n, "example.org", DNS_MX, 0x1234, &found), 0);
    q[2] |= 0x80;
    assert_int_equal(dns_packet_answer(q, n, "Example.ORG", DNS_MX, 0x1234, &found), 1);
    assert_int_equal(found.status, DNS_NO_DATA);
    assert_int_equal(dns_packet_answer(q, n, "example.org", DNS_MX, 0x1235, &found), 0);
    assert_int_equal(dns_packet_answer(q, n, "example.net", DNS_MX, 0x1234, &found), 0);
    assert_int_equal(dns_packet_answer(q, n, "example.org", DNS_A, 0x1234, &found), 0);
    q[3] = 3;
    assert_int_equal(dns_packet_answer(q, n, "example.org", DNS_MX, 0x1234, &found), 1);
    assert_int_equal(found.status, DNS_NO_NAME);
    q[3] = 2;
    assert_int_equal(dns_packet_answer(q, n, "example.org", DNS_MX, 0x1234, &found), 1);
    assert_int_equal(found.status, DNS_TROUBLE);
    q[2] |= 2;
    assert_int_equal(dns_packet_answer(q, n, "example.org", DNS_MX, 0x1234, &found), 2);
    assert_int_equal(dns_packet_question("..", DNS_MX, 1, q, sizeof(q)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_public),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_reply_limits),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_mx),
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_lru),
        cmocka_unit_test(test_sts_record),
        cmocka_unit_test(test_sts_policy),
        cmocka_unit_test(test_sts_pattern),
        cmocka_unit_test(test_egress_file),
        cmocka_unit_test(test_egress_shares),
        cmocka_unit_test(test_egress_required),
        cmocka_unit_test(test_spool),
        cmocka_unit_test(test_dns_packet),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
