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
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "proxy/marks.h"
#include "carry_call.h"
#include "carry_error.h"
#include "carry_known.h"
#include "carry_packet.h"
#include "carry_way.h"

/* So often the rules are told anew of a source that they know: they forget it after
 * twelve hours. */
#define KNOWN_S 3600

/* An acknowledgement of this much more or less than we saw is one of the same flow. */
#define NEAR (1u << 20)

struct source {
    __u32 word[4];
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, GW_CARRY_KNOWN);
    __type(key, struct source);
    __type(value, struct gw_carry_known);
} known SEC(".maps");

/* ---- of one flow ---- */

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
