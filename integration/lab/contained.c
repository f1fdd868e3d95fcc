#include "contained.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"

/* The error goes through the pipe as it is: both ends are this program. */
static _Noreturn void be_child(struct lab *lab, int told,
                               int (*fn)(struct lab *, const void *, struct cm_err *),
                               const void *ctx)
{
    struct cm_err err = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int rc = cgroup_join(lab, "build", &err);
    if (rc == 0)
        rc = fn(lab, ctx, &err);
    if (rc < 0 && write(told, &err, sizeof err) != (ssize_t)sizeof err)
        _exit(2);
    _exit(rc < 0);
}

int contained(struct lab *lab,
              int (*fn)(struct lab *lab, const void *ctx, struct cm_err *err),
              const void *ctx, struct cm_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return cm_err_set(err, CM_ERR_WORLD, "pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        be_child(lab, ends[1], fn, ctx);
    close(ends[1]);
    struct cm_err theirs;
    ssize_t n = pid < 0 ? -1 : read(ends[0], &theirs, sizeof theirs);
    close(ends[0]);
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0 && status == 0)
        return 0;
    if (n != (ssize_t)sizeof theirs)
        return cm_err_set(err, CM_ERR_WORLD, "a child process ended early");
    *err = theirs;
    return -1;
}
