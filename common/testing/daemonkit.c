#include "daemonkit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "common/file.h"

#define LOG_MAX (4u << 20)

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "daemonkit: %s: %s\n", what, strerror(errno));
        abort();
    }
}

static int unix_socket(const char *path, struct sockaddr_un *sun)
{
    *sun = (struct sockaddr_un){.sun_family = AF_UNIX};
    must(strlen(path) < sizeof(sun->sun_path), path);
    strncpy(sun->sun_path, path, sizeof(sun->sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    return fd;
}

int daemonkit_listen(const char *path)
{
    struct sockaddr_un sun;
    int fd = unix_socket(path, &sun);
    must(bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0, path);
    must(listen(fd, 4096) == 0, path);
    return fd;
}

int daemonkit_dial(const char *path)
{
    struct sockaddr_un sun;
    int fd = unix_socket(path, &sun);
    must(connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0, path);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

void daemonkit_say(int fd, const void *data, size_t len)
{
    must(send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
}

void daemonkit_say_text(int fd, const char *text)
{
    daemonkit_say(fd, text, strlen(text));
}

void daemonkit_hear(int fd, char *line, size_t size)
{
    size_t len = 0;
    char c = 0;
    while (c != '\n' && len + 1 < size) {
        ssize_t n = recv(fd, &c, 1, 0);
        must(n >= 0, "no answer");
        if (n == 0) {
            break;
        }
        line[len++] = c;
    }
    line[len] = '\0';
}

static _Noreturn void become(const char *const *argv, int listener, const char *name,
                             const char *log_path)
{
    char self[16];
    snprintf(self, sizeof(self), "%d", (int)getpid());
    setenv("LISTEN_PID", self, 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", name, 1);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDERR_FILENO);
    int fd = fcntl(listener, F_DUPFD, 10);
    dup2(fd, 3);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

pid_t daemonkit_start(const char *const *argv, int listener, const char *name,
                      const char *log_path)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        become(argv, listener, name, log_path);
    }
    return pid;
}

int daemonkit_stop(pid_t pid, int signo)
{
    int status = -1;
    must(kill(pid, signo) == 0, "kill");
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return status;
}

bool daemonkit_log_has(const char *log_path, const char *text)
{
    char *log = NULL;
    struct cm_err err;
    must(cm_file_read(log_path, LOG_MAX, &log, NULL, &err) == 1, log_path);
    must(truncate(log_path, 0) == 0, log_path);
    bool found = strstr(log, text) != NULL;
    free(log);
    return found;
}
