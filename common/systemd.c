#include "common/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"

#define LINES_MAX 1024

/* ---- telling ---- */

static void send_along(int fd, struct sockaddr_un *to, socklen_t to_len,
                       const char *lines, int fd_along)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec data = {(void *)(uintptr_t)lines, strlen(lines)};
    struct msghdr msg = {
        .msg_name = to, .msg_namelen = to_len, .msg_iov = &data, .msg_iovlen = 1};

    if (fd_along >= 0) {
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &fd_along, sizeof(int));
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control.bytes);
    }
    (void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* fd_along: -1 for none. */
static void tell(const char *lines, int fd_along)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;

    if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* a name without a file */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        send_along(fd, &to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len),
                   lines, fd_along);
        close(fd);
    }
}

void cm_systemd_notify(const char *lines)
{
    tell(lines, -1);
}

void cm_systemd_keep_fd(const char *name, int fd)
{
    char lines[LINES_MAX];

    cm_systemd_notifyf("FDSTOREREMOVE=1\nFDNAME=%s", name);
    snprintf(lines, sizeof(lines), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
    tell(lines, fd);
}

void cm_systemd_notifyf(const char *fmt, ...)
{
    char lines[LINES_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(lines, sizeof(lines), fmt, ap);
    va_end(ap);
    cm_systemd_notify(lines);
}

/* ---- being given ---- */

/* A variable that must be a number from 0; -1 when it is not there or none. */
static int64_t number(const char *name)
{
    const char *text = getenv(name);
    char *end;

    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' ? value : -1;
}

/* "a:b:c"; without names each is "unknown", as sd_listen_fds(3) has it. */
static int split_names(const char *text, struct cm_systemd_fds *fds)
{
    int n = 0;

    for (const char *at = text; at != NULL && n < fds->count; n++) {
        size_t len = strcspn(at, ":");
        fds->names[n] = cm_strndup(at, len);
        at = at[len] == ':' ? at + len + 1 : NULL;
        if (n + 1 == fds->count && at != NULL) {
            return -1;
        }
    }
    for (; text == NULL && n < fds->count; n++) {
        fds->names[n] = cm_strdup("unknown");
    }
    return n == fds->count ? 0 : -1;
}

static int take(struct cm_systemd_fds *fds, struct cm_err *err)
{
    int64_t count = number("LISTEN_FDS");

    if (number("LISTEN_PID") != getpid() || count <= 0) {
        return 0;
    }
    if (count > CM_SYSTEMD_FDS_MAX) {
        return cm_err_set(err, CM_ERR_WORLD, "sockets from systemd: too many");
    }
    fds->count = (int)count;
    for (int i = 0; i < fds->count; i++) {
        if (fcntl(CM_SYSTEMD_FD_FIRST + i, F_SETFD, FD_CLOEXEC) != 0) {
            return cm_err_set(err, CM_ERR_WORLD, "sockets from systemd: %s",
                              strerror(errno));
        }
    }
    if (split_names(getenv("LISTEN_FDNAMES"), fds) != 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "sockets from systemd: %d of them, and not as many names",
                          fds->count);
    }
    return 0;
}

int cm_systemd_take_fds(struct cm_systemd_fds *fds_r, struct cm_err *err)
{
    struct cm_systemd_fds fds = {.count = 0};
    int rc = take(&fds, err);

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (rc == 0) {
        *fds_r = fds;
        return 0;
    }
    for (int i = 0; i < CM_SYSTEMD_FDS_MAX; i++) {
        free(fds.names[i]);
    }
    return -1;
}

int64_t cm_systemd_watchdog_us(void)
{
    int64_t us = number("WATCHDOG_USEC");
    bool ours = getenv("WATCHDOG_PID") == NULL || number("WATCHDOG_PID") == getpid();

    return us > 0 && ours ? us : 0;
}
