/* carry_known: the maps of the programs of carry.bpf.c, and what they say. For the BPF
 * target only, and for one object: it defines the maps. */
#ifndef GW_CARRY_KNOWN_H
#define GW_CARRY_KNOWN_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "carry_map.h"
#include "carry_packet.h"

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

INLINE bool is_public(const struct gw_carry_settings *s, const __u32 *address)
{
    bool found = false;

#pragma unroll
    for (int i = 0; i < GW_CARRY_ADDRESSES; i++) {
        found |= same(s->addresses[i], address);
    }
    return found;
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

#endif
