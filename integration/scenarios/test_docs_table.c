/* Each command of README.md, docs/ and the man pages has its row in docs_table.c, and
 * each row its command. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "docs_table.h"

#define FILE_MAX  (1 << 20)
#define FOUND_MAX 300

static struct {
    char *lines[FOUND_MAX];
    size_t count;
} found;

/* What is typed, without "$ " before it and a comment behind it. Changes the line. */
static char *typed(char *line)
{
    line += strncmp(line, "$ ", 2) == 0 ? 2 : 0;
    for (char *p = line; *p != '\0'; p++) {
        if (p[0] == ' ' && p[1] == '#' && p[2] == ' ') {
            *p = '\0';
        }
    }
    for (size_t n = strlen(line); n > 0 && line[n - 1] == ' '; n--) {
        line[n - 1] = '\0';
    }
    return line;
}

static bool is_command(const char *line, bool chatops_only)
{
    static const char *const first[] = {"chatops ",     "ssh ",    "sudo ",   "cmake ",
                                        "tools/arm64 ", "./check", "./bench", "./demo"};

    line += strncmp(line, "$ ", 2) == 0 ? 2 : 0;
    for (size_t i = 0; i < (chatops_only ? 1 : sizeof(first) / sizeof(first[0])); i++) {
        if (strncmp(line, first[i], strlen(first[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Markdown: a line of code, indented by four. A man page: a line of a display, or .Dl
 * with it. */
static char *code_of(char *line, bool man)
{
    if (man) {
        return strncmp(line, ".Dl ", 4) == 0 ? line + 4 : line;
    }
    return strncmp(line, "    ", 4) == 0 ? line + strspn(line, " ") : NULL;
}

static void read_file(const char *path, bool man, bool chatops_only)
{
    char *text, *save = NULL;
    struct cm_err err;

    assert_int_equal(cm_file_read(path, FILE_MAX, &text, NULL, &err), 1);
    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        char *code = code_of(l, man);
        if (code != NULL && is_command(code, chatops_only)) {
            assert_true(found.count < FOUND_MAX);
            found.lines[found.count++] = cm_strdup(typed(code));
        }
    }
    free(text);
}

/* From the top of the checkout. Caller frees. */
static char *path_of(const char *pattern)
{
    const char *here = getenv("PORTICO_TESTDATA_DIR");
    size_t n = strlen(here) - strlen("/integration/scenarios/testdata");

    return cm_asprintf("%.*s/%s", (int)n, here, pattern);
}

static void read_all(const char *pattern, bool man, bool chatops_only)
{
    char *path = path_of(pattern);
    glob_t files;

    assert_int_equal(glob(path, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        read_file(files.gl_pathv[i], man, chatops_only);
    }
    globfree(&files);
    free(path);
}

/* "chatops gateway list" as a man page says it of itself, with what is wrong there, is
 * no example. */
static int setup(void **state)
{
    (void)state;
    read_all("README.md", false, false);
    read_all("docs/operations.md", false, false);
    read_all("docs/[!ol]*.md", false, true);
    read_all("ops/man/*.8", true, true);
    read_all("ops/man/chatops.1.in", true, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (found.count > 0) {
        free(found.lines[--found.count]);
    }
    return 0;
}

static bool has_row(const char *line)
{
    for (const struct docs_command *c = docs_commands; c->doc != NULL || c->run != NULL;
         c++) {
        if (c->doc != NULL && strcmp(c->doc, line) == 0) {
            return true;
        }
    }
    for (const struct docs_elsewhere *e = docs_elsewhere; e->doc != NULL; e++) {
        if (strcmp(e->doc, line) == 0) {
            return true;
        }
    }
    return false;
}

static void each_command_has_a_row(void **state)
{
    size_t missing = 0;

    (void)state;
    assert_true(found.count > 80);
    for (size_t i = 0; i < found.count; i++) {
        if (!has_row(found.lines[i])) {
            print_error("not in docs_table.c: %s\n", found.lines[i]);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

static bool is_found(const char *line)
{
    for (size_t i = 0; i < found.count; i++) {
        if (strcmp(found.lines[i], line) == 0) {
            return true;
        }
    }
    return false;
}

static void each_row_has_a_command(void **state)
{
    (void)state;
    for (const struct docs_command *c = docs_commands; c->doc != NULL || c->run != NULL;
         c++) {
        if (c->doc != NULL && !is_found(c->doc)) {
            fail_msg("in no document: %s", c->doc);
        }
    }
    for (const struct docs_elsewhere *e = docs_elsewhere; e->doc != NULL; e++) {
        if (!is_found(e->doc)) {
            fail_msg("in no document: %s", e->doc);
        }
    }
}

/* "scenario NAME" is the first of a line of scenarios/table.c. */
static void each_scenario_exists(void **state)
{
    char *path = path_of("integration/scenarios/table.c"), *text;
    struct cm_err err;

    (void)state;
    assert_int_equal(cm_file_read(path, FILE_MAX, &text, NULL, &err), 1);
    for (const struct docs_elsewhere *e = docs_elsewhere; e->doc != NULL; e++) {
        if (strncmp(e->where, "scenario ", 9) == 0) {
            char *row = cm_asprintf("{\"%s\",", e->where + 9);
            if (strstr(text, row) == NULL) {
                fail_msg("no %s", e->where);
            }
            free(row);
        }
    }
    free(text);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_has_a_row),
        cmocka_unit_test(each_row_has_a_command),
        cmocka_unit_test(each_scenario_exists),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
