#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"

static int socket_here(int family, int type, struct cm_err *err)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : cm_err_set(err, CM_ERR_RETRY, "socket: %s", strerror(errno));
}

int netns_socket(const char *netns, int family, int type, struct cm_err *err)
{
    if (netns == NULL) {
        return socket_here(family, type, err);
    }
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int away = open(netns, O_RDONLY | O_CLOEXEC);
    int fd = -1;
    if (home < 0 || away < 0 || setns(away, CLONE_NEWNET) != 0) {
        cm_err_set(err, CM_ERR_RETRY, "namespace %s: %s", netns, strerror(errno));
    } else {
        fd = socket_here(family, type, err);
        cm_assert(setns(home, CLONE_NEWNET) == 0);
    }
    if (away >= 0) {
        close(away);
    }
    if (home >= 0) {
        close(home);
    }
    return fd;
}
