/* chatops status of a store that is this machine, with a systemctl of the test's. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"
#include "dispatch.h"
#include "common/file.h"
#include "common/mem.h"

static char dir[] = "/tmp/chatops-status-XXXXXX";

static void write_text(const char *name, const char *text, mode_t mode)
{
    struct cm_err err;
    char *path = cm_asprintf("%s/%s", dir, name);
    assert_int_equal(cm_file_replace(path, text, strlen(text), mode, &err), 0);
    free(path);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    char *path = cm_asprintf("%s:/usr/bin:/bin", dir);
    setenv("PATH", path, 1);
    free(path);
    write_text("chatmail.ini", "[params]\nmail_domain = chat.example.org\n", 0644);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = system(cmd);
    free(cmd);
    return rc;
}

/* What is said with --json; it ends with OP_EXIT_FAILED, there is no cluster here. */
static json_t *status_json(void)
{
    char *config = cm_asprintf("%s/chatmail.ini", dir);
    char *out = cm_asprintf("%s/out", dir);
    struct op_cli cli = {.config = config, .json = true, .no_probe = true};
    struct cm_err err = {.text = ""};
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(out, "w", stdout));
    const struct op_verb verb = {.name = "status", .handler = op_status};
    int rc = op_dispatch(&verb, &cli, &err);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    if (rc != OP_EXIT_FAILED)
        fail_msg("%d: %s", rc, err.text);
    json_t *envelope = json_load_file(out, 0, NULL);
    json_t *said = json_incref(json_object_get(envelope, "data"));
    assert_non_null(said);
    json_decref(envelope);
    free(out);
    free(config);
    return said;
}

static bool is_wrong(const json_t *said, const char *words)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(said, "wrong"), i, line)
    {
        if (strstr(json_string_value(line), words) != NULL)
            return true;
    }
    return false;
}

static const char *result_of(const json_t *said, const char *unit)
{
    return json_string_value(json_object_get(json_object_get(said, "runs"), unit));
}

#define SYSTEMCTL(result, signer)                                                      \
    "#!/bin/sh\ncase $1:$4 in\n"                                                       \
    "is-active:*) echo active;;\n"                                                     \
    "show:chatmail-expire.service) echo " result ";;\n"                                \
    "show:chatmail-filter-out.service) echo " signer ";;\n"                            \
    "show:*) echo success;;\nesac\n"

static void test_failed_run_is_wrong(void **state)
{
    (void)state;
    write_text("systemctl", SYSTEMCTL("exit-code", "outgoing mail of x"), 0755);
    json_t *said = status_json();
    assert_string_equal(result_of(said, "chatmail-expire.service"), "exit-code");
    assert_string_equal(result_of(said, "chatmail-fsreport.service"), "success");
    assert_true(is_wrong(said, "the last run of chatmail-expire.service failed "
                               "(exit-code); see: journalctl -u chatmail-expire"));
    assert_false(is_wrong(said, "chatmail-fsreport"));
    json_decref(said);
}

static void test_good_runs(void **state)
{
    (void)state;
    write_text("systemctl", SYSTEMCTL("success", "outgoing mail of x"), 0755);
    json_t *said = status_json();
    assert_string_equal(result_of(said, "chatmail-expire.service"), "success");
    assert_false(is_wrong(said, "last run"));
    assert_false(is_wrong(said, "DKIM"));
    assert_true(is_wrong(said, "chatmail-cluster does not answer"));
    json_decref(said);
}

/* The words are the filter's (main.c there). */
static void test_no_key_is_wrong(void **state)
{
    (void)state;
    write_text("systemctl", SYSTEMCTL("success", "no DKIM key for outgoing mail of x"),
               0755);
    json_t *said = status_json();
    assert_true(is_wrong(said, "all outgoing mail is put off"));
    json_decref(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_run_is_wrong),
        cmocka_unit_test(test_good_runs),
        cmocka_unit_test(test_no_key_is_wrong),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
