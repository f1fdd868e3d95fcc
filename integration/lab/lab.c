/* The lab as a whole: up and down, and what its users do to nodes. */
#include "lab.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#include "cgroup.h"
#include "chat.h"
#include "image.h"
#include "mirror.h"
#include "net.h"
#include "node.h"
#include "snapshot.h"
#include "state.h"
#include "topology.h"

#define INOTIFY_PATH       "/proc/sys/fs/inotify/max_user_instances"
#define POWEROFF_MS        30000
#define INSTALL_TIMEOUT_MS (5 * 60 * 1000)

static int node_by_name(const char *name, const struct topology_node **node_r,
                        struct cm_err *err)
{
    *node_r = topology_find(name);
    if (*node_r)
        return 0;
    struct cm_buf names;
    cm_buf_init(&names, 1024);
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        cm_buf_fmt(&names, " %s", n->name);
    cm_err_set(err, CM_ERR_REFUSE, "there is no node \"%s\"; nodes:%s", name,
               names.data);
    cm_buf_clear(&names);
    return -1;
}

/* --- what this machine must have
 * ------------------------------------------------------ */

static const struct {
    const char *program, *package;
} needed[] = {
    {"mmdebstrap", "mmdebstrap"},
    {"systemd-nspawn", "systemd-container"},
    {"apt-ftparchive", "apt-utils"},
    {"ip", "iproute2"},
    {"nft", "nftables"},
    {"nsenter", "util-linux"},
    {"npm", "npm"},
};

static bool in_path(const char *program)
{
    const char *p = getenv("PATH");
    for (p = p ? p : "/usr/sbin:/usr/bin:/sbin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        char *full = cm_asprintf("%.*s/%s", (int)n, p, program);
        bool there = access(full, X_OK) == 0;
        free(full);
        if (there)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static int check_tools(struct cm_err *err)
{
    struct cm_buf missing;
    cm_buf_init(&missing, 1024);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!in_path(needed[i].program))
            cm_buf_fmt(&missing, " %s", needed[i].package);
    int rc = 0;
    if (missing.len)
        rc = cm_err_set(err, CM_ERR_WORLD, "the lab needs: apt-get install%s",
                        missing.data);
    cm_buf_clear(&missing);
    return rc;
}

/* The kernel's 128 per user are shared by all nodes, and one Dovecot takes them all. */
static void raise_inotify(struct lab *lab)
{
    static const char wanted[] = "8192";
    char text[32] = "";
    int fd = open(INOTIFY_PATH, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) > 0 &&
        strtol(text, NULL, 10) < strtol(wanted, NULL, 10) &&
        pwrite(fd, wanted, strlen(wanted), 0) < 0)
        state_say(lab, "note: cannot raise fs.inotify.max_user_instances");
    close(fd);
}

/* --- leftovers
 * ------------------------------------------------------------------------ */

/* Removes every trace of nodes; what is killed is named by our own control groups. */
static void clean(struct lab *lab, bool keep_disks)
{
    size_t killed = cgroup_kill(lab, NULL);
    if (killed > 0 && !keep_disks)
        state_say(lab, "cleared %zu processes of a run that did not end well", killed);
    net_clean(lab);
    cgroup_remove(lab, NULL);
    char *nodes = state_path(lab, "nodes");
    char *up = state_path(lab, "up");
    unlink(up);
    if (!keep_disks)
        tool_quietly("rm", "-rf", "--one-file-system", nodes, NULL);
    free(up);
    free(nodes);
}

static bool any_alive(struct lab *lab)
{
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        if (node_alive(lab, n, NULL))
            return true;
    return false;
}

bool lab_is_up(const struct lab *lab)
{
    struct lab *own = (struct lab *)(uintptr_t)lab;
    char *up = state_path(lab, "up");
    bool is = access(up, F_OK) == 0 && any_alive(own);
    free(up);
    return is;
}

const char *lab_origin(struct lab *lab)
{
    struct state_stack stack = {0};
    struct cm_err ignored;
    free(lab->origin);
    lab->origin = NULL;
    if (state_read(lab, &stack, &ignored) == 1)
        lab->origin = cm_strdup(stack.snapshot);
    state_stack_clear(&stack);
    return lab->origin ? lab->origin : "";
}

/* --- boot and power-off of all
 * -------------------------------------------------------- */

static int new_disks(struct lab *lab, bool bare, struct cm_err *err)
{
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        if (node_new_disk(lab, n, bare, err) < 0)
            return -1;
    return 0;
}

static int boot_all(struct lab *lab, struct cm_err *err)
{
    int64_t began = state_begin(lab, "boot");
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        if (node_boot(lab, n, err) < 0)
            return -1;
    /* They boot side by side, so waiting one after the other costs nothing. */
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        if (node_wait(lab, n, err) < 0)
            return -1;
    state_end(lab, "boot", began);
    return 0;
}

static void power_off_all(struct lab *lab)
{
    int64_t began = state_begin(lab, "power off");
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        node_signal(lab, n, false);
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        node_wait_gone(lab, n, POWEROFF_MS);
    state_end(lab, "power off", began);
}

/* --- up
 * ------------------------------------------------------------------------------- */

static int build_parts(struct lab *lab, struct cm_err *err)
{
    raise_inotify(lab);
    if (check_tools(err) < 0 || image_ready(lab, err) < 0 ||
        mirror_ready(lab, err) < 0 || mirror_publish(lab, err) < 0 ||
        image_roles_ready(lab, err) < 0 || chat_ready(lab, err) < 0)
        return -1;
    return 0;
}

static int choose_stack(struct lab *lab, const struct lab_up *options,
                        struct state_stack *stack_r, struct cm_err *err)
{
    const char *name = options->snapshot;
    if (!name && !options->bare && lab_snapshot_fits(lab, "deployed"))
        name = "deployed";
    if (!name) {
        *stack_r = (struct state_stack){.snapshot = cm_strdup(""),
                                        .image = cm_strdup(lab->image),
                                        .layers = cm_strdup("")};
        return 0;
    }
    int found = snapshot_load(lab, name, stack_r, err);
    if (found == 0)
        return cm_err_set(err, CM_ERR_REFUSE, "there is no snapshot \"%s\"", name);
    if (found == 1 && !lab_snapshot_fits(lab, name))
        state_say(lab, "note: snapshot %s was made with other packages or image", name);
    return found < 0 ? -1 : 0;
}

/* On bare ground the operator starts with chatops installed, as from a download page.
 */
static int install_chatops(struct lab *lab, struct cm_err *err)
{
    if (!mirror_has_own(lab, "portico-chatops"))
        return 0;
    const char *update[] = {"apt-get", "-qq", "update", NULL};
    const char *install[] = {"env",
                             "DEBIAN_FRONTEND=noninteractive",
                             "apt-get",
                             "-qq",
                             "-y",
                             "install",
                             "portico-chatops",
                             NULL};
    int64_t began = state_begin(lab, "chatops on operator");
    if (lab_exec_ok(lab, "operator", update, 0, NULL, err) < 0 ||
        lab_exec_ok(lab, "operator", install, INSTALL_TIMEOUT_MS, NULL, err) < 0)
        return -1;
    state_end(lab, "chatops on operator", began);
    return 0;
}

static int start_from(struct lab *lab, const struct state_stack *stack,
                      struct cm_err *err)
{
    bool bare = *stack->layers == 0;
    if (state_write(lab, stack, err) < 0 || new_disks(lab, bare, err) < 0 ||
        net_inet_up(lab, err) < 0 || boot_all(lab, err) < 0)
        return -1;
    return bare ? install_chatops(lab, err) : 0;
}

static int up_locked(struct lab *lab, const struct lab_up *options, struct cm_err *err)
{
    struct state_stack stack = {0};
    if (lab_is_up(lab))
        return 1;
    clean(lab, false);
    if (build_parts(lab, err) < 0 || choose_stack(lab, options, &stack, err) < 0)
        return -1;
    snapshot_collect(lab);
    int rc = start_from(lab, &stack, err);
    if (rc < 0) /* the consoles stay readable in DIR/nodes */
        clean(lab, true);
    state_stack_clear(&stack);
    return rc;
}

int lab_up(struct lab *lab, const struct lab_up *options, struct cm_err *err)
{
    if (state_lock(lab, err) < 0)
        return -1;
    int rc = up_locked(lab, options, err);
    state_unlock(lab);
    return rc;
}

int lab_down(struct lab *lab, struct cm_err *err)
{
    if (state_lock(lab, err) < 0)
        return -1;
    if (any_alive(lab))
        power_off_all(lab);
    clean(lab, false);
    state_unlock(lab);
    return 0;
}

/* --- snapshots
 * ------------------------------------------------------------------------ */

static int snapshot_locked(struct lab *lab, const char *name, struct cm_err *err)
{
    struct state_stack stack = {0};
    if (!snapshot_name_ok(name))
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\" is no snapshot name", name);
    if (!lab_is_up(lab))
        return cm_err_set(err, CM_ERR_WORLD, "the lab is down");
    if (state_read(lab, &stack, err) < 1 || image_name(lab, err) < 0)
        return -1;
    power_off_all(lab);
    int rc = snapshot_take(lab, name, &stack, err);
    state_stack_clear(&stack);
    if (rc == 0)
        rc = new_disks(lab, false, err);
    if (rc == 0)
        rc = boot_all(lab, err);
    snapshot_collect(lab);
    return rc;
}

int lab_snapshot(struct lab *lab, const char *name, struct cm_err *err)
{
    if (state_lock(lab, err) < 0)
        return -1;
    int rc = snapshot_locked(lab, name, err);
    state_unlock(lab);
    return rc;
}

static int restore_locked(struct lab *lab, const char *name, struct cm_err *err)
{
    struct state_stack stack = {0};
    if (image_name(lab, err) < 0)
        return -1;
    int found = snapshot_load(lab, name, &stack, err);
    if (found == 0)
        return cm_err_set(err, CM_ERR_REFUSE, "there is no snapshot \"%s\"", name);
    if (found < 0)
        return -1;
    /* The present disks are thrown away: no need to end politely. */
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        node_signal(lab, n, true);
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        node_wait_gone(lab, n, POWEROFF_MS);
    clean(lab, false);
    int rc = start_from(lab, &stack, err);
    state_stack_clear(&stack);
    snapshot_collect(lab);
    return rc;
}

int lab_restore(struct lab *lab, const char *name, struct cm_err *err)
{
    if (state_lock(lab, err) < 0)
        return -1;
    int rc = restore_locked(lab, name, err);
    state_unlock(lab);
    return rc;
}

/* --- one node
 * ------------------------------------------------------------------------- */

static int stop_node(struct lab *lab, const struct topology_node *node,
                     struct cm_err *err)
{
    (void)err;
    net_node_unplug(lab, node);
    node_signal(lab, node, true);
    node_wait_gone(lab, node, 10000);
    return 0;
}

static int start_node(struct lab *lab, const struct topology_node *node,
                      struct cm_err *err)
{
    if (node_alive(lab, node, NULL))
        return 0;
    if (net_cut(lab, node, false, err) < 0 || node_boot(lab, node, err) < 0)
        return -1;
    return node_wait(lab, node, err);
}

static int cut_node(struct lab *lab, const struct topology_node *node,
                    struct cm_err *err)
{
    return net_cut(lab, node, true, err);
}

static int heal_node(struct lab *lab, const struct topology_node *node,
                     struct cm_err *err)
{
    return net_cut(lab, node, false, err);
}

static int on_node(struct lab *lab, const char *name,
                   int (*fn)(struct lab *, const struct topology_node *,
                             struct cm_err *),
                   struct cm_err *err)
{
    const struct topology_node *node;
    if (node_by_name(name, &node, err) < 0 || state_lock(lab, err) < 0)
        return -1;
    int rc = lab_is_up(lab) ? fn(lab, node, err)
                            : cm_err_set(err, CM_ERR_WORLD, "the lab is down");
    state_unlock(lab);
    return rc;
}

int lab_stop(struct lab *lab, const char *node, struct cm_err *err)
{
    return on_node(lab, node, stop_node, err);
}

int lab_start(struct lab *lab, const char *node, struct cm_err *err)
{
    return on_node(lab, node, start_node, err);
}

int lab_cut(struct lab *lab, const char *node, struct cm_err *err)
{
    return on_node(lab, node, cut_node, err);
}

int lab_heal(struct lab *lab, const char *node, struct cm_err *err)
{
    return on_node(lab, node, heal_node, err);
}

int lab_argv_in(struct lab *lab, const char *name, const char *const *argv,
                struct lab_argv *out, struct cm_err *err)
{
    const struct topology_node *node;
    struct node_pids pids;
    if (node_by_name(name, &node, err) < 0)
        return -1;
    if (!node_alive(lab, node, &pids) || pids.init == 0)
        return cm_err_set(err, CM_ERR_WORLD, "%s is off", name);
    const char *term = getenv("TERM");
    snprintf(out->pid, sizeof out->pid, "%ld", (long)pids.init);
    snprintf(out->term, sizeof out->term, "TERM=%s", term ? term : "dumb");
    const char *front[] = {
        "nsenter",
        "-t",
        out->pid,
        "-a",
        "--",
        "env",
        "-i",
        "HOME=/root",
        "USER=root",
        "LOGNAME=root",
        "SHELL=/bin/bash",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        out->term,
    };
    size_t n = sizeof front / sizeof *front;
    memcpy(out->words, front, sizeof front);
    for (size_t i = 0; argv[i]; i++) {
        if (n >= LAB_ARGV_MAX - 1)
            return cm_err_set(err, CM_ERR_REFUSE, "too many words for a command");
        out->words[n++] = argv[i];
    }
    out->words[n] = NULL;
    return 0;
}

int lab_exec(struct lab *lab, const char *node, const char *const *argv,
             const char *input, int64_t timeout_ms, struct cm_run_result *res,
             struct cm_err *err)
{
    struct lab_argv full;
    if (lab_argv_in(lab, node, argv, &full, err) < 0) {
        *res = (struct cm_run_result){.exit_code = 127};
        cm_buf_init(&res->out, 1);
        cm_buf_init(&res->err, 1);
        return -1;
    }
    struct cm_run run = {.argv = full.words, .input = input, .timeout_ms = timeout_ms};
    return cm_run(&run, res, err);
}

int lab_exec_ok(struct lab *lab, const char *node, const char *const *argv,
                int64_t timeout_ms, char **out_r, struct cm_err *err)
{
    struct cm_run_result res;
    int rc = lab_exec(lab, node, argv, NULL, timeout_ms, &res, err);
    if (rc == 0 && res.exit_code != 0) {
        const char *text = res.err.len ? res.err.data : res.out.data;
        size_t n = strlen(text);
        while (n && text[n - 1] == '\n')
            n--;
        size_t start = n;
        while (start && text[start - 1] != '\n')
            start--;
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s failed (exit %d): %.*s", node,
                        argv[0], res.exit_code, (int)(n - start), text + start);
    }
    if (rc == 0 && out_r)
        *out_r = cm_buf_steal(&res.out);
    cm_run_result_clear(&res);
    return rc;
}

/* --- looking
 * -------------------------------------------------------------------------- */

size_t lab_node_count(void)
{
    size_t n = 0;
    while (topology_nodes[n].name)
        n++;
    return n;
}

const char *lab_node_name(size_t i)
{
    cm_assert(i < lab_node_count());
    return topology_nodes[i].name;
}

const char *lab_address(const char *node, int family)
{
    return topology_address(node, family);
}

enum lab_state lab_node_state(struct lab *lab, const char *name)
{
    const struct topology_node *node = topology_find(name);
    struct node_pids pids;
    if (!node || !node_alive(lab, node, &pids))
        return LAB_OFF;
    if (pids.init == 0)
        return LAB_BOOTING;
    return net_is_cut(lab, node) ? LAB_CUT : LAB_UP;
}

static void uptime_text(int64_t ms, char *out, size_t size)
{
    int64_t s = ms / 1000;
    if (s < 120)
        snprintf(out, size, "%" PRId64 "s", s);
    else if (s < 7200)
        snprintf(out, size, "%" PRId64 "m", s / 60);
    else
        snprintf(out, size, "%" PRId64 "h", s / 3600);
}

static void status_row(struct lab *lab, const struct topology_node *node,
                       struct cm_buf *out)
{
    static const char *const names[] = {"off", "booting", "up", "cut"};
    struct node_pids pids = {0};
    enum lab_state state = lab_node_state(lab, node->name);
    char uptime[32] = "-";
    if (node_alive(lab, node, &pids) && pids.init)
        uptime_text(cm_now_mono_ms() - pids.booted_ms, uptime, sizeof uptime);
    bool ssh = state >= LAB_UP && net_ssh_answers(lab, node);
    const char *v4 = topology_address(node->name, AF_INET);
    const char *v6 = topology_address(node->name, AF_INET6);
    cm_buf_fmt(out, "%-9s %-8s %-6s %-4s %-14s %s\n", node->name, names[state], uptime,
               ssh ? "yes" : "-", v4 ? v4 : "-",
               v6                                ? v6
               : strcmp(node->name, "home") == 0 ? "and 10.9.0.1 inside"
                                                 : "-");
}

char *lab_status_text(struct lab *lab)
{
    struct cm_buf out;
    cm_buf_init(&out, 65536);
    const char *origin = lab_origin(lab);
    if (!lab_is_up(lab))
        cm_buf_str(&out, "The lab is down.\n\n");
    else if (*origin)
        cm_buf_fmt(&out, "The lab is up, from snapshot %s.\n\n", origin);
    else
        cm_buf_str(&out, "The lab is up, from bare Debian.\n\n");
    cm_buf_fmt(&out, "%-9s %-8s %-6s %-4s %-14s %s\n", "NODE", "STATE", "UPTIME", "SSH",
               "IPV4", "IPV6");
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        status_row(lab, n, &out);
    return cm_buf_steal(&out);
}
