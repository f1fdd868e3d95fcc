/* Lookups against a DNS server with moods. The slow ones run at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/clock.h"
#include "common/mem.h"

#include "dkim.h"
#include "testing/checker.h"
#include "testing/dns_server.h"
#include "testing/signer.h"

static int start(void **state)
{
    *state = ds_start();
    return 0;
}

static int stop(void **state)
{
    ds_stop((struct ds_server **)state);
    return 0;
}

static struct dkim_servers servers_of(const char *list)
{
    struct dkim_servers s;
    struct cm_err err;
    cm_assert(dkim_servers_parse(&s, list, &err) == 0);
    return s;
}

struct run {
    enum ds_mood mood;
    int64_t late_ms, deadline_ms;
    int want;               /* 1, 0, -1 */
    int64_t from_ms, to_ms; /* how long it may take */
    char name[32];
    struct dkim_servers servers;
    pthread_t thread;
    int result;
    int64_t took_ms;
    struct dkim_answer answer;
};

static void *look_up(void *arg)
{
    struct run *r = arg;
    struct cm_err err;
    int64_t begin = cm_now_mono_ms();
    r->result = dkim_dns_txt(&r->servers, r->name, r->deadline_ms, &r->answer, &err);
    r->took_ms = cm_now_mono_ms() - begin;
    return NULL;
}

/* The upper bounds leave 1.5 s and more of grace: the machine may be busy. */
static struct run runs[] = {
    {DS_ANSWER, 0, 5000, 1, 0, 1500, .name = "answer.example"},
    {DS_ANSWER, 3000, 20000, 1, 2900, 5500, .name = "late3.example"},
    {DS_ANSWER, 8000, 20000, 1, 7900, 10500, .name = "late8.example"},
    {DS_NXDOMAIN, 0, 5000, 0, 0, 1500, .name = "nxdomain.example"},
    {DS_NODATA, 0, 5000, 0, 0, 1500, .name = "nodata.example"},
    {DS_SERVFAIL, 0, 5000, -1, 1900, 4500, .name = "servfail.example"},
    {DS_SERVFAIL_ONCE, 0, 5000, 1, 1900, 4500, .name = "once.example"},
    {DS_REFUSED, 0, 5000, -1, 1900, 4500, .name = "refused.example"},
    {DS_SILENT, 0, 3000, -1, 2900, 5500, .name = "silent.example"},
    {DS_DROP_TWO, 0, 20000, 1, 5900, 8500, .name = "drop.example"},
    {DS_TRUNCATED, 0, 5000, 1, 0, 1500, .name = "truncated.example"},
    {DS_TRUNCATED_CLOSED, 0, 5000, -1, 1900, 4500, .name = "closed.example"},
    {DS_TRUNCATED_HANGING, 0, 3000, -1, 2900, 5500, .name = "hanging.example"},
    {DS_WRONG_ID, 0, 5000, 1, 0, 1500, .name = "id.example"},
    {DS_WRONG_QUESTION, 0, 5000, 1, 0, 1500, .name = "question.example"},
    {DS_WRONG_ONLY, 0, 3000, -1, 2900, 5500, .name = "forged.example"},
    {DS_CNAME, 0, 5000, 1, 0, 1500, .name = "cname.example"},
    {DS_CNAME_LOOP, 0, 5000, 0, 0, 1500, .name = "loop.example.net"},
    {DS_NO_EDNS, 0, 5000, 1, 0, 1500, .name = "noedns.example"},
    {DS_REFERRAL, 0, 5000, -1, 1900, 4500, .name = "referral.example"},
    {DS_GARBAGE, 0, 3000, -1, 2900, 5500, .name = "garbage.example"},
};
#define RUNS (sizeof(runs) / sizeof(runs[0]))

static void test_moods(void **state)
{
    struct ds_server *s = *state;
    for (size_t i = 0; i < RUNS; i++) {
        struct ds_row row = {.name = runs[i].name,
                             .mood = runs[i].mood,
                             .txt = {"v=DKIM1; p=x"},
                             .ttl = 77,
                             .late_ms = runs[i].late_ms};
        ds_set(s, &row);
        runs[i].servers = servers_of(ds_list(s));
        cm_assert(pthread_create(&runs[i].thread, NULL, look_up, &runs[i]) == 0);
    }
    for (size_t i = 0; i < RUNS; i++) {
        struct run *r = &runs[i];
        pthread_join(r->thread, NULL);
        if (r->result != r->want || r->took_ms < r->from_ms || r->took_ms > r->to_ms) {
            fail_msg("%s: %d after %lld ms", r->name, r->result, (long long)r->took_ms);
        }
        if (r->result > 0) {
            assert_int_equal(r->answer.count, 1);
            assert_int_equal(r->answer.ttl_s, 77);
            assert_int_equal(r->answer.len[0], 12);
            assert_memory_equal(r->answer.record[0], "v=DKIM1; p=x", 12);
        }
        dkim_answer_clear(&r->answer);
    }
}

static int ask(const char *list, const char *name, int64_t deadline_ms,
               struct dkim_answer *out, int64_t *took_ms)
{
    struct dkim_servers servers = servers_of(list);
    struct cm_err err = {0};
    int64_t begin = cm_now_mono_ms();
    int rc = dkim_dns_txt(&servers, name, deadline_ms, out, &err);
    *took_ms = cm_now_mono_ms() - begin;
    assert_int_equal(rc < 0, err.kind == CM_ERR_RETRY);
    return rc;
}

static void test_records(void **state)
{
    struct ds_server *s = *state;
    char *text = cm_malloc(3001);
    struct dkim_answer a = {0};
    int64_t took;
    for (int i = 0; i < 3000; i++) {
        text[i] = (char)('a' + i % 26);
    }
    static const int sizes[] = {0,   1,    200, 201,
                                750, 1500, 3000}; /* the last two by TCP */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ds_row row = {.name = "big.example", .txt = {text}, .ttl = 1};
        char kept = text[sizes[i]];
        text[sizes[i]] = '\0';
        ds_set(s, &row);
        assert_int_equal(ask(ds_list(s), "big.example", 3000, &a, &took), 1);
        assert_int_equal(a.len[0], sizes[i]);
        assert_memory_equal(a.record[0], text, a.len[0]);
        assert_int_equal(ds_asked(s, "big.example"), sizes[i] > 1100 ? 2 : 1);
        dkim_answer_clear(&a);
        text[sizes[i]] = kept;
    }
    struct ds_row four = {
        .name = "four.example", .txt = {"1", "2", "3", "4"}, .ttl = 9};
    ds_set(s, &four);
    assert_int_equal(ask(ds_list(s), "FOUR.example", 3000, &a, &took), 1);
    assert_int_equal(a.count, DKIM_RECORDS_MAX);
    assert_memory_equal(a.record[2], "3", 1);
    dkim_answer_clear(&a);
    free(text);
}

/* The other servers stand in when one is dead, refuses, or is slow. */
static void test_several_servers(void **state)
{
    struct ds_server *good = *state, *bad = ds_start(), *third = ds_start();
    struct ds_row ok = {.name = "two.example", .txt = {"x"}, .ttl = 9};
    struct ds_row wrong = {.name = "two.example", .mood = DS_SERVFAIL};
    struct dkim_answer a = {0};
    int64_t took;
    char list[128];
    ds_set(good, &ok);
    ds_set(bad, &wrong);
    ds_set(third, &wrong);
    snprintf(list, sizeof(list), "%s %s %s", ds_list(bad), ds_list(third),
             ds_list(good));
    assert_int_equal(ask(list, "two.example", 5000, &a, &took), 1);
    assert_true(took < 1500);
    dkim_answer_clear(&a);

    wrong.mood = DS_SILENT;
    ds_set(bad, &wrong);
    assert_int_equal(ask(list, "two.example", 9000, &a, &took), 1);
    assert_in_range(took, 1900, 4500);
    dkim_answer_clear(&a);

    ok.late_ms = 2500; /* the slow one is listened to while others are asked */
    ds_set(good, &ok);
    snprintf(list, sizeof(list), "%s %s", ds_list(good), ds_list(bad));
    assert_int_equal(ask(list, "two.example", 9000, &a, &took), 1);
    assert_in_range(took, 2400, 4500);
    dkim_answer_clear(&a);

    char gone[32];
    snprintf(gone, sizeof(gone), "%s", ds_list(bad));
    ds_stop(&bad);
    ok.late_ms = 0;
    ds_set(good, &ok);
    snprintf(list, sizeof(list), "%s %s", gone, ds_list(good));
    assert_int_equal(ask(list, "two.example", 9000, &a, &took), 1);
    assert_true(took < 1500);
    dkim_answer_clear(&a);
    assert_int_equal(ask(gone, "two.example", 9000, &a, &took), -1); /* port closed */
    assert_in_range(took, 1900, 4500);
    ds_stop(&third);
}

static void test_hard_to_forge(void **state)
{
    struct ds_server *s = *state;
    unsigned ids, ports;
    bool edns;
    struct ds_row row = {.name = "spread.example", .txt = {"x"}, .ttl = 9};
    ds_set(s, &row);
    for (int i = 0; i < 64; i++) {
        struct dkim_answer a = {0};
        int64_t took;
        assert_int_equal(ask(ds_list(s), "spread.example", 3000, &a, &took), 1);
        dkim_answer_clear(&a);
    }
    ds_spread(s, &ids, &ports, &edns, DKIM_DNS_UDP_SIZE);
    assert_true(ids > 56);
    assert_true(ports > 48);
    assert_true(edns);
}

static void test_names(void **state)
{
    struct ds_server *s = *state;
    struct dkim_answer a;
    int64_t took;
    char longest[300], label[80];
    memset(label, 'x', sizeof(label));
    snprintf(longest, sizeof(longest), "%.63s.%.63s.%.63s.%.61s", label, label, label,
             label);
    assert_int_equal(ask(ds_list(s), longest, 3000, &a, &took), 0);
    snprintf(longest, sizeof(longest), "%.63s.%.63s.%.63s.%.62s", label, label, label,
             label);
    assert_int_equal(ask(ds_list(s), longest, 3000, &a, &took), 0);
    assert_int_equal(ask(ds_list(s), "a..b", 3000, &a, &took), 0);
    assert_int_equal(ask(ds_list(s), "unknown.example", 3000, &a, &took), 0);
}

static void test_server_lists(void **state)
{
    (void)state;
    struct dkim_servers s;
    struct cm_err err;
    assert_int_equal(
        dkim_servers_parse(&s, " 127.0.0.1 ::1@5353\t10.0.0.1 10.0.0.2", &err), 0);
    assert_int_equal(s.count, DKIM_SERVERS_MAX);
    assert_int_equal(s.address[1].ss_family, AF_INET6);
    assert_int_equal(dkim_servers_parse(&s, "", &err), -1);
    assert_int_equal(dkim_servers_parse(&s, "dns.example", &err), -1);
    assert_string_equal(err.text, "dns.example is not the address of a resolver");
    assert_int_equal(dkim_servers_parse(&s, "127.0.0.1@x", &err), -1);
    dkim_servers_resolv_conf(&s, "# nameserver 10.0.0.9\nsearch example\n"
                                 "nameserver 10.0.0.1\nnameserver\t::1 \r\n"
                                 "nameserverx 10.0.0.3\nnameserver\nnameserver bad\n"
                                 "nameserver 10.0.0.4");
    assert_int_equal(s.count, 3);
    assert_int_equal(s.address[1].ss_family, AF_INET6);
    dkim_servers_resolv_conf(&s, "options edns0\n");
    assert_int_equal(s.count, 1);
    assert_int_equal(s.address[0].ss_family, AF_INET);
}

/* What a message gets for each of them; a key of 4096 bits fits into no small packet.
 */
static void test_whole(void **state)
{
    struct ds_server *s = *state;
    static const struct {
        enum ds_mood mood;
        int64_t late_ms;
        enum dkim_verdict want;
    } cases[] = {
        {DS_ANSWER, 0, DKIM_PASS},    {DS_ANSWER, 3000, DKIM_PASS},
        {DS_TRUNCATED, 0, DKIM_PASS}, {DS_NXDOMAIN, 0, DKIM_FAIL},
        {DS_NODATA, 0, DKIM_FAIL},    {DS_SERVFAIL, 0, DKIM_RETRY},
        {DS_SILENT, 0, DKIM_RETRY},   {DS_TRUNCATED_CLOSED, 0, DKIM_RETRY},
    };
    static const char message[] = "From: a@example.org\r\n\r\nHello\r\n";
    struct sg_key *key = sg_key_rsa(4096);
    char *record = sg_key_record(key);
    struct sg_how how = {
        .key = key, .domain = "example.org", .selector = "s", .body_length = -1};
    struct sg_text t = sg_sign(&how, message, sizeof(message) - 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ds_row row = {.name = "s._domainkey.example.org",
                             .mood = cases[i].mood,
                             .txt = {record},
                             .ttl = 60,
                             .late_ms = cases[i].late_ms};
        struct dkim_keys_options o = {.servers = ds_list(s), .deadline_ms = 4000};
        struct cm_err err;
        const char *reason;
        struct dkim_keys *keys = dkim_keys_new(&o, &err);
        ds_set(s, &row);
        enum dkim_verdict v = ck_verify(t.data, t.len, "example.org", keys, 0, &reason);
        if (v != cases[i].want) {
            fail_msg("case %zu: %d, %s", i, v, reason);
        }
        dkim_keys_free(&keys);
    }
    free(t.data);
    free(record);
    sg_key_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moods),         cmocka_unit_test(test_whole),
        cmocka_unit_test(test_records),       cmocka_unit_test(test_several_servers),
        cmocka_unit_test(test_hard_to_forge), cmocka_unit_test(test_names),
        cmocka_unit_test(test_server_lists),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
