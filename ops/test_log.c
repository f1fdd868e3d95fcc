#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static void test_merged(void **state)
{
    char store[] = "1764230692.500000 store postfix/smtpd[12]: connect from x\n"
                   "1764230693.000001 store chatmail-auth[7]: event=a b: c\n"
                   "    and the rest of it\n";
    char edge[] = "1764230692.600000 edge1 chatmail-gateway[9]: applied\n"
                  "1764230693.000001 edge1 kernel: no pid\n"
                  "1764230693.9 edge1 short\n";
    static const struct {
        int64_t us;
        const char *node, *ident, *text;
    } want[] = {
        {1764230692500000, "store", "postfix/smtpd", "connect from x"},
        {1764230692600000, "edge1", "chatmail-gateway", "applied"},
        {1764230693000001, "store", "chatmail-auth", "event=a b: c"},
        {1764230693000001, "store", "chatmail-auth", "and the rest of it"},
        {1764230693000001, "edge1", "kernel", "no pid"},
        {1764230693900000, "edge1", "", "short"},
    };
    struct op_log log = {.count = 0};

    (void)state;
    op_log_add(&log, "store", store);
    op_log_add(&log, "edge1", edge);
    op_log_sort(&log);
    assert_int_equal(log.count, sizeof(want) / sizeof(want[0]));
    for (size_t i = 0; i < log.count; i++) {
        assert_int_equal(log.lines[i].time_us, want[i].us);
        assert_string_equal(log.lines[i].node, want[i].node);
        assert_string_equal(log.lines[i].ident, want[i].ident);
        assert_string_equal(log.lines[i].text, want[i].text);
    }
    op_log_clear(&log);
}

/* What is no line of a journal is shown as it is. */
static void test_foreign(void **state)
{
    char text[] = "\n.\n1764230692\n99999999999999999999.1 a b: c\n-1.5 x y: z\n";
    struct op_log log = {.count = 0};

    (void)state;
    op_log_add(&log, "store", text);
    assert_int_equal(log.count, 4);
    for (size_t i = 0; i < log.count; i++) {
        assert_int_equal(log.lines[i].time_us, 0);
    }
    assert_string_equal(log.lines[1].text, "1764230692");
    op_log_clear(&log);
}

static void since_is(const char *word, const char *want)
{
    struct cm_err err = {.text = ""};
    char *said = op_log_since(word, &err);

    if (want == NULL) {
        assert_null(said);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
    } else {
        assert_string_equal(said, want);
    }
    free(said);
}

static void test_since(void **state)
{
    (void)state;
    since_is("15m", "-900 s");
    since_is("2h", "-7200 s");
    since_is("3d", "-259200 s");
    since_is("today", "today");
    since_is("08:15", "08:15");
    since_is("2026-11-27", "2026-11-27");
    since_is("yesterday-ish", NULL);
    since_is("2026-11-27 08:00 or so", NULL);
    since_is("2026-11-27 08:00", "2026-11-27 08:00");
    since_is("10 min ago", "10 min ago");
    since_is("--output=cat", NULL);
    since_is("", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
