#include "dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "say.h"

int op_dispatch(const struct op_verb *verb, const struct op_cli *cli,
                struct cm_err *err)
{
    op_answer_begin(verb->name, cli->json);
    int rc = verb->handler(cli, err);
    if (rc < 0) {
        op_complain("%s", err->text);
        rc = err->kind == CM_ERR_REFUSE ? OP_EXIT_USAGE : OP_EXIT_FAILED;
    }
    op_answer_end(rc);
    return rc;
}

static int say_help(const struct op_verb *verb, const char *group, bool json)
{
    char *help = op_cli_help(verb, group);

    op_answer_begin(verb != NULL ? verb->name : NULL, json);
    if (json) {
        op_answer(json_pack("{s:s}", "help", help));
    } else {
        fputs(help, stdout);
    }
    free(help);
    op_answer_end(OP_EXIT_OK);
    return OP_EXIT_OK;
}

static int say_version(bool json)
{
    op_answer_begin(NULL, json);
    if (json) {
        op_answer(json_pack("{s:s}", "version", PORTICO_VERSION));
    } else {
        puts("chatops " PORTICO_VERSION);
    }
    op_answer_end(OP_EXIT_OK);
    return OP_EXIT_OK;
}

/* Of a line that is not understood only this much is read. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

int op_main(int argc, char **argv)
{
    struct op_cli cli;
    const struct op_verb *verb;
    struct cm_err err;

    if (op_cli_parse(argc, argv, &cli, &verb, &err) != 0) {
        op_answer_begin(NULL, wants_json(argc, argv));
        op_complain("%s", err.text);
        op_answer_end(OP_EXIT_USAGE);
        return OP_EXIT_USAGE;
    }
    if (cli.version) {
        return say_version(cli.json);
    }
    if (cli.help || verb == NULL) {
        return say_help(verb, cli.group, cli.json);
    }
    return op_dispatch(verb, &cli, &err);
}
