#include "daemonkit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"

#define LOG_MAX       (4 << 20) /* of what is new */
#define LOGS_MAX      64
#define LISTENERS_MAX 8

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "daemonkit: %s: %s\n", what, strerror(errno));
        abort();
    }
}

void daemonkit_dir(char dir[64], const char *test)
{
    snprintf(dir, 64, "/tmp/test-%.40s-XXXXXX", test);
    must(mkdtemp(dir) != NULL, dir);
}

void daemonkit_path(char path[96], const char *dir, const char *name)
{
    int len = snprintf(path, 96, "%s/%s", dir, name);
    must(len < 96, name);
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void daemonkit_dir_remove(const char *dir)
{
    must(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, dir);
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

static _Noreturn void become(const char *const *argv, const int *listeners,
                             const char *names, const char *log_path)
{
    char self[16], count[16];
    int n = 1, high[LISTENERS_MAX];
    for (const char *c = names; (c = strchr(c, ':')) != NULL; c++) {
        n++;
    }
    must(n <= LISTENERS_MAX, names);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(self, sizeof(self), "%d", (int)getpid());
    snprintf(count, sizeof(count), "%d", n);
    setenv("LISTEN_PID", self, 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDERR_FILENO);
    for (int i = 0; i < n; i++) { /* out of the way, for one may be 3 already */
        high[i] = fcntl(listeners[i], F_DUPFD, 3 + LISTENERS_MAX);
    }
    for (int i = 0; i < n; i++) {
        dup2(high[i], 3 + i);
        close(high[i]);
    }
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Up to where each log has been read. It is never emptied: what a daemon writes between
 * a look and a truncation would be lost. */
static struct {
    char path[128];
    off_t at;
} looks[LOGS_MAX];

static off_t *look_of(const char *log_path)
{
    size_t i = 0;

    while (i < LOGS_MAX - 1 && looks[i].path[0] != '\0' &&
           strcmp(looks[i].path, log_path) != 0) {
        i++;
    }
    must(looks[i].path[0] == '\0' || strcmp(looks[i].path, log_path) == 0,
         "too many logs");
    struct stat is;
    snprintf(looks[i].path, sizeof(looks[i].path), "%s", log_path);
    if (stat(log_path, &is) != 0 || is.st_size < looks[i].at) {
        looks[i].at = 0; /* a test has begun it anew */
    }
    return &looks[i].at;
}

pid_t daemonkit_start(const char *const *argv, int listener, const char *name,
                      const char *log_path)
{
    return daemonkit_start_with(argv, &listener, name, log_path);
}

pid_t daemonkit_start_with(const char *const *argv, const int *listeners,
                           const char *names, const char *log_path)
{
    (void)look_of(log_path);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        become(argv, listeners, names, log_path);
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
    off_t *at = look_of(log_path);
    struct stat is;
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);

    must(fd >= 0 && fstat(fd, &is) == 0, log_path);
    must(is.st_size - *at <= LOG_MAX, log_path);
    size_t len = (size_t)(is.st_size - *at);
    char *log = cm_calloc(len + 1, 1);
    must(pread(fd, log, len, *at) == (ssize_t)len, log_path);
    close(fd);
    *at += (off_t)len;
    bool found = memmem(log, len, text, strlen(text)) != NULL;
    free(log);
    return found;
}
