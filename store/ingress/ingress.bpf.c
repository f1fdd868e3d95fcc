/* ingress.bpf: judges what comes out of a tunnel, before the kernel's own IP sees it
 * (ingress.h), by the same rules as the nft chains of proxy/plane_store.c.
 *
 *   arrive   tc ingress of each wgN
 *   near     look-ups of a socket for what begins: who is not in tunnel N does not
 *            reach the inner address of N
 *
 * The order is that of how many packets come. That a segment of an open connection is
 * looked up nowhere is no door: plane_store.c, tunnel_chain(), says why. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "proxy/not_public.h"
#include "ingress_map.h"

#define INLINE static __always_inline

#define SYN 0x02
#define ACK 0x10

/* linux/icmp.h and icmpv6.h need the C library's headers. */
#define ICMP_ECHOREPLY      0
#define ICMP_DEST_UNREACH   3
#define ICMP_ECHO           8
#define ICMP_TIME_EXCEEDED  11
#define ICMP_PARAMETERPROB  12
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PARAMPROB    4
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY   129

#define AF_INET  2
#define LOOPBACK 1 /* the number of lo, in every network namespace */

#define NS_PER_S 1000000000ull

#define PIECE        44 /* IPv6 fragment header */
#define LATER_PIECE4 0x1fff
#define LATER_PIECE6 0xfff8

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, INGRESS_TUNNELS);
    __type(key, __u32);
    __type(value, struct ingress_tunnel);
} tunnels SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, INGRESS_PORTS);
    __type(key, __u32);
    __type(value, __u32);
} ports SEC(".maps");

/* When each limit would be empty again (the generic cell rate algorithm). */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, INGRESS_TUNNELS *INGRESS_LIMITS * 2);
    __type(key, __u32);
    __type(value, __u64);
} limits SEC(".maps");

/* Packets. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} dropped SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, INGRESS_OWN);
    __type(key, struct ingress_address);
    __type(value, __u32);
} own SEC(".maps");

INLINE __u32 kind_of(__u32 port)
{
    const __u32 *kind = bpf_map_lookup_elem(&ports, &port);

    return kind != NULL ? *kind : 0;
}

/* ---- addresses ---- */

/* Of 10.77.N.side: N; 0: none such. */
INLINE __u32 number4(__be32 address, __u32 side)
{
    __u32 a = bpf_ntohl(address), n = a >> 8 & 0xff;

    return a >> 16 == 0x0a4d && (a & 0xff) == side && n < INGRESS_TUNNELS ? n : 0;
}

/* Of fd77:N::side, where N is written in decimal. */
INLINE __u32 number6(const __u32 *address, __u32 side)
{
    __u32 a = bpf_ntohl(address[0]), tens = a >> 4 & 0xf, ones = a & 0xf;
    __u32 n = tens * 10 + ones;

    return a >> 8 == 0xfd7700 && tens < 10 && ones < 10 && address[1] == 0 &&
                   address[2] == 0 && address[3] == bpf_htonl(side) &&
                   n < INGRESS_TUNNELS
               ? n
               : 0;
}

INLINE bool is_public4(__be32 address)
{
    __u32 a = bpf_ntohl(address);

#define WITHIN(w, x, y, z, bits)                                                       \
    if (a >> (32 - (bits)) ==                                                          \
        ((__u32)(w) << 24 | (__u32)(x) << 16 | (__u32)(y) << 8 | (z)) >>               \
            (32 - (bits))) {                                                           \
        return false;                                                                  \
    }
    PX_NOT_PUBLIC(WITHIN)
    return true;
}

INLINE bool is_public6(const __u32 *address)
{
    return bpf_ntohl(address[0]) >> 29 == 1;
}

/* ---- packets ---- */

struct packet {
    __u32 v6;
    __u32 tunnel;    /* the destination is its inner address; 0: of none */
    bool by_gateway; /* the source is its other end */
    bool from_public;
    bool later_piece;
    __u8 protocol;
    __u32 at;              /* of what comes after the IP headers */
    __u32 from_port, port; /* TCP, UDP */
    bool goes_on;          /* TCP: begins nothing */
    __u8 type;             /* ICMP */
    __u32 from[4];
};

INLINE bool read4(struct __sk_buff *skb, struct packet *p)
{
    struct iphdr ip;

    if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) != 0 || ip.ihl < 5) {
        return false;
    }
    p->tunnel = number4(ip.daddr, 2);
    p->by_gateway = p->tunnel != 0 && number4(ip.saddr, 1) == p->tunnel;
    p->from_public = is_public4(ip.saddr);
    p->later_piece = (ip.frag_off & bpf_htons(LATER_PIECE4)) != 0;
    p->protocol = ip.protocol;
    p->at = ip.ihl * 4u;
    p->from[0] = p->from[1] = 0;
    p->from[2] = bpf_htonl(0xffff);
    p->from[3] = ip.saddr;
    return true;
}

/* No client needs another extension header than that of a piece. */
INLINE bool read6(struct __sk_buff *skb, struct packet *p)
{
    struct ipv6hdr ip;
    struct {
        __u8 next, unused;
        __be16 offset;
        __be32 id;
    } piece;

    if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) != 0) {
        return false;
    }
    __builtin_memcpy(p->from, &ip.saddr, sizeof(p->from));
    p->v6 = 1;
    p->tunnel = number6(ip.daddr.in6_u.u6_addr32, 2);
    p->by_gateway = p->tunnel != 0 && number6(p->from, 1) == p->tunnel;
    p->from_public = is_public6(p->from);
    p->protocol = ip.nexthdr;
    p->at = sizeof(ip);
    if (p->protocol == PIECE) {
        if (bpf_skb_load_bytes(skb, sizeof(ip), &piece, sizeof(piece)) != 0) {
            return false;
        }
        p->protocol = piece.next;
        p->later_piece = (piece.offset & bpf_htons(LATER_PIECE6)) != 0;
        p->at += sizeof(piece);
    }
    return true;
}

/* Ports, flags, type: false when they are not in the packet. */
INLINE bool read_inside(struct __sk_buff *skb, struct packet *p)
{
    __u8 bytes[14];

    if (p->later_piece) {
        return true;
    }
    if (p->protocol == IPPROTO_TCP) {
        if (bpf_skb_load_bytes(skb, p->at, bytes, 14) != 0) {
            return false;
        }
        p->goes_on = (bytes[13] & (SYN | ACK)) != SYN;
    } else if (bpf_skb_load_bytes(skb, p->at, bytes, 4) != 0) {
        return false;
    }
    p->type = bytes[0];
    p->from_port = (__u32)bytes[0] << 8 | bytes[1];
    p->port = (__u32)bytes[2] << 8 | bytes[3];
    return true;
}

/* ---- what may come ---- */

INLINE bool in_limit(const struct packet *p, enum ingress_limit which, __u64 rate,
                     __u64 burst)
{
    __u32 index = (p->tunnel * INGRESS_LIMITS + which) * 2 + p->v6;
    __u64 *empty = bpf_map_lookup_elem(&limits, &index);
    __u64 now = bpf_ktime_get_ns(), each = NS_PER_S / rate;

    if (empty == NULL) {
        return false;
    }
    __u64 then = (*empty > now ? *empty : now) + each;
    if (then - now > burst * each) {
        return false;
    }
    *empty = then;
    return true;
}

INLINE bool is_error(const struct packet *p)
{
    return p->v6 ? p->protocol == IPPROTO_ICMPV6 && p->type >= ICMPV6_DEST_UNREACH &&
                       p->type <= ICMPV6_PARAMPROB
                 : p->protocol == IPPROTO_ICMP &&
                       (p->type == ICMP_DEST_UNREACH || p->type == ICMP_TIME_EXCEEDED ||
                        p->type == ICMP_PARAMETERPROB);
}

/* The packet in it has left by this tunnel. */
INLINE bool is_about_us(struct __sk_buff *skb, const struct packet *p)
{
    __u32 from[4];

    if (p->v6) {
        return bpf_skb_load_bytes(skb, p->at + 8 + 8, from, 16) == 0 &&
               number6(from, 2) == p->tunnel;
    }
    return bpf_skb_load_bytes(skb, p->at + 8 + 12, from, 4) == 0 &&
           number4(from[0], 2) == p->tunnel;
}

INLINE bool is_echo(const struct packet *p)
{
    return p->v6 ? p->protocol == IPPROTO_ICMPV6 &&
                       (p->type == ICMPV6_ECHO_REQUEST || p->type == ICMPV6_ECHO_REPLY)
                 : p->protocol == IPPROTO_ICMP &&
                       (p->type == ICMP_ECHO || p->type == ICMP_ECHOREPLY);
}

INLINE bool by_gateway(const struct packet *p, __u32 kind)
{
    bool tcp = p->protocol == IPPROTO_TCP;

    if (tcp && (kind & INGRESS_BUS) != 0 && p->v6 == 0) {
        return p->goes_on || in_limit(p, INGRESS_BUS_BEGINS, 20, 60);
    }
    if (tcp && (kind & INGRESS_METRICS) != 0) {
        return p->goes_on || in_limit(p, INGRESS_ASKS_METRICS, 2, 10);
    }
    return is_echo(p) && in_limit(p, INGRESS_PINGS, 20, 40);
}

/* To what the gateway lets out. */
INLINE bool is_answer(const struct packet *p, const struct ingress_tunnel *t,
                      __u32 kind)
{
    __u32 not = INGRESS_BUS | INGRESS_METRICS | (t->header != 0 ? INGRESS_HEADER : 0);

    return t->answers != 0 && p->goes_on &&
           (p->from_port == 25 || p->from_port == 443) && p->port >= 1024 &&
           (kind & not ) == 0;
}

INLINE bool by_client(const struct packet *p, const struct ingress_tunnel *t,
                      __u32 kind)
{
    struct ingress_address source;

    __builtin_memcpy(&source, p->from, sizeof(source));
    if (!p->from_public || bpf_map_lookup_elem(&own, &source) != NULL) {
        return false;
    }
    /* The first piece has the port; without it they are thrown away. */
    if (p->later_piece) {
        return true;
    }
    if (p->protocol == IPPROTO_TCP) {
        return (kind & INGRESS_PUBLIC) != 0 || is_answer(p, t, kind);
    }
    if (p->protocol == IPPROTO_UDP) {
        return (kind & INGRESS_CALLS) != 0;
    }
    return is_echo(p) && in_limit(p, INGRESS_ECHOES, 20, 40);
}

INLINE bool read(struct __sk_buff *skb, struct packet *p)
{
    return (skb->protocol == bpf_htons(ETH_P_IP)     ? read4(skb, p)
            : skb->protocol == bpf_htons(ETH_P_IPV6) ? read6(skb, p)
                                                     : false) &&
           read_inside(skb, p);
}

/* What begins, and what is none of TCP. */
INLINE bool may_come(struct __sk_buff *skb)
{
    struct packet p = {0};

    if (!read(skb, &p) || p.tunnel == 0) {
        return false;
    }
    const struct ingress_tunnel *t = bpf_map_lookup_elem(&tunnels, &p.tunnel);
    __u32 kind = kind_of(p.port);
    if (t == NULL || t->link != skb->ifindex) {
        return false;
    }
    if (p.by_gateway && t->header != 0 && p.protocol == IPPROTO_TCP && !p.later_piece &&
        (kind & INGRESS_HEADER) != 0) {
        return true;
    }
    if (!p.later_piece && is_error(&p) && is_about_us(skb, &p) &&
        in_limit(&p, INGRESS_ERRORS, 100, 200)) {
        return true;
    }
    return p.by_gateway ? !p.later_piece && by_gateway(&p, kind)
                        : by_client(&p, t, kind);
}

/* Nearly every packet: of a connection with a client that is open, or gets a RST. */
INLINE bool is_open(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    const struct tcphdr *tcp;
    __u32 number;

    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        const struct iphdr *ip = data;
        if (data + sizeof(*ip) + sizeof(*tcp) > end || ip->ihl != 5 ||
            ip->protocol != IPPROTO_TCP ||
            (ip->frag_off & bpf_htons(LATER_PIECE4)) != 0) {
            return false;
        }
        tcp = data + sizeof(*ip);
        number = number4(ip->daddr, 2);
    } else {
        const struct ipv6hdr *ip = data;
        if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
            data + sizeof(*ip) + sizeof(*tcp) > end || ip->nexthdr != IPPROTO_TCP) {
            return false;
        }
        tcp = data + sizeof(*ip);
        number = number6(ip->daddr.in6_u.u6_addr32, 2);
    }
    if ((((const __u8 *)tcp)[13] & (SYN | ACK)) == SYN || number == 0) {
        return false;
    }
    const struct ingress_tunnel *t = bpf_map_lookup_elem(&tunnels, &number);
    return t != NULL && t->link == skb->ifindex &&
           (kind_of(bpf_ntohs(tcp->dest)) & INGRESS_PUBLIC) != 0;
}

INLINE void count_drop(void)
{
    __u32 zero = 0;
    __u64 *count = bpf_map_lookup_elem(&dropped, &zero);

    if (count != NULL) {
        ++*count;
    }
}

SEC("tc") int arrive(struct __sk_buff *skb)
{
    if (is_open(skb) || may_come(skb)) {
        return TC_ACT_UNSPEC;
    }
    count_drop();
    return TC_ACT_SHOT;
}

SEC("sk_lookup") int near(struct bpf_sk_lookup *ctx)
{
    __u32 number;

    if (ctx->family == AF_INET) {
        number = number4(ctx->local_ip4, 2);
    } else {
        __u32 to[4] = {ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2],
                       ctx->local_ip6[3]};
        number = number6(to, 2);
    }
    const struct ingress_tunnel *t = bpf_map_lookup_elem(&tunnels, &number);
    return number == 0 || t == NULL || t->link == 0 ||
                   ctx->ingress_ifindex == LOOPBACK || ctx->ingress_ifindex == t->link
               ? SK_PASS
               : SK_DROP;
}

char terms[] SEC("license") = "GPL";
