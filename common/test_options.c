#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/options.h"

#define DB_DEFAULT "host=/run/postgresql dbname=chatmail user=chatmail_example_service"

static const char *config, *db, *sock;

static const struct cm_option options[] = {
    {"config", "FILE", "settings", &config, 0},
    {"db", "CONNINFO", "PostgreSQL", &db, 0},
    {"socket", "PATH", "where to ask", &sock, CM_OPTION_PATH_MAX},
    {0}};

/* What was said on stdout and stderr. */
static char said[4096];

static int parse(const char *a, const char *b, const char *c)
{
    config = "/etc/chatmail/chatmail.ini";
    db = DB_DEFAULT;
    sock = "";
    static char words[4][256] = {"prog"};
    char *argv[5] = {words[0]};
    int argc = 1;
    for (const char *const *w = (const char *const[]){a, b, c, NULL}; *w != NULL; w++) {
        snprintf(words[argc], sizeof(words[argc]), "%s", *w);
        argv[argc] = words[argc];
        argc++;
    }
    FILE *tmp = tmpfile();
    assert_non_null(tmp);
    fflush(NULL);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    dup2(fileno(tmp), STDOUT_FILENO);
    dup2(fileno(tmp), STDERR_FILENO);
    int status = cm_options_parse("prog", "1.2", "Does it.\n", options, argc, argv);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(tmp);
    said[fread(said, 1, sizeof(said) - 1, tmp)] = '\0';
    fclose(tmp);
    return status;
}

static void test_values_are_taken(void **state)
{
    (void)state;
    assert_int_equal(parse("--config", "/tmp/x", "--socket=/run/y"), -1);
    assert_string_equal(config, "/tmp/x");
    assert_string_equal(sock, "/run/y");
    assert_string_equal(db, DB_DEFAULT);
    assert_string_equal(said, "");
}

static void test_help_shows_every_option(void **state)
{
    (void)state;
    assert_int_equal(parse("--help", NULL, NULL), 0);
    assert_string_equal(said, "usage: prog [options]\n"
                              "Does it.\n"
                              "See prog(8).\n\n"
                              "  --config FILE  settings [/etc/chatmail/chatmail.ini]\n"
                              "  --db CONNINFO  PostgreSQL\n"
                              "                 [" DB_DEFAULT "]\n"
                              "  --socket PATH  where to ask\n"
                              "  --help         this text\n"
                              "  --version      the version\n");
}

static void test_wrong_use(void **state)
{
    (void)state;
    char longest[128];
    memset(longest, 'p', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(parse("--socket", longest, NULL), 2);
    assert_string_equal(said, "prog: --socket is too long; at most 107 bytes fit\n");
    assert_int_equal(parse("word", NULL, NULL), 2);
    assert_string_equal(said, "prog: not an option: word; try prog --help\n");
    assert_int_equal(parse("--nonsense", NULL, NULL), 2);
    assert_non_null(strstr(said, "try prog --help\n"));
    assert_int_equal(parse("--config", NULL, NULL), 2);
    assert_int_equal(parse("--version", NULL, NULL), 0);
    assert_string_equal(said, "prog 1.2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_taken),
        cmocka_unit_test(test_help_shows_every_option),
        cmocka_unit_test(test_wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
