/* carry_error: errors that routers on the client's side send (ICMP), about what the
 * store has sent in an open flow or a call. For the BPF target only. */
#ifndef GW_CARRY_ERROR_H
#define GW_CARRY_ERROR_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "carry_known.h"

/* RFC 792 and RFC 4443: type, code, checksum, four bytes, then the packet in question.
 */
#define ICMP_HEADER       8
#define ICMP_CHECK        2
#define ICMP_UNREACHABLE  3
#define ICMP_EXCEEDED     11
#define ICMP_PARAMETER    12
#define ICMP6_UNREACHABLE 1
#define ICMP6_PARAMETER   4
#define ICMP_QUOTED       8 /* as much of it is quoted at least */

INLINE bool carried(__u8 protocol, const __u32 *address, const __u32 *client,
                    __be16 client_port, __be16 port)
{
    struct gw_carry_key key;
    const struct gw_carry_flow *flow;

    key_of(&key, client, client_port, port);
    if (protocol == IPPROTO_TCP) {
        flow = bpf_map_lookup_elem(&flows, &key);
    } else {
        flow = bpf_map_lookup_elem(&calls, &key);
    }
    return flow != NULL && same(flow->address, address);
}

INLINE bool has_ports(__u8 protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* The quoted header changes together with its own checksum, so that of the ICMP message
 * stays what it is. That of the quoted transport is looked at by nobody. */
INLINE int error4(struct __sk_buff *skb, __u32 at)
{
    const struct gw_carry_settings *s = current();
    const __u32 quoted_at = at + sizeof(struct iphdr) + ICMP_HEADER;
    void *data;
    __u32 address[4], client[4];

    if (s == NULL ||
        !head(skb, quoted_at + sizeof(struct iphdr) + ICMP_QUOTED, &data)) {
        return TC_ACT_UNSPEC;
    }
    struct iphdr *ip = data + at, *quoted = data + quoted_at;
    const __u8 *type = (void *)(ip + 1);
    const __be16 *ports = (void *)(quoted + 1);
    if (ip->ihl != 5 || ip->protocol != IPPROTO_ICMP || ip->ttl < 2 ||
        (ip->frag_off & bpf_htons(0x3fff)) != 0 ||
        (*type != ICMP_UNREACHABLE && *type != ICMP_EXCEEDED &&
         *type != ICMP_PARAMETER) ||
        quoted->ihl != 5 || !has_ports(quoted->protocol) ||
        quoted->saddr != ip->daddr) {
        return TC_ACT_UNSPEC;
    }
    map4(address, quoted->saddr);
    map4(client, quoted->daddr);
    if (!carried(quoted->protocol, address, client, ports[1], ports[0])) {
        return TC_ACT_UNSPEC;
    }
    __be32 from = ip->daddr, to = s->inner[0][3];
    __u32 diff =
        (__u16) ~(from & 0xffff) + (__u16) ~(from >> 16) + (to & 0xffff) + (to >> 16);
    quoted->check = (__u16)~folded((__u16)~quoted->check + diff);
    quoted->saddr = to;
    ip->check = (__u16)~folded((__u16)~ip->check + diff + (__u16)~bpf_htons(0x0100));
    ip->ttl--;
    ip->daddr = to;
    return bpf_redirect(s->tunnel, 0);
}

/* The address stands in the pseudo-header and in the quotation: the checksum counts it
 * twice. */
INLINE int error6(struct __sk_buff *skb, __u32 at)
{
    const struct gw_carry_settings *s = current();
    const __u32 icmp_at = at + sizeof(struct ipv6hdr);
    const __u32 quoted_at = icmp_at + ICMP_HEADER;
    void *data;
    __u32 was[4], now[4];
    __u8 hops;

    if (s == NULL ||
        !head(skb, quoted_at + sizeof(struct ipv6hdr) + ICMP_QUOTED, &data)) {
        return TC_ACT_UNSPEC;
    }
    const struct ipv6hdr *ip = data + at, *quoted = data + quoted_at;
    const __u8 *type = data + icmp_at;
    const __be16 *ports = (const void *)(quoted + 1);
    if (ip->nexthdr != IPPROTO_ICMPV6 || ip->hop_limit < 2 ||
        *type < ICMP6_UNREACHABLE || *type > ICMP6_PARAMETER ||
        !has_ports(quoted->nexthdr) ||
        !same(quoted->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32)) {
        return TC_ACT_UNSPEC;
    }
    copy(was, quoted->saddr.in6_u.u6_addr32);
    copy(now, quoted->daddr.in6_u.u6_addr32);
    if (!carried(quoted->nexthdr, was, now, ports[1], ports[0])) {
        return TC_ACT_UNSPEC;
    }
    hops = ip->hop_limit - 1;
    copy(now, s->inner[1]);
    __u64 diff = (__u64)bpf_csum_diff((__be32 *)was, 16, (__be32 *)now, 16, 0);
    const __u32 check = icmp_at + ICMP_CHECK;
    if (bpf_l4_csum_replace(skb, check, 0, diff, BPF_F_PSEUDO_HDR) != 0 ||
        bpf_l4_csum_replace(skb, check, 0, diff, 0) != 0 ||
        bpf_skb_store_bytes(skb, quoted_at + offsetof(struct ipv6hdr, saddr), now, 16,
                            0) != 0 ||
        bpf_skb_store_bytes(skb, at + offsetof(struct ipv6hdr, daddr), now, 16, 0) !=
            0 ||
        bpf_skb_store_bytes(skb, at + offsetof(struct ipv6hdr, hop_limit), &hops, 1,
                            0) != 0) {
        return TC_ACT_SHOT;
    }
    return bpf_redirect(s->tunnel, 0);
}

#endif
