#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define EVENTS   (IN_CREATE | IN_DELETE | IN_MOVE)
#define WRITTEN  (IN_MODIFY | IN_MOVED_TO)
#define READ_MAX (16 * 1024)

static int open_for(const char *const *dirs, size_t count, uint32_t events)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    for (size_t i = 0; fd >= 0 && i < count; i++) {
        if (inotify_add_watch(fd, dirs[i], events | IN_ONLYDIR) < 0) {
            int saved = errno;
            close(fd);
            errno = saved;
            return -1;
        }
    }
    return fd;
}

int watch_open(const char *const *dirs, size_t count)
{
    return open_for(dirs, count, EVENTS);
}

int watch_open_written(const char *dir)
{
    return open_for(&dir, 1, WRITTEN);
}

bool watch_pending(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

int watch_drain(int fd)
{
    _Alignas(struct inotify_event) char data[READ_MAX];
    int events = 0;
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        const char *end = data + n;
        for (const char *p = data; p < end; events++) {
            const void *at = p;
            p += sizeof(struct inotify_event) + ((const struct inotify_event *)at)->len;
        }
    }
    return n < 0 && errno != EAGAIN && errno != EINTR ? -1 : events;
}

int watch_poke(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/.chatmail-idle.%ld", dir, (long)getpid());

    if (n < 0 || (size_t)n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    close(fd);
    return unlink(path);
}
