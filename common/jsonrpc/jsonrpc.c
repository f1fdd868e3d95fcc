#include "jsonrpc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

extern char **environ;

/* ---- the child ---- */

static void close_both(int fds[2])
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static void say_how(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr,
                    const int pipes[3])
{
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(actions);
    posix_spawn_file_actions_adddup2(actions, pipes[0], 0);
    posix_spawn_file_actions_adddup2(actions, pipes[1], 1);
    if (pipes[2] >= 0) {
        posix_spawn_file_actions_adddup2(actions, pipes[2], 2);
    } else {
        posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    }
    posix_spawnattr_init(attr);
    posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setsigdefault(attr, &defaults);
}

static int spawn(const char *const *argv, const int pipes[3], pid_t *pid_r,
                 struct cm_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    union {
        const char *const *in;
        char *const *out;
    } args = {.in = argv};
    say_how(&actions, &attr, pipes);
    int rc = posix_spawnp(pid_r, argv[0], &actions, &attr, args.out, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc == 0 ? 0 : cm_err_set(err, CM_ERR_WORLD, "%s: %s", argv[0], strerror(rc));
}

int jsonrpc_spawn(const char *const *argv, int log_fd, struct jsonrpc_child *child_r,
                  struct cm_err *err)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    struct jsonrpc_child child = {.pid = -1};
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        cm_err_set(err, CM_ERR_WORLD, "pipe: %s", strerror(errno));
        close_both(in);
        return -1;
    }
    signal(SIGPIPE, SIG_IGN);
    child.to = in[1];
    child.from = out[0];
    if (spawn(argv, (int[]){in[0], out[1], log_fd}, &child.pid, err) != 0) {
        close_both(in);
        close_both(out);
        return -1;
    }
    close(in[0]);
    close(out[1]);
    fcntl(child.to, F_SETFL, O_NONBLOCK);
    fcntl(child.from, F_SETFL, O_NONBLOCK);
    *child_r = child;
    return 0;
}

/* ---- lines ---- */

char *jsonrpc_request(int64_t id, const char *method, json_t *params)
{
    json_t *request = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id",
                                (json_int_t)id, "method", method, "params", params);
    cm_assert(request != NULL);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    cm_assert(text != NULL);
    char *line = cm_asprintf("%s\n", text);
    free(text);
    return line;
}

json_t *jsonrpc_next(const struct cm_buf *in, size_t *used)
{
    const char *end;
    while ((end = memchr(in->data + *used, '\n', in->len - *used)) != NULL) {
        const char *line = in->data + *used;
        json_t *object = json_loadb(line, (size_t)(end - line), 0, NULL);
        *used += (size_t)(end - line) + 1;
        if (json_is_object(object)) {
            return object;
        }
        json_decref(object);
    }
    return NULL;
}

int jsonrpc_error(const json_t *answer, const char *method, struct cm_err *err)
{
    const json_t *error = json_object_get(answer, "error");
    if (error == NULL) {
        return 0;
    }
    const char *message = json_string_value(json_object_get(error, "message"));
    return cm_err_set(err, CM_ERR_REFUSE, "%s: %s", method,
                      message != NULL ? message : "an error without a message");
}
