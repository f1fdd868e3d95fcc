/* The envelope of --json (docs/json.md): of every verb of the table, though no node can
 * be reached, and of words that are none. */
#include "answer.h"

#include <glob.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "dispatch.h"

#define WORDS_MAX 16

static char dir[] = "/tmp/chatops-answer-XXXXXX";

static void spill(const char *name, const char *text, mode_t mode)
{
    char *path = cm_asprintf("%s/%s", dir, name);
    struct cm_err err;

    assert_int_equal(cm_file_replace(path, text, strlen(text), mode, &err), 0);
    free(path);
}

static const char ini[] =
    "[params]\nmail_domain = _chat.example.org\n"
    "[store]\nssh = root@192.0.2.1\n"
    "[gateway edge1]\nnumber = 1\naddresses = 203.0.113.11\n"
    "ssh = root@192.0.2.2\n"
    "[gateway edge2]\nnumber = 2\naddresses = 203.0.113.12\n"
    "wg_public_key = kTnrBUr7pEAs5CyEn2ZTM9iVBbXfWPpKdRyXg5Kk6UU=\n";

static int setup(void **state)
{
    (void)state;
    /* addresses of gateways are asked for nothing outside */
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && unshare(CLONE_NEWNET) != 0) {
        exit(77);
    }
    assert_non_null(mkdtemp(dir));
    char *path = cm_asprintf("%s:%s", dir, getenv("PATH"));
    setenv("PATH", path, 1);
    free(path);
    spill("ssh", "#!/bin/sh\necho 'no route to host' >&2\nexit 255\n", 0755);
    return chdir(dir);
}

static int teardown(void **state)
{
    (void)state;
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = system(cmd);
    free(cmd);
    return rc;
}

/* Runs the words; what stood on stdout, as an array of its lines. */
static json_t *say(const char *words, int *status_r)
{
    char *line = cm_strdup(words), *argv[WORDS_MAX + 1], *save = NULL, *text;
    json_t *lines = json_array();
    struct cm_err err;
    int argc = 0, saved = dup(STDOUT_FILENO);

    for (char *w = strtok_r(line, " ", &save); w != NULL && argc < WORDS_MAX;
         w = strtok_r(NULL, " ", &save)) {
        argv[argc++] = w;
    }
    argv[argc] = NULL;
    fflush(stdout);
    assert_non_null(freopen("out", "w", stdout));
    *status_r = op_main(argc, argv);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    assert_int_equal(cm_file_read("out", 1 << 20, &text, NULL, &err), 1);
    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        json_t *o = json_loads(l, 0, NULL);
        if (!json_is_object(o)) {
            fail_msg("%s: not an object: %s", words, l);
        }
        json_array_append_new(lines, o);
    }
    free(text);
    free(line);
    return lines;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

/* The last line, as documented; all others are events. Caller lets go. */
static json_t *envelope(const char *words, const char *verb)
{
    int status;
    json_t *lines = say(words, &status);
    size_t n = json_array_size(lines);

    if (n == 0) {
        fail_msg("%s: nothing was said", words);
    }
    for (size_t i = 0; i + 1 < n; i++) {
        assert_string_not_equal(text_of(json_array_get(lines, i), "event"), "");
    }
    json_t *e = json_incref(json_array_get(lines, n - 1));
    if (json_integer_value(json_object_get(e, "chatops")) != OP_ANSWER_VERSION ||
        strcmp(text_of(e, "verb"), verb) != 0 ||
        json_integer_value(json_object_get(e, "exit")) != status ||
        json_is_true(json_object_get(e, "ok")) != (status == 0) ||
        !json_is_integer(json_object_get(e, "ms")) ||
        !json_is_array(json_object_get(e, "notes")) ||
        !json_is_array(json_object_get(e, "warnings")) ||
        json_object_get(e, "data") == NULL || json_object_get(e, "error") == NULL ||
        json_object_size(e) != 9) {
        fail_msg("%s: %d, %s", words, status, json_dumps(e, 0));
    }
    json_decref(lines);
    return e;
}

/* A word for each that the verb takes. */
static void add_words(char *line, size_t size, const struct op_verb *v)
{
    static const struct {
        const char *name, *words;
    } also[] = {
        {"gateway add", " --ssh root@192.0.2.3"},
        {"webdev", " --once"},
        {"init", " --config fresh.ini"},
    };
    static const struct {
        const char *args, *words;
    } given[] = {
        {"DOMAIN", "fresh.example.org"}, {"NAME", "edge1"}, {"OLD NEW", "edge1 edge2"},
        {"ADDRESS", "198.51.100.9"},     {"TOKEN|ID", "7"}, {"SHELL", "bash"},
        {"FILE", "missing.backup"},
    };

    snprintf(line, size, "chatops --json %s", v->name);
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        if (strcmp(given[i].args, v->args) == 0) {
            snprintf(line + strlen(line), size - strlen(line), " %s", given[i].words);
        }
    }
    for (size_t i = 0; i < sizeof(also) / sizeof(also[0]); i++) {
        if (strcmp(also[i].name, v->name) == 0) {
            snprintf(line + strlen(line), size - strlen(line), "%s", also[i].words);
        }
    }
}

static void test_every_verb(void **state)
{
    (void)state;
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        char line[200];
        spill("chatmail.ini", ini, 0644);
        add_words(line, sizeof(line), v);
        json_t *e = envelope(line, v->name);
        if (!json_is_true(json_object_get(e, "ok")) && text_of(e, "error")[0] == '\0' &&
            json_is_null(json_object_get(e, "data"))) {
            fail_msg("%s: failed without a word", line);
        }
        json_decref(e);
    }
}

static void test_what_needs_no_node(void **state)
{
    static const struct {
        const char *words, *verb, *key;
    } cases[] = {
        {"chatops init other.example.org --json --config other.ini", "init", "domain"},
        {"chatops webdev --once --json", "webdev", "url"},
        {"chatops completion bash --json", "completion", "script"},
        {"chatops --version --json", "", "version"},
        {"chatops --json", "", "help"},
        {"chatops run --help --json", "run", "help"},
    };

    (void)state;
    spill("chatmail.ini", ini, 0644);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *e = envelope(cases[i].words, cases[i].verb);
        if (!json_is_true(json_object_get(e, "ok")) ||
            json_object_get(json_object_get(e, "data"), cases[i].key) == NULL) {
            fail_msg("%s: %s", cases[i].words, json_dumps(e, 0));
        }
        json_decref(e);
    }
}

static void test_exit_codes(void **state)
{
    static const struct {
        const char *words, *verb, *error;
        int exit;
    } cases[] = {
        {"chatops fly --json", "", "unknown verb", 2},
        {"chatops run --json --fly", "", "unknown option", 2},
        {"chatops init --json", "", "usage", 2},
        {"chatops init a_b --json --config no.ini", "init", "not a domain", 2},
        {"chatops completion fish --json", "completion", "allowed: bash", 2},
        {"chatops ban 203.0.113.9 --json --for 3w", "ban", "not understood", 2},
        {"chatops status --json --config missing.ini", "status", "missing.ini", 1},
    };

    (void)state;
    spill("chatmail.ini", ini, 0644);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *e = envelope(cases[i].words, cases[i].verb);
        if (json_integer_value(json_object_get(e, "exit")) != cases[i].exit ||
            strstr(text_of(e, "error"), cases[i].error) == NULL) {
            fail_msg("%s: %s", cases[i].words, json_dumps(e, 0));
        }
        json_decref(e);
    }
}

/* What a node says may be any bytes. */
static void test_bytes(void **state)
{
    (void)state;
    op_answer_begin("x", true);
    json_t *s = op_answer_text("a\xff\xfe\x1b[31m");
    assert_string_equal(json_string_value(s), "a??\x1b[31m");
    json_decref(s);
    s = op_answer_text("gr\xc3\xbc\xc3\x9f");
    assert_string_equal(json_string_value(s), "gr\xc3\xbc\xc3\x9f");
    json_decref(s);
    op_answer_end(0);
    assert_false(op_answer_json());
}

/* Without a terminal no byte is a control character. */
static void test_plain(void **state)
{
    (void)state;
    spill("chatmail.ini", ini, 0644);
    static const char *const words[] = {"chatops --help", "chatops run --help",
                                        "chatops webdev --once"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char *line = cm_strdup(words[i]), *argv[WORDS_MAX + 1], *save = NULL, *text;
        struct cm_err err;
        int argc = 0, saved = dup(STDOUT_FILENO);
        for (char *w = strtok_r(line, " ", &save); w != NULL;
             w = strtok_r(NULL, " ", &save)) {
            argv[argc++] = w;
        }
        argv[argc] = NULL;
        fflush(stdout);
        assert_non_null(freopen("out", "w", stdout));
        assert_int_equal(op_main(argc, argv), 0);
        fflush(stdout);
        assert_true(dup2(saved, STDOUT_FILENO) >= 0);
        close(saved);
        assert_int_equal(cm_file_read("out", 1 << 20, &text, NULL, &err), 1);
        for (const char *p = text; *p != '\0'; p++) {
            assert_true(*p == '\n' || *p == '\t' || (unsigned char)*p >= 0x20);
        }
        free(text);
        free(line);
    }
}

/* JSON goes to stdout through answer.c alone, else the envelope is not the last line.
 */
static void test_one_mouth(void **state)
{
    char *pattern = cm_asprintf("%s/../*.c", getenv("PORTICO_TESTDATA_DIR"));
    glob_t files;

    (void)state;
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_true(files.gl_pathc > 40);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *name = strrchr(files.gl_pathv[i], '/') + 1;
        char *text;
        struct cm_err err;
        if (strncmp(name, "test_", 5) == 0 || strcmp(name, "answer.c") == 0) {
            continue;
        }
        assert_int_equal(cm_file_read(files.gl_pathv[i], 1 << 20, &text, NULL, &err),
                         1);
        if (strstr(text, "json_dumpf(") != NULL || strstr(text, "\"{\\\"") != NULL) {
            fail_msg("ops/%s prints JSON by itself; see: answer.h", name);
        }
        free(text);
    }
    globfree(&files);
    free(pattern);
}

/* That nobody can be asked is an answer too: the first thing that is wrong. */
static void test_store_is_away(void **state)
{
    (void)state;
    spill("chatmail.ini", ini, 0644);
    json_t *e = envelope("chatops status --json", "status");
    const json_t *wrong = json_object_get(json_object_get(e, "data"), "wrong");
    assert_int_equal(json_integer_value(json_object_get(e, "exit")), 1);
    const char *first = json_string_value(json_array_get(wrong, 0));
    assert_non_null(first);
    assert_non_null(strstr(first, "no connection"));
    json_decref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_verb), cmocka_unit_test(test_what_needs_no_node),
        cmocka_unit_test(test_exit_codes), cmocka_unit_test(test_store_is_away),
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_plain),
        cmocka_unit_test(test_one_mouth),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
