/* What needs no disk: names, guards, ages, texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expire.h"
#include "guard.h"
#include "report.h"
#include "tally.h"
#include "trim.h"

#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000)

static void test_names(void **state) /* relay-spec.md 6.11, 9 */
{
    (void)state;
    int64_t time, size;
    assert_true(
        trim_parse("1775324677.M448978P3029757.exam,S=3235,W=3305:2,S", &time, &size));
    assert_int_equal(time, 1775324677);
    assert_int_equal(size, 3235);
    assert_true(trim_parse("1.x,S=7", &time, &size));
    static const char *const none[] = {"msg_without_structure",
                                       "",
                                       "17",
                                       "17.x",
                                       "17.x,S=",
                                       "17.x,S=a",
                                       "a17.x,S=1",
                                       "17,S=1",
                                       "1.x,S=1234567890123456789"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(trim_parse(none[i], &time, &size));
    }
}

static void test_clock(void **state)
{
    (void)state;
    struct cm_err err;
    struct guard_facts facts = {.accounts = 10,
                                .inactive = 0,
                                .newest_login = NOW - DAY,
                                .newest_creation = NOW - 20 * DAY,
                                .oldest_creation = NOW - 99 * DAY};
    assert_int_equal(guard_clock(&facts, NOW, &err), 0);
    assert_int_equal(guard_clock(&facts, NOW + 3600, &err), 0);
    assert_int_equal(guard_clock(&facts, NOW - 40 * DAY, &err), 0);
    assert_int_equal(guard_clock(&facts, NOW + 30 * DAY, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    assert_non_null(strstr(err.text, "31 days ahead"));
    facts.newest_creation = NOW + 29 * DAY;
    assert_int_equal(guard_clock(&facts, NOW + 30 * DAY, &err), 0);
    struct guard_facts nobody = {0, 0, -1, -1, -1, -1};
    assert_int_equal(guard_clock(&nobody, NOW, &err), 0);
}

static void test_share(void **state)
{
    (void)state;
    struct cm_err err;
    struct guard_facts facts = {.accounts = 155,
                                .inactive = 150,
                                .newest_login = NOW - DAY,
                                .newest_creation = NOW,
                                .oldest_creation = NOW - 99 * DAY};
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), 0);
    facts.accounts = 1000;
    facts.inactive = 250;
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), 0);
    facts.inactive = 251;
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), -1);
    assert_non_null(strstr(err.text, "251 of 1000"));
    assert_int_equal(guard_accounts(&facts, 26, NOW, &err), 0);
}

static void test_logins_not_recorded(void **state)
{
    (void)state;
    struct cm_err err;
    struct guard_facts facts = {.accounts = 20,
                                .inactive = 3,
                                .newest_login = -1,
                                .newest_creation = NOW,
                                .settled_creation = NOW - 2 * DAY,
                                .oldest_creation = NOW - 99 * DAY};
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), -1);
    facts.newest_login = NOW - 30 * DAY;
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), -1);
    assert_non_null(strstr(err.text, "30 days"));
    facts.settled_creation = NOW - 35 * DAY; /* only today's are newer */
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), 0);
    facts.settled_creation = NOW - DAY;
    facts.newest_login = NOW - 2 * DAY;
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), 0);
    facts.newest_login = -1;
    facts.inactive = 0;
    assert_int_equal(guard_accounts(&facts, 25, NOW, &err), 0);
}

static void test_due(void **state) /* 6.11, 5 */
{
    (void)state;
    struct cm_conf conf = {.delete_mails_after = (char[]){"20"},
                           .delete_large_after = (char[]){"7"},
                           .max_mailbox_size_mib = 500};
    struct expire_limits limits = expire_limits(&conf, NOW);
    assert_int_equal(limits.quota_target, INT64_C(350) * 1048576);
    static const struct {
        enum walk_kind kind;
        int64_t days, size;
        bool due;
    } cases[] = {
        {WALK_CUR, 21, 1, true},        {WALK_NEW, 21, 1, true},
        {WALK_TMP, 21, 1, true},        {WALK_EXTRA, 99, 999999, false},
        {WALK_CUR, 19, 1, false},       {WALK_CUR, 8, 200001, true},
        {WALK_CUR, 8, 200000, false},   {WALK_NEW, 8, 200001, false},
        {WALK_CUR, 6, 200001, false},   {WALK_NEW, 21, 200001, true},
        {WALK_CUR, -5, 1000000, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct walk_file file = {.kind = cases[i].kind,
                                 .mtime = NOW - cases[i].days * DAY,
                                 .size = cases[i].size};
        assert_int_equal(expire_due(&file, &limits), cases[i].due);
    }
}

static void test_human(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *text;
    } cases[] = {{0, " 0.00K"},          {9999, "10.00K"},        {10000, "   10K"},
                 {999999, " 1000K"},     {1000000, "    1M"},     {999999999, "  999M"},
                 {1000000000, " 1.00G"}, {12345000000, "12.35G"}, {500, " 0.50K"}};
    char text[32];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        report_human(cases[i].n, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_buckets(void **state) /* 6.11, 7 */
{
    (void)state;
    static const struct {
        enum walk_kind mdir;
        int64_t bytes;
    } cases[] = {{WALK_CUR, 500}, {WALK_NEW, 600}, {WALK_EXTRA, 1100}, {WALK_TMP, 0}};
    struct walk_file files[] = {{.kind = WALK_CUR, .mtime = NOW, .size = 500},
                                {.kind = WALK_NEW, .mtime = NOW - 6 * DAY, .size = 600},
                                {.kind = WALK_EXTRA, .mtime = NOW, .size = 70}};
    for (size_t i = 0; i < 4; i++) {
        struct report_options options = {.now = NOW, .mdir = cases[i].mdir};
        struct report report = {0};
        for (size_t k = 0; k < 3; k++) {
            report_file(&report, &files[k], &options, true);
        }
        assert_int_equal(report.bytes[0], cases[i].bytes);
        assert_int_equal(report.bytes[1], 0);
        assert_int_equal(report.messages, 1100);
        assert_int_equal(report.extra, 70);
    }
    struct report_options options = {.now = NOW, .min_login_age = 10};
    struct report report = {0};
    report_file(&report, &files[1], &options, false);
    assert_int_equal(report.bytes[0], 0);
    assert_int_equal(report.messages, 600);
    struct crew_job job = {.state = ACCOUNT_FOUND, .seen = NOW - 11 * DAY};
    assert_true(report_matches(&job, &options));
    job.seen = NOW - 9 * DAY;
    assert_false(report_matches(&job, &options));
    job.state = ACCOUNT_NONE;
    assert_false(report_matches(&job, &options));
}

static char *printed(void (*print)(FILE *, const struct report *),
                     const struct report *report)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    print(out, report);
    fclose(out);
    return text;
}

static void test_texts(void **state)
{
    (void)state;
    struct report report = {
        .messages = 900,
        .extra = 100,
        .logins_known = true,
        .logins = {.all = 12, .ci = 2, .ci_old = 3, .active = {1, 2, 3, 4, 5, 6, 7}}};
    report.bytes[1] = 900;
    char *text = printed(report_prometheus, &report);
    static const char *const lines[] = {
        "\nchatmail_storage_bytes{kind=\"total\"} 1000\n",
        "\nchatmail_messages_bytes{min_size=\"102400\"} 900\n",
        "\nchatmail_messages_count{min_size=\"10485760\"} 0\n",
        "\nchatmail_accounts{kind=\"user\"} 10\n",
        "\nchatmail_accounts_active{days=\"150\"} 7\n",
        "# TYPE chatmail_accounts gauge\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_non_null(strstr(text, lines[i]));
    }
    free(text);
    text = printed(report_old_format, &report);
    assert_non_null(strstr(text, "\naccounts 12\n"));
    assert_non_null(strstr(text, "\nnonci_accounts 9\n"));
    free(text);
    size_t len;
    struct report_options options = {.now = NOW};
    FILE *out = open_memstream(&text, &len);
    report_text(out, &report, &options);
    fclose(out);
    /* What upstream prints, and after it what we add. */
    assert_string_equal(text,
                        "\n## Mailbox storage use analysis\n"
                        "Mailbox data total size:  1.00K\n"
                        "Messages total size    :  0.90K\n"
                        "Extra files :  0.10K (10.00%)\n\n"
                        "larger than  0.00K:  0.00K (0.00%)\n"
                        "larger than   102K:  0.90K (100.00%)\n"
                        "larger than   524K:  0.00K (0.00%)\n"
                        "larger than     1M:  0.00K (0.00%)\n"
                        "larger than     2M:  0.00K (0.00%)\n"
                        "larger than     5M:  0.00K (0.00%)\n"
                        "larger than    10M:  0.00K (0.00%)\n"
                        "older than  1 days:  0.00K (0.00%)\n"
                        "older than  5 days:  0.00K (0.00%)\n"
                        "older than 10 days:  0.00K (0.00%)\n"
                        "older than 20 days:  0.00K (0.00%)\n"
                        "older than 40 days:  0.00K (0.00%)\n"
                        "\n## Login stats, from date reference 2027-01-15 08:00:00\n"
                        "all:         12\nnon-ci:      10\nci:           2\n"
                        "last   1 days:      1 (10.00%)\n"
                        "last  10 days:      2 (20.00%)\n"
                        "last  30 days:      3 (30.00%)\n"
                        "last  40 days:      4 (40.00%)\n"
                        "last  80 days:      5 (50.00%)\n"
                        "last 100 days:      6 (60.00%)\n"
                        "last 150 days:      7 (70.00%)\n");
    free(text);
    out = open_memstream(&text, &len);
    report.logins_known = false;
    options.mdir = WALK_CUR;
    options.min_login_age = 30;
    report_text(out, &report, &options);
    fclose(out);
    assert_non_null(strstr(text, "\n### Message storage for 30 days old logins\n"
                                 "[cur] larger than  0.00K:"));
    assert_non_null(strstr(text, "unknown: PostgreSQL"));
    free(text);
}

static void test_tally(void **state)
{
    (void)state;
    struct tally sum = {.mailboxes = 1, .troubles = 1};
    struct tally part = {.mailboxes = 2,
                         .mailboxes_removed = 3,
                         .files = 40,
                         .files_removed = 5,
                         .bytes_removed = 6000,
                         .trimmed = 7,
                         .over_quota = 8,
                         .troubles = 9};
    tally_add(&sum, &part);
    struct cm_buf out;
    cm_buf_init(&out, 1u << 16);
    tally_prometheus(&out, &sum, 1, 1700000000, 250);
    static const char *const lines[] = {
        "\nchatmail_expire_mailboxes 3\n",
        "\nchatmail_expire_files 40\n",
        "\nchatmail_expire_mailboxes_removed 3\n",
        "\nchatmail_expire_files_removed 5\n",
        "\nchatmail_expire_bytes_removed 6000\n",
        "\nchatmail_expire_messages_trimmed 7\n",
        "\nchatmail_expire_over_quota 8\n",
        "\nchatmail_expire_troubles 10\n",
        "\nchatmail_expire_status 1\n",
        "\nchatmail_expire_duration_seconds 0.25\n",
        "\nchatmail_expire_ended_seconds 1700000000\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_non_null(strstr(out.data, lines[i]));
    }
    cm_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_clock),
        cmocka_unit_test(test_share),   cmocka_unit_test(test_logins_not_recorded),
        cmocka_unit_test(test_due),     cmocka_unit_test(test_human),
        cmocka_unit_test(test_buckets), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_tally),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
