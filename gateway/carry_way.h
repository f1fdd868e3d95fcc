/* carry_way: how a packet of the store's leaves the machine. For the BPF target only,
 * and for one object: it defines a map. */
#ifndef GW_CARRY_WAY_H
#define GW_CARRY_WAY_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "carry_known.h"
#include "carry_map.h"
#include "carry_packet.h"

#define FAMILY4 2 /* AF_INET, AF_INET6 of Linux */
#define FAMILY6 10

/* Where to, by the routes and neighbours of the machine. */
struct way {
    __u32 ifindex;
    __u16 macs[6]; /* as in an Ethernet header: theirs, ours */
    bool known;    /* the neighbour is, and macs is filled */
    __u8 family;
    __u32 hop[4]; /* else: whom to ask for */
};

/* What was found in this second, of one of the destinations that share its place. To
 * ask for each packet costs a download 1.5 %. */
struct gw_carry_way {
    __u32 to[4], from[4];
    __u32 at_s;
    __u32 ifindex;
    __u16 macs[6];
    __u32 protocol;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, GW_CARRY_WAYS);
    __type(key, __u32);
    __type(value, struct gw_carry_way);
} ways SEC(".maps");

INLINE void copy_macs(__u16 *to, const __u16 *from)
{
#pragma unroll
    for (int i = 0; i < 6; i++) {
        to[i] = from[i];
    }
}

/* False: to none that we may use. */
INLINE bool ask_way(struct __sk_buff *skb, const struct gw_carry_settings *s,
                    const struct packet *p, __u8 protocol, const __u32 *address,
                    struct way *way)
{
    struct bpf_fib_lookup fib;

    __builtin_memset(&fib, 0, sizeof(fib));
    fib.family = p->v6 ? FAMILY6 : FAMILY4;
    fib.l4_protocol = protocol;
    fib.ifindex = s->tunnel;
    if (p->v6) {
        copy(fib.ipv6_src, address);
        copy(fib.ipv6_dst, p->to);
    } else {
        fib.ipv4_src = address[3];
        fib.ipv4_dst = p->to[3];
    }
    long rc = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
    const __u16 *smac = (const __u16 *)fib.smac;
    way->known = rc == BPF_FIB_LKUP_RET_SUCCESS && (smac[0] | smac[1] | smac[2]) != 0;
    way->ifindex = fib.ifindex;
    way->family = fib.family;
    copy(way->hop, fib.ipv6_dst);
    __builtin_memcpy(&way->macs[0], fib.dmac, ETH_ALEN);
    __builtin_memcpy(&way->macs[3], fib.smac, ETH_ALEN);
    return (rc == BPF_FIB_LKUP_RET_SUCCESS || rc == BPF_FIB_LKUP_RET_NO_NEIGH) &&
           fib.ifindex != s->tunnel;
}

INLINE __u32 place_of(const __u32 *to)
{
    __u32 mixed = (to[0] ^ to[1] ^ to[2] ^ to[3]) * 2654435761u; /* Knuth's */
    return mixed / (0xffffffffu / GW_CARRY_WAYS + 1);
}

INLINE bool find_way(struct __sk_buff *skb, const struct gw_carry_settings *s,
                     const struct packet *p, __u8 protocol, const __u32 *address,
                     struct way *way)
{
    __u32 place = place_of(p->to), now = now_s();
    struct gw_carry_way *kept = bpf_map_lookup_elem(&ways, &place);

    if (kept == NULL) {
        return false;
    }
    if (kept->at_s == now && kept->protocol == protocol && same(kept->to, p->to) &&
        same(kept->from, address)) {
        way->known = true;
        way->ifindex = kept->ifindex;
        copy_macs(way->macs, kept->macs);
        return true;
    }
    if (!ask_way(skb, s, p, protocol, address, way)) {
        return false;
    }
    if (way->known) {
        copy(kept->to, p->to);
        copy(kept->from, address);
        copy_macs(kept->macs, way->macs);
        kept->ifindex = way->ifindex;
        kept->protocol = protocol;
        kept->at_s = now;
    }
    return true;
}

/* A neighbour that is not known yet is asked for by the kernel, which wants room for an
 * Ethernet header even where there is none. */
INLINE int leave(struct __sk_buff *skb, const struct way *way)
{
    void *data;

    if (bpf_skb_change_head(skb, ETH_HLEN, 0) != 0) {
        return TC_ACT_SHOT;
    }
    if (!way->known) {
        struct bpf_redir_neigh hop = {.nh_family = way->family};
        copy(hop.ipv6_nh, way->hop);
        return (int)bpf_redirect_neigh(way->ifindex, &hop, sizeof(hop), 0);
    }
    if (!head(skb, ETH_HLEN, &data)) {
        return TC_ACT_SHOT;
    }
    copy_macs(data, way->macs);
    ((struct ethhdr *)data)->h_proto = skb->protocol;
    return (int)bpf_redirect(way->ifindex, 0);
}

#endif
