#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

static char last[8192];
static unsigned lines;

static void capture(const char *line, void *ctx)
{
    (void)ctx;
    snprintf(last, sizeof(last), "%s", line);
    lines++;
}

static int setup(void **state)
{
    (void)state;
    cm_log_init("test", CM_LOG_DEBUG);
    cm_log_capture(capture, NULL);
    last[0] = '\0';
    lines = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_log_capture(NULL, NULL);
    cm_clock_shift(0);
    return 0;
}

static void test_pairs(void **state)
{
    (void)state;
    cm_log(CM_LOG_INFO, "pairs", "epoch", "17", "mode", "active", "peer", NULL, NULL);
    assert_string_equal(last, "event=pairs epoch=17 mode=active peer=-");
    cm_log(CM_LOG_INFO, "alone", NULL);
    assert_string_equal(last, "event=alone");
}

static void test_quoting(void **state)
{
    (void)state;
    cm_log(CM_LOG_INFO, "quoting", "a", "two words", "b", "x=y", "c", "say \"hi\" \\",
           "d", "", "e", "-", NULL);
    assert_string_equal(last, "event=quoting a=\"two words\" b=\"x=y\" "
                              "c=\"say \\\"hi\\\" \\\\\" d=\"\" e=\"-\"");
}

static void test_a_line_stays_a_line(void **state)
{
    (void)state;
    cm_log(CM_LOG_INFO, "control", "a", "1\n2\r\t\x01\x7f", NULL);
    assert_string_equal(last, "event=control a=\"1\\n2\\r\\t\\x01\\x7f\"");
    cm_log_text(CM_LOG_INFO, "one\ntwo %d \"quoted\"", 3);
    assert_string_equal(last, "one\\ntwo 3 \"quoted\"");
}

static void test_only_good_utf8_passes(void **state)
{
    (void)state;
    cm_log(CM_LOG_INFO, "utf8", "a", "é€😀", NULL);
    assert_string_equal(last, "event=utf8 a=\"é€😀\"");
    cm_log(CM_LOG_INFO, "utf8", "a", "\xff\xc3 \xe2\x82", NULL);
    assert_string_equal(last, "event=utf8 a=\"\\xff\\xc3 \\xe2\\x82\"");
    /* overlong, surrogate, C1 control, beyond the last plane */
    cm_log(CM_LOG_INFO, "utf8", "a", "\xc0\xaf\xed\xa0\x80\xc2\x85\xf4\x90\x80\x80",
           NULL);
    assert_string_equal(last, "event=utf8 a=\"\\xc0\\xaf\\xed\\xa0\\x80\\xc2\\x85"
                              "\\xf4\\x90\\x80\\x80\"");
}

static void test_long_lines_are_cut(void **state)
{
    (void)state;
    char big[9000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    cm_log(CM_LOG_INFO, "long", "a", big, "b", "never", NULL);
    size_t n = strlen(last);
    assert_in_range(n, 4000, 4095);
    assert_string_equal(last + n - 4, "x...");
    cm_log_text(CM_LOG_INFO, "%s", big);
    assert_in_range(strlen(last), 4000, 4095);
    for (size_t i = 0; i + 2 < sizeof(big); i += 2) {
        memcpy(big + i, "é", 2);
    }
    big[sizeof(big) - 1] = '\0';
    cm_log(CM_LOG_INFO, "long", "aa", big, NULL);
    n = strlen(last);
    assert_memory_equal(last + n - 5, "é...", 5);
}

static void test_levels(void **state)
{
    (void)state;
    cm_log_init("test", CM_LOG_WARNING);
    cm_log(CM_LOG_INFO, "levels", NULL);
    cm_log_text(CM_LOG_DEBUG, "text");
    assert_int_equal(lines, 0);
    cm_log(CM_LOG_WARNING, "levels", NULL);
    cm_log_text(CM_LOG_ERROR, "text");
    assert_int_equal(lines, 2);
}

static void test_error_values(void **state)
{
    (void)state;
    struct cm_err err;
    cm_err_set(&err, CM_ERR_RETRY, "peer is away");
    cm_log_err(CM_LOG_ERROR, "failed", &err);
    assert_string_equal(last, "event=failed kind=retry reason=\"peer is away\"");
    err.kind = CM_ERR_WORLD;
    cm_log_err(CM_LOG_ERROR, "failed", &err);
    assert_non_null(strstr(last, "kind=world"));
}

static void test_states(void **state)
{
    (void)state;
    cm_log_state("redis", true, "of long ago", "none");
    assert_string_equal(last, "event=redis_up");
    cm_log_state("redis", false, "not there", "rings wait");
    assert_string_equal(last,
                        "event=redis_down reason=\"not there\" effect=\"rings wait\"");
}

static void test_rate_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        cm_log(CM_LOG_INFO, "storm", "n", "1", NULL);
    }
    assert_int_equal(lines, 20);
    cm_log(CM_LOG_INFO, "calm", NULL);
    assert_int_equal(lines, 21);
    cm_clock_shift(9000);
    cm_log(CM_LOG_INFO, "storm", NULL);
    assert_int_equal(lines, 21);
    cm_clock_shift(10000);
    cm_log(CM_LOG_INFO, "storm", "n", "2", NULL);
    assert_string_equal(last, "event=storm suppressed=31 n=2");
    cm_log(CM_LOG_INFO, "storm", "n", "3", NULL);
    assert_string_equal(last, "event=storm n=3");
}

static void test_text_is_never_suppressed(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        cm_log_text(CM_LOG_INFO, "registration rejected: %d", i);
    }
    assert_int_equal(lines, 50);
}

static void test_many_event_names(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "many%d", i);
        cm_log(CM_LOG_INFO, name, NULL);
    }
    assert_int_equal(lines, 1000);
}

/* What goes to the real stderr, with JOURNAL_STREAM naming the file behind it or not.
 */
static void written(const char *journal_of, char out[256])
{
    char path[] = "/tmp/cm-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char stream[64];
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", journal_of != NULL ? journal_of : stream, 1);
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    dup2(fd, STDERR_FILENO);
    cm_log_capture(NULL, NULL);
    cm_log_init("prog", CM_LOG_DEBUG);
    cm_log(CM_LOG_WARNING, "stderr", "a", "b", NULL);
    cm_log_text(CM_LOG_DEBUG, "text");
    dup2(saved, STDERR_FILENO);
    close(saved);
    unsetenv("JOURNAL_STREAM");
    ssize_t n = pread(fd, out, 255, 0);
    assert_true(n >= 0);
    out[n] = '\0';
    close(fd);
    unlink(path);
}

static void test_stderr(void **state)
{
    (void)state;
    char out[256];
    written("1:1", out);
    assert_string_equal(out, "prog: event=stderr a=b\nprog: text\n");
    written(NULL, out);
    assert_string_equal(out, "<4>event=stderr a=b\n<7>text\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quoting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_stays_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_good_utf8_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lines_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_states, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rate_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_is_never_suppressed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_event_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stderr, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
