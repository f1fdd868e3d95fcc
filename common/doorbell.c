#include "common/doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static bool is_good(const char *addr)
{
    size_t len = strlen(addr);

    if (len == 0 || len > CM_DOORBELL_ADDR_MAX || addr[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (addr[i] == '/' || (unsigned char)addr[i] < ' ' || addr[i] == 0x7f)
            return false;
    }
    return true;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* On a unix socket this never waits: it is there at once, or fails; a full backlog is
 * EAGAIN, and then push has enough to do. */
static int dial(const char *path)
{
    struct sockaddr_un push = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len >= sizeof(push.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(push.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&push, sizeof(push)) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static int wait_readable(int fd, int64_t end_ms)
{
    for (;;) {
        int64_t left = end_ms - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return 0;
        if (n == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (errno != EINTR)
            return -1;
    }
}

/* Push says "+" and LF, and nothing else. */
static int hear_yes(int fd, int64_t end_ms)
{
    static const char yes[2] = {'+', '\n'};
    size_t have = 0;

    while (have < sizeof(yes)) {
        char c;
        if (wait_readable(fd, end_ms) != 0)
            return -1;
        ssize_t n = recv(fd, &c, 1, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -1;
        if (n == 0 || c != yes[have]) {
            errno = EPROTO;
            return -1;
        }
        have++;
    }
    return 0;
}

/* 0 when push answered yes to the line in time, -1 and errno. */
static int tell(const char *socket_path, const char *sign, const char *addr,
                int limit_ms)
{
    char line[CM_DOORBELL_ADDR_MAX + 3];
    int64_t end_ms = now_ms() + limit_ms;
    int len = snprintf(line, sizeof(line), "%s%s\n", sign, addr);
    int fd = dial(socket_path);

    if (fd < 0)
        return -1;
    /* So few bytes fit into a new socket's buffer whole. */
    ssize_t sent = send(fd, line, (size_t)len, MSG_NOSIGNAL);
    if (sent >= 0 && sent != len)
        errno = EPROTO;
    int rc = sent == len ? hear_yes(fd, end_ms) : -1;
    int why = errno;
    close(fd);
    errno = why;
    return rc;
}

static int open_dir(const char *dir)
{
    /* Who may leave a file there need not be able to list it. */
    return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Not synced: after a power cut the phone asks for its mail anyway, and a disk that is
 * slow would hold up the delivery. */
static enum cm_doorbell_result leave(const char *dir, const char *addr)
{
    enum cm_doorbell_result result = CM_DOORBELL_LEFT;
    int at = open_dir(dir);

    if (at < 0)
        return errno == ENOENT ? CM_DOORBELL_NOBODY : CM_DOORBELL_FAILED;
    int fd =
        openat(at, addr, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        result = CM_DOORBELL_FAILED;
    int why = errno;
    if (fd >= 0)
        close(fd);
    close(at);
    errno = why;
    return result;
}

/* An address that begins with '-' would be heard as a wish to forget one. */
enum cm_doorbell_result cm_doorbell_ring(const char *socket_path, const char *dir,
                                         const char *addr, int limit_ms)
{
    if (!is_good(addr))
        return CM_DOORBELL_REFUSED;
    if (limit_ms > 0 && addr[0] != '-' && tell(socket_path, "", addr, limit_ms) == 0)
        return CM_DOORBELL_TOLD;
    return leave(dir, addr);
}

int cm_doorbell_forget(const char *socket_path, const char *dir, const char *addr,
                       int limit_ms)
{
    if (!is_good(addr)) {
        errno = EINVAL;
        return -1;
    }
    if (tell(socket_path, "-", addr, limit_ms) == 0)
        return 0;
    int why = errno;
    int at = open_dir(dir);
    if (at < 0 && errno == ENOENT)
        return 0;
    if (at >= 0)
        close(at);
    errno = why;
    return -1;
}
