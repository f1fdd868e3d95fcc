#include "sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define K "/k.gpg"

static void check(void (*fn)(const char *, const char *, const char *, struct cm_buf *),
                  const char *text, const char *expected)
{
    struct cm_buf b;
    cm_buf_init(&b, 65536);
    fn(text, "bookworm", K, &b);
    assert_string_equal(b.data, expected);
    cm_buf_clear(&b);
}

static void deb822_in_two_stanzas(void **state)
{
    (void)state;
    check(sources_from_deb822,
          "# a comment: with a colon\n"
          "Types: deb\nURIs: http://mirror.invalid/debian\n"
          "Suites: bookworm bookworm-updates bookworm-backports\n"
          "Components: main contrib\n"
          "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
          "\n"
          "Types: deb deb-src\nuris: http://mirror.invalid/sec\n"
          "Suites: bookworm-security\nComponents: main",
          "deb [signed-by=" K "] http://mirror.invalid/debian bookworm main\n"
          "deb [signed-by=" K "] http://mirror.invalid/debian bookworm-updates main\n"
          "deb [signed-by=" K "] http://mirror.invalid/sec bookworm-security main\n");
}

static void others_are_left_out(void **state)
{
    (void)state;
    check(sources_from_deb822,
          "Types: deb\nURIs: http://v.invalid\nSuites: bookworm\nComponents: stable\n\n"
          "Types: deb\nURIs: http://v.invalid\nSuites: bookworm\nComponents: main\n"
          "Signed-By: /usr/share/keyrings/vendor.gpg\n\n"
          "Types: deb-src\nURIs: http://d.invalid\nSuites: bookworm\n"
          "Components: main\n\n"
          "Enabled: no\nTypes: deb\nURIs: http://d.invalid\nSuites: bookworm\n"
          "Components: main\n\n"
          "Types: deb\nURIs: http://d.invalid\nSuites: bookwormish\nComponents: main\n",
          "");
}

static void one_line_format(void **state)
{
    (void)state;
    check(sources_from_list,
          "# deb http://no.invalid bookworm main\n"
          "deb-src http://no.invalid bookworm main\n"
          "deb http://d.invalid/debian bookworm main non-free-firmware\n"
          "deb [arch=amd64 signed-by=/k/vendor.gpg] http://v.invalid bookworm main\n"
          "deb [signed-by=/k/debian-archive-keyring.gpg] http://s.invalid "
          "bookworm-security main\n"
          "deb http://d.invalid/debian trixie main\n"
          "deb\n"
          "deb [unclosed",
          "deb [signed-by=" K "] http://d.invalid/debian bookworm main\n"
          "deb [signed-by=" K "] http://s.invalid bookworm-security main\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deb822_in_two_stanzas),
        cmocka_unit_test(others_are_left_out),
        cmocka_unit_test(one_line_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
