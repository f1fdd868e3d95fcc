#include "common/smtpdata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The whole table of relay-spec.md 6.6. */
static const struct {
    const char *text;
    bool valid;
} table[] = {
    {"", false},
    {".", false},
    {"Hello!\n", false},
    {"Hello!\n\r", false},
    {"Hello\nworld!\r\n", false},
    {"Hello!\r\n\n", false},
    {"Hello\r\n.\r\n", false},
    {"Hello!\r\n .\r\n", true},
    {"Hello!\r\n..\r\n", true},
    {"Hello!\r\n", true},
    {"Hello\r\n.world\r\n", true},
    {"Hello!\r\r\n", false},
    {"Hello!\r\r\n\n", false},
    {"Hello\rworld!\r\n", false},
    {"\n", false},
    {"\nHello\r\n", false},
    {"\r", false},
    {".\r\n", false},
    {".\r\nHello\r\n", false},
    {"..\r\n.\r\n", false},
    {".\r\n..\r\n", false},
    {"\r\n.\r\n", false},
    {"..\r\n..\r\n", true},
    {" .\r\n", true},
    {"..\r\n", true},
    {"\r\n", true},
    {"Hello", false},
    {"Hello\r", false},
    {"Hello\r\n.", false},
    {"Hello\r\n.\r", false},
};
#define ROWS (sizeof table / sizeof table[0])

static bool judge(const char *text, size_t len, size_t chunk)
{
    struct cm_smtpdata d;
    cm_smtpdata_init(&d);
    for (size_t at = 0; at < len; at += chunk) {
        size_t n = len - at < chunk ? len - at : chunk;
        cm_smtpdata_feed(&d, text + at, n);
    }
    return cm_smtpdata_end(&d);
}

static void the_table_holds_in_any_chunking(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        size_t len = strlen(table[i].text);
        for (size_t chunk = 1; chunk <= len + 1; chunk++) {
            if (judge(table[i].text, len, chunk) != table[i].valid) {
                fail_msg("row %zu in chunks of %zu", i, chunk);
            }
        }
    }
}

static void feed_tells_early(void **state)
{
    (void)state;
    struct cm_smtpdata d;
    cm_smtpdata_init(&d);
    assert_true(cm_smtpdata_feed(&d, "a\r\n.", 4));
    assert_true(cm_smtpdata_feed(&d, "\r", 1));
    assert_false(cm_smtpdata_feed(&d, "\n", 1));
    assert_false(cm_smtpdata_feed(&d, "b\r\n", 3));
    assert_false(cm_smtpdata_end(&d));
}

static void any_byte_is_fine_inside_a_line(void **state)
{
    (void)state;
    char line[258];
    size_t n = 0;
    for (unsigned c = 0; c < 256; c++) {
        if (c != '\r' && c != '\n') {
            line[n++] = (char)(unsigned char)c;
        }
    }
    line[n++] = '\r';
    line[n++] = '\n';
    assert_true(judge(line, n, n));
    assert_true(judge(line, n, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds_in_any_chunking),
        cmocka_unit_test(feed_tells_early),
        cmocka_unit_test(any_byte_is_fine_inside_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
