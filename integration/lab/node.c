#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#include "cgroup.h"
#include "dns.h"
#include "image.h"
#include "supervise.h"

#define BOOT_TIMEOUT_MS 120000
#define LAYERS_MAX      16

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000},
              NULL);
}

static char *pid_path(struct lab *lab, const struct topology_node *node)
{
    return state_path(lab, "nodes/%s/pid", node->name);
}

/* Detaches: a new session, nothing of the parent's but the lock, output to a file. */
static void detach(struct lab *lab, const struct topology_node *node, int *lock_fd)
{
    setsid();
    umask(022);
    char *log = state_path(lab, "nodes/%s/console.log", node->name);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    free(log);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(1);
    if (*lock_fd != 3 && dup2(*lock_fd, 3) < 0)
        _exit(1);
    *lock_fd = 3;
    if (fcntl(3, F_SETFD, FD_CLOEXEC) < 0 || close_range(4, ~0u, 0) < 0 ||
        chdir("/") < 0)
        _exit(1);
}

int node_boot(struct lab *lab, const struct topology_node *node, struct cm_err *err)
{
    char *path = pid_path(lab, node);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int locked = fd < 0 ? -1 : flock(fd, LOCK_EX);
    int truncated = locked < 0 ? -1 : ftruncate(fd, 0);
    if (truncated < 0) {
        cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        free(path);
        return -1;
    }
    free(path);
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() != 0)
            _exit(0);
        detach(lab, node, &fd);
        supervise(lab, node, fd);
    }
    close(fd);
    if (pid < 0)
        return cm_err_set(err, CM_ERR_WORLD, "fork: %s", strerror(errno));
    /* the child in between ends at once; reap that one only */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

static void parse_pids(const char *text, struct node_pids *pids)
{
    long supervisor = 0, init = 0;
    int64_t booted_ms = 0;
    if (sscanf(text, "supervisor %ld init %ld booted %" SCNd64, &supervisor, &init,
               &booted_ms) != 3)
        return;
    pids->supervisor = (pid_t)supervisor;
    pids->init = (pid_t)init;
    pids->booted_ms = booted_ms;
}

bool node_alive(struct lab *lab, const struct topology_node *node,
                struct node_pids *pids_r)
{
    char *path = pid_path(lab, node);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0)
        return false;
    bool alive = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    char text[128] = "";
    if (alive && pids_r) {
        *pids_r = (struct node_pids){0};
        if (pread(fd, text, sizeof text - 1, 0) > 0)
            parse_pids(text, pids_r);
    }
    close(fd);
    return alive;
}

void node_signal(struct lab *lab, const struct topology_node *node, bool crash)
{
    struct node_pids pids;
    if (node_alive(lab, node, &pids) && pids.init > 0)
        kill(pids.init, crash ? SIGKILL : SIGRTMIN + 4);
}

void node_wait_gone(struct lab *lab, const struct topology_node *node,
                    int64_t timeout_ms)
{
    int64_t deadline = cm_now_mono_ms() + timeout_ms;
    while (node_alive(lab, node, NULL) && cm_now_mono_ms() < deadline)
        pause_ms(20);
    if (!node_alive(lab, node, NULL))
        return;
    cgroup_kill(lab, node->name); /* nspawn dies, and its supervisor then ends */
    deadline = cm_now_mono_ms() + 10000;
    while (node_alive(lab, node, NULL) && cm_now_mono_ms() < deadline)
        pause_ms(20);
}

/* The end of the console, for an error text. */
static void console_tail(struct lab *lab, const struct topology_node *node,
                         struct cm_err *err)
{
    char *path = state_path(lab, "nodes/%s/console.log", node->name);
    char *text = NULL;
    size_t len = 0;
    struct cm_err ignored;
    if (cm_file_read(path, 8 << 20, &text, &len, &ignored) == 1) {
        while (len && text[len - 1] == '\n')
            text[--len] = 0;
        char *last = strrchr(text, '\n');
        cm_err_prefix(err, "%s: console ends with \"%.200s\"", node->name,
                      last ? last + 1 : text);
    }
    free(text);
    free(path);
}

static void name_failed_units(struct lab *lab, const struct topology_node *node)
{
    const char *argv[] = {"systemctl", "--failed", "--plain", "--no-legend", NULL};
    struct cm_run_result res;
    struct cm_err ignored;
    if (lab_exec(lab, node->name, argv, NULL, 0, &res, &ignored) == 0)
        for (char *p = res.out.data; *p;) {
            size_t line = strcspn(p, "\n");
            state_say(lab, "%s: failed unit %.*s", node->name, (int)strcspn(p, " \n"),
                      p);
            p += line + (p[line] == '\n');
        }
    cm_run_result_clear(&res);
}

/* 1 ready, 0 not yet. */
static int ask_systemd(struct lab *lab, const struct topology_node *node,
                       int64_t timeout_ms)
{
    const char *argv[] = {"systemctl", "is-system-running", "--wait", NULL};
    struct cm_run_result res;
    struct cm_err ignored;
    int ready = 0;
    if (lab_exec(lab, node->name, argv, NULL, timeout_ms, &res, &ignored) == 0) {
        if (strcmp(res.out.data, "running\n") == 0)
            ready = 1;
        if (strcmp(res.out.data, "degraded\n") == 0) {
            name_failed_units(lab, node);
            ready = 1;
        }
    }
    cm_run_result_clear(&res);
    return ready;
}

int node_wait(struct lab *lab, const struct topology_node *node, struct cm_err *err)
{
    int64_t deadline = cm_now_mono_ms() + BOOT_TIMEOUT_MS;
    struct node_pids pids;
    while (cm_now_mono_ms() < deadline) {
        if (!node_alive(lab, node, &pids)) {
            cm_err_set(err, CM_ERR_WORLD, "the node did not come up");
            console_tail(lab, node, err);
            return -1;
        }
        if (pids.init > 0 && ask_systemd(lab, node, deadline - cm_now_mono_ms()) == 1)
            return 0;
        pause_ms(50);
    }
    cm_err_set(err, CM_ERR_WORLD, "not up after %d s", BOOT_TIMEOUT_MS / 1000);
    console_tail(lab, node, err);
    return -1;
}

/* Newest layer first; a node without a directory in a layer did not exist then. */
static void add_layers(struct lab *lab, const struct topology_node *node,
                       const char *layers, struct cm_buf *out)
{
    const char *starts[LAYERS_MAX];
    size_t n = 0;
    for (const char *p = layers + strspn(layers, " "); *p && n < LAYERS_MAX;) {
        starts[n++] = p;
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    while (n-- > 0) {
        char *path = state_path(lab, "layers/%.*s/%s", (int)strcspn(starts[n], " "),
                                starts[n], node->name);
        if (access(path, F_OK) == 0)
            cm_buf_fmt(out, "%s:", path);
        free(path);
    }
}

int node_lower(struct lab *lab, const struct topology_node *node, char **lower_r,
               struct cm_err *err)
{
    struct state_stack stack = {0};
    int found = state_read(lab, &stack, err);
    if (found == 0)
        return cm_err_set(err, CM_ERR_WORLD, "the lab is down");
    if (found < 0)
        return -1;
    struct cm_buf out;
    cm_buf_init(&out, 65536);
    add_layers(lab, node, stack.layers, &out);
    if (node->packages) {
        char *role = image_role_path(lab, stack.image, node);
        cm_buf_fmt(&out, "%s:", role);
        free(role);
    }
    cm_buf_fmt(&out, "%s/image/%s/root", lab->dir, stack.image);
    state_stack_clear(&stack);
    *lower_r = cm_buf_steal(&out);
    return 0;
}

/* Below an upper directory, with the parents' modes as the base image has them: the
 * upper one's mode is the one that counts. */
static int seed(const char *upper, const char *path, const char *text, mode_t mode,
                struct cm_err *err)
{
    char *full = cm_asprintf("%s/%s", upper, path);
    char *slash = strrchr(full, '/');
    *slash = 0;
    mode_t dirs = strncmp(path, "root/", 5) == 0 ? 0700 : 0755;
    int rc = cm_file_mkdirs(full, dirs, err);
    *slash = '/';
    if (rc == 0)
        rc = cm_file_replace(full, text, strlen(text), mode, err);
    free(full);
    return rc;
}

static int seed_identity(const char *upper, const struct topology_node *node,
                         struct cm_err *err)
{
    char hex[65];
    state_hash(node->name, strlen(node->name), hex);
    char *id = cm_asprintf("%.32s\n", hex);
    char *hostname = cm_asprintf("%s\n", node->name);
    char *hosts = cm_asprintf("127.0.0.1 localhost\n127.0.1.1 %s.lab.example %s\n"
                              "::1 localhost ip6-localhost ip6-loopback\n",
                              node->name, node->name);
    int rc = seed(upper, "etc/machine-id", id, 0444, err);
    if (rc == 0)
        rc = seed(upper, "etc/hostname", hostname, 0644, err);
    if (rc == 0)
        rc = seed(upper, "etc/hosts", hosts, 0644, err);
    free(hosts);
    free(hostname);
    free(id);
    return rc;
}

static int seed_key(struct lab *lab, const char *upper, const char *file,
                    const char *to, mode_t mode, struct cm_err *err)
{
    char *path = state_path(lab, "image/%s/keys/%s", lab->image, file);
    char *text = NULL;
    size_t len;
    int found = cm_file_read(path, 16384, &text, &len, err);
    if (found == 0)
        cm_err_set(err, CM_ERR_WORLD, "%s is missing", path);
    free(path);
    if (found < 1)
        return -1;
    int rc = seed(upper, to, text, mode, err);
    cm_wipe_str(&text);
    return rc;
}

static int seed_node(struct lab *lab, const struct topology_node *node,
                     const char *upper, struct cm_err *err)
{
    if (seed_identity(upper, node, err) < 0)
        return -1;
    if (node->trusts_operator && seed_key(lab, upper, "operator.pub",
                                          "root/.ssh/authorized_keys", 0600, err) < 0)
        return -1;
    if (strcmp(node->name, "operator") == 0 &&
        (seed_key(lab, upper, "operator", "root/.ssh/id_ed25519", 0600, err) < 0 ||
         seed_key(lab, upper, "operator.pub", "root/.ssh/id_ed25519.pub", 0644, err) <
             0))
        return -1;
    if (strcmp(node->name, "dns") == 0)
        return dns_seed(upper, err);
    return 0;
}

int node_new_disk(struct lab *lab, const struct topology_node *node, bool bare,
                  struct cm_err *err)
{
    char *home = state_path(lab, "nodes/%s", node->name);
    char *upper = cm_asprintf("%s/upper", home);
    char *work = cm_asprintf("%s/work", home);
    char *root = cm_asprintf("%s/root", home);
    int rc = tool(err, "rm", "-rf", "--one-file-system", upper, work, NULL);
    if (rc == 0)
        rc = cm_file_mkdirs(upper, 0755, err);
    if (rc == 0)
        rc = cm_file_mkdirs(work, 0755, err);
    if (rc == 0)
        rc = cm_file_mkdirs(root, 0755, err);
    if (rc == 0 && bare)
        rc = seed_node(lab, node, upper, err);
    free(root);
    free(work);
    free(upper);
    free(home);
    return rc;
}
