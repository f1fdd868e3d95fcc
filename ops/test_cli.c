#include "cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* "a b c" becomes argv; quotes are not needed here. */
static int parse(const char *line, struct op_cli *cli, const struct op_verb **verb,
                 struct cm_err *err)
{
    static char text[256];
    static char *argv[16];
    int argc = 0;

    strcpy(text, line);
    for (char *w = strtok(text, " "); w != NULL; w = strtok(NULL, " ")) {
        argv[argc++] = w;
    }
    argv[argc] = NULL;
    return op_cli_parse(argc, argv, cli, verb, err);
}

static void test_accepted(void **state)
{
    struct op_cli cli;
    const struct op_verb *verb;
    struct cm_err err;

    (void)state;
    unsetenv("CHATMAIL_INI");
    assert_int_equal(parse("chatops", &cli, &verb, &err), 0);
    assert_null(verb);
    assert_int_equal(parse("chatops init chat.example.org --force", &cli, &verb, &err),
                     0);
    assert_string_equal(verb->name, "init");
    assert_string_equal(cli.args[0], "chat.example.org");
    assert_true(cli.force);
    assert_string_equal(cli.config, "chatmail.ini");
    assert_int_equal(parse("chatops --config /x run -v --dry-run", &cli, &verb, &err),
                     0);
    assert_string_equal(verb->name, "run");
    assert_string_equal(cli.config, "/x");
    assert_true(cli.dry_run && cli.verbose && !cli.yes);
    assert_int_equal(
        parse("chatops gateway add edge1 --ssh=root@h --number 3", &cli, &verb, &err),
        0);
    assert_string_equal(verb->name, "gateway add");
    assert_string_equal(cli.ssh, "root@h");
    assert_string_equal(cli.number, "3");
    assert_string_equal(cli.args[0], "edge1");
    assert_int_equal(parse("chatops dns --zonefile -", &cli, &verb, &err), 0);
    assert_string_equal(cli.zonefile, "-");
    assert_int_equal(
        parse("chatops registrations invite --uses 5 --days=3", &cli, &verb, &err), 0);
    assert_string_equal(verb->name, "registrations invite");
    assert_string_equal(cli.uses, "5");
    assert_string_equal(cli.days, "3");
    assert_null(cli.count);
    assert_int_equal(parse("chatops registrations --json", &cli, &verb, &err), 0);
    assert_string_equal(verb->name, "registrations");
    assert_int_equal(parse("chatops registrations revoke 7", &cli, &verb, &err), 0);
    assert_string_equal(cli.args[0], "7");
    assert_int_equal(
        parse("chatops gateway drain edge1 --for 90 --force", &cli, &verb, &err), 0);
    assert_string_equal(verb->name, "gateway drain");
    assert_string_equal(cli.for_s, "90");
    assert_true(cli.force);
    assert_int_equal(parse("chatops gateway rotate a b", &cli, &verb, &err), 0);
    assert_string_equal(cli.args[1], "b");
    assert_int_equal(parse("chatops gateway render a --pf", &cli, &verb, &err), 0);
    assert_true(cli.pf);
    setenv("CHATMAIL_INI", "/env.ini", 1);
    assert_int_equal(parse("chatops status", &cli, &verb, &err), 0);
    assert_string_equal(cli.config, "/env.ini");
    unsetenv("CHATMAIL_INI");
}

static void test_refused(void **state)
{
    static const struct {
        const char *line, *reason;
    } cases[] = {
        {"chatops fly", "unknown verb \"fly\"; see: chatops --help"},
        {"chatops gateway", "after gateway comes: add, invite, accept"},
        {"chatops gateway --json", "after gateway comes: add, invite, accept"},
        {"chatops gateway fly",
         "unknown verb \"gateway fly\"; after gateway comes: add"},
        {"chatops init", "usage: chatops init DOMAIN"},
        {"chatops init a b", "usage: chatops init DOMAIN"},
        {"chatops run now", "usage: chatops run"},
        {"chatops run --force", "unknown option --force"},
        {"chatops run --jso", "unknown option --jso"},
        {"chatops run --json=yes", "--json takes no value"},
        {"chatops dns --zonefile", "--zonefile needs a value"},
        {"chatops --zonefile x", "unknown option --zonefile"},
        {"chatops registrations sometimes", "unknown verb \"registrations sometimes\"; "
                                            "after registrations comes: open, closed"},
        {"chatops registrations revoke",
         "usage: chatops registrations revoke TOKEN|ID"},
        {"chatops gateway drain", "usage: chatops gateway drain NAME"},
        {"chatops gateway drain a b", "usage: chatops gateway drain NAME"},
        {"chatops gateway rotate a", "usage: chatops gateway rotate OLD NEW"},
        {"chatops gateway rotate a b c", "too many words: \"c\""},
        {"chatops gateway resume a --for 3", "unknown option --for"},
        {"chatops gateway rotate a b --force", "unknown option --force"},
        {"chatops registrations open --uses 3", "unknown option --uses"},
    };
    struct op_cli cli;
    const struct op_verb *verb;
    struct cm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].line, &cli, &verb, &err), -1);
        if (strstr(err.text, cases[i].reason) == NULL) {
            fail_msg("%s: %s", cases[i].line, err.text);
        }
    }
}

static void check_width(const char *help)
{
    for (const char *l = help; *l != '\0';) {
        size_t n = strcspn(l, "\n");
        if (n > 80) {
            fail_msg("%zu columns: %.*s", n, (int)n, l);
        }
        l += n + (l[n] == '\n');
    }
}

static void test_group(void **state)
{
    struct op_cli cli;
    const struct op_verb *verb;
    struct cm_err err;

    (void)state;
    assert_int_equal(parse("chatops gateway --help", &cli, &verb, &err), 0);
    assert_null(verb);
    assert_string_equal(cli.group, "gateway");
    char *help = op_cli_help(verb, cli.group);
    check_width(help);
    assert_non_null(strstr(help, "  gateway rotate OLD NEW "));
    assert_null(strstr(help, "registrations"));
    free(help);
    assert_int_equal(parse("chatops -h gateway", &cli, &verb, &err), 0);
    assert_string_equal(cli.group, "gateway");
    assert_int_equal(parse("chatops registrations --help", &cli, &verb, &err), 0);
    assert_string_equal(verb->name, "registrations");
    assert_int_equal(parse("chatops gateway add --help", &cli, &verb, &err), 0);
    assert_string_equal(verb->name, "gateway add");
    assert_null(cli.group);
}

/* Every option is somebody's, and every verb's options exist. */
static void test_tables(void **state)
{
    (void)state;
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        char options[128];
        assert_non_null(v->handler);
        assert_in_range(strlen(v->brief), 5, 46);
        strcpy(options, v->options);
        for (char *w = strtok(options, " "); w != NULL; w = strtok(NULL, " ")) {
            const struct op_option *o = op_options;
            while (o->name != NULL && strcmp(o->name, w) != 0) {
                o++;
            }
            assert_non_null(o->name);
            assert_false(o->common);
        }
        char *help = op_cli_help(v, NULL);
        check_width(help);
        free(help);
    }
    char *help = op_cli_help(NULL, NULL);
    check_width(help);
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        bool found = o->common && strstr(help, o->name) != NULL;
        for (const struct op_verb *v = op_verbs; v->name != NULL && !found; v++) {
            found = strstr(v->options, o->name) != NULL;
        }
        assert_true(found);
    }
    free(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
