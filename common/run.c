#include "common/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define WAIT_MS            1000
#define DEFAULT_TIMEOUT_MS 60000
#define DEFAULT_MAX_OUTPUT (16u * 1024 * 1024)
/* After the program has ended, what it wrote lies in the pipes; a grandchild that still
 * writes must not keep us. This is the largest pipe Linux gives without privilege. */
#define MAX_LEFTOVER (1024u * 1024)

/* The pipes as seen by the parent. A closed one is -1. */
struct child {
    pid_t pid;
    int pidfd;
    int in;
    int out[2]; /* stdout, stderr */
    const char *input;
    size_t input_left;
};

/* The same pipes as seen by the child, plus the one that tells why exec failed. */
struct far_ends {
    int in;
    int out[2];
    int failure;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* Never 0, 1 or 2, which a daemon may run without: dup2 below must not hit its source.
 */
static int above_stdio(int fd)
{
    if (fd > STDERR_FILENO || fd < 0) {
        return fd;
    }
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int saved = errno;
    close(fd);
    errno = saved;
    return high;
}

static int make_pipe(int *read_end, int *write_end)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }
    *read_end = above_stdio(fds[0]);
    *write_end = above_stdio(fds[1]);
    return *read_end >= 0 && *write_end >= 0 ? 0 : -1;
}

/* *failure_r is the near end of the pipe that stays empty when exec succeeds. */
static int open_pipes(struct child *child, struct far_ends *far, int *failure_r)
{
    if (child->input != NULL) {
        if (make_pipe(&far->in, &child->in) != 0) {
            return -1;
        }
    } else {
        far->in = above_stdio(open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (far->in < 0) {
            return -1;
        }
    }
    if (make_pipe(&child->out[0], &far->out[0]) != 0 ||
        make_pipe(&child->out[1], &far->out[1]) != 0 ||
        make_pipe(failure_r, &far->failure) != 0) {
        return -1;
    }
    int mine[] = {child->in, child->out[0], child->out[1]};
    for (size_t i = 0; i < 3; i++) {
        if (mine[i] >= 0 && fcntl(mine[i], F_SETFL, O_NONBLOCK) != 0) {
            return -1;
        }
    }
    return 0;
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signo = 1; signo < NSIG; signo++) {
        sigaction(signo, &action,
                  NULL); /* fails harmlessly for KILL, STOP, libc's own */
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Between fork and exec: the parent may have threads, so only async-signal-safe calls.
 */
static _Noreturn void be_child(const struct cm_run *run, const struct far_ends *far)
{
    setpgid(0, 0);
    default_signals();
    if (dup2(far->in, STDIN_FILENO) >= 0 && dup2(far->out[0], STDOUT_FILENO) >= 0 &&
        dup2(far->out[1], STDERR_FILENO) >= 0 &&
        close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) == 0) {
        execvp(run->argv[0], (char *const *)(uintptr_t)run->argv);
    }
    int reason = errno;
    ssize_t ignored = write(far->failure, &reason, sizeof(reason));
    _exit(ignored == sizeof(reason) ? 127 : 126);
}

/* Returns 0 when exec succeeded, else its errno. */
static int exec_failure(int fd)
{
    int reason = 0;
    ssize_t n;
    do {
        n = read(fd, &reason, sizeof(reason));
    } while (n < 0 && errno == EINTR);
    return n == sizeof(reason) ? reason : 0;
}

static int reap(pid_t pid, int *status_r)
{
    for (;;) {
        if (waitpid(pid, status_r, 0) == pid) {
            return 0;
        }
        if (errno != EINTR) {
            return -1;
        }
    }
}

/* No signal may arrive in the child before its dispositions are the default ones: a
 * handler of ours would run there and, say, write into the loop's own pipe. */
static int spawn(const struct cm_run *run, struct child *child,
                 const struct far_ends *far)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    child->pid = fork();
    if (child->pid == 0) {
        be_child(run, far);
    }
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    if (child->pid < 0) {
        return -1;
    }
    setpgid(child->pid,
            child->pid); /* here too, so that a kill at once finds the group */
    return 0;
}

static void close_far(struct far_ends *far)
{
    close_fd(&far->in);
    close_fd(&far->out[0]);
    close_fd(&far->out[1]);
    close_fd(&far->failure);
}

static void close_child(struct child *child)
{
    close_fd(&child->in);
    close_fd(&child->out[0]);
    close_fd(&child->out[1]);
    close_fd(&child->pidfd);
}

static void kill_child(struct child *child)
{
    int status;
    kill(-child->pid, SIGKILL);
    kill(child->pid, SIGKILL);
    (void)reap(child->pid, &status);
}

static int start(const struct cm_run *run, struct child *child, struct cm_err *err)
{
    struct far_ends far = {-1, {-1, -1}, -1};
    int failure = -1;
    int reason = 0;
    if (open_pipes(child, &far, &failure) != 0 || spawn(run, child, &far) != 0) {
        reason = errno;
        goto out;
    }
    close_far(&far);
    reason = exec_failure(failure);
    if (reason != 0) {
        kill_child(child);
        goto out;
    }
    child->pidfd = pidfd_open(child->pid, 0);
    if (child->pidfd < 0) {
        reason = errno;
        kill_child(child);
    }
out:
    close_far(&far);
    close_fd(&failure);
    if (reason == 0) {
        return 0;
    }
    close_child(child);
    return cm_err_set(err, CM_ERR_WORLD, "cannot run %s: %s", run->argv[0],
                      strerror(reason));
}

/* write(2) without SIGPIPE, whatever the process has made of that signal: blocked for
 * this thread meanwhile, and taken away if it was us who caused it. */
static ssize_t write_quietly(int fd, const void *data, size_t len)
{
    sigset_t pipe_set, old, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t n = write(fd, data, len);
    int saved = errno;
    if (n < 0 && saved == EPIPE && !was_pending) {
        sigtimedwait(&pipe_set, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return n;
}

/* A program that does not read its input to the end is not an error. */
static void feed(struct child *child)
{
    if (child->input_left > 0) {
        ssize_t n = write_quietly(child->in, child->input, child->input_left);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n < 0) {
            child->input_left = 0;
        } else {
            child->input += n;
            child->input_left -= (size_t)n;
        }
    }
    if (child->input_left == 0) {
        close_fd(&child->in);
    }
}

static void keep(struct cm_buf *buf, const char *data, size_t n)
{
    size_t room = buf->max - buf->len;
    if (n > room) {
        buf->overflow = true;
        n = room;
    }
    cm_buf_add(buf, data, n);
}

/* Returns the bytes read; 0 when there are none now or never again. */
static size_t collect(const struct cm_run *run, struct child *child, int which,
                      struct cm_buf *buf)
{
    char chunk[16384];
    ssize_t n = read(child->out[which], chunk, sizeof(chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) {
        close_fd(&child->out[which]);
        return 0;
    }
    keep(buf, chunk, (size_t)n);
    if (run->on_output != NULL) {
        run->on_output(which + STDOUT_FILENO, chunk, (size_t)n, run->ctx);
    }
    return (size_t)n;
}

static void collect_leftovers(const struct cm_run *run, struct child *child,
                              struct cm_run_result *res)
{
    for (int which = 0; which < 2; which++) {
        size_t total = 0;
        while (child->out[which] >= 0 && total < MAX_LEFTOVER) {
            size_t n = collect(run, child, which, which == 0 ? &res->out : &res->err);
            if (n == 0) {
                break;
            }
            total += n;
        }
    }
}

/* Serves the pipes until the program itself ends: a daemon that it left behind may hold
 * them open for ever. Returns -1 when the time is over. */
static int serve(const struct cm_run *run, struct child *child,
                 struct cm_run_result *res)
{
    int64_t limit = run->timeout_ms > 0 ? run->timeout_ms : DEFAULT_TIMEOUT_MS;
    int64_t from = cm_now_mono_ms(), deadline = from + limit, tick = from + WAIT_MS;
    for (;;) {
        int64_t now = cm_now_mono_ms(), left = deadline - now;
        if (left <= 0) {
            return -1;
        }
        if (run->on_wait != NULL && now >= tick) {
            if (!run->on_wait(now - from, run->ctx)) {
                return -1;
            }
            tick = now + WAIT_MS;
        }
        if (run->on_wait != NULL && left > tick - now) {
            left = tick - now;
        }
        struct pollfd fds[] = {{child->pidfd, POLLIN, 0},
                               {child->in, POLLOUT, 0},
                               {child->out[0], POLLIN, 0},
                               {child->out[1], POLLIN, 0}};
        if (poll(fds, 4, left > INT32_MAX ? INT32_MAX : (int)left) < 0) {
            cm_assert(errno == EINTR || errno == ENOMEM || errno == EAGAIN);
            continue;
        }
        if (fds[1].revents != 0) {
            feed(child);
        }
        if (fds[2].revents != 0) {
            collect(run, child, 0, &res->out);
        }
        if (fds[3].revents != 0) {
            collect(run, child, 1, &res->err);
        }
        if (fds[0].revents != 0) {
            collect_leftovers(run, child, res);
            return 0;
        }
    }
}

int cm_run(const struct cm_run *run, struct cm_run_result *res, struct cm_err *err)
{
    size_t max = run->max_output > 0 ? run->max_output : DEFAULT_MAX_OUTPUT;
    res->exit_code = 0;
    res->by_signal = false;
    cm_buf_init(&res->out, max);
    cm_buf_init(&res->err, max);

    struct child child = {.pidfd = -1, .in = -1, .out = {-1, -1}, .input = run->input};
    if (run->input != NULL) {
        child.input_left = run->input_len > 0 ? run->input_len : strlen(run->input);
    }
    if (start(run, &child, err) != 0) {
        return -1;
    }
    if (serve(run, &child, res) != 0) {
        kill_child(&child);
        collect_leftovers(run, &child, res);
        close_child(&child);
        res->exit_code = 128 + SIGKILL;
        return cm_err_set(
            err, CM_ERR_RETRY, "%s did not end within %lld ms", run->argv[0],
            (long long)(run->timeout_ms > 0 ? run->timeout_ms : DEFAULT_TIMEOUT_MS));
    }
    close_child(&child);
    int status;
    if (reap(child.pid, &status) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "cannot wait for %s: %s", run->argv[0],
                          strerror(errno));
    }
    res->by_signal = WIFSIGNALED(status);
    res->exit_code = res->by_signal ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

void cm_run_result_clear(struct cm_run_result *res)
{
    cm_buf_clear(&res->out);
    cm_buf_clear(&res->err);
}

/* The last line with something on it; changes the buffer's text. */
static const char *last_line(struct cm_buf *buf)
{
    char *end = buf->data + buf->len;
    while (end > buf->data && strchr(" \t\r\n", end[-1]) != NULL) {
        end--;
    }
    if (end == buf->data) {
        return "";
    }
    *end = '\0';
    char *start_of_line = end;
    while (start_of_line > buf->data && start_of_line[-1] != '\n') {
        start_of_line--;
    }
    return start_of_line;
}

int cm_run_ok(const struct cm_run *run, char **out, struct cm_err *err)
{
    struct cm_run_result res;
    int rc = cm_run(run, &res, err);
    if (rc == 0 && res.exit_code != 0) {
        const char *why = last_line(&res.err);
        if (*why == '\0') {
            why = last_line(&res.out);
        }
        rc = cm_err_set(err, CM_ERR_WORLD, "%s failed (exit %d)%s%s", run->argv[0],
                        res.exit_code, *why != '\0' ? ": " : "", why);
    }
    if (rc == 0 && out != NULL) {
        *out = cm_buf_steal(&res.out);
    }
    cm_run_result_clear(&res);
    return rc;
}
