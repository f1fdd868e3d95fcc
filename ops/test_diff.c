#include "diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *before, const char *after, const char *wanted)
{
    struct cm_buf b;

    cm_buf_init(&b, 65536);
    op_diff(&b, "/etc/x", before, after);
    assert_string_equal(b.data, wanted);
    cm_buf_clear(&b);
}

static void test_equal(void **state)
{
    (void)state;
    expect("a\nb\n", "a\nb\n", "");
}

static void test_new_file(void **state)
{
    (void)state;
    expect(NULL, "a\nb\n",
           "--- /etc/x (does not exist)\n+++ /etc/x (new)\n@@ -0,0 +1,2 @@\n+a\n+b\n");
}

static void test_change_in_the_middle(void **state)
{
    (void)state;
    expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
           "--- /etc/x (on the node)\n+++ /etc/x (new)\n"
           "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

static void test_two_hunks(void **state)
{
    (void)state;
    expect("a\n1\n2\n3\n4\n5\n6\n7\n8\nz\n", "A\n1\n2\n3\n4\n5\n6\n7\n8\n",
           "--- /etc/x (on the node)\n+++ /etc/x (new)\n"
           "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
           "@@ -7,4 +7,3 @@\n 6\n 7\n 8\n-z\n");
}

static void test_emptied(void **state)
{
    (void)state;
    expect("a\n", "",
           "--- /etc/x (on the node)\n+++ /etc/x (new)\n@@ -1,1 +0,0 @@\n-a\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_new_file),
        cmocka_unit_test(test_change_in_the_middle),
        cmocka_unit_test(test_two_hunks),
        cmocka_unit_test(test_emptied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
