#include "echo.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "daemonkit/daemonkit.h"

#define EVENTS_MAX 64

static void watch(int epoll, int fd)
{
    struct epoll_event want = {.events = EPOLLIN, .data.fd = fd};
    cm_assert(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &want) == 0);
}

/* A request comes in one piece: it was one send. */
static void hear(int fd, const char *answer, size_t len)
{
    char text[4096];
    ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        close(fd);
        return;
    }
    for (char *at = text, *end = text + (n > 0 ? n : 0); at < end;) {
        if (*at == 'L') {
            (void)!send(fd, answer, len, MSG_NOSIGNAL);
        }
        char *lf = memchr(at, '\n', (size_t)(end - at));
        at = lf != NULL ? lf + 1 : end;
    }
}

static _Noreturn void serve(int listener, const char *answer)
{
    struct epoll_event events[EVENTS_MAX];
    size_t len = strlen(answer);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                hear(events[i].data.fd, answer, len);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0) {
                watch(epoll, fd);
            }
        }
    }
}

pid_t echo_start(const char *path, const char *answer)
{
    unlink(path);
    int listener = daemonkit_listen(path);
    pid_t pid = fork();
    cm_assert(pid >= 0);
    if (pid == 0) {
        serve(listener, answer);
    }
    close(listener);
    return pid;
}

void echo_stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
