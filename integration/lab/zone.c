#include "zone.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "topology.h"

#define AUTHORITY_NAME "ns.lab.example."

bool zone_name_ok(const char *name)
{
    if (strcmp(name, ".") == 0)
        return true;
    size_t n = strlen(name);
    if (n == 0 || n > 253 || name[0] == '.' || name[n - 1] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (name[i] == '.' && name[i + 1] == '.')
            return false;
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    }
    return true;
}

/* Is there a line with the word SOA outside a comment? */
static bool has_soa(const char *records)
{
    for (const char *p = records; *p;) {
        size_t n = strcspn(p, "\n");
        for (size_t i = 1; i + 3 < n && p[i] != ';'; i++)
            if (strncasecmp(p + i, "SOA", 3) == 0 && isspace((unsigned char)p[i - 1]) &&
                isspace((unsigned char)p[i + 3]))
                return true;
        p += n + (p[n] == '\n');
    }
    return false;
}

void zone_text(const char *name, uint32_t serial, const char *records,
               struct cm_buf *out)
{
    bool root = strcmp(name, ".") == 0;
    cm_buf_fmt(out, "$ORIGIN %s%s\n$TTL 60\n", name, root ? "" : ".");
    if (!records || !has_soa(records))
        cm_buf_fmt(out,
                   "@ IN SOA " AUTHORITY_NAME " hostmaster.lab.example. "
                   "%u 3600 600 86400 1\n@ IN NS " AUTHORITY_NAME "\n",
                   serial);
    if (!records)
        return;
    cm_buf_str(out, records);
    size_t n = strlen(records);
    if (n && records[n - 1] != '\n')
        cm_buf_str(out, "\n");
}

static void node_records(const char *name, struct cm_buf *out)
{
    (void)name;
    cm_buf_str(out, "ns A " TOPOLOGY_AUTHORITY "\nns AAAA " TOPOLOGY_AUTHORITY6 "\n");
    for (const struct topology_node *n = topology_nodes; n->name; n++) {
        const char *v4 = topology_address(n->name, AF_INET);
        const char *v6 = topology_address(n->name, AF_INET6);
        if (v4)
            cm_buf_fmt(out, "%s A %s\n", n->name, v4);
        if (v6)
            cm_buf_fmt(out, "%s AAAA %s\n", n->name, v6);
    }
}

/* The root and the TLD answer for themselves: a query for a name outside the lab ends
 * in NXDOMAIN at once, instead of a wait for root servers that do not exist here. */
static void root_records(const char *name, struct cm_buf *out)
{
    (void)name;
    cm_buf_str(out, "example. NS " AUTHORITY_NAME "\n");
    cm_buf_str(out, AUTHORITY_NAME " A " TOPOLOGY_AUTHORITY "\n");
    cm_buf_str(out, AUTHORITY_NAME " AAAA " TOPOLOGY_AUTHORITY6 "\n");
}

static void example_records(const char *name, struct cm_buf *out)
{
    (void)name;
    for (const struct zone_builtin *z = zone_builtins; z->name; z++) {
        size_t n = strlen(z->name);
        if (n > 8 && strcmp(z->name + n - 8, ".example") == 0)
            cm_buf_fmt(out, "%s. NS " AUTHORITY_NAME "\n", z->name);
    }
    cm_buf_str(out, AUTHORITY_NAME " A " TOPOLOGY_AUTHORITY "\n");
    cm_buf_str(out, AUTHORITY_NAME " AAAA " TOPOLOGY_AUTHORITY6 "\n");
}

/* What a hoster's panel would hold: the addresses that send mail carry their mail name.
 */
static const char *reverse_name(const char *node)
{
    if (strncmp(node, "edge", 4) == 0)
        return "_chat.example.";
    if (strcmp(node, "relay2") == 0)
        return "_relay2.example.";
    return NULL;
}

static void reverse_full(const char *address, struct cm_buf *out)
{
    unsigned char a[16];
    if (strchr(address, ':')) {
        if (inet_pton(AF_INET6, address, a) != 1)
            return;
        for (int i = 15; i >= 0; i--)
            cm_buf_fmt(out, "%x.%x.", a[i] & 15u, a[i] >> 4);
        cm_buf_str(out, "ip6.arpa");
    } else if (inet_pton(AF_INET, address, a) == 1) {
        cm_buf_fmt(out, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1], a[0]);
    }
}

static void reverse_records(const char *name, struct cm_buf *out)
{
    size_t zone_len = strlen(name);
    for (const struct topology_node *n = topology_nodes; n->name; n++) {
        for (int i = 0; i < 2; i++) {
            const char *a = topology_address(n->name, i ? AF_INET6 : AF_INET);
            if (!a)
                continue;
            struct cm_buf full;
            cm_buf_init(&full, 256);
            reverse_full(a, &full);
            if (full.len > zone_len + 1 &&
                strcmp(full.data + full.len - zone_len, name) == 0) {
                const char *known = reverse_name(n->name);
                cm_buf_fmt(out, "%s. PTR %s%s\n", full.data, known ? known : n->name,
                           known ? "" : ".lab.example.");
            }
            cm_buf_clear(&full);
        }
    }
}

const struct zone_builtin zone_builtins[] = {
    {".", root_records},
    {"example", example_records},
    {"lab.example", node_records},
    {"_chat.example", NULL},
    {"_relay2.example", NULL},
    {"100.51.198.in-addr.arpa", reverse_records},
    {"113.0.203.in-addr.arpa", reverse_records},
    {"8.b.d.0.1.0.0.2.ip6.arpa", reverse_records},
    {NULL, NULL},
};

void zone_file_name(const char *name, struct cm_buf *out)
{
    cm_buf_fmt(out, "%s.zone", strcmp(name, ".") == 0 ? "root" : name);
}

void zone_nsd_entry(const char *name, struct cm_buf *out)
{
    cm_buf_fmt(out, "zone:\n  name: \"%s\"\n  zonefile: \"", name);
    zone_file_name(name, out);
    cm_buf_str(out, "\"\n");
}

const char *zone_nsd_server(void)
{
    return "server:\n"
           "  ip-address: " TOPOLOGY_AUTHORITY "\n"
           "  ip-address: " TOPOLOGY_AUTHORITY6 "\n"
           "  zonesdir: \"/etc/nsd/zones\"\n"
           "  database: \"\"\n"
           "  hide-version: yes\n";
}

const char *zone_unbound_conf(void)
{
    /* No validation and no minimisation: the whole tree is one server of ours. The
     * AS112 defaults would answer for the reverse zones of the documentation networks.
     */
    return "server:\n"
           "  interface: 127.0.0.1\n"
           "  interface: " TOPOLOGY_RESOLVER "\n"
           "  interface: " TOPOLOGY_RESOLVER6 "\n"
           "  access-control: 0.0.0.0/0 allow\n"
           "  access-control: ::/0 allow\n"
           "  module-config: \"iterator\"\n"
           "  qname-minimisation: no\n"
           "  cache-max-negative-ttl: 0\n"
           "  infra-host-ttl: 5\n"
           "  do-not-query-localhost: no\n"
           "  local-zone: \"100.51.198.in-addr.arpa.\" nodefault\n"
           "  local-zone: \"113.0.203.in-addr.arpa.\" nodefault\n"
           "  local-zone: \"8.b.d.0.1.0.0.2.ip6.arpa.\" nodefault\n"
           "stub-zone:\n"
           "  name: \".\"\n"
           "  stub-addr: " TOPOLOGY_AUTHORITY "\n"
           "  stub-addr: " TOPOLOGY_AUTHORITY6 "\n";
}
