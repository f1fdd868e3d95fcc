/* chatops status --page: the store's status page, brought here by SSH. */
#include <stdio.h>
#include <unistd.h>

#include "common/mem.h"
#include "say.h"
#include "status.h"

#define PAGE_SOCKET "/run/chatmail-monitor/page.sock"
#define PAGE_PORT   "7903"
#define PAGE_URL    "http://localhost:" PAGE_PORT "/"

int op_status_page(struct op_cluster *c, struct cm_err *err)
{
    const struct op_host *store = &c->nodes[0].host;

    if (store->target[0] == '\0') {
        return cm_err_set(err, CM_ERR_WORLD,
                          "this machine is the store; run where your browser is: ssh "
                          "-N -L " PAGE_PORT ":" PAGE_SOCKET " root@STORE");
    }
    char *forward = cm_asprintf("localhost:" PAGE_PORT ":" PAGE_SOCKET);
    char *known = cm_asprintf("UserKnownHostsFile=\"%s\"", store->known_hosts);
    op_say(OP_GREEN, "%s", PAGE_URL);
    op_say(OP_PLAIN, "by: ssh -N -L %s %s", forward, store->target);
    op_say(OP_PLAIN, "Ctrl-C ends it");
    execlp("ssh", "ssh", "-N", "-o", known, "-o", "StrictHostKeyChecking=accept-new",
           "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=5", "-L",
           forward, store->target, (char *)NULL);
    return cm_err_set(err, CM_ERR_WORLD, "ssh cannot be started");
}
