#include "topology.h"

#include <string.h>
#include <sys/socket.h>

#include "common/err.h"

const struct topology_node topology_nodes[] = {
    {.name = "dns", .packages = "nsd unbound"},
    {.name = "edge1", .trusts_operator = true},
    {.name = "edge2", .trusts_operator = true},
    {.name = "home"},
    {.name = "store", .trusts_operator = true},
    {.name = "relay2", .trusts_operator = true},
    {.name = "operator",
     .trusts_operator = true,
     .chat_client = true,
     .packages = "openssh-client"},
    {.name = "client",
     .chat_client = true,
     .packages = "swaks curl openssl bind9-dnsutils netcat-openbsd"},
    {.name = NULL},
};

const struct topology_bridge topology_bridges[] = {
    {"br-a", {"198.51.100.1/24", "2001:db8:1::1/64", NULL}},
    {"br-b", {"203.0.113.1/24", "2001:db8:2::1/64", "2001:db8:4::1/64"}},
    {"br-home", {NULL, NULL, NULL}},
    {NULL, {NULL, NULL, NULL}},
};

#define GW_A "198.51.100.1", "2001:db8:1::1"
#define GW_B "203.0.113.1", "2001:db8:2::1"

const struct topology_link topology_links[] = {
    {"dns",
     "eth0",
     "dns",
     "br-a",
     {TOPOLOGY_RESOLVER "/24", TOPOLOGY_AUTHORITY "/24", TOPOLOGY_RESOLVER6 "/64",
      TOPOLOGY_AUTHORITY6 "/64"},
     GW_A},
    {"edge1", "eth0", "edge1", "br-a", {"198.51.100.11/24", "2001:db8:1::11/64"}, GW_A},
    {"edge2", "eth0", "edge2", "br-b", {"203.0.113.12/24", "2001:db8:2::12/64"}, GW_B},
    {"home", "eth0", "home", "br-a", {"198.51.100.90/24"}, "198.51.100.1", NULL},
    {"home", "eth1", "home-lan", "br-home", {"10.9.0.1/24"}, NULL, NULL},
    {"store", "eth0", "store", "br-home", {"10.9.0.2/24"}, "10.9.0.1", NULL},
    {"operator", "eth0", "operator", "br-home", {"10.9.0.3/24"}, "10.9.0.1", NULL},
    {"relay2",
     "eth0",
     "relay2",
     "br-b",
     {"203.0.113.25/24", "2001:db8:2::25/64"},
     GW_B},
    /* A /64 as far from edge1's as from edge2's: resolvers sort addresses by the length
     * of the common prefix (RFC 6724, rule 9), and a phone is no neighbour of either.
     */
    {"client",
     "eth0",
     "client",
     "br-b",
     {"203.0.113.101/24", "2001:db8:4::101/64"},
     "203.0.113.1",
     "2001:db8:4::1"},
    {NULL, NULL, NULL, NULL, {NULL}, NULL, NULL},
};

const struct topology_node *topology_find(const char *name)
{
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        if (strcmp(n->name, name) == 0)
            return n;
    return NULL;
}

int topology_need(const char *name, const struct topology_node **node_r,
                  struct cm_err *err)
{
    const struct topology_node *node = topology_find(name);
    if (node) {
        *node_r = node;
        return 0;
    }
    struct cm_buf names;
    cm_buf_init(&names, 1024);
    for (const struct topology_node *n = topology_nodes; n->name; n++)
        cm_buf_fmt(&names, " %s", n->name);
    cm_err_set(err, CM_ERR_REFUSE, "there is no node \"%s\"; nodes:%s", name,
               names.data);
    cm_buf_clear(&names);
    return -1;
}

static bool is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

/* Addresses are written once, with their prefix; callers of topology_address want them
 * bare and constant, so the bare forms are cut once into a table beside. */
static const char *bare_address(size_t link, size_t i)
{
    static char bare[16][4][48];
    cm_assert(link < 16);
    char *out = bare[link][i];
    const char *full = topology_links[link].addresses[i];
    size_t n = strcspn(full, "/");
    cm_assert(n < sizeof bare[link][i]);
    memcpy(out, full, n);
    return out;
}

const char *topology_address(const char *node, int family)
{
    for (size_t l = 0; topology_links[l].node; l++) {
        if (strcmp(topology_links[l].node, node) != 0)
            continue;
        for (size_t i = 0; i < 4 && topology_links[l].addresses[i]; i++)
            if (is_v6(topology_links[l].addresses[i]) == (family == AF_INET6))
                return bare_address(l, i);
    }
    return NULL;
}

static void add_address(struct cm_buf *out, const char *address, const char *ifname)
{
    /* nodad: an address that is not usable at once loses the first packets of a boot */
    cm_buf_fmt(out, "addr add %s dev %s%s\n", address, ifname,
               is_v6(address) ? " nodad" : "");
}

void topology_ip_inet(struct cm_buf *out)
{
    cm_buf_str(out, "link set lo up\n");
    for (const struct topology_bridge *b = topology_bridges; b->name; b++) {
        /* A bridge without a fixed address takes the lowest of its ports': it would
         * change when a node is power-cycled, and its neighbours would speak to the old
         * one for half a minute. */
        cm_buf_fmt(out,
                   "link add %s address 02:70:6c:62:72:%02x type bridge stp_state 0 "
                   "mcast_snooping 0\n",
                   b->name, (unsigned)(b - topology_bridges));
        for (size_t i = 0; i < 3 && b->addresses[i]; i++)
            add_address(out, b->addresses[i], b->name);
        cm_buf_fmt(out, "link set %s up\n", b->name);
    }
}

void topology_ip_cables(const struct topology_node *node, const char *ns,
                        struct cm_buf *out)
{
    for (size_t l = 0; topology_links[l].node; l++) {
        const struct topology_link *k = &topology_links[l];
        if (strcmp(k->node, node->name) != 0)
            continue;
        /* A fixed address: neighbours need not learn it anew after a reboot. */
        cm_buf_fmt(out,
                   "link add %s type veth peer name %s address 02:70:6c:61:62:%02zx "
                   "netns %s\nlink set %s master %s up\n",
                   k->port, k->ifname, l + 1, ns, k->port, k->bridge);
    }
}

void topology_ip_node(const struct topology_node *node, struct cm_buf *out)
{
    cm_buf_str(out, "link set lo up\n");
    for (const struct topology_link *k = topology_links; k->node; k++) {
        if (strcmp(k->node, node->name) != 0)
            continue;
        for (size_t i = 0; i < 4 && k->addresses[i]; i++)
            add_address(out, k->addresses[i], k->ifname);
        cm_buf_fmt(out, "link set %s up\n", k->ifname);
        if (k->gateway4)
            cm_buf_fmt(out, "route add default via %s\n", k->gateway4);
        if (k->gateway6)
            cm_buf_fmt(out, "route add ::/0 via %s\n", k->gateway6);
    }
}

const char *topology_nft_home(void)
{
    /* A residential line: nothing comes in unasked, and mail does not go out. */
    return "table ip lab_home {\n"
           "  chain pass {\n"
           "    type filter hook forward priority filter; policy drop;\n"
           "    ct state established,related accept\n"
           "    iifname \"eth1\" oifname \"eth0\" tcp dport 25 drop\n"
           "    iifname \"eth1\" oifname \"eth0\" accept\n"
           "  }\n"
           "  chain out {\n"
           "    type nat hook postrouting priority srcnat;\n"
           "    oifname \"eth0\" ip saddr 10.9.0.0/24 masquerade\n"
           "  }\n"
           "}\n";
}
