/* carry_way: how a packet of the store's leaves the machine. For the BPF target only.
 */
#ifndef GW_CARRY_WAY_H
#define GW_CARRY_WAY_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "carry_map.h"
#include "carry_packet.h"

#define FAMILY4 2 /* AF_INET, AF_INET6 of Linux */
#define FAMILY6 10

/* Where to, by the routes and neighbours of the machine. Untouched: they do not say. */
struct way {
    struct bpf_fib_lookup fib;
    long rc;
};

INLINE bool find_way(struct __sk_buff *skb, const struct gw_carry_settings *s,
                     const struct packet *p, __u8 protocol, const __u32 *address,
                     struct way *way)
{
    struct bpf_fib_lookup *fib = &way->fib;

    __builtin_memset(fib, 0, sizeof(*fib));
    fib->family = p->v6 ? FAMILY6 : FAMILY4;
    fib->l4_protocol = protocol;
    fib->ifindex = s->tunnel;
    if (p->v6) {
        copy(fib->ipv6_src, address);
        copy(fib->ipv6_dst, p->to);
    } else {
        fib->ipv4_src = address[3];
        fib->ipv4_dst = p->to[3];
    }
    way->rc = bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
    return (way->rc == BPF_FIB_LKUP_RET_SUCCESS ||
            way->rc == BPF_FIB_LKUP_RET_NO_NEIGH) &&
           fib->ifindex != s->tunnel;
}

/* A neighbour that is not known yet is asked for by the kernel, which wants room for an
 * Ethernet header even where there is none. */
INLINE int leave(struct __sk_buff *skb, const struct way *way)
{
    const struct bpf_fib_lookup *fib = &way->fib;
    const __u16 *smac = (const __u16 *)fib->smac;
    void *data;

    if (bpf_skb_change_head(skb, ETH_HLEN, 0) != 0) {
        return TC_ACT_SHOT;
    }
    if (way->rc != BPF_FIB_LKUP_RET_SUCCESS || (smac[0] | smac[1] | smac[2]) == 0) {
        struct bpf_redir_neigh hop = {.nh_family = fib->family};
        copy(hop.ipv6_nh, fib->ipv6_dst);
        return (int)bpf_redirect_neigh(fib->ifindex, &hop, sizeof(hop), 0);
    }
    if (!head(skb, ETH_HLEN, &data)) {
        return TC_ACT_SHOT;
    }
    struct ethhdr *ether = data;
    __builtin_memcpy(ether->h_dest, fib->dmac, ETH_ALEN);
    __builtin_memcpy(ether->h_source, fib->smac, ETH_ALEN);
    ether->h_proto = skb->protocol;
    return (int)bpf_redirect(fib->ifindex, 0);
}

#endif
