/* chatops: the operator's side of a Portico cluster.
 *
 * Reads chatmail.ini, reaches the nodes through ssh(1) (no agent of ours runs there
 * before the first `run`, and none on the operator's machine ever), and keeps its own
 * notes beside the ini in .chatops/: the journal of runs, the pinned host keys, the
 * numbers of gateways that once were. It holds no secret: every private key is made on
 * its node and stays there.
 *
 * Trusts: the ini, ssh's host keys as first seen, what root on the nodes answers.
 * Limits: nodes are Debian 12; steps run one after the other.
 *
 * Exit: 0 well, 1 failed or something is wrong, 2 usage, 130 interrupted. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "say.h"

int main(int argc, char **argv)
{
    struct op_cli cli;
    const struct op_verb *verb;
    struct cm_err err;

    signal(SIGPIPE, SIG_IGN);
    if (op_cli_parse(argc, argv, &cli, &verb, &err) != 0) {
        op_complain("%s", err.text);
        return OP_EXIT_USAGE;
    }
    if (cli.version) {
        puts("chatops " PORTICO_VERSION);
        return OP_EXIT_OK;
    }
    if (cli.help || verb == NULL) {
        char *help = op_cli_help(verb);
        fputs(help, stdout);
        free(help);
        return OP_EXIT_OK;
    }
    int rc = verb->handler(&cli, &err);
    if (rc < 0) {
        op_complain("%s", err.text);
        return OP_EXIT_FAILED;
    }
    return rc;
}
