/* chatops: the operator's side of a Portico cluster.
 *
 * Reads chatmail.ini, reaches the nodes through ssh(1) (no agent of ours runs there
 * before the first `run`, and none on the operator's machine ever), and keeps its own
 * notes beside the ini in .chatops/: the journal of runs, the pinned host keys, the
 * numbers of gateways that once were. It holds no secret: every private key is made on
 * its node and stays there, but in a file of `chatops backup`, which is the operator's
 * to keep.
 *
 * Trusts: the ini, ssh's host keys as first seen, what root on the nodes answers.
 * Limits: nodes are Debian 12; steps run one after the other.
 *
 * Exit: 0 well, 1 failed or something is wrong, 2 usage, 130 interrupted. */
#include <signal.h>

#include "dispatch.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return op_main(argc, argv);
}
