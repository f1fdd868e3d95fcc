#include "verbkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"
#include "common/file.h"
#include "common/mem.h"
#include "dispatch.h"

#define WORDS_MAX 16

static const struct op_verb *parse(char *line, struct op_cli *cli, struct cm_err *err)
{
    const struct op_verb *verb;
    char *argv[WORDS_MAX + 1], *save = NULL;
    int argc = 0;

    for (char *w = strtok_r(line, " ", &save); w != NULL && argc < WORDS_MAX;
         w = strtok_r(NULL, " ", &save)) {
        argv[argc++] = w;
    }
    argv[argc] = NULL;
    *err = (struct cm_err){.text = ""};
    if (op_cli_parse(argc, argv, cli, &verb, err) != 0) {
        fail_msg("%s", err->text);
    }
    return verb;
}

char *verbkit_say(const char *words, const char *out, int want, struct cm_err *err)
{
    char *line = cm_strdup(words), *said = NULL;
    struct cm_err unread;
    struct op_cli cli;
    const struct op_verb *verb = parse(line, &cli, err);
    int saved = dup(STDOUT_FILENO);

    fflush(stdout);
    assert_non_null(freopen(out, "w", stdout));
    int rc = op_dispatch(verb, &cli, err);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    assert_int_equal(cm_file_read(out, 1 << 20, &said, NULL, &unread), 1);
    if (rc != want) {
        fail_msg("%s: %d, %s, %s", words, rc, err->text, said);
    }
    free(line);
    return said;
}
