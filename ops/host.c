#include "host.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "hash.h"
#include "say.h"

#define SSH_FAILED      255
#define SCRIPT_MAX      (64 * 1024)
#define UPLOAD_MS       (10 * 60 * 1000)
#define MASTER_MS       30000
#define STATES_LINE_MAX 512

/* ---- texts ---- */

char *op_shell_quote(const char *text)
{
    struct cm_buf b;

    cm_buf_init(&b, SCRIPT_MAX);
    cm_buf_str(&b, "'");
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            cm_buf_str(&b, "'\\''");
        } else {
            cm_buf_add(&b, text, 1);
        }
    }
    cm_buf_str(&b, "'");
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

void op_last_line(const char *text, char *out, size_t size)
{
    const char *best = text;
    size_t best_len = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        size_t blank = strspn(text, " \t\r\n");
        if (blank < len) {
            best = text;
            best_len = len;
        }
        text += len + (text[len] == '\n');
    }
    snprintf(out, size, "%.*s", (int)best_len, best);
    for (size_t n = strlen(out); n > 0 && isspace((unsigned char)out[n - 1]); n--) {
        out[n - 1] = '\0';
    }
}

/* ---- the connection ---- */

/* Of this process alone: another chatops that ends must not take our connection along.
 * A socket path must be short, so it lies under a directory of ours in the runtime
 * directory or /tmp. It must be ours alone: whoever owns it could speak as us. */
static void control_path(struct op_host *h, const char *state_dir)
{
    char dir[64], hash[OP_HASH_TEXT];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;

    if (runtime == NULL || runtime[0] != '/' || strlen(runtime) > 40) {
        runtime = "/tmp";
    }
    snprintf(dir, sizeof(dir), "%s/chatops-%ld", runtime, (long)getuid());
    mkdir(dir, 0700);
    if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
        (st.st_mode & 077) != 0) {
        h->control[0] = '\0';
        return;
    }
    /* Of this process alone: who ends takes his connection down, and "status" beside a
     * run must not take the run's. */
    char *id =
        cm_asprintf("%s %s %s %ld", state_dir, h->name, h->target, (long)getpid());
    op_hash(id, strlen(id), hash);
    free(id);
    snprintf(h->control, sizeof(h->control), "%s/%.16s", dir, hash);
}

void op_host_init(struct op_host *h, const char *name, const char *target,
                  const char *state_dir)
{
    *h = (struct op_host){.open = false};
    snprintf(h->name, sizeof(h->name), "%s", name);
    snprintf(h->target, sizeof(h->target), "%s", target);
    snprintf(h->known_hosts, sizeof(h->known_hosts), "%s/known_hosts", state_dir);
    if (target[0] != '\0') {
        control_path(h, state_dir);
    }
}

struct ssh_args {
    char options[4][640];
    const char *argv[40];
    size_t n;
};

static void ssh_begin(struct ssh_args *a, const struct op_host *h)
{
    static const char *const fixed[] = {"ssh", "-T",
                                        "-o",  "BatchMode=yes",
                                        "-o",  "ConnectTimeout=10",
                                        "-o",  "ServerAliveInterval=5",
                                        "-o",  "ServerAliveCountMax=4",
                                        "-o",  "StrictHostKeyChecking=accept-new",
                                        "-o",  "HashKnownHosts=no",
                                        "-o",  "LogLevel=ERROR"};

    a->n = 0;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        a->argv[a->n++] = fixed[i];
    }
    snprintf(a->options[0], sizeof(a->options[0]), "UserKnownHostsFile=\"%s\"",
             h->known_hosts);
    snprintf(a->options[1], sizeof(a->options[1]), "ControlPath=\"%s\"",
             h->control[0] != '\0' ? h->control : "none");
    a->argv[a->n++] = "-o";
    a->argv[a->n++] = a->options[0];
    a->argv[a->n++] = "-o";
    a->argv[a->n++] = a->options[1];
}

static void ssh_end(struct ssh_args *a, const struct op_host *h, const char *command)
{
    a->argv[a->n++] = "--";
    a->argv[a->n++] = h->target;
    if (command != NULL) {
        a->argv[a->n++] = command;
    }
    a->argv[a->n] = NULL;
}

/* The target as known_hosts names it: HOST, or [HOST]:PORT of ssh://USER@HOST:PORT. */
static void host_of(const char *target, char *out, size_t size)
{
    bool uri = strncmp(target, "ssh://", 6) == 0;
    const char *at = strchr(target, '@');
    const char *host = at != NULL ? at + 1 : uri ? target + 6 : target;
    const char *port = uri ? strrchr(host, ':') : NULL;

    if (port != NULL && strcmp(port, ":22") != 0) {
        snprintf(out, size, "[%.*s]%s", (int)(port - host), host, port);
    } else {
        snprintf(out, size, "%.*s", (int)(port != NULL ? port - host : 255), host);
    }
}

/* What ssh says, turned into what the operator can do. */
static int connection_error(const struct op_host *h, const char *said,
                            struct cm_err *err)
{
    char last[300], address[270];

    host_of(h->target, address, sizeof(address));
    if (strstr(said, "HOST IDENTIFICATION HAS CHANGED") != NULL ||
        strstr(said, "Host key verification failed") != NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: the SSH host key of %s is not the one seen before; if "
                          "the machine was set "
                          "up anew, run: ssh-keygen -f '%s' -R '%s'",
                          h->name, address, h->known_hosts, address);
    }
    op_last_line(said, last, sizeof(last));
    if (strstr(said, "Permission denied") != NULL) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "%s: %s does not let us in (%s); load your key into ssh-agent, "
            "or run: ssh-copy-id %s",
            h->name, h->target, last, h->target);
    }
    return cm_err_set(err, CM_ERR_RETRY,
                      "%s: no connection to %s%s%s%s; check that it is up and that "
                      "\"ssh %s true\" works",
                      h->name, h->target, last[0] != '\0' ? " (" : "", last,
                      last[0] != '\0' ? ")" : "", h->target);
}

static bool show_wait(int64_t elapsed_ms, void *ctx)
{
    const struct op_host *h = ctx;

    op_wait_tick(elapsed_ms, h->name);
    return true;
}

/* The socket of a master that was killed, or of one whose process had our number: ssh
 * would leave it there, and dial anew for each command. */
static void drop_stale(const struct op_host *h)
{
    struct ssh_args a;
    struct cm_run_result res;
    struct cm_err ignored;

    if (access(h->control, F_OK) != 0) {
        return;
    }
    ssh_begin(&a, h);
    a.argv[a.n++] = "-O";
    a.argv[a.n++] = "check";
    ssh_end(&a, h, NULL);
    struct cm_run run = {.argv = a.argv, .timeout_ms = 5000};
    if (cm_run(&run, &res, &ignored) != 0 || res.exit_code != 0) {
        unlink(h->control);
    }
    cm_run_result_clear(&res);
}

static int open_master(struct op_host *h, struct cm_err *err)
{
    struct ssh_args a;
    struct cm_run_result res;

    if (h->open || h->target[0] == '\0' || h->control[0] == '\0') {
        return 0;
    }
    drop_stale(h);
    ssh_begin(&a, h);
    static const char *const master[] = {"-M", "-N", "-f", "-o", "ControlPersist=60"};
    for (size_t i = 0; i < sizeof(master) / sizeof(master[0]); i++) {
        a.argv[a.n++] = master[i];
    }
    ssh_end(&a, h, NULL);
    struct cm_run run = {
        .argv = a.argv, .timeout_ms = MASTER_MS, .on_wait = show_wait, .ctx = h};
    int rc = cm_run(&run, &res, err);
    if (rc == 0 && res.exit_code != 0) {
        rc = connection_error(h, res.err.data, err);
    } else if (rc != 0) {
        cm_err_prefix(err, "%s: ssh", h->name);
    }
    cm_run_result_clear(&res);
    h->open = rc == 0;
    return rc;
}

void op_host_close(struct op_host *h)
{
    struct ssh_args a;
    struct cm_run_result res;
    struct cm_err ignored;

    if (!h->open) {
        return;
    }
    ssh_begin(&a, h);
    a.argv[a.n++] = "-O";
    a.argv[a.n++] = "exit";
    ssh_end(&a, h, NULL);
    struct cm_run run = {.argv = a.argv, .timeout_ms = 5000};
    if (cm_run(&run, &res, &ignored) != 0) {
        unlink(h->control); /* ControlPersist ends it within a minute */
    }
    cm_run_result_clear(&res);
    h->open = false;
}

/* ---- commands ---- */

static char *remote_command(const struct op_cmd *cmd)
{
    struct cm_buf b;
    char *script = op_shell_quote(cmd->script);

    cm_buf_init(&b, 2 * SCRIPT_MAX);
    /* root's login shell may be anything; the scripts are for sh */
    cm_buf_fmt(&b, "exec sh -c %s chatops", script);
    free(script);
    for (size_t i = 0; i < OP_HOST_ARGS && cmd->args[i] != NULL; i++) {
        char *arg = op_shell_quote(cmd->args[i]);
        cm_buf_fmt(&b, " %s", arg);
        free(arg);
    }
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

static void show_output(int fd, const char *data, size_t n, void *ctx)
{
    (void)fd;
    (void)ctx;
    fwrite(data, 1, n, stderr);
}

/* How the caller hears of the run, else how the operator does. */
static void set_hooks(struct cm_run *run, struct op_host *h, const struct op_cmd *cmd)
{
    if (cmd->on_wait != NULL) {
        run->on_output = cmd->on_output;
        run->on_wait = cmd->on_wait;
        run->ctx = cmd->ctx;
        return;
    }
    run->on_output = h->verbose ? show_output : NULL;
    run->on_wait = show_wait;
    run->ctx = h;
}

static int exec_local(struct op_host *h, const struct op_cmd *cmd,
                      struct cm_run_result *res, struct cm_err *err)
{
    const char *argv[5 + OP_HOST_ARGS] = {"sh", "-c", cmd->script, "chatops"};

    for (size_t i = 0; i < OP_HOST_ARGS && cmd->args[i] != NULL; i++) {
        argv[4 + i] = cmd->args[i];
    }
    struct cm_run run = {.argv = argv,
                         .input = cmd->input,
                         .input_len = cmd->input_len,
                         .timeout_ms = cmd->timeout_ms,
                         .max_output = cmd->max_output};
    set_hooks(&run, h, cmd);
    return cm_run(&run, res, err);
}

static int exec_ssh(struct op_host *h, const struct op_cmd *cmd,
                    struct cm_run_result *res, struct cm_err *err)
{
    struct ssh_args a;
    char *command;
    int rc;

    if (open_master(h, err) != 0) {
        cm_buf_init(&res->out, 1);
        cm_buf_init(&res->err, 1);
        return -1;
    }
    command = remote_command(cmd);
    ssh_begin(&a, h);
    ssh_end(&a, h, command);
    struct cm_run run = {.argv = a.argv,
                         .input = cmd->input,
                         .input_len = cmd->input_len,
                         .timeout_ms = cmd->timeout_ms,
                         .max_output = cmd->max_output};
    set_hooks(&run, h, cmd);
    rc = cm_run(&run, res, err);
    if (rc == 0 && (res->exit_code == SSH_FAILED || res->by_signal)) {
        rc = connection_error(h, res->err.data, err);
        op_host_close(h);
    } else if (rc != 0) {
        cm_err_prefix(err, "%s", h->name);
    }
    free(command);
    return rc;
}

static int exec_anyhow(struct op_host *h, const struct op_cmd *cmd,
                       struct cm_run_result *res, struct cm_err *err)
{
    if (h->verbose) {
        fprintf(stderr, "+ %s: %.100s\n", h->name, cmd->script);
    }
    if (h->target[0] == '\0') {
        return exec_local(h, cmd, res, err);
    }
    bool was_open = h->open; /* a node that never answered is not asked twice */
    int rc = exec_ssh(h, cmd, res, err);
    if (rc != 0 && was_open && cmd->repeatable && err->kind == CM_ERR_RETRY) {
        cm_run_result_clear(res);
        rc = exec_ssh(h, cmd, res, err);
    }
    return rc;
}

int op_host_exec(struct op_host *h, const struct op_cmd *cmd, struct cm_run_result *res,
                 struct cm_err *err)
{
    int rc = exec_anyhow(h, cmd, res, err);

    if (cmd->on_wait == NULL) {
        op_wait_end();
    }
    return rc;
}

int op_host_run(struct op_host *h, const struct op_cmd *cmd, char **out,
                struct cm_err *err)
{
    struct cm_run_result res;
    char last[400];
    int rc = op_host_exec(h, cmd, &res, err);

    if (rc == 0 && res.exit_code != 0) {
        op_last_line(res.err.data, last, sizeof(last));
        if (last[0] == '\0') {
            op_last_line(res.out.data, last, sizeof(last));
        }
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: exit %d: %s", h->name, res.exit_code,
                        last[0] != '\0' ? last : "said nothing");
    }
    if (rc == 0 && out != NULL) {
        while (res.out.len > 0 && res.out.data[res.out.len - 1] == '\n') {
            res.out.data[--res.out.len] = '\0';
        }
        *out = cm_strdup(res.out.data);
    }
    cm_run_result_clear(&res);
    return rc;
}

int op_host_ask(struct op_host *h, const char *script, char **out, struct cm_err *err)
{
    struct op_cmd cmd = {.script = script, .repeatable = true};

    return op_host_run(h, &cmd, out, err);
}

/* ---- files ---- */

int op_host_put(struct op_host *h, const char *path, const void *data, size_t len,
                const char *owner, mode_t mode, struct cm_err *err)
{
    char length[24], mode_text[8];

    snprintf(length, sizeof(length), "%zu", len);
    snprintf(mode_text, sizeof(mode_text), "%04o", (unsigned)mode);
    struct op_cmd cmd = {
        .script = "set -e; d=$(dirname \"$1\"); [ -d \"$d\" ] || mkdir -p \"$d\"\n"
                  "t=$(mktemp \"$d/.chatops.XXXXXX\"); trap 'rm -f \"$t\"' EXIT\n"
                  "cat >\"$t\"; chown \"$2\" \"$t\"; chmod \"$3\" \"$t\"\n"
                  "[ \"$(stat -c %s \"$t\")\" = \"$4\" ] ||"
                  " { echo \"$1: only a part arrived\" >&2; exit 1; }\n"
                  "sync \"$t\"; mv -f \"$t\" \"$1\"; sync \"$d\"",
        .args = {path, owner, mode_text, length},
        .input = len > 0 ? data : "",
        .input_len = len,
        .timeout_ms = UPLOAD_MS,
        .repeatable = true,
    };
    if (op_host_run(h, &cmd, NULL, err) != 0) {
        return cm_err_prefix(err, "%s", path);
    }
    return 0;
}

int op_host_get(struct op_host *h, const char *path, char **data_r, struct cm_err *err)
{
    struct cm_run_result res;
    struct op_cmd cmd = {.script = "[ -f \"$1\" ] || exit 44; cat \"$1\"",
                         .args = {path},
                         .repeatable = true};
    int rc = op_host_exec(h, &cmd, &res, err);

    if (rc == 0 && res.exit_code == 0) {
        *data_r = cm_strdup(res.out.data);
        rc = 1;
    } else if (rc == 0 && res.exit_code != 44) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s cannot be read", h->name, path);
    }
    cm_run_result_clear(&res);
    return rc;
}

static int parse_states(char *text, struct op_file_state *out, size_t n)
{
    char *save = NULL;
    size_t i = 0;

    for (char *l = strtok_r(text, "\n", &save); l != NULL && i < n;
         l = strtok_r(NULL, "\n", &save), i++) {
        unsigned mode;
        out[i] = (struct op_file_state){.present = false};
        if (strcmp(l, "-") == 0) {
            continue;
        }
        if (sscanf(l, "%64[0-9a-f] %79s %o", out[i].hash, out[i].owner, &mode) != 3) {
            return -1;
        }
        out[i].mode = (mode_t)mode;
        out[i].present = true;
    }
    return i == n ? 0 : -1;
}

int op_host_states(struct op_host *h, const char *const *paths, size_t n,
                   struct op_file_state *out, struct cm_err *err)
{
    struct cm_buf list;
    char *said = NULL;

    if (n == 0) {
        return 0;
    }
    cm_buf_init(&list, n * STATES_LINE_MAX);
    for (size_t i = 0; i < n; i++) {
        cm_buf_fmt(&list, "%s\n", paths[i]);
    }
    cm_assert(!list.overflow);
    struct op_cmd cmd = {
        .script = "while IFS= read -r f; do\n"
                  "if [ -f \"$f\" ] && [ ! -L \"$f\" ]; then h=$(sha256sum <\"$f\");"
                  " echo \"${h%% *} $(stat -c '%U:%G %a' \"$f\")\"; else echo -; fi\n"
                  "done",
        .input = list.data,
        .input_len = list.len,
        .repeatable = true,
    };
    int rc = op_host_run(h, &cmd, &said, err);
    cm_buf_clear(&list);
    if (rc == 0 && parse_states(said, out, n) != 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: cannot make sense of the list of files",
                        h->name);
    }
    free(said);
    return rc;
}
