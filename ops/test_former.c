/* Former files on this machine as the node, with a systemctl of our own, in a mount
 * namespace whose /var/lib is empty. */
#include "former.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

#define DIR  "/var/lib/portico-test"
#define UNIT "nginx.service"
#define OURS "chatmail-auth.service"

static const char systemctl[] = "#!/bin/sh\n"
                                "echo \"$@\" >>" DIR "/calls\n"
                                "case $1 in\n"
                                "-q) test -e " DIR "/active;;\n"
                                "start) ! grep -q bad " DIR "/etc/a;;\n"
                                "esac\n";

static bool in_own_world;
static struct op_node node;
static struct op_file items[3];
static const struct op_unit units[] = {
    {UNIT, NULL, true}, {OURS, NULL, true}, {NULL, NULL, false}};

static void put(const char *path, const char *text)
{
    struct cm_err err = {.text = ""};
    char *dir = cm_strdup(path);

    *strrchr(dir, '/') = '\0';
    if (cm_file_mkdirs(dir, 0755, &err) != 0 ||
        cm_file_replace(path, text, strlen(text), 0640, &err) != 0) {
        fail_msg("%s", err.text);
    }
    free(dir);
}

static void expect(const char *path, const char *text)
{
    struct cm_err err;
    char *have = NULL;
    int found = cm_file_read(path, 4096, &have, NULL, &err);

    assert_int_equal(found, text != NULL);
    if (text != NULL) {
        assert_string_equal(have, text);
    }
    free(have);
}

static void want(size_t i, const char *path, const char *content, const char *unit)
{
    free(items[i].path);
    free(items[i].content);
    items[i] = (struct op_file){.path = cm_strdup(path),
                                .content = cm_strdup(content),
                                .len = strlen(content),
                                .owner = "root:root",
                                .mode = 0640,
                                .unit = unit};
}

static void keep(bool a, bool b, bool ini)
{
    struct cm_err err = {.text = ""};
    const bool changed[] = {a, b, ini};

    if (op_former_keep(&node, changed, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* nginx.service has run with /etc/a; /etc/b is new. */
static int fresh(void **state)
{
    (void)state;
    if (!in_own_world) {
        return 0;
    }
    if (system("rm -rf /var/lib/portico " DIR "/etc " DIR "/calls " DIR "/active") !=
        0) {
        return -1;
    }
    put(DIR "/etc/a", "old\n");
    put(OP_APPLIED_DIR "/" UNIT, "files program\n");
    want(0, DIR "/etc/a", "new\n", UNIT);
    want(1, DIR "/etc/b", "new\n", UNIT);
    want(2, OP_INI_PATH, "[params]\nmail_domain = a.example\n", NULL);
    return 0;
}

static void need_own_world(void)
{
    if (!in_own_world) {
        skip(); /* no root */
    }
}

static void test_put_back(void **state)
{
    struct cm_err err = {.text = ""};
    unsigned files = 0;

    (void)state;
    need_own_world();
    keep(true, true, false);
    expect(OP_APPLIED_DIR "/" UNIT, "- -\n");
    put(DIR "/etc/a", "bad\n");
    put(DIR "/etc/b", "new\n");
    assert_int_equal(op_former_restore(&node, &units[0], &files, &err), 1);
    assert_int_equal(files, 2);
    expect(DIR "/etc/a", "old\n");
    expect(DIR "/etc/b", NULL);
    expect(OP_APPLIED_DIR "/" UNIT, "files program\n");
    expect(OP_FORMER_DIR "/" UNIT "/stamp", NULL);
    expect(DIR "/calls", "daemon-reload\n-q is-active " UNIT "\nreset-failed " UNIT
                         "\nstart " UNIT "\n");
    struct stat st;
    assert_int_equal(stat(DIR "/etc/a", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    /* once is enough */
    assert_int_equal(op_former_restore(&node, &units[0], &files, &err), 0);
}

/* A run that ended before the unit was started; then another with other files. */
static void test_first_stays(void **state)
{
    struct cm_err err = {.text = ""};
    unsigned files = 0;

    (void)state;
    need_own_world();
    keep(true, false, false);
    put(DIR "/etc/a", "half\n");
    keep(true, true, false);
    put(DIR "/etc/a", "bad\n");
    put(DIR "/etc/b", "bad\n");
    put(DIR "/active", "");
    assert_int_equal(op_former_restore(&node, &units[0], &files, &err), 1);
    expect(DIR "/etc/a", "old\n");
    expect(DIR "/etc/b", NULL);
    expect(DIR "/calls", "daemon-reload\n-q is-active " UNIT "\nreload " UNIT "\n");
}

static void test_neither_starts(void **state)
{
    struct cm_err err = {.text = ""};
    unsigned files = 0;

    (void)state;
    need_own_world();
    put(DIR "/etc/a", "bad already\n");
    keep(true, false, false);
    put(DIR "/etc/a", "bad\n");
    assert_int_equal(op_former_restore(&node, &units[0], &files, &err), -1);
    assert_non_null(strstr(err.text, "nor does it start with its former files"));
    expect(DIR "/etc/a", "bad already\n");
}

/* Debian's own configuration is nothing to go back to. */
static void test_never_ran(void **state)
{
    struct cm_err err = {.text = ""};
    unsigned files = 0;

    (void)state;
    need_own_world();
    assert_int_equal(unlink(OP_APPLIED_DIR "/" UNIT), 0);
    keep(true, true, false);
    assert_int_equal(op_former_restore(&node, &units[0], &files, &err), 0);
    expect(OP_APPLIED_DIR "/" UNIT, NULL);
}

/* chatmail.ini edited on the node: who may run with it starts anew; when it is only
 * older, the stamps say what has to be done. */
static void test_edited_ini(void **state)
{
    char hash[65], *stamp;

    (void)state;
    need_own_world();
    op_unit_files_hash(&node.files, OURS, hash);
    stamp = cm_asprintf("%s program\n", hash);
    put(OP_APPLIED_DIR "/" OURS, stamp);
    put(OP_INI_PATH, "[params]\nmail_domain = a.example\n");
    keep(false, false, true);
    expect(OP_APPLIED_DIR "/" OURS, stamp);
    put(OP_INI_PATH, "[params]\nmail_domain = a.example\n# by hand\n");
    keep(false, false, true);
    expect(OP_APPLIED_DIR "/" OURS, "- -\n");
    expect(OP_APPLIED_DIR "/" UNIT, "files program\n");
    free(stamp);
}

static int set_up(void **state)
{
    (void)state;
    in_own_world = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   mount("tmpfs", "/var/lib", "tmpfs", 0, NULL) == 0 &&
                   mkdir("/var/lib/etc", 0755) == 0 &&
                   mkdir("/var/lib/etc-work", 0755) == 0 &&
                   mount("overlay", "/etc", "overlay", 0,
                         "lowerdir=/etc,upperdir=/var/lib/etc,workdir=/var/lib/"
                         "etc-work") == 0;
    if (!in_own_world) {
        return 0;
    }
    put(DIR "/bin/systemctl", systemctl);
    char *path = cm_asprintf(DIR "/bin:%s", getenv("PATH"));
    setenv("PATH", path, 1);
    free(path);
    op_host_init(&node.host, "store", "", DIR);
    node.files = (struct op_files){.items = items, .count = 3};
    node.units = units;
    return chmod(DIR "/bin/systemctl", 0755);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        free(items[i].path);
        free(items[i].content);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_put_back, fresh),
        cmocka_unit_test_setup(test_first_stays, fresh),
        cmocka_unit_test_setup(test_neither_starts, fresh),
        cmocka_unit_test_setup(test_never_ran, fresh),
        cmocka_unit_test_setup(test_edited_ini, fresh),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
