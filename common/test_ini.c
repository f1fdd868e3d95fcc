#include "common/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cm_ini must_parse(const char *text)
{
    struct cm_ini ini;
    struct cm_err err = {0};
    if (cm_ini_parse("f.ini", text, strlen(text), &ini, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return ini;
}

static void assert_value(const struct cm_ini *ini, const char *section, const char *key,
                         const char *value, unsigned line)
{
    const struct cm_ini_item *item = cm_ini_find(ini, section, key);
    assert_non_null(item);
    assert_string_equal(item->value, value);
    assert_int_equal(item->line, line);
}

static void assert_fails(const char *text, size_t len, const char *message)
{
    struct cm_ini ini = {.count = 77};
    struct cm_err err = {0};
    assert_int_equal(cm_ini_parse("f.ini", text, len, &ini, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_non_null(strstr(err.text, message));
    assert_int_equal(ini.count, 77);
}

static void test_values_and_sections(void **state)
{
    (void)state;
    struct cm_ini ini = must_parse("# comment\n"
                                   "[params]\n"
                                   "mail_domain = chat.example.org\n"
                                   "UPPER=Value ; not # a comment\n"
                                   "colon: https://x.example/?a=b\n"
                                   "empty =\n"
                                   "[store]\n"
                                   "[ gateway \t edge1 ]\r\n"
                                   "number = 1\r\n"
                                   "last = \"x\"");
    assert_int_equal(ini.count, 6);
    assert_value(&ini, "params", "mail_domain", "chat.example.org", 3);
    assert_value(&ini, "params", "upper", "Value ; not # a comment", 4);
    assert_value(&ini, "params", "colon", "https://x.example/?a=b", 5);
    assert_value(&ini, "params", "empty", "", 6);
    assert_value(&ini, "gateway edge1", "number", "1", 9);
    assert_value(&ini, "gateway edge1", "last", "\"x\"", 10);
    assert_null(cm_ini_find(&ini, "store", "number"));
    assert_int_equal(ini.section_count, 3);
    assert_string_equal(ini.sections[1].name, "store");
    assert_int_equal(ini.sections[2].line, 8);
    cm_ini_clear(&ini);
    assert_int_equal(ini.count, 0);
}

static void test_continuation(void **state)
{
    (void)state;
    struct cm_ini ini = must_parse("[params]\n"
                                   "privacy_postal =\n"
                                   "   Example e.V.\n"
                                   "\n"
                                   "\tSome Street 1\n"
                                   "   # no part of it\n"
                                   "   99999 Town  \n"
                                   "a = one\n"
                                   "  two = three\n");
    assert_value(&ini, "params", "privacy_postal",
                 "Example e.V.\nSome Street 1\n99999 Town", 2);
    assert_value(&ini, "params", "a", "one\ntwo = three", 8);
    cm_ini_clear(&ini);
}

static void test_empty_and_bom(void **state)
{
    (void)state;
    struct cm_ini ini = must_parse("");
    assert_int_equal(ini.count, 0);
    cm_ini_clear(&ini);
    ini = must_parse("\xef\xbb\xbf[params]\na=b\n");
    assert_value(&ini, "params", "a", "b", 2);
    cm_ini_clear(&ini);
}

static void test_long_values_come_whole(void **state)
{
    (void)state;
    char text[5000] = "[params]\nkey = ";
    memset(text + strlen(text), 'v', 3000);
    struct cm_ini ini = must_parse(text);
    assert_int_equal(strlen(ini.items[0].value), 3000);
    cm_ini_clear(&ini);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a = b\n", "f.ini:1: a value before the first [section]: \"a = b\""},
        {"[params]\njust words\n",
         "f.ini:2: neither \"[section]\" nor \"key = value\": "
         "\"just words\""},
        {"[params]\n= b\n", "f.ini:2: neither"},
        {"[params]\nkey\n", "f.ini:2: neither"},
        {"[params]\nk\xc3\xa9y = b\n", "f.ini:2: neither"},
        {"[params\n", "f.ini:1: a section is one [name] on its line"},
        {"[]\n", "f.ini:1: a section is"},
        {"[  ]\n", "f.ini:1: a section is"},
        {"[\n", "f.ini:1: a section is"},
        {"[a] b\n", "f.ini:1: a section is"},
        {"[a]]\n", "f.ini:1: a section is"},
        {"[[a]\n", "f.ini:1: a section is"},
        {"  a = b\n", "f.ini:1: an indented line continues a value"},
        {"[params]\n  a = b\n", "f.ini:2: an indented line continues a value"},
        {"[p]\na=1\n[q]\n b\n", "f.ini:4: an indented line continues a value"},
        {"[p]\na = 1\nb = 2\nA = 3\n",
         "f.ini:4: [p] a is there twice, first on line 2"},
        {"[p]\n[gateway  x]\n[gateway x]\n",
         "f.ini:3: section [gateway x] is there twice, first on line 2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_fails(cases[i].text, strlen(cases[i].text), cases[i].message);
    }
    assert_fails("[p]\na = \0b\n", 11, "f.ini:2: a NUL byte");
}

/* count lines of the same kind behind "[p]\n". */
static char *many(size_t count, const char *before, const char *after)
{
    size_t room = count * (strlen(before) + strlen(after) + 12) + 16;
    char *text = malloc(room);
    assert_non_null(text);
    size_t len = (size_t)snprintf(text, room, "[p]\nv = x\n");
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, room - len, "%s%zu%s\n", before, i, after);
    }
    return text;
}

static void test_limits(void **state)
{
    (void)state;
    char *text = malloc(1100000);
    assert_non_null(text);
    memset(text, '\n', 1100000);
    assert_fails(text, 1100000, "longer than 1 MiB");
    memset(text, 'x', 70000);
    memcpy(text, "[p]\na=", 6);
    assert_fails(text, 70000, "f.ini:2: line longer than 64 KiB");
    free(text);

    text = many(5000, "k", " = 1");
    assert_fails(text, strlen(text), "too many values");
    free(text);
    text = many(5000, "[s", "]");
    assert_fails(text, strlen(text), "too many sections");
    free(text);
    text = many(12000, " continued", "");
    assert_fails(text, strlen(text), "value longer than 64 KiB");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_sections),
        cmocka_unit_test(test_continuation),
        cmocka_unit_test(test_empty_and_bom),
        cmocka_unit_test(test_long_values_come_whole),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
