#include "common/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cm_template_var vars[] = {
    {"domain", "chat.example.org"}, {"yes", "yes"}, {"no", "no"},        {"empty", ""},
    {"tag", "{{domain}}"},          {"null", NULL}, {"lines", "a\nb\n"},
};
#define VARS (sizeof(vars) / sizeof(vars[0]))

static void assert_renders(const char *text, const char *expected)
{
    struct cm_err err = {0};
    char *out = NULL;
    if (cm_template_render("t.conf", text, vars, VARS, &out, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    assert_string_equal(out, expected);
    free(out);
}

static void assert_fails(const char *text, const char *message)
{
    struct cm_err err = {0};
    char *out = NULL;
    assert_int_equal(cm_template_render("t.conf", text, vars, VARS, &out, &err), -1);
    assert_null(out);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_string_equal(err.text, message);
}

static void test_values(void **state)
{
    (void)state;
    assert_renders("", "");
    assert_renders("no tags { } }} {", "no tags { } }} {");
    assert_renders("a {{domain}} b {{ domain }}",
                   "a chat.example.org b chat.example.org");
    assert_renders("{{empty}}{{tag}}", "{{domain}}");
    assert_renders("x\n{{empty}}\ny\n", "x\n\ny\n");
    assert_renders("  {{lines}}", "  a\nb\n");
}

static void test_sections(void **state)
{
    (void)state;
    assert_renders("{{#yes}}a{{/yes}}{{#no}}b{{/no}}{{#empty}}c{{/empty}}", "a");
    assert_renders("{{^yes}}a{{/yes}}{{^no}}b{{/no}}{{^empty}}c{{/empty}}", "bc");
    assert_renders("{{#yes}}1{{#domain}}2{{domain}}{{/domain}}{{^no}}3{{/no}}{{/yes}}",
                   "12chat.example.org3");
    assert_renders("{{#no}}a{{#yes}}b{{/yes}}c{{^no}}d{{/no}}{{/no}}e", "e");
    assert_renders("{{#yes}}{{#yes}}a{{/yes}}{{/yes}}", "a");
}

static void test_standalone_tags_take_their_line(void **state)
{
    (void)state;
    assert_renders("a\n{{#yes}}\nb\n{{/yes}}\nc\n", "a\nb\nc\n");
    assert_renders("a\n{{#no}}\nb\n{{/no}}\nc\n", "a\nc\n");
    assert_renders("a\n  {{#yes}} \t\n  b\n\t{{/yes}}\r\nc", "a\n  b\nc");
    assert_renders("{{#yes}}\nb\n{{/yes}}", "b\n");
    assert_renders("a\n{{! one\n two }}\nb\n", "a\nb\n");
    assert_renders("{{#yes}}\n{{#no}}\nx\n{{/no}}\n{{^no}}\ny\n{{/no}}\n{{/yes}}\n",
                   "y\n");
    assert_renders("a {{#yes}}\nb{{/yes}}\nc\n", "a \nb\nc\n");
    assert_renders("a {{! note }}\nb\n", "a \nb\n");
    assert_renders("{{#yes}} {{/yes}}\n", " \n");
}

static void test_errors_say_where(void **state)
{
    (void)state;
    assert_fails("ab\n cd {{domian}}\n", "t.conf:2:5: no value for {{domian}}");
    assert_fails("{{null}}", "t.conf:1:1: no value for {{null}}");
    assert_fails("{{#what}}x{{/what}}", "t.conf:1:1: no value for {{what}}");
    assert_fails("{{#no}}{{hidden}}{{/no}}", "t.conf:1:8: no value for {{hidden}}");
    assert_fails("a\n  {{#yes}}\nb\n", "t.conf:2:3: {{#yes}} is never closed");
    assert_fails("{{^no}}", "t.conf:1:1: {{^no}} is never closed");
    assert_fails("a{{/yes}}", "t.conf:1:2: {{/yes}} closes nothing");
    assert_fails("{{#yes}}\n {{^no}}{{/yes}}{{/no}}",
                 "t.conf:2:9: {{/yes}} where {{/no}} is due");
    assert_fails("{{#yes}}{{/ye}}", "t.conf:1:9: {{/ye}} where {{/yes}} is due");
    assert_fails("abc {{domain", "t.conf:1:5: \"{{\" without \"}}\"");
    assert_fails("abc {{domain}", "t.conf:1:5: \"{{\" without \"}}\"");
    assert_fails("{{}}", "t.conf:1:1: bad name in {{}}");
    assert_fails("{{two words}}", "t.conf:1:1: bad name in {{two words}}");
    assert_fails("{{{domain}}}", "t.conf:1:1: bad name in {{{domain}}");
    assert_fails("{{#}}{{/}}", "t.conf:1:1: bad name in {{}}");
}

static void test_depth(void **state)
{
    (void)state;
    char text[2048] = "";
    for (int i = 0; i < CM_TEMPLATE_DEPTH; i++) {
        strcat(text, "{{#yes}}");
    }
    char deeper[2048];
    snprintf(deeper, sizeof(deeper), "%s{{#yes}}", text);
    for (int i = 0; i < CM_TEMPLATE_DEPTH; i++) {
        strcat(text, "{{/yes}}");
    }
    assert_renders(text, "");
    assert_fails(deeper, "t.conf:1:129: more than 16 sections inside each other");
}

static void test_result_has_a_limit(void **state)
{
    (void)state;
    size_t n = 1024 * 1024;
    char *value = malloc(n + 1);
    assert_non_null(value);
    memset(value, 'x', n);
    value[n] = '\0';
    struct cm_template_var big = {"b", value};
    char *out = NULL;
    struct cm_err err = {0};
    assert_int_equal(cm_template_render("t", "{{b}}{{b}}{{b}}{{b}}{{b}}{{b}}{{b}}{{b}}",
                                        &big, 1, &out, &err),
                     0);
    free(out);
    out = NULL;
    assert_int_equal(cm_template_render("t",
                                        "{{b}}{{b}}{{b}}{{b}}{{b}}{{b}}{{b}}{{b}}.",
                                        &big, 1, &out, &err),
                     -1);
    assert_null(out);
    free(value);
}

static void test_unused_values_of_a_run(void **state)
{
    (void)state;
    bool used[VARS] = {false};
    struct cm_err err = {0};
    char *out = NULL;
    assert_int_equal(cm_template_render_used("one", "{{domain}}{{#no}}{{tag}}{{/no}}",
                                             vars, VARS, used, &out, &err),
                     0);
    free(out);
    assert_true(used[0]);
    assert_int_equal(cm_template_unused(vars, VARS, used, &err), -1);
    assert_string_equal(err.text, "values that no template uses: yes, empty, lines");
    assert_int_equal(cm_template_render_used("two",
                                             "{{^yes}}{{/yes}}{{lines}}{{empty}}", vars,
                                             VARS, used, &out, &err),
                     0);
    free(out);
    assert_int_equal(cm_template_unused(vars, VARS, used, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_standalone_tags_take_their_line),
        cmocka_unit_test(test_errors_say_where),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_result_has_a_limit),
        cmocka_unit_test(test_unused_values_of_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
