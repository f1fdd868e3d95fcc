/* docs/sandbox.md against the unit files: each has its line, with its user and what
 * systemd-analyze says about it. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"

#define FILE_MAX     (256u << 10)
#define EXPOSURE_MAX 24 /* ten times systemd's figure: under 2.5 */
#define OVERALL      "Overall exposure level for "

static char *read_text(const char *dir, const char *name)
{
    struct cm_err err;
    char *text = NULL, *path = cm_asprintf("%s/%s", dir, name);
    if (cm_file_read(path, FILE_MAX, &text, NULL, &err) != 1)
        fail_msg("%s: %s", path, err.text);
    free(path);
    return text;
}

/* A template is judged by an instance, whose file must have its name. */
static char *instance(const char *unit, const char *text, char dir[])
{
    struct cm_err err;
    const char *at = strstr(unit, "@.");
    assert_non_null(mkdtemp(dir));
    char *path = at == NULL
                     ? cm_asprintf("%s/%s", dir, unit)
                     : cm_asprintf("%s/%.*s@1%s", dir, (int)(at - unit), unit, at + 1);
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    return path;
}

/* Ten times what systemd says. */
static int exposure(const char *unit, const char *text)
{
    char dir[] = "/tmp/test-sandbox-XXXXXX", *said = NULL;
    struct cm_err err;
    char *path = instance(unit, text, dir);
    const char *argv[] = {"systemd-analyze", "security", "--offline=yes",
                          "--no-pager",      path,       NULL};
    if (cm_run_ok(&(struct cm_run){.argv = argv}, &said, &err) != 0)
        fail_msg("%s", err.text);
    const char *line = strstr(said, OVERALL);
    assert_non_null(line);
    const char *colon = strstr(line, ".service: ");
    int whole = 0, tenth = 0;
    assert_non_null(colon);
    assert_int_equal(sscanf(colon, ".service: %d.%d", &whole, &tenth), 2);
    free(said);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    free(path);
    return 10 * whole + tenth;
}

static char *user_of(const char *text)
{
    const char *user = strstr(text, "\nUser=");
    if (user == NULL)
        return cm_strdup("root");
    user += strlen("\nUser=");
    return cm_asprintf("`%.*s`", (int)strcspn(user, "\n"), user);
}

static void check_unit(const char *unit, const char *doc)
{
    char *text = read_text(UNITS_DIR, unit), *user = user_of(text);
    int figure = exposure(unit, text);
    char *line =
        cm_asprintf("\n| `%s` | %s | %d.%d | ", unit, user, figure / 10, figure % 10);
    if (figure > EXPOSURE_MAX)
        fail_msg("%s: exposure %d.%d", unit, figure / 10, figure % 10);
    if (strstr(doc, line) == NULL)
        fail_msg("docs/sandbox.md has no line \"%s...\"", line + 1);
    free(line);
    free(user);
    free(text);
}

static void test_table(void **state)
{
    (void)state;
    size_t units = 0, lines = 0;
    char *doc = read_text(DOCS_DIR, "sandbox.md");
    DIR *dir = opendir(UNITS_DIR);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        const char *end = strrchr(e->d_name, '.');
        if (end != NULL && strcmp(end, ".service") == 0) {
            check_unit(e->d_name, doc);
            units++;
        }
    }
    closedir(dir);
    for (const char *p = doc; (p = strstr(p, "\n| `chatmail-")) != NULL; p++)
        lines++;
    assert_int_equal(lines, units);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
