#include "families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/metrics.h"
#include "mailq.h"

static void add(struct families *f, const char *text)
{
    struct cm_err err = {.text = ""};
    if (families_add(f, text, strlen(text), &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static char *page(const struct families *f)
{
    struct cm_buf out;
    cm_buf_init(&out, FAMILIES_PAGE_MAX);
    families_write(f, &out);
    return cm_buf_steal(&out);
}

static void page_is(const struct families *f, const char *want)
{
    char *got = page(f);
    assert_string_equal(got, want);
    free(got);
}

static void test_merge(void **state)
{
    (void)state;
    struct families *f = families_new();
    add(f, "# HELP a_total Things.\n# TYPE a_total counter\na_total{p=\"x\"} 1\n"
           "# HELP g Level.\n# TYPE g gauge\ng 0.5\n");
    add(f, "# HELP a_total Things too.\n# TYPE a_total counter\na_total{p=\"y\"} 2\n"
           "# a remark\n\n# HELP b Only here.\n# TYPE b gauge\nb{l=\"a\\\"b\\\\\\n\"} "
           "NaN\n");
    page_is(f, "# HELP a_total Things.\n# TYPE a_total counter\n"
               "a_total{p=\"x\"} 1\na_total{p=\"y\"} 2\n"
               "# HELP g Level.\n# TYPE g gauge\ng 0.5\n"
               "# HELP b Only here.\n# TYPE b gauge\nb{l=\"a\\\"b\\\\\\n\"} NaN\n");
    families_free(&f);
    assert_null(f);
}

static void test_same_series_twice(void **state)
{
    (void)state;
    struct families *f = families_new();
    add(f, "a 1\na{p=\"x\"} 1\n");
    add(f, "a 2\na{p=\"xy\"} 2\n");
    page_is(f, "a 1\na{p=\"x\"} 1\na{p=\"xy\"} 2\n");
    families_free(&f);
}

static void test_histogram(void **state)
{
    (void)state;
    static const char text[] = "# HELP h Times.\n# TYPE h histogram\n"
                               "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
                               "h_sum 3e-2\nh_count 2\n";
    struct families *f = families_new();
    add(f, text);
    page_is(f, text);
    families_free(&f);
}

/* What is wrong is named, and nothing of that text is on the page. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"b 1\na one\n", "line 2: no sample"},
        {"b 1\na\n", "line 2: no sample"},
        {"b 1\n1a 1\n", "line 2: no sample"},
        {"b 1\na 1 1700000000000\n", "line 2: no sample"},
        {"b 1\na{p=x} 1\n", "line 2: no sample"},
        {"b 1\na{p=\"x} 1\n", "line 2: no sample"},
        {"b 1\na{p=\"x\" 1\n", "line 2: no sample"},
        {"b 1\na{p=\"\\x\"} 1\n", "line 2: no sample"},
        {"b 1\na{p=\"x\",p=\"y\"} 1\n", "line 2: no sample"},
        {"b 1\na{p:q=\"x\"} 1\n", "line 2: no sample"},
        {"b 1\na  1\n", "line 2: no sample"},
        {"b 1\na 0x10\n", "line 2: no sample"},
        {"b 1\n<html>\n", "line 2: no sample"},
        {"b 1\nb 2\n", "line 2: a series twice"},
        {"b 1\n# TYPE b gauge\n", "line 2: TYPE of b twice or too late"},
        {"# TYPE c gauge\n# TYPE c gauge\n", "line 2: TYPE of c twice or too late"},
        {"# TYPE c thing\n", "line 1: c: no such type"},
        {"# TYPE\n# HELP \nx 1\n", "line 2: no name behind HELP"},
        {"b 1\na 1", "line 2: too long or cut off"},
        {"# TYPE g counter\ng 1\n", "g is a gauge elsewhere"},
    };
    struct families *f = families_new();
    add(f, "# TYPE g gauge\ng 1\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cm_err err = {.text = ""};
        assert_int_equal(families_add(f, cases[i].text, strlen(cases[i].text), &err),
                         -1);
        if (strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0) {
            fail_msg("'%s', not '%s'", err.text, cases[i].why);
        }
        page_is(f, "# TYPE g gauge\ng 1\n");
    }
    families_free(&f);
}

static void test_limits(void **state)
{
    (void)state;
    struct families *f = families_new();
    struct cm_buf b;
    struct cm_err err;
    cm_buf_init(&b, 1u << 20);
    for (int i = 0; i <= FAMILIES_MAX; i++) {
        cm_buf_fmt(&b, "name%d 1\n", i);
    }
    assert_int_equal(families_add(f, b.data, b.len, &err), -1);
    const char *nl = strrchr(b.data, 'n');
    assert_int_equal(families_add(f, b.data, (size_t)(nl - b.data), &err), 0);
    assert_int_equal(families_add(f, "one_more 1\n", 11, &err), -1);
    assert_int_equal(families_add(f, "name0{a=\"b\"} 1\n", 15, &err), 0);
    cm_buf_clear(&b);
    families_free(&f);
}

/* What the programs' own writer makes is always taken. */
static void test_own_writer(void **state)
{
    (void)state;
    struct cm_buf b;
    struct families *f = families_new();
    cm_buf_init(&b, CM_METRICS_MAX);
    cm_metric_process(&b, "chatmail-a");
    add(f, b.data);
    cm_buf_reset(&b);
    cm_metric_process(&b, "chatmail-b");
    cm_metric_gauge(&b, "chatmail_x", "With \\ and\nmore.", -1e-9);
    add(f, b.data);
    char *got = page(f);
    int helps = 0;
    for (const char *p = got; (p = strstr(p, "# HELP chatmail_process_")); p++) {
        helps++;
    }
    assert_int_equal(helps, 4);
    assert_non_null(strstr(got, "_open_fds{program=\"chatmail-a\"} "));
    assert_non_null(strstr(got, "_open_fds{program=\"chatmail-b\"} "));
    free(got);
    cm_buf_clear(&b);
    families_free(&f);
}

/* The mail queue */

#define MESSAGE(queue, time, reasons)                                                  \
    "{\"queue_name\": \"" queue "\", \"queue_id\": \"4A\", \"arrival_time\": " time    \
    ", \"message_size\": 100, \"forced_expire\": false, \"sender\": \"a@b\", "         \
    "\"recipients\": [" reasons "]}\n"
#define LATE(why) "{\"address\": \"c@d\", \"delay_reason\": \"" why "\"}"

static void test_mailq(void **state)
{
    (void)state;
    static const char said[] = MESSAGE("active", "2000", "{\"address\": \"c@d\"}")
        MESSAGE("deferred", "1000",
                LATE("connect to d[192.0.2.1]:25: Connection timed out") "," LATE(
                    "connect to d: Network is unreachable"))
            MESSAGE("deferred", "3000", LATE("host d said: 450 4.2.0 greylisted"))
                MESSAGE("strange", "3000", LATE("because")) "no message\n";
    for (size_t step = 1; step < 4000; step = step * 3 + 1) {
        struct mailq q;
        mailq_init(&q);
        for (size_t at = 0; at < sizeof(said) - 1; at += step) {
            size_t n = sizeof(said) - 1 - at;
            mailq_feed(&q, said + at, n < step ? n : step);
        }
        assert_int_equal(q.bad, 1);
        struct cm_buf out;
        cm_buf_init(&out, 65536);
        mailq_write(&q.counts, 5000, &out);
        struct families *f = families_new();
        add(f, out.data);
        families_free(&f);
        static const char *const want[] = {
            "_messages{state=\"active\"} 1\n",
            "_messages{state=\"deferred\"} 2\n",
            "_messages{state=\"other\"} 1\n",
            "_messages{state=\"hold\"} 0\n",
            "chatmail_queue_bytes 400\n",
            "chatmail_queue_oldest_seconds 4000\n",
            "_recipients{reason=\"timeout\"} 1\n",
            "_recipients{reason=\"unreachable\"} 1\n",
            "_recipients{reason=\"answered\"} 1\n",
            "_recipients{reason=\"other\"} 1\n",
            "_recipients{reason=\"dns\"} 0\n",
        };
        for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
            assert_non_null(strstr(out.data, want[i]));
        }
        cm_buf_clear(&out);
        mailq_clear(&q);
    }
}

static void test_mailq_long_line(void **state)
{
    (void)state;
    struct mailq q;
    mailq_init(&q);
    const char *begin = "{\"queue_name\": \"hold\", \"recipients\": [";
    mailq_feed(&q, begin, strlen(begin));
    char junk[4096];
    memset(junk, 'x', sizeof(junk));
    for (int i = 0; i < 1000; i++) {
        mailq_feed(&q, junk, sizeof(junk));
    }
    assert_true(q.line.cap <= 2 * MAILQ_LINE_MAX);
    const char *rest = "]}\n" MESSAGE("deferred", "1", "");
    mailq_feed(&q, rest, strlen(rest));
    assert_int_equal(q.counts.messages[1], 1);
    assert_int_equal(q.counts.messages[2], 1);
    assert_int_equal(q.bad, 0);
    mailq_clear(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),     cmocka_unit_test(test_same_series_twice),
        cmocka_unit_test(test_histogram), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_own_writer),
        cmocka_unit_test(test_mailq),     cmocka_unit_test(test_mailq_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
