/* carry_call: packets of calls, UDP to and from the ports of the store's relay. For the
 * BPF target only.
 *
 * A call is known from its first packet that the rules let in, or that the relay sends;
 * whoever has been silent for GW_CARRY_CALL_S is for the rules again. What is wider
 * than the tunnel is for the kernel to cut, and goes by the rules. */
#ifndef GW_CARRY_CALL_H
#define GW_CARRY_CALL_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "carry_known.h"
#include "carry_way.h"

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

    if (s == NULL || !is_relay(s, p->to_port) || p->ttl < 2 ||
        skb->len - at > GW_CARRY_CALL_MAX) {
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

INLINE void learn_call(const struct gw_carry_settings *s, const struct packet *p,
                       __u32 number)
{
    struct gw_carry_key key;

    if (is_relay(s, p->to_port)) {
        key_of(&key, p->from, p->from_port, p->to_port);
        keep_call(s, &key, number);
    }
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

#endif
