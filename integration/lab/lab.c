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
#include "contained.h"
#include "host.h"
#include "image.h"
#include "mirror.h"
#include "net.h"
#include "node.h"
#include "snapshot.h"
#include "state.h"
#include "topology.h"

#define POWEROFF_MS        30000
#define INSTALL_TIMEOUT_MS (5 * 60 * 1000)

/* Removes every trace of nodes; what is killed is named by our own control groups. */
static void clean(struct lab *lab, bool keep_disks)
{
    size_t killed = cgroup_kill(lab, NULL);
    if (killed > 0 && !keep_disks)
        state_say(lab, "cleared what a run that did not end well had left");
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

bool lab_is_up(struct lab *lab)
{
    struct state_stack stack = {0};
    struct cm_err ignored;
    bool ready = state_read(lab, &stack, &ignored) == 1 && stack.ready;
    state_stack_clear(&stack);
    return ready && any_alive(lab);
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

static int build_parts(struct lab *lab, const void *ctx, struct cm_err *err)
{
    (void)ctx;
    if (image_ready(lab, err) < 0 || mirror_ready(lab, err) < 0 ||
        mirror_publish(lab, err) < 0 || image_roles_ready(lab, err) < 0 ||
        chat_ready(lab, err) < 0)
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

/* Disks and nodes on top of `stack`, which is recorded as ready only when all are up.
 */
static int boot_on(struct lab *lab, struct state_stack *stack, struct cm_err *err)
{
    bool bare = *stack->layers == 0;
    if (new_disks(lab, bare, err) < 0 || boot_all(lab, err) < 0 ||
        (bare && install_chatops(lab, err) < 0))
        return -1;
    stack->ready = true;
    return state_write(lab, stack, err);
}

static int start_from(struct lab *lab, struct state_stack *stack, struct cm_err *err)
{
    stack->ready = false;
    if (state_write(lab, stack, err) < 0 || net_inet_up(lab, err) < 0 ||
        boot_on(lab, stack, err) < 0) {
        clean(lab, true); /* the consoles stay readable in DIR/nodes */
        return -1;
    }
    return 0;
}

/* Up is up, unless the caller asked for another ground by name. */
static int already_up(struct lab *lab, const struct lab_up *options, struct cm_err *err)
{
    const char *origin = lab_origin(lab);
    const char *asked = options->bare ? "" : options->snapshot;
    if (!asked || strcmp(asked, origin) == 0)
        return 1;
    return cm_err_set(
        err, CM_ERR_REFUSE,
        "the lab is up already, from %s%s: lab down first, or lab restore",
        *origin ? "snapshot " : "bare Debian", origin);
}

static int up_locked(struct lab *lab, const struct lab_up *options, struct cm_err *err)
{
    struct state_stack stack = {0};
    if (lab_is_up(lab))
        return already_up(lab, options, err);
    clean(lab, false);
    if (host_ready(lab, err) < 0 || image_name(lab, err) < 0 ||
        contained(lab, build_parts, NULL, err) < 0 ||
        choose_stack(lab, options, &stack, err) < 0)
        return -1;
    snapshot_collect(lab);
    int rc = start_from(lab, &stack, err);
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

static int snapshot_locked(struct lab *lab, const char *name, struct cm_err *err)
{
    struct state_stack stack = {0};
    if (!snapshot_name_ok(name))
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\" is no snapshot name", name);
    if (!lab_is_up(lab))
        return cm_err_set(err, CM_ERR_WORLD, "the lab is down");
    if (state_read(lab, &stack, err) < 1)
        return -1;
    stack.ready = false;
    int rc = state_write(lab, &stack, err);
    if (rc == 0) {
        power_off_all(lab);
        rc = snapshot_take(lab, name, &stack, err);
    }
    if (rc == 0)
        rc = boot_on(lab, &stack, err);
    state_stack_clear(&stack);
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
    if (topology_need(name, &node, err) < 0 || state_lock(lab, err) < 0)
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
