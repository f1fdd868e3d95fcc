#include "wake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"

struct wake {
    int fd; /* -1 until the first use */
    struct sockaddr_un push;
};

struct wake *wake_new(const char *path)
{
    struct wake *wake = cm_calloc(1, sizeof(*wake));
    wake->fd = -1;
    wake->push.sun_family = AF_UNIX;
    cm_assert(strlen(path) < sizeof(wake->push.sun_path));
    strcpy(wake->push.sun_path, path); /* its length was checked */
    return wake;
}

void wake_free(struct wake **wake)
{
    if (*wake == NULL) {
        return;
    }
    if ((*wake)->fd >= 0) {
        close((*wake)->fd);
    }
    free(*wake);
    *wake = NULL;
}

int wake_push(struct wake *wake, const char *addr, struct cm_err *err)
{
    if (wake->fd < 0) {
        wake->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    if (wake->fd < 0) {
        return cm_err_set(err, CM_ERR_RETRY, "socket: %s", strerror(errno));
    }
    ssize_t n = sendto(wake->fd, addr, strlen(addr), MSG_NOSIGNAL,
                       (const struct sockaddr *)&wake->push, sizeof(wake->push));
    if (n >= 0) {
        return 1;
    }
    if (errno == ENOENT || errno == ECONNREFUSED) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_RETRY, "%s: %s", wake->push.sun_path,
                      strerror(errno));
}
