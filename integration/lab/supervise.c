#include "supervise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

#include "cgroup.h"
#include "chat.h"
#include "net.h"
#include "node.h"

#define REBOOT_STATUS                                                                  \
    133 /* systemd-nspawn's word for "the container asked to reboot" */
#define BOOTS_PER_FAST                                                                 \
    5 /* give up when this many boots end within two seconds each                      \
       */
#define ARGS_MAX 40

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000},
              NULL);
}

static void record(int lock_fd, pid_t init, int64_t booted_ms)
{
    char text[128];
    int n =
        snprintf(text, sizeof text, "supervisor %ld\ninit %ld\nbooted %" PRId64 "\n",
                 (long)getpid(), (long)init, booted_ms);
    if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, text, (size_t)n, 0) != n)
        fprintf(stderr, "lab: cannot write the pid file: %s\n", strerror(errno));
}

/* Has the process become the first one of a namespace, and is it systemd already? */
static bool is_init(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *f = fopen(path, "re");
    bool named = false, first = false;
    while (f && fgets(line, sizeof line, f)) {
        long outer, inner;
        if (strcmp(line, "Name:\tsystemd\n") == 0)
            named = true;
        if (sscanf(line, "NSpid: %ld %ld", &outer, &inner) == 2 && inner == 1)
            first = true;
    }
    if (f)
        fclose(f);
    return named && first;
}

static pid_t find_init(pid_t nspawn)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)nspawn,
             (long)nspawn);
    FILE *f = fopen(path, "re");
    long pid, found = 0;
    while (f && !found && fscanf(f, "%ld", &pid) == 1)
        if (is_init((pid_t)pid))
            found = pid;
    if (f)
        fclose(f);
    return (pid_t)found;
}

static int mount_disk(struct lab *lab, const struct topology_node *node, char **root_r,
                      struct cm_err *err)
{
    char *lower = NULL;
    if (node_lower(lab, node, &lower, err) < 0)
        return -1;
    char *root = state_path(lab, "nodes/%s/root", node->name);
    char *options = cm_asprintf("lowerdir=%s,upperdir=%s/nodes/%s/upper,"
                                "workdir=%s/nodes/%s/work",
                                lower, lab->dir, node->name, lab->dir, node->name);
    /* In a mount namespace of its own, the disk is unmounted by the end of the process,
     * however it ends. Slave: `ip netns del` outside must still reach in here. */
    int rc = 0;
    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount("overlay", root, "overlay", 0, options) < 0)
        rc = cm_err_set(err, CM_ERR_WORLD, "mount %s: %s", root, strerror(errno));
    free(options);
    free(lower);
    if (rc == 0)
        *root_r = root;
    else
        free(root);
    return rc;
}

/* A list of arguments with its limit; the strings live until the exec. */
struct args {
    const char *words[ARGS_MAX];
    size_t n;
};

static void arg(struct args *a, const char *word)
{
    cm_assert(a->n < ARGS_MAX - 1);
    a->words[a->n++] = word;
}

static void nspawn_args(struct lab *lab, const struct topology_node *node,
                        const char *root, struct args *a)
{
    arg(a, "systemd-nspawn");
    arg(a, "--quiet");
    arg(a, "--boot");
    arg(a, cm_asprintf("--directory=%s", root));
    arg(a, cm_asprintf("--machine=%s-%s", lab->tag, node->name));
    arg(a, cm_asprintf("--hostname=%s", node->name));
    arg(a, "--register=no");
    arg(a, "--keep-unit");
    arg(a, "--resolv-conf=off");
    arg(a, "--timezone=off");
    arg(a, "--link-journal=no");
    char *ns = net_ns_path(lab, node->name);
    arg(a, cm_asprintf("--network-namespace-path=%s", ns));
    free(ns);
    arg(a, "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON");
    arg(a, "--system-call-filter=bpf pidfd_getfd");
    arg(a, "--rlimit=RLIMIT_NOFILE=524288");
    if (access("/dev/net/tun", F_OK) == 0)
        arg(a, "--bind=/dev/net/tun");
    arg(a, cm_asprintf("--bind-ro=%s/mirror:/srv/mirror", lab->dir));
    char *client = node->chat_client ? chat_client_path(lab) : NULL;
    if (client)
        arg(a, cm_asprintf("--bind-ro=%s:/usr/local/bin/deltachat-rpc-server", client));
    free(client);
}

/* The child that becomes systemd-nspawn. */
static _Noreturn void become_nspawn(struct lab *lab, const struct topology_node *node)
{
    struct cm_err err;
    struct args a = {.n = 0};
    char *root = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (cgroup_join(lab, node->name, &err) < 0 ||
        mount_disk(lab, node, &root, &err) < 0) {
        fprintf(stderr, "lab: %s: %s\n", node->name, err.text);
        _exit(1);
    }
    nspawn_args(lab, node, root, &a);
    setenv("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network", 1);
    char *const *words = (char *const *)(uintptr_t)a.words;
    execvp(words[0], words);
    fprintf(stderr, "lab: systemd-nspawn: %s\n", strerror(errno));
    _exit(1);
}

/* One boot, from a fresh network namespace to the end of nspawn. Returns its exit code.
 */
static int one_boot(struct lab *lab, const struct topology_node *node, int lock_fd)
{
    struct cm_err err;
    if (net_node_up(lab, node, &err) < 0) {
        fprintf(stderr, "lab: %s\n", err.text);
        return 1;
    }
    int64_t booted_ms = cm_now_mono_ms();
    pid_t nspawn = fork();
    if (nspawn == 0)
        become_nspawn(lab, node);
    pid_t init = 0;
    int status = 0;
    for (int i = 0; nspawn > 0 && !init && i < 1500; i++) {
        if (waitpid(nspawn, &status, WNOHANG) != 0)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        init = find_init(nspawn);
        if (!init)
            pause_ms(10);
    }
    record(lock_fd, init, booted_ms);
    while (nspawn > 0 && waitpid(nspawn, &status, 0) < 0 && errno == EINTR)
        continue;
    record(lock_fd, 0, booted_ms);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void supervise(struct lab *lab, const struct topology_node *node, int lock_fd)
{
    struct cm_err err;
    prctl(PR_SET_NAME, "lab-supervisor");
    if (cgroup_join(lab, "supervisors", &err) < 0)
        fprintf(stderr, "lab: %s\n", err.text);
    int fast = 0;
    int code;
    do {
        int64_t begun_ms = cm_now_mono_ms();
        code = one_boot(lab, node, lock_fd);
        /* nspawn is gone, but what it started may need another moment */
        cgroup_kill(lab, node->name);
        cgroup_remove(lab, node->name);
        fast = cm_now_mono_ms() - begun_ms < 2000 ? fast + 1 : 0;
        fprintf(stderr, "lab: %s: nspawn ended with %d\n", node->name, code);
    } while (code == REBOOT_STATUS && fast < BOOTS_PER_FAST);
    net_node_down(lab, node);
    _exit(0);
}
