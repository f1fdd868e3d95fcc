/* Each chatops command that stands in README.md and docs/ on a line of its own is one
 * that chatops understands: verb, options, number of words. */
#include <glob.h>
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

#define WORDS_MAX 32
#define FILE_MAX  (1 << 20)

/* Up to what is the shell's: a comment, a pipe, a redirection. Quotes keep a word
 * together. Changes the line. */
static int split(char *line, char *argv[WORDS_MAX])
{
    int argc = 0;
    char *p = line;

    while (argc < WORDS_MAX - 1) {
        p += strspn(p, " ");
        if (*p == '\0' || strchr("#|>;&", *p) != NULL) {
            break;
        }
        char quote = *p == '"' || *p == '\'' ? *p : '\0';
        char *word = quote != '\0' ? p + 1 : p;
        p = word +
            (quote != '\0' ? strcspn(word, (char[]){quote, '\0'}) : strcspn(word, " "));
        bool last = *p == '\0';
        *p = '\0';
        argv[argc++] = word;
        p += last ? 0 : 1;
    }
    argv[argc] = NULL;
    return argc;
}

/* "    chatops status", also behind "$ "; NULL: none. */
static char *command_of(char *line)
{
    if (strncmp(line, "    ", 4) != 0) {
        return NULL;
    }
    line += strspn(line, " ");
    line += strncmp(line, "$ ", 2) == 0 ? 2 : 0;
    return strncmp(line, "chatops ", 8) == 0 ? line : NULL;
}

static size_t check_file(const char *path)
{
    char *text, *save = NULL, *argv[WORDS_MAX];
    size_t count = 0;
    struct cm_err err;

    assert_int_equal(cm_file_read(path, FILE_MAX, &text, NULL, &err), 1);
    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        char *command = command_of(l);
        if (command == NULL) {
            continue;
        }
        char *whole = cm_strdup(command);
        struct op_cli cli;
        const struct op_verb *verb;
        int argc = split(command, argv);
        if (op_cli_parse(argc, argv, &cli, &verb, &err) != 0) {
            fail_msg("%s: \"%s\": %s", path, whole, err.text);
        }
        count++;
        free(whole);
    }
    free(text);
    return count;
}

static void every_command_is_understood(void **state)
{
    const char *root = getenv("PORTICO_TESTDATA_DIR");
    char *readme = cm_asprintf("%s/../../README.md", root);
    char *docs = cm_asprintf("%s/../../docs/*.md", root);
    glob_t files;
    size_t count = check_file(readme);

    (void)state;
    assert_true(count >= 4);
    assert_int_equal(glob(docs, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        count += check_file(files.gl_pathv[i]);
    }
    assert_true(count > 50);
    globfree(&files);
    free(readme);
    free(docs);
}

/* ---- alarms ---- */

/* The literals of a call from its first quote on, joined; up to the first that a comma
 * follows. */
static void format_of(const char *call, char *out, size_t size)
{
    const char *p = strchr(call, '"');
    size_t n = 0;

    while (p != NULL && *p == '"') {
        for (p++; *p != '"' && n + 1 < size; p++) {
            p += *p == '\\';
            out[n++] = *p;
        }
        p++;
        p += strspn(p, " \n");
    }
    out[n] = '\0';
}

/* Its longest part without a conversion: what the operator sees whatever it is about.
 */
static void longest_part(char *format, char *out, size_t size)
{
    char *save = NULL;

    out[0] = '\0';
    format[strcspn(format, ";")] = '\0'; /* then comes what to do */
    for (char *part = strtok_r(format, "%", &save); part != NULL;
         part = strtok_r(NULL, "%", &save)) {
        part += part == format ? 0 : strspn(part, "slduf.0123456789");
        if (strlen(part) > strlen(out)) {
            snprintf(out, size, "%s", part);
        }
    }
    while (out[0] != '\0' && strchr(" (:,", out[strlen(out) - 1]) != NULL) {
        out[strlen(out) - 1] = '\0';
    }
}

/* Whatever `chatops status` may call wrong is explained. */
static void every_alarm_is_explained(void **state)
{
    const char *root = getenv("PORTICO_TESTDATA_DIR");
    char *sources = cm_asprintf("%s/../status*.c", root);
    char *page = cm_asprintf("%s/../../docs/operations.md", root);
    char *docs, *text, format[400], part[400];
    struct cm_err err;
    glob_t files;
    size_t count = 0;

    (void)state;
    assert_int_equal(cm_file_read(page, FILE_MAX, &docs, NULL, &err), 1);
    assert_int_equal(glob(sources, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        assert_int_equal(cm_file_read(files.gl_pathv[i], FILE_MAX, &text, NULL, &err),
                         1);
        for (char *p = text; (p = strstr(p, "op_report_wrong(")) != NULL; p++) {
            format_of(p, format, sizeof(format));
            longest_part(format, part, sizeof(part));
            if (strlen(part) >= 5 && strstr(docs, part + strspn(part, " :")) == NULL) {
                fail_msg("docs/operations.md does not explain \"%s\"", part);
            }
            count += strlen(part) >= 5;
        }
        free(text);
    }
    assert_true(count >= 20);
    globfree(&files);
    free(docs);
    free(sources);
    free(page);
}

static void test_split(void **state)
{
    char line[] = "chatops log --unit 'postfix*' --grep \"a b\" # why";
    char *argv[WORDS_MAX];

    (void)state;
    assert_int_equal(split(line, argv), 6);
    assert_string_equal(argv[3], "postfix*");
    assert_string_equal(argv[5], "a b");
    char wrong[] = "    chatops stauts";
    struct op_cli cli;
    const struct op_verb *verb;
    struct cm_err err;
    int argc = split(command_of(wrong), argv);
    assert_int_equal(op_cli_parse(argc, argv, &cli, &verb, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_understood),
        cmocka_unit_test(every_alarm_is_explained),
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
