#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/metrics.h"

static void assert_text(const struct cm_buf *out, const char *expected)
{
    assert_string_equal(out->data, expected);
}

static void test_families(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, CM_METRICS_MAX);
    cm_metric_counter(&out, "chatmail_auth_created_total", "Accounts made.", 12);
    cm_metric_gauge(&out, "chatmail_push_age_seconds", "Since the last\nsuccess \\o/.",
                    0.25);
    assert_text(&out, "# HELP chatmail_auth_created_total Accounts made.\n"
                      "# TYPE chatmail_auth_created_total counter\n"
                      "chatmail_auth_created_total 12\n"
                      "# HELP chatmail_push_age_seconds Since the last\\nsuccess "
                      "\\\\o/.\n"
                      "# TYPE chatmail_push_age_seconds gauge\n"
                      "chatmail_push_age_seconds 0.25\n");
    cm_buf_clear(&out);
}

static void test_labels_are_escaped(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, CM_METRICS_MAX);
    const char *const labels[] = {"reason", "a \"b\"\\c\nd", "gateway", "edge1", NULL};
    cm_metric_sample(&out, "x_total", labels, 3);
    assert_text(&out, "x_total{reason=\"a \\\"b\\\"\\\\c\\nd\",gateway=\"edge1\"} 3\n");
    cm_buf_clear(&out);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "x 0\n"},
                 {-1, "x -1\n"},
                 {1e14, "x 100000000000000\n"},
                 {1.5e-7, "x 1.5e-07\n"},
                 {NAN, "x NaN\n"},
                 {INFINITY, "x +Inf\n"},
                 {-INFINITY, "x -Inf\n"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cm_buf out;
        cm_buf_init(&out, CM_METRICS_MAX);
        cm_metric_sample(&out, "x", NULL, cases[i].value);
        assert_text(&out, cases[i].text);
        cm_buf_clear(&out);
    }
}

/* The value behind the sample of this name. */
static double sample_of(const struct cm_buf *out, const char *name)
{
    char head[128];
    snprintf(head, sizeof(head), "\n%s{program=\"test\"} ", name);
    const char *at = strstr(out->data, head);
    assert_non_null(at);
    return strtod(at + strlen(head), NULL);
}

static void test_process(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, CM_METRICS_MAX);
    cm_metric_process(&out, "test");
    double before = sample_of(&out, "chatmail_process_open_fds");
    assert_true(sample_of(&out, "chatmail_process_resident_bytes") > 4096);
    assert_true(sample_of(&out, "chatmail_process_start_time_seconds") > 1.7e9);
    int fd = dup(0);
    cm_buf_reset(&out);
    cm_metric_process(&out, "test");
    assert_true(sample_of(&out, "chatmail_process_open_fds") == before + 1);
    close(fd);
    cm_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
