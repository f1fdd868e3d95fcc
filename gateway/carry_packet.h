/* carry_packet: packets of TCP and UDP as the programs of carry.bpf.c read and
 * translate them. For the BPF target only; everything is inlined.
 *
 * A packet whose IP header has options, that is a fragment, or that is cut short, is
 * not read: the rules see it. Checksums are adjusted, not computed, so that a wrong one
 * stays wrong. */
#ifndef GW_CARRY_PACKET_H
#define GW_CARRY_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define INLINE static __always_inline

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

/* ---- packets ---- */

/* `at` below is the offset of the IP header: 0 or ETH_HLEN, always a constant, which
 * the kernel's verifier can follow. */
#define TCP4 sizeof(struct iphdr)
#define TCP6 sizeof(struct ipv6hdr)

struct packet {
    __u32 v6; /* 1, or 0 */
    __u8 ttl;
    __u32 from[4], to[4];
    __be16 from_port, to_port;
    __u8 flags; /* this and the rest: TCP */
    __u32 seq, ack;
    __u32 length; /* of the data */
};

INLINE void map4(__u32 out[4], __be32 address)
{
    out[0] = out[1] = 0;
    out[2] = bpf_htonl(0xffff);
    out[3] = address;
}

INLINE bool same(const __u32 *a, const __u32 *b)
{
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

INLINE void copy(__u32 *to, const __u32 *from)
{
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
}

/* The first `len` bytes, for direct reading. Without CAP_PERFMON a program may not
 * compare a pointer, so there is no NULL here. */
INLINE bool head(struct __sk_buff *skb, __u32 len, void **data_r)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (data + len > end) {
        if (bpf_skb_pull_data(skb, len) != 0) {
            return false;
        }
        data = (void *)(long)skb->data;
        end = (void *)(long)skb->data_end;
        if (data + len > end) {
            return false;
        }
    }
    *data_r = data;
    return true;
}

/* rest: bytes from the TCP header on, as the IP header says; there: as many as there
 * are, which is more where Ethernet has filled up a short frame. */
INLINE bool parse_tcp(struct packet *p, const struct tcphdr *tcp, __u32 rest,
                      __u32 there)
{
    __u32 header = tcp->doff * 4;

    p->flags = ((const __u8 *)tcp)[13];
    p->from_port = tcp->source;
    p->to_port = tcp->dest;
    p->seq = bpf_ntohl(tcp->seq);
    p->ack = bpf_ntohl(tcp->ack_seq);
    p->length = rest >= header ? rest - header : 0;
    return rest >= header && rest <= there;
}

/* protocol: IPPROTO_TCP or IPPROTO_UDP, a constant, here and below. */
INLINE bool parse_transport(struct packet *p, __u8 protocol, const void *data,
                            __u32 rest, __u32 there)
{
    const struct udphdr *udp = data;

    if (protocol == IPPROTO_TCP) {
        return parse_tcp(p, data, rest, there);
    }
    p->from_port = udp->source;
    p->to_port = udp->dest;
    return true;
}

INLINE __u32 size_of(__u8 protocol)
{
    return protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
}

/* Without options, whole: all else is for the rules. */
INLINE bool parse4(struct __sk_buff *skb, __u32 at, __u8 protocol, struct packet *p)
{
    void *data;

    if (!head(skb, at + TCP4 + size_of(protocol), &data)) {
        return false;
    }
    const struct iphdr *ip = data + at;
    if (ip->ihl != 5 || ip->protocol != protocol ||
        (ip->frag_off & bpf_htons(0x3fff)) != 0) {
        return false;
    }
    p->v6 = 0;
    p->ttl = ip->ttl;
    map4(p->from, ip->saddr);
    map4(p->to, ip->daddr);
    return parse_transport(p, protocol, ip + 1, bpf_ntohs(ip->tot_len) - TCP4,
                           skb->len - at - TCP4);
}

INLINE bool parse6(struct __sk_buff *skb, __u32 at, __u8 protocol, struct packet *p)
{
    void *data;

    if (!head(skb, at + TCP6 + size_of(protocol), &data)) {
        return false;
    }
    const struct ipv6hdr *ip = data + at;
    if (ip->nexthdr != protocol) {
        return false;
    }
    p->v6 = 1;
    p->ttl = ip->hop_limit;
    copy(p->from, ip->saddr.in6_u.u6_addr32);
    copy(p->to, ip->daddr.in6_u.u6_addr32);
    return parse_transport(p, protocol, ip + 1, bpf_ntohs(ip->payload_len),
                           skb->len - at - TCP6);
}

INLINE bool parse(struct __sk_buff *skb, __u32 at, __u8 protocol, struct packet *p)
{
    return skb->protocol == bpf_htons(ETH_P_IP)     ? parse4(skb, at, protocol, p)
           : skb->protocol == bpf_htons(ETH_P_IPV6) ? parse6(skb, at, protocol, p)
                                                    : false;
}

/* ---- translating ---- */

/* Where a transport's checksum is, and how the kernel shall treat it: that of UDP may
 * be missing, and stays so. Constants. */
struct transport {
    __u32 check;
    __u64 flags;
};

#define OF_TCP ((struct transport){offsetof(struct tcphdr, check), 0})
#define OF_UDP                                                                         \
    ((struct transport){offsetof(struct udphdr, check), BPF_F_MARK_MANGLED_0})

INLINE __u16 folded(__u32 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)sum;
}

/* One hop less, another address at `field` of the header. The header's checksum: RFC
 * 1624, equation 3. */
INLINE bool translate4(struct __sk_buff *skb, __u32 at, struct transport of,
                       __u32 field, const __u32 *was, const __u32 *now)
{
    __be32 from = was[3], to = now[3];

    if (bpf_l4_csum_replace(skb, at + TCP4 + of.check, from, to,
                            BPF_F_PSEUDO_HDR | of.flags | sizeof(to)) != 0) {
        return false;
    }
    void *data;
    if (!head(skb, at + TCP4, &data)) {
        return false;
    }
    struct iphdr *ip = data + at;
    __u32 sum = (__u16)~ip->check;
    sum += (__u16) ~(from & 0xffff) + (__u16) ~(from >> 16);
    sum += (to & 0xffff) + (to >> 16);
    sum += (__u16)~bpf_htons(0x0100);
    ip->check = (__u16)~folded(sum);
    ip->ttl--;
    *(__be32 *)((void *)ip + field) = to;
    return true;
}

INLINE bool translate6(struct __sk_buff *skb, __u32 at, struct transport of,
                       __u32 field, const __u32 *was, const __u32 *now)
{
    __s64 diff = bpf_csum_diff((__be32 *)was, 16, (__be32 *)now, 16, 0);

    if (bpf_l4_csum_replace(skb, at + TCP6 + of.check, 0, (__u64)diff,
                            BPF_F_PSEUDO_HDR | of.flags) != 0) {
        return false;
    }
    void *data;
    if (!head(skb, at + TCP6, &data)) {
        return false;
    }
    struct ipv6hdr *ip = data + at;
    ip->hop_limit--;
    copy((void *)ip + field, now);
    return true;
}

INLINE bool translate_to(struct __sk_buff *skb, __u32 at, struct transport of,
                         const struct packet *p, const __u32 *to)
{
    return p->v6 ? translate6(skb, at, of, offsetof(struct ipv6hdr, daddr), p->to, to)
                 : translate4(skb, at, of, offsetof(struct iphdr, daddr), p->to, to);
}

INLINE bool translate_from(struct __sk_buff *skb, __u32 at, struct transport of,
                           const struct packet *p, const __u32 *from)
{
    return p->v6
               ? translate6(skb, at, of, offsetof(struct ipv6hdr, saddr), p->from, from)
               : translate4(skb, at, of, offsetof(struct iphdr, saddr), p->from, from);
}

#endif
