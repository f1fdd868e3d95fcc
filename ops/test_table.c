/* Completion and man page are what the table of verbs says; PORTICO_GOLDEN_UPDATE=1
 * writes both anew. */
#include "completion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli.h"
#include "common/file.h"
#include "common/mem.h"

static char *read_beside(const char *name)
{
    char *path = cm_asprintf("%s/../%s", getenv("PORTICO_TESTDATA_DIR"), name), *text;
    struct cm_err err;

    if (cm_file_read(path, 1 << 20, &text, NULL, &err) != 1) {
        fail_msg("%s cannot be read", path);
    }
    free(path);
    return text;
}

static void is_golden(const char *name, const char *text)
{
    char *path = cm_asprintf("%s/../%s", getenv("PORTICO_TESTDATA_DIR"), name);
    struct cm_err err;

    if (getenv("PORTICO_GOLDEN_UPDATE") != NULL) {
        assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    }
    char *there = read_beside(name);
    if (strcmp(there, text) != 0) {
        fail_msg("ops/%s is not what the table says: "
                 "PORTICO_GOLDEN_UPDATE=1 ctest -R test_op_table",
                 name);
    }
    free(there);
    free(path);
}

static void test_bash(void **state)
{
    char *script = op_completion_bash();

    (void)state;
    is_golden("completion/chatops", script);
    free(script);
}

static void test_man(void **state)
{
    char *template = read_beside("man/chatops.1.in"), *page;
    struct cm_err err;

    (void)state;
    if (op_man(template, &page, &err) != 0) {
        fail_msg("%s", err.text);
    }
    is_golden("man/chatops.1", page);
    free(page);
    free(template);
}

static void test_differs(void **state)
{
    char *template = read_beside("man/chatops.1.in"), *page;
    struct cm_err err;

    (void)state;
    char *more = cm_asprintf("%s@verb fly\n", template);
    assert_int_equal(op_man(more, &page, &err), -1);
    assert_non_null(strstr(err.text, "\"fly\""));
    char *at = strstr(template, "@verb dns\n");
    assert_non_null(at);
    memcpy(at, "@verb run", 9);
    assert_int_equal(op_man(template, &page, &err), -1);
    assert_non_null(strstr(err.text, "@verb dns"));
    free(more);
    free(template);
}

/* What bash offers behind a line that ends in a word begun. */
static void offers(const char *line, const char *want)
{
    char said[4096];
    char *command =
        cm_asprintf("bash -c '. \"$0/../completion/chatops\"; COMP_WORDS=(%s \"\"); "
                    "[ -z \"$1\" ] || COMP_WORDS=(%s); "
                    "COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _chatops; "
                    "echo \" ${COMPREPLY[*]} \"' \"$PORTICO_TESTDATA_DIR\" %s",
                    line, line, line[strlen(line) - 1] == ' ' ? "''" : "x");
    FILE *f = popen(command, "r");

    assert_non_null(f);
    size_t n = fread(said, 1, sizeof(said) - 1, f);
    said[n] = '\0';
    assert_int_equal(pclose(f), 0);
    if (strstr(said, want) == NULL) {
        fail_msg("%s: %s", line, said);
    }
    free(command);
}

static void test_offers(void **state)
{
    (void)state;
    offers("chatops ", " init gateway run ");
    offers("chatops gat", " gateway ");
    offers("chatops gateway dr", " drain ");
    offers("chatops --config x gateway drain --fo", " --for --force ");
    offers("chatops gateway drain edge1 --js", " --json ");
    offers("chatops registrations ", " open closed invite revoke ");
    offers("chatops registrations invite --us", " --uses ");
    offers("chatops run --dr", " --dry-run ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bash),
        cmocka_unit_test(test_man),
        cmocka_unit_test(test_differs),
        cmocka_unit_test(test_offers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
