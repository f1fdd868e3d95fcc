/* Texts on 80 columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wrap.h"

static void lines_are(const char *text, const char *want)
{
    struct cm_buf b;

    cm_buf_init(&b, 4096);
    op_wrap_lines(&b, text);
    assert_string_equal(b.data, want);
    cm_buf_clear(&b);
}

#define TEN  "123456789 "
#define W    "1234567890"
#define FIVE TEN TEN TEN TEN TEN

static void short_lines_stay(void **state)
{
    (void)state;
    lines_are("", "");
    lines_are("a  b\n", "a  b\n");
    lines_are("\n\nx", "\n\nx");
    lines_are(FIVE TEN TEN W, FIVE TEN TEN W); /* 80 */
}

static void long_lines_hang(void **state)
{
    (void)state;
    lines_are(FIVE TEN TEN W "1", FIVE TEN "123456789\n  " W "1");
    lines_are("  MTU   " FIVE TEN W W W "\nnext",
              "  MTU   " FIVE "123456789\n        " W W W "\nnext");
    /* a word alone is never cut */
    lines_are(W W W W W W W W W, W W W W W W W W W);
}

static void a_head_is_counted(void **state)
{
    struct cm_buf b;

    (void)state;
    cm_buf_init(&b, 4096);
    op_wrap(&b, FIVE "12345678 x", 70 - 50, 4);
    assert_string_equal(b.data, FIVE "12345678\n    x");
    cm_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_lines_stay),
        cmocka_unit_test(long_lines_hang),
        cmocka_unit_test(a_head_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
