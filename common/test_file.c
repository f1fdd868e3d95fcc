#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[256];
static char path[512];

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof(dir), "%s/cm-file-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/file", dir);
    return 0;
}

static void remove_below(const char *name)
{
    char full[512];
    snprintf(full, sizeof(full), "%s/%s", dir, name);
    remove(full);
}

static int teardown(void **state)
{
    (void)state;
    static const char *const made[] = {"file", "a/b/c", "a/b", "a"};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        remove_below(made[i]);
    }
    return rmdir(dir); /* fails when a temporary was left behind */
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(cm_file_replace(path, "a\0b\n", 4, 0640, &err), 0);
    assert_int_equal(cm_file_read(path, 4, &data, &len, &err), 1);
    assert_int_equal(len, 4);
    assert_memory_equal(data, "a\0b\n", 5);
    free(data);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_replace_gives_a_new_file(void **state)
{
    (void)state;
    struct cm_err err = {0};
    struct stat before, after;
    char *data = NULL;
    assert_int_equal(cm_file_replace(path, "old", 3, 0644, &err), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(cm_file_replace(path, "", 0, 0600, &err), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    assert_int_equal(after.st_mode & 07777, 0600);
    assert_int_equal(cm_file_read(path, 10, &data, NULL, &err), 1);
    assert_string_equal(data, "");
    free(data);
}

static void test_missing_is_not_an_error(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char *data = path; /* untouched */
    assert_int_equal(cm_file_read(path, 10, &data, NULL, &err), 0);
    assert_ptr_equal(data, path);
    assert_int_equal(err.kind, CM_ERR_NONE);
}

static void test_too_long_is_an_error(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char *data = NULL;
    assert_int_equal(cm_file_replace(path, "12345", 5, 0600, &err), 0);
    assert_int_equal(cm_file_read(path, 4, &data, NULL, &err), -1);
    assert_null(data);
    assert_non_null(strstr(err.text, "longer than 4 bytes"));
    assert_non_null(strstr(err.text, path));
}

static void test_directory_is_an_error(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char *data = NULL;
    assert_int_equal(cm_file_read(dir, 10, &data, NULL, &err), -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_int_equal(cm_file_replace(dir, "x", 1, 0600, &err), -1);
    char away[600];
    snprintf(away, sizeof(away), "%s/nowhere/file", dir);
    assert_int_equal(cm_file_replace(away, "x", 1, 0600, &err), -1);
    assert_non_null(strstr(err.text, "No such file"));
}

static void test_failed_replace_leaves_the_old_and_no_litter(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char sub[512];
    snprintf(sub, sizeof(sub), "%s/a", dir);
    assert_int_equal(cm_file_mkdirs(sub, 0755, &err), 0);
    assert_int_equal(cm_file_replace(sub, "x", 1, 0600, &err), -1);
    struct stat st;
    assert_int_equal(stat(sub, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    DIR *d = opendir(dir);
    assert_non_null(d);
    unsigned entries = 0;
    while (readdir(d) != NULL) {
        entries++;
    }
    closedir(d);
    assert_int_equal(entries, 3); /* . .. a */
}

static void test_mkdirs(void **state)
{
    (void)state;
    struct cm_err err = {0};
    char deep[512];
    snprintf(deep, sizeof(deep), "%s/a//b/c/", dir);
    assert_int_equal(cm_file_mkdirs(deep, 0750, &err), 0);
    assert_int_equal(cm_file_mkdirs(deep, 0700, &err), 0);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750 & ~022);

    assert_int_equal(cm_file_replace(path, "x", 1, 0600, &err), 0);
    snprintf(deep, sizeof(deep), "%s/file/sub", dir);
    assert_int_equal(cm_file_mkdirs(deep, 0700, &err), -1);
    assert_non_null(strstr(err.text, "/file"));
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace_gives_a_new_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_is_not_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_long_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_failed_replace_leaves_the_old_and_no_litter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mkdirs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
