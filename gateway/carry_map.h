/* carry_map: what carry.bpf.c in the kernel and carry.c share, field by field.
 *
 * An address is IPv6, IPv4 as ::ffff:a.b.c.d, in the network's order. Other numbers are
 * in the machine's order but for ports, which are in the network's. */
#ifndef GW_CARRY_MAP_H
#define GW_CARRY_MAP_H

#include <linux/types.h>

#define GW_CARRY_ADDRESSES 8
#define GW_CARRY_DOORS     16
#define GW_CARRY_FLOWS     65536
#define GW_CARRY_FRESH     16384
#define GW_CARRY_KNOWN     16384
#define GW_CARRY_CALLS     8192
#define GW_CARRY_WAYS      1024
#define GW_CARRY_CALL_S    300  /* a call that is silent for longer is over */
#define GW_CARRY_CALL_MAX  1280 /* the MTU of wg0 */

/* A TCP connection, or one of UDP with the relay of calls, as the store and the client
 * call it. Of a connection that the store began, the client is the other end. */
struct gw_carry_key {
    __u32 client[4];
    __be16 client_port;
    __be16 port;
};

#define GW_CARRY_CLIENT_ENDED 1
#define GW_CARRY_STORE_ENDED  2
#define GW_CARRY_BOTH_ENDED   3

struct gw_carry_flow {
    __u32 address[4]; /* the public one that the client connected to */
    __u32 ack;        /* what the client expects next, as it said last */
    __u32 next;       /* what follows the furthest that the store has sent */
    __u32 seen_s;     /* seconds of the machine's uptime */
    __u8 answered;    /* the store has */
    __u8 handshake;   /* it began under our eyes */
    __u8 ended;       /* who has sent its FIN: the two below */
    __u8 egress;      /* the store began it */
};

struct gw_carry_settings {
    __u32 addresses[GW_CARRY_ADDRESSES][4]; /* public; zeros: none */
    __u32 inner[2][4];                      /* the store's: IPv4, IPv6 */
    __u32 alone[2];  /* per family: the number of its only address, from 1; 0: none or
                        several */
    __u32 egress[2]; /* per family: the same of the address by which connections of the
                        store's own leave; 0: none may */
    __u32 relay[2];  /* and of that by which the relay of calls speaks to whom it never
                        heard of */
    __u16 relay_port, relay_min, relay_max; /* UDP; 0: no calls */
    __u16 unused;
    __u32 tunnel; /* ifindex of wg0 */
    __u32 on;     /* 0: everything passes by untouched */
    __u32 rules;  /* which loading of the rules; what they knew before is gone */
};

/* A source (common/source.h) that the rules know (proxy/guard.h), and since when. */
struct gw_carry_known {
    __u32 rules;
    __u32 since_s;
};

struct gw_carry_count {
    __u64 flows; /* begun */
    __u64 in_packets, in_bytes;
    __u64 out_packets, out_bytes;
};

#endif
