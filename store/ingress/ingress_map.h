/* ingress_map: what ingress.bpf.c in the kernel and ingress.c share, field by field. */
#ifndef INGRESS_MAP_H
#define INGRESS_MAP_H

#include <linux/types.h>

#define INGRESS_TUNNELS 33    /* by number; 0 is none */
#define INGRESS_PORTS   65536 /* by number, in the machine's order */
#define INGRESS_OWN     512

/* What a port is, bits: */
#define INGRESS_PUBLIC  1 /* TCP, for clients */
#define INGRESS_CALLS   2 /* UDP, for callers */
#define INGRESS_BUS     4 /* TCP, for the gateway itself, in IPv4 */
#define INGRESS_METRICS 8 /* the same, in both families */
#define INGRESS_HEADER                                                                 \
    16 /* TCP, for a proxy that says who the client is (PROXY v2)                      \
        */

struct ingress_tunnel {
    __u32 link;    /* its interface's number; 0: no gateway has this tunnel */
    __u32 header;  /* its proxy may say who the client is */
    __u32 answers; /* mail leaves by gateways, and is answered there */
};

/* Limits, each of a tunnel of its own. */
enum ingress_limit {
    INGRESS_ERRORS,       /* of routers on the way, about what we sent */
    INGRESS_BUS_BEGINS,   /* connections */
    INGRESS_ASKS_METRICS, /* connections */
    INGRESS_PINGS,        /* of the gateway */
    INGRESS_ECHOES,       /* of others */
    INGRESS_LIMITS
};

/* An address of this machine; IPv4 as ::ffff:a.b.c.d, in the network's order. */
struct ingress_address {
    __u32 word[4];
};

#endif
