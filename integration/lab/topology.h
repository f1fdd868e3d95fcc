/* topology: which nodes there are, how they are wired, and who gets what. Pure data. */
#ifndef LAB_TOPOLOGY_H
#define LAB_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

struct topology_node {
    const char *name;
    bool trusts_operator; /* the operator's key opens root */
    bool chat_client;     /* the chat core's binary is mounted */
    const char *packages; /* scenery installed by the lab itself; NULL: bare Debian */
};

struct topology_link {
    const char *node;
    const char *ifname; /* inside the node */
    const char *port;   /* its other end, in the inet namespace */
    const char *bridge;
    const char *addresses[4]; /* with prefix length; v4 first */
    const char *gateway4;     /* NULL: none */
    const char *gateway6;
};

struct topology_bridge {
    const char *name;
    const char *addresses[3]; /* of the router; NULL: the bridge is only a wire */
};

/* Each table ends with an entry whose first member is NULL. */
extern const struct topology_node topology_nodes[];
extern const struct topology_link topology_links[];
extern const struct topology_bridge topology_bridges[];

#define TOPOLOGY_RESOLVER   "198.51.100.53"
#define TOPOLOGY_RESOLVER6  "2001:db8:1::53"
#define TOPOLOGY_AUTHORITY  "198.51.100.54"
#define TOPOLOGY_AUTHORITY6 "2001:db8:1::54"

const struct topology_node *topology_find(const char *name);
/* The same; an unknown name is an error that lists the known ones. */
CM_MUSTUSE int topology_need(const char *name, const struct topology_node **node_r,
                             struct cm_err *err);

/* First address of the family without prefix length, NULL when there is none. The
 * string is constant. */
const char *topology_address(const char *node, int family);

/* Text for `ip -batch` inside the inet namespace: bridges and the router's addresses.
 */
void topology_ip_inet(struct cm_buf *out);
/* In the inet namespace: the cables of one node, whose other ends go to namespace `ns`.
 */
void topology_ip_cables(const struct topology_node *node, const char *ns,
                        struct cm_buf *out);
/* Inside the node's namespace: addresses and routes. */
void topology_ip_node(const struct topology_node *node, struct cm_buf *out);
/* nft text for the home router's namespace. */
const char *topology_nft_home(void);

#endif
