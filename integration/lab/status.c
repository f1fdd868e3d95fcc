/* Looking at the lab. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#include "lab.h"
#include "net.h"
#include "node.h"
#include "state.h"
#include "topology.h"

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
