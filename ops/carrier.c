/* chatmail-proxy on a gateway, which chatmail-gateway starts and tells what to do: from
 * a program that an upgrade has replaced it is started anew. Its clients are cut, and
 * come back at once. One that only waits for its last clients to go is left alone. */
#include <stdlib.h>
#include <string.h>

#include "cluster.h"

#define UNIT "chatmail-proxy.service"

static int check_carrier(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (op_host_ask(&node->host,
                    "p=$(systemctl show -P MainPID " UNIT ")\n"
                    "case $(readlink \"/proc/${p:-0}/exe\") in *' (deleted)')"
                    " grep -qsx 'leave = yes' /run/chatmail-gateway/proxy.conf ||"
                    " echo old;; esac; true",
                    &said, err) != 0) {
        return -1;
    }
    int rc = said[0] == '\0';
    if (rc == 0) {
        op_step_note(step, "its program is newer than it");
    }
    free(said);
    return rc;
}

static int restart_carrier(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {.script = "systemctl restart " UNIT};

    op_step_note(step, "restarted");
    return op_host_run(&node->host, &cmd, NULL, err);
}

void op_add_carrier(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = UNIT,
                        .check = check_carrier,
                        .act = restart_carrier,
                        .ctx = node};

    if (node->gateway != NULL && node->gateway->data_plane == CM_PLANE_PROXY) {
        op_plan_add(plan, &s);
    }
}
