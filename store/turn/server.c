#include "server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TURN_MS 10

static _Noreturn void become(const char *program, const char *conf, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    signal(SIGPIPE, SIG_DFL);
    execlp(program, program, "-c", conf, "--pidfile=", (char *)NULL);
    _exit(127);
}

pid_t server_start(const char *program, const char *conf, struct cm_err *err)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        return cm_err_set(err, CM_ERR_RETRY, "fork: %s", strerror(errno));
    }
    if (pid == 0) {
        become(program, conf, parent);
    }
    return pid;
}

bool server_ended(pid_t pid, int *status_r)
{
    return waitpid(pid, status_r, WNOHANG) == pid;
}

void server_end(pid_t pid)
{
    const struct timespec turn = {.tv_nsec = TURN_MS * 1000000L};
    int status;
    kill(pid, SIGTERM);
    for (int ms = 0; ms < SERVER_END_MS; ms += TURN_MS) {
        if (server_ended(pid, &status)) {
            return;
        }
        nanosleep(&turn, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}
