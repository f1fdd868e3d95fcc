/* carry.bpf: carries the packets of open connections between the uplink and the tunnel,
 * before the kernel's own forwarding sees them (carry.h).
 *
 *   inward_ether, inward_bare   tc ingress of an uplink   client -> store
 *   onward                      tc egress of wg0          learns what the rules let in
 *   outward                     tc ingress of wg0         store -> client
 *
 * What begins, and whatever is not known, passes by to the rules, which decide
 * (proxy/guard.c). What they let in they translate and mark; `onward` then keeps it in
 * `fresh`, and moves it to `flows` when the client has acknowledged what the store has
 * answered, which nobody can who has not seen it. So nothing that was not let in is
 * ever carried, and who is taken out of both maps meets the rules at its next packet.
 *
 * Calls (UDP, to the relay's ports) are kept in `calls` from their first packet on.
 * Mail that the store sends leaves by here alone: what it begins with port 25 or 443 is
 * open in `flows` at once, from its own port, which is unique for each destination.
 *
 * Built with clang for the BPF target, without BTF of the running kernel: the contexts
 * and helpers used here are stable, and in Debian 12's 6.1. */
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

#include "proxy/marks.h"
#include "carry_map.h"
#include "carry_packet.h"

#define FAMILY4 2 /* AF_INET, AF_INET6 of Linux */
#define FAMILY6 10

/* RFC 792 and RFC 4443: type, code, checksum, four bytes, then the packet in question.
 */
#define ICMP_HEADER       8
#define ICMP_CHECK        2
#define ICMP_UNREACHABLE  3
#define ICMP_EXCEEDED     11
#define ICMP_PARAMETER    12
#define ICMP6_UNREACHABLE 1
#define ICMP6_PARAMETER   4
#define ICMP_QUOTED_TCP   8 /* as much of it is quoted at least */

/* So often the rules are told anew of a source that they know: they forget it after
 * twelve hours. */
#define KNOWN_S 3600

/* An acknowledgement of this much more or less than we saw is one of the same flow. */
#define NEAR (1u << 20)

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, GW_CARRY_FLOWS);
    __type(key, struct gw_carry_key);
    __type(value, struct gw_carry_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, GW_CARRY_FRESH);
    __type(key, struct gw_carry_key);
    __type(value, struct gw_carry_flow);
} fresh SEC(".maps");

/* Of these nothing but address and seen_s is used. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, GW_CARRY_CALLS);
    __type(key, struct gw_carry_key);
    __type(value, struct gw_carry_flow);
} calls SEC(".maps");

struct source {
    __u32 word[4];
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, GW_CARRY_KNOWN);
    __type(key, struct source);
    __type(value, struct gw_carry_known);
} known SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct gw_carry_settings);
} settings SEC(".maps");

/* By port; a port that is not in it is none of ours. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, GW_CARRY_DOORS);
    __type(key, __be16);
    __type(value, struct gw_carry_count);
} doors SEC(".maps");

/* ---- what is known ---- */

INLINE const struct gw_carry_settings *current(void)
{
    __u32 zero = 0;
    const struct gw_carry_settings *s = bpf_map_lookup_elem(&settings, &zero);

    return s != NULL && s->on != 0 ? s : NULL;
}

/* The verifier sees that it is in the map only when the compiler does not think it
 * knows. */
INLINE const __u32 *address_at(const struct gw_carry_settings *s, __u32 number)
{
    barrier_var(number);
    return s->addresses[number & (GW_CARRY_ADDRESSES - 1)];
}

/* Both are read and one is taken: without CAP_PERFMON a program may not reckon with
 * pointers in two ways that meet. */
INLINE void inner_of(const struct gw_carry_settings *s, __u32 v6, __u32 out[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __u32 four = s->inner[0][i], six = s->inner[1][i];
        barrier_var(four);
        barrier_var(six);
        out[i] = v6 ? six : four;
    }
}

INLINE __u32 of_family(const __u32 number[2], __u32 v6)
{
    __u32 four = number[0], six = number[1];

    barrier_var(four);
    barrier_var(six);
    return v6 ? six : four;
}

INLINE bool is_relay(const struct gw_carry_settings *s, __be16 port)
{
    __u16 n = bpf_ntohs(port);

    return s->relay_port != 0 &&
           (n == s->relay_port || (n >= s->relay_min && n <= s->relay_max));
}

INLINE __u32 now_s(void)
{
    return (__u32)(bpf_ktime_get_coarse_ns() / 1000000000ull);
}

INLINE void key_of(struct gw_carry_key *key, const __u32 *client, __be16 client_port,
                   __be16 port)
{
    copy(key->client, client);
    key->client_port = client_port;
    key->port = port;
}

INLINE bool after(__u32 a, __u32 b)
{
    return (__s32)(a - b) > 0;
}

/* True when it is over: carried no longer. After two FINs a last acknowledgement and
 * what is sent again are still to come, so the flow stays until it is looked at and
 * has been silent (carry.c). */
INLINE bool ends(struct gw_carry_flow *flow, const struct packet *p, __u8 whose)
{
    if ((p->flags & FIN) != 0) {
        flow->ended |= whose;
    }
    return (p->flags & RST) != 0;
}

/* Has the client seen what the store said? */
INLINE bool proven(const struct gw_carry_flow *flow, const struct packet *p)
{
    if (flow->answered == 0 || (p->flags & (SYN | RST | ACK)) != ACK) {
        return false;
    }
    return flow->handshake ? p->ack == flow->next
                           : p->ack - flow->next + NEAR < 2 * NEAR;
}

/* Has the gateway itself a connection from far to near? */
INLINE bool is_ended_here(struct __sk_buff *skb, __u32 v6, const __u32 *far,
                          __be16 far_port, const __u32 *near, __be16 near_port)
{
    struct bpf_sock_tuple t;
    __u32 len = v6 ? sizeof(t.ipv6) : sizeof(t.ipv4);

    if (v6) {
        copy(t.ipv6.saddr, far);
        copy(t.ipv6.daddr, near);
        t.ipv6.sport = far_port;
        t.ipv6.dport = near_port;
    } else {
        t.ipv4.saddr = far[3];
        t.ipv4.daddr = near[3];
        t.ipv4.sport = far_port;
        t.ipv4.dport = near_port;
    }
    struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, len, BPF_F_CURRENT_NETNS, 0);
    if (sk == NULL) {
        return false;
    }
    bool open = sk->state != BPF_TCP_LISTEN;
    bpf_sk_release(sk);
    return open;
}

/* A client of chatmail-proxy, which takes its leave when the kernel takes over. */
INLINE bool is_ours(struct __sk_buff *skb, const struct packet *p)
{
    return is_ended_here(skb, p->v6, p->from, p->from_port, p->to, p->to_port);
}

/* ---- client to store ---- */

INLINE void count_in(const struct packet *p, __u32 bytes)
{
    struct gw_carry_count *count = bpf_map_lookup_elem(&doors, &p->to_port);

    if (count != NULL) {
        count->in_packets++;
        count->in_bytes += bytes;
    }
}

/* Whether the rules know the source; from now on they do. */
INLINE bool is_known(const struct gw_carry_settings *s, const struct packet *p)
{
    struct gw_carry_known now = {.rules = s->rules, .since_s = now_s()};
    struct source source = {{p->from[0], p->from[1], 0, 0}};

    if (p->v6 == 0) {
        copy(source.word, p->from);
    }
    const struct gw_carry_known *has = bpf_map_lookup_elem(&known, &source);
    if (has != NULL && has->rules == now.rules &&
        now.since_s - has->since_s < KNOWN_S) {
        return true;
    }
    bpf_map_update_elem(&known, &source, &now, BPF_ANY);
    return false;
}

INLINE void open_flow(const struct gw_carry_key *key, const struct gw_carry_flow *begun,
                      const struct packet *p)
{
    struct gw_carry_flow flow = *begun;

    flow.ack = p->ack;
    flow.seen_s = now_s();
    flow.ended = (p->flags & FIN) != 0 ? GW_CARRY_CLIENT_ENDED : 0;
    bpf_map_update_elem(&flows, key, &flow, BPF_ANY);
    bpf_map_delete_elem(&fresh, key);
}

/* The third packet of a handshake whose first one the rules let in a moment ago: with a
 * source that they know it needs them no more. All else goes by the rules, with what we
 * know of it. */
INLINE bool begins(struct __sk_buff *skb, const struct gw_carry_settings *s,
                   const struct gw_carry_key *key, const struct packet *p)
{
    const struct gw_carry_flow *flow = bpf_map_lookup_elem(&fresh, key);

    if (flow == NULL || !same(flow->address, p->to) || !proven(flow, p)) {
        if (flow == NULL && bpf_map_lookup_elem(&doors, &p->to_port) != NULL &&
            is_ours(skb, p)) {
            skb->mark = PX_MARK_OURS;
        }
        return false;
    }
    if (flow->handshake == 0 || !is_known(s, p)) {
        skb->mark = flow->handshake ? PX_MARK_PROVEN : PX_MARK_RESUMED;
        return false;
    }
    open_flow(key, flow, p);
    struct gw_carry_count *count = bpf_map_lookup_elem(&doors, &p->to_port);
    if (count != NULL) {
        count->flows++;
    }
    return true;
}

INLINE int inward_tcp(struct __sk_buff *skb, __u32 at, const struct packet *p)
{
    const struct gw_carry_settings *s = current();
    struct gw_carry_key key;
    __u32 inner[4];

    if (s == NULL || (p->flags & (SYN | ACK)) == SYN || p->ttl < 2) {
        return TC_ACT_UNSPEC;
    }
    __u8 syn = p->flags & SYN; /* of an answer to the store */
    key_of(&key, p->from, p->from_port, p->to_port);
    struct gw_carry_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow == NULL && syn == 0 && begins(skb, s, &key, p)) {
        flow = bpf_map_lookup_elem(&flows, &key);
    }
    if (flow == NULL || !same(flow->address, p->to) ||
        (syn != 0 && flow->egress == 0)) {
        return TC_ACT_UNSPEC;
    }
    if ((p->flags & ACK) != 0) {
        flow->ack = p->ack;
    }
    flow->seen_s = now_s();
    if (ends(flow, p, GW_CARRY_CLIENT_ENDED)) {
        bpf_map_delete_elem(&flows, &key);
    }
    count_in(p, skb->len - at);
    inner_of(s, p->v6, inner);
    return translate_to(skb, at, OF_TCP, p, inner) ? bpf_redirect(s->tunnel, 0)
                                                   : TC_ACT_SHOT;
}

/* ---- calls ---- */

/* NULL: the rules decide. */
INLINE struct gw_carry_flow *call_of(const struct gw_carry_key *key)
{
    struct gw_carry_flow *call = bpf_map_lookup_elem(&calls, key);

    return call != NULL && now_s() - call->seen_s <= GW_CARRY_CALL_S ? call : NULL;
}

INLINE void keep_call(const struct gw_carry_settings *s, const struct gw_carry_key *key,
                      __u32 number)
{
    struct gw_carry_flow call = {.seen_s = now_s()};

    copy(call.address, address_at(s, number));
    bpf_map_update_elem(&calls, key, &call, BPF_ANY);
}

INLINE int inward_udp(struct __sk_buff *skb, __u32 at, const struct packet *p)
{
    const struct gw_carry_settings *s = current();
    struct gw_carry_key key;
    __u32 inner[4];

    if (s == NULL || !is_relay(s, p->to_port) || p->ttl < 2) {
        return TC_ACT_UNSPEC;
    }
    key_of(&key, p->from, p->from_port, p->to_port);
    struct gw_carry_flow *call = call_of(&key);
    if (call == NULL || !same(call->address, p->to)) {
        return TC_ACT_UNSPEC;
    }
    call->seen_s = now_s();
    inner_of(s, p->v6, inner);
    return translate_to(skb, at, OF_UDP, p, inner) ? bpf_redirect(s->tunnel, 0)
                                                   : TC_ACT_SHOT;
}

/* ---- errors on the client's side, about what the store has sent ---- */

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
        !head(skb, quoted_at + sizeof(struct iphdr) + ICMP_QUOTED_TCP, &data)) {
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
        !head(skb, quoted_at + sizeof(struct ipv6hdr) + ICMP_QUOTED_TCP, &data)) {
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

INLINE int inward(struct __sk_buff *skb, __u32 at)
{
    struct packet p;

    if (parse(skb, at, IPPROTO_TCP, &p)) {
        return inward_tcp(skb, at, &p);
    }
    if (parse(skb, at, IPPROTO_UDP, &p)) {
        return inward_udp(skb, at, &p);
    }
    return skb->protocol == bpf_htons(ETH_P_IP)     ? error4(skb, at)
           : skb->protocol == bpf_htons(ETH_P_IPV6) ? error6(skb, at)
                                                    : TC_ACT_UNSPEC;
}

SEC("tc") int inward_ether(struct __sk_buff *skb)
{
    return inward(skb, ETH_HLEN);
}

SEC("tc") int inward_bare(struct __sk_buff *skb)
{
    return inward(skb, 0);
}

/* ---- what the rules have let in ---- */

INLINE void learn(const struct gw_carry_settings *s, const struct packet *p,
                  __u32 number)
{
    struct gw_carry_flow begun = {.handshake = (p->flags & SYN) != 0};
    struct gw_carry_key key;

    key_of(&key, p->from, p->from_port, p->to_port);
    copy(begun.address, address_at(s, number));
    if ((p->flags & SYN) != 0) {
        bpf_map_delete_elem(&flows, &key);
        bpf_map_update_elem(&fresh, &key, &begun, BPF_ANY);
        return;
    }
    struct gw_carry_flow *flow = bpf_map_lookup_elem(&fresh, &key);
    if ((p->flags & RST) != 0) {
        bpf_map_delete_elem(&fresh, &key);
    } else if (flow == NULL && bpf_map_lookup_elem(&flows, &key) == NULL) {
        bpf_map_update_elem(&fresh, &key, &begun, BPF_NOEXIST);
    } else if (flow != NULL && same(flow->address, begun.address) && proven(flow, p)) {
        open_flow(&key, flow, p);
    }
}

INLINE void learn_call(const struct gw_carry_settings *s, const struct packet *p,
                       __u32 number)
{
    struct gw_carry_key key;

    if (is_relay(s, p->to_port)) {
        key_of(&key, p->from, p->from_port, p->to_port);
        keep_call(s, &key, number);
    }
}

SEC("tc") int onward(struct __sk_buff *skb)
{
    __u32 number = skb->mark - PX_MARK_INWARD;
    const struct gw_carry_settings *s;
    struct packet p;

    if (number >= GW_CARRY_ADDRESSES || (s = current()) == NULL) {
        return TC_ACT_UNSPEC;
    }
    if (parse(skb, 0, IPPROTO_TCP, &p)) {
        learn(s, &p, number);
    } else if (parse(skb, 0, IPPROTO_UDP, &p)) {
        learn_call(s, &p, number);
    }
    return TC_ACT_UNSPEC;
}

/* ---- store to client ---- */

INLINE bool is_public(const struct gw_carry_settings *s, const __u32 *address)
{
    bool found = false;

#pragma unroll
    for (int i = 0; i < GW_CARRY_ADDRESSES; i++) {
        found |= same(s->addresses[i], address);
    }
    return found;
}

INLINE __u32 end_of(const struct packet *p)
{
    return p->seq + p->length + ((p->flags & SYN) != 0) + ((p->flags & FIN) != 0);
}

/* Of a flow that is not open: not yet, or no longer to our knowledge. The store speaks
 * first; with a single address it is clear for whom the client takes us. */
INLINE bool answer(struct __sk_buff *skb, const struct gw_carry_settings *s,
                   const struct gw_carry_key *key, const struct packet *p,
                   __u32 address_r[4])
{
    struct gw_carry_flow *flow = bpf_map_lookup_elem(&fresh, key);
    struct gw_carry_flow found = {.answered = 1, .next = end_of(p)};
    __u32 alone = of_family(s->alone, p->v6);

    /* The gateway itself knocks at the store from there. */
    if (is_public(s, p->to)) {
        return false;
    }
    if (flow != NULL) {
        copy(address_r, flow->address);
        flow->next = end_of(p);
        flow->answered = 1;
        if ((p->flags & RST) != 0) {
            bpf_map_delete_elem(&fresh, key);
        }
        return true;
    }
    if (alone == 0 || (p->flags & SYN) != 0 || is_ours(skb, p)) {
        return false;
    }
    copy(found.address, address_at(s, alone - 1));
    copy(address_r, found.address);
    if ((p->flags & (FIN | RST)) == 0) {
        bpf_map_update_elem(&fresh, key, &found, BPF_NOEXIST);
    }
    return true;
}

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

INLINE void note_sent(const struct gw_carry_key *key, struct gw_carry_flow *flow,
                      const struct packet *p)
{
    if (after(end_of(p), flow->next)) {
        flow->next = end_of(p);
    }
    flow->seen_s = now_s();
    if (ends(flow, p, GW_CARRY_STORE_ENDED)) {
        bpf_map_delete_elem(&flows, key);
    }
}

/* The client's public address, and what is remembered of the flow. */
INLINE bool note_answer(struct __sk_buff *skb, const struct gw_carry_settings *s,
                        const struct packet *p, __u32 address_r[4])
{
    struct gw_carry_key key;

    key_of(&key, p->to, p->to_port, p->from_port);
    struct gw_carry_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow == NULL) {
        return answer(skb, s, &key, p, address_r);
    }
    copy(address_r, flow->address);
    note_sent(&key, flow, p);
    return true;
}

/* A connection that the store begins; or one that is open, and that we have forgotten:
 * nobody but the store sends from there. */
INLINE bool begin_egress(struct __sk_buff *skb, const struct gw_carry_settings *s,
                         const struct gw_carry_key *key, const struct packet *p,
                         __u32 address_r[4])
{
    struct gw_carry_flow begun = {.egress = 1, .next = end_of(p), .seen_s = now_s()};
    __u32 number = of_family(s->egress, p->v6);

    if (number == 0 || (p->flags & RST) != 0 || is_public(s, p->to) ||
        (p->to_port != bpf_htons(25) && p->to_port != bpf_htons(443))) {
        return false;
    }
    copy(begun.address, address_at(s, number - 1));
    if (is_ended_here(skb, p->v6, p->to, p->to_port, begun.address, p->from_port)) {
        return false;
    }
    begun.ended = (p->flags & FIN) != 0 ? GW_CARRY_STORE_ENDED : 0;
    copy(address_r, begun.address);
    bpf_map_update_elem(&flows, key, &begun, BPF_ANY);
    return true;
}

INLINE bool note_egress(struct __sk_buff *skb, const struct gw_carry_settings *s,
                        const struct packet *p, __u32 address_r[4])
{
    struct gw_carry_key key;

    key_of(&key, p->to, p->to_port, p->from_port);
    struct gw_carry_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow == NULL || (p->flags & (SYN | ACK)) == SYN) {
        return begin_egress(skb, s, &key, p, address_r);
    }
    if (flow->egress == 0) {
        return false;
    }
    copy(address_r, flow->address);
    note_sent(&key, flow, p);
    return true;
}

INLINE int outward_tcp(struct __sk_buff *skb, const struct gw_carry_settings *s,
                       const struct packet *p)
{
    struct gw_carry_count *count = bpf_map_lookup_elem(&doors, &p->from_port);
    __u32 address[4];
    struct way way;

    if (!(count != NULL ? note_answer(skb, s, p, address)
                        : note_egress(skb, s, p, address)) ||
        !find_way(skb, s, p, IPPROTO_TCP, address, &way)) {
        return TC_ACT_UNSPEC;
    }
    if (count != NULL) {
        count->out_packets++;
        count->out_bytes += skb->len;
    }
    return translate_from(skb, 0, OF_TCP, p, address) ? leave(skb, &way) : TC_ACT_SHOT;
}

/* A relay speaks to a peer before the peer does, and to peers without number. */
INLINE int outward_udp(struct __sk_buff *skb, const struct gw_carry_settings *s,
                       const struct packet *p)
{
    __u32 address[4], number = of_family(s->relay, p->v6);
    struct gw_carry_key key;
    struct way way;

    key_of(&key, p->to, p->to_port, p->from_port);
    if (!is_relay(s, p->from_port) || is_public(s, p->to)) {
        return TC_ACT_UNSPEC;
    }
    struct gw_carry_flow *call = call_of(&key);
    if (call != NULL) {
        copy(address, call->address);
        call->seen_s = now_s();
    } else if (number != 0) {
        copy(address, address_at(s, number - 1));
        keep_call(s, &key, number - 1);
    } else {
        return TC_ACT_UNSPEC;
    }
    if (!find_way(skb, s, p, IPPROTO_UDP, address, &way)) {
        return TC_ACT_UNSPEC;
    }
    return translate_from(skb, 0, OF_UDP, p, address) ? leave(skb, &way) : TC_ACT_SHOT;
}

SEC("tc") int outward(struct __sk_buff *skb)
{
    const struct gw_carry_settings *s = current();
    struct packet p;
    __u32 inner[4];

    if (s == NULL) {
        return TC_ACT_UNSPEC;
    }
    bool tcp = parse(skb, 0, IPPROTO_TCP, &p);
    if ((!tcp && !parse(skb, 0, IPPROTO_UDP, &p)) || p.ttl < 2) {
        return TC_ACT_UNSPEC;
    }
    inner_of(s, p.v6, inner);
    if (!same(p.from, inner)) {
        return TC_ACT_UNSPEC;
    }
    return tcp ? outward_tcp(skb, s, &p) : outward_udp(skb, s, &p);
}

char terms[] SEC("license") = "GPL";
