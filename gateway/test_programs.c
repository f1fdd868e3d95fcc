/* The programs of carry.bpf.c, packet by packet, as the kernel runs them
 * (BPF_PROG_TEST_RUN), in a network namespace of their own. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "carry_map.h"
#include "carry_object.h"
#include "proxy/marks.h"

#define PUBLIC4 "::ffff:198.51.100.11"
#define CLIENT4 "::ffff:198.51.100.40"
#define INNER4  "::ffff:10.77.1.2"
#define PUBLIC6 "2001:db8:1::11"
#define CLIENT6 "2001:db8:1::40"
#define INNER6  "fd77:1::2"

#define CLIENT_PORT 40000
#define SEQ         1000000u
#define ACK         5000000u

static struct bpf_object *object;

struct parcel { /* a packet, or what became of it */
    unsigned char data[256];
    uint32_t len;
    uint32_t mark;
    uint32_t verdict;
};

static void address(const char *text, void *out)
{
    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

static int map(const char *name)
{
    return bpf_object__find_map_fd_by_name(object, name);
}

/* ---- packets ---- */

/* RFC 1071. */
static uint16_t sum(const void *data, size_t len, uint32_t sum)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++) {
        sum += (uint32_t)p[i] << (i % 2 == 0 ? 8 : 0);
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

static size_t put_ip(unsigned char *at, const char *from, const char *to, int protocol,
                     size_t rest)
{
    unsigned char a[16], b[16];
    address(from, a);
    address(to, b);
    if (strncmp(from, "::ffff:", 7) == 0) {
        struct iphdr ip = {.version = 4,
                           .ihl = 5,
                           .ttl = 64,
                           .protocol = (uint8_t)protocol,
                           .tot_len = htons((uint16_t)(sizeof(ip) + rest))};
        memcpy(&ip.saddr, a + 12, 4);
        memcpy(&ip.daddr, b + 12, 4);
        ip.check = htons((uint16_t)~sum(&ip, sizeof(ip), 0));
        memcpy(at, &ip, sizeof(ip));
        return sizeof(ip);
    }
    struct ip6_hdr ip = {
        .ip6_flow = htonl(6u << 28),
        .ip6_plen = htons((uint16_t)rest),
        .ip6_nxt = (uint8_t)(protocol == IPPROTO_ICMP ? IPPROTO_ICMPV6 : protocol),
        .ip6_hlim = 64};
    memcpy(&ip.ip6_src, a, 16);
    memcpy(&ip.ip6_dst, b, 16);
    memcpy(at, &ip, sizeof(ip));
    return sizeof(ip);
}

static bool is_v4(const unsigned char *ip)
{
    return ip[0] >> 4 == 4;
}

/* What the checksum of the payload covers besides: RFC 9293, RFC 8200. */
static uint32_t pseudo(const unsigned char *ip, int protocol, size_t rest)
{
    return (uint32_t)protocol + (uint32_t)rest +
           (is_v4(ip) ? sum(ip + 12, 8, 0) : sum(ip + 8, 32, 0));
}

static void put_ether(struct parcel *p)
{
    bool v4 = is_v4(p->data + ETH_HLEN);
    p->data[12] = v4 ? 0x08 : 0x86;
    p->data[13] = v4 ? 0x00 : 0xdd;
}

/* With a checksum, or without one, as IPv4 has it. */
static struct parcel udp(const char *from, int sport, const char *to, int dport,
                         bool summed, const char *text)
{
    struct parcel p = {.len = 0};
    size_t rest = sizeof(struct udphdr) + strlen(text);
    struct udphdr u = {.source = htons((uint16_t)sport),
                       .dest = htons((uint16_t)dport),
                       .len = htons((uint16_t)rest)};
    size_t ip = put_ip(p.data + ETH_HLEN, from, to, IPPROTO_UDP, rest);
    unsigned char *out = p.data + ETH_HLEN + ip;
    put_ether(&p);
    memcpy(out, &u, sizeof(u));
    memcpy(out + sizeof(u), text, strlen(text));
    if (summed) {
        u.check = htons(
            (uint16_t)~sum(out, rest, pseudo(p.data + ETH_HLEN, IPPROTO_UDP, rest)));
        memcpy(out, &u, sizeof(u));
    }
    p.len = (uint32_t)(ETH_HLEN + ip + rest);
    return p;
}

static struct parcel tcp(size_t at, const char *from, int sport, const char *to,
                         int dport, unsigned flags, const char *text)
{
    struct parcel p = {.len = 0};
    size_t rest = sizeof(struct tcphdr) + strlen(text);
    struct tcphdr t = {.source = htons((uint16_t)sport),
                       .dest = htons((uint16_t)dport),
                       .seq = htonl(SEQ),
                       .ack_seq = htonl(ACK),
                       .doff = 5};
    t.th_flags = (uint8_t)flags;
    size_t ip = put_ip(p.data + at, from, to, IPPROTO_TCP, rest);
    unsigned char *out = p.data + at + ip;
    if (at != 0) {
        put_ether(&p);
    }
    memcpy(out, &t, sizeof(t));
    memcpy(out + sizeof(t), text, strlen(text));
    t.th_sum = htons((uint16_t)~sum(out, rest, pseudo(p.data + at, IPPROTO_TCP, rest)));
    memcpy(out, &t, sizeof(t));
    p.len = (uint32_t)(at + ip + rest);
    return p;
}

/* ---- running ---- */

/* Packets have an Ethernet header here; the programs of wg0, where they have none, are
 * tried in test_tunnel.c. */
static void run(const char *name, struct parcel *p)
{
    struct __sk_buff context = {.mark = p->mark};
    unsigned char out[256];
    struct bpf_program *program = bpf_object__find_program_by_name(object, name);
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->data, .data_size_in = p->len,
                .data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
                .ctx_size_in = sizeof(context), .ctx_out = &context,
                .ctx_size_out = sizeof(context));
    assert_non_null(program);
    assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
    memcpy(p->data, out, opts.data_size_out);
    p->len = opts.data_size_out;
    p->mark = context.mark;
    p->verdict = opts.retval;
}

static void expect_addresses(const unsigned char *ip, const char *from, const char *to)
{
    unsigned char a[16], b[16];
    address(from, a);
    address(to, b);
    if (is_v4(ip)) {
        assert_memory_equal(ip + 12, a + 12, 4);
        assert_memory_equal(ip + 16, b + 12, 4);
        assert_int_equal(sum(ip, 20, 0), 0xffff);
    } else {
        assert_memory_equal(ip + 8, a, 16);
        assert_memory_equal(ip + 24, b, 16);
    }
}

/* Translated, a hop older, and every checksum right. */
static void expect_carried_of(const struct parcel *p, int protocol, const char *from,
                              const char *to)
{
    const unsigned char *ip = p->data + ETH_HLEN;
    size_t head = is_v4(ip) ? 20 : 40, rest = p->len - ETH_HLEN - head;
    assert_int_equal(p->verdict, TC_ACT_REDIRECT);
    expect_addresses(ip, from, to);
    assert_int_equal(is_v4(ip) ? ip[8] : ip[7], 63);
    assert_int_equal(sum(ip + head, rest, pseudo(ip, protocol, rest)), 0xffff);
}

static void expect_carried(const struct parcel *p, const char *from, const char *to)
{
    expect_carried_of(p, IPPROTO_TCP, from, to);
}

static void expect_untouched(struct parcel p, const char *name, uint32_t mark)
{
    struct parcel before = p;
    run(name, &p);
    assert_int_equal(p.verdict, (uint32_t)TC_ACT_UNSPEC);
    assert_int_equal(p.mark, mark);
    assert_int_equal(p.len, before.len);
    assert_memory_equal(p.data, before.data, p.len);
}

/* ---- what is known ---- */

static struct gw_carry_key key_of(const char *client)
{
    struct gw_carry_key key = {.client_port = htons(CLIENT_PORT), .port = htons(993)};
    address(client, key.client);
    return key;
}

static void put(const char *name, const char *client, const char *public,
                struct gw_carry_flow flow)
{
    struct gw_carry_key key = key_of(client);
    address(public, flow.address);
    assert_int_equal(bpf_map_update_elem(map(name), &key, &flow, BPF_ANY), 0);
}

static bool get(const char *name, const char *client, struct gw_carry_flow *flow)
{
    struct gw_carry_key key = key_of(client);
    return bpf_map_lookup_elem(map(name), &key, flow) == 0;
}

static void forget(void)
{
    struct gw_carry_key keys[] = {key_of(CLIENT4), key_of(CLIENT6)};
    for (size_t i = 0; i < 2; i++) {
        bpf_map_delete_elem(map("flows"), &keys[i]);
        bpf_map_delete_elem(map("fresh"), &keys[i]);
    }
}

static const struct {
    const char *client, *public, *inner;
} families[] = {{CLIENT4, PUBLIC4, INNER4}, {CLIENT6, PUBLIC6, INNER6}};

/* ---- tests ---- */

static void an_open_flow_is_carried_inward(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct gw_carry_flow flow = {.ack = 1, .next = ACK};
        put("flows", families[i].client, families[i].public, flow);
        for (size_t len = 0; len < 4; len++) {
            struct parcel p = tcp(ETH_HLEN, families[i].client, CLIENT_PORT,
                                  families[i].public, 993, TH_ACK, &"abc"[3 - len]);
            run("inward_ether", &p);
            expect_carried(&p, families[i].client, families[i].inner);
        }
        assert_true(get("flows", families[i].client, &flow));
        assert_int_equal(flow.ack, ACK);
        forget();
    }
}

/* What fills up the frame is no part of the packet. */
static void a_short_frame_is_filled_up(void **state)
{
    (void)state;
    struct gw_carry_flow flow = {.ack = 1};
    put("flows", CLIENT4, PUBLIC4, flow);
    struct parcel p = tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_ACK, "");
    memset(p.data + p.len, 0xee, 6);
    p.len += 6;
    run("inward_ether", &p);
    p.len -= 6;
    expect_carried(&p, CLIENT4, INNER4);
    forget();
}

static void what_is_not_known_is_for_the_rules(void **state)
{
    (void)state;
    struct gw_carry_flow flow = {.ack = 1};
    put("flows", CLIENT4, PUBLIC4, flow);
    expect_untouched(tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_SYN, ""),
                     "inward_ether", 0);
    expect_untouched(tcp(ETH_HLEN, CLIENT4, CLIENT_PORT + 1, PUBLIC4, 993, TH_ACK, ""),
                     "inward_ether", 0);
    expect_untouched(tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 22, TH_ACK, ""),
                     "inward_ether", 0);
    /* The same ports, to another address of ours. */
    expect_untouched(
        tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, "::ffff:198.51.100.12", 993, TH_ACK, ""),
        "inward_ether", 0);
    expect_untouched(tcp(ETH_HLEN, CLIENT6, CLIENT_PORT, PUBLIC6, 993, TH_ACK, ""),
                     "inward_ether", 0);
    struct parcel cut = tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_ACK, "");
    cut.len -= 3;
    expect_untouched(cut, "inward_ether", 0);
    struct parcel piece = tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_ACK, "");
    piece.data[ETH_HLEN + 7] = 1; /* not the first */
    expect_untouched(piece, "inward_ether", 0);
    struct parcel old = tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_ACK, "");
    old.data[ETH_HLEN + 8] = 1;
    expect_untouched(old, "inward_ether", 0);
    forget();
}

/* The rules hear once of a source that has proven itself; then they need not. */
static void a_handshake_opens(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *client = families[i].client, *public = families[i].public;
        struct gw_carry_flow flow = {.answered = 1, .handshake = 1, .next = ACK};
        struct parcel p = tcp(ETH_HLEN, client, CLIENT_PORT, public, 993, TH_ACK, "x");
        put("fresh", client, public, flow);
        expect_untouched(p, "inward_ether", PX_MARK_PROVEN);
        assert_false(get("flows", client, &flow));
        run("inward_ether", &p);
        expect_carried(&p, client, families[i].inner);
        assert_true(get("flows", client, &flow));
        assert_false(get("fresh", client, &flow));
        forget();
    }
}

static void who_guesses_opens_nothing(void **state)
{
    (void)state;
    struct parcel p = tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_ACK, "");
    struct gw_carry_flow flow = {.answered = 1, .handshake = 1, .next = ACK + 1};
    put("fresh", CLIENT4, PUBLIC4, flow);
    expect_untouched(p, "inward_ether", 0);
    flow.next = ACK;
    flow.answered = 0;
    put("fresh", CLIENT4, PUBLIC4, flow);
    expect_untouched(p, "inward_ether", 0);
    flow = (struct gw_carry_flow){.answered = 1, .next = ACK + (2u << 20)};
    put("fresh", CLIENT4, PUBLIC4, flow);
    expect_untouched(p, "inward_ether", 0);
    flow.next = ACK + 100; /* on its way yet */
    put("fresh", CLIENT4, PUBLIC4, flow);
    expect_untouched(p, "inward_ether", PX_MARK_RESUMED);
    assert_false(get("flows", CLIENT4, &flow));
    forget();
}

static void what_ends_is_carried_no_longer(void **state)
{
    (void)state;
    struct gw_carry_flow flow = {.ack = 1};
    put("flows", CLIENT4, PUBLIC4, flow);
    struct parcel p =
        tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_FIN | TH_ACK, "");
    run("inward_ether", &p);
    expect_carried(&p, CLIENT4, INNER4);
    assert_true(get("flows", CLIENT4, &flow));
    assert_int_equal(flow.ended, GW_CARRY_CLIENT_ENDED);
    flow.ended |= GW_CARRY_STORE_ENDED;
    put("flows", CLIENT4, PUBLIC4, flow);
    p = tcp(ETH_HLEN, CLIENT4, CLIENT_PORT, PUBLIC4, 993, TH_ACK, "");
    run("inward_ether", &p);
    expect_carried(&p, CLIENT4, INNER4);
    assert_true(get("flows", CLIENT4, &flow)); /* its last packets are carried too */
    assert_int_equal(flow.ended, GW_CARRY_BOTH_ENDED);
    forget();
    put("flows", CLIENT6, PUBLIC6, (struct gw_carry_flow){.ack = 1});
    p = tcp(ETH_HLEN, CLIENT6, CLIENT_PORT, PUBLIC6, 993, TH_RST, "");
    run("inward_ether", &p);
    expect_carried(&p, CLIENT6, INNER6);
    assert_false(get("flows", CLIENT6, &flow));
}

/* ---- what the store has begun ---- */

static void only_the_store_is_answered(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct parcel p = tcp(ETH_HLEN, families[i].client, CLIENT_PORT,
                              families[i].public, 993, TH_SYN | TH_ACK, "");
        put("flows", families[i].client, families[i].public,
            (struct gw_carry_flow){.ack = 1});
        expect_untouched(p, "inward_ether", 0); /* a client's answers nobody */
        put("flows", families[i].client, families[i].public,
            (struct gw_carry_flow){.egress = 1});
        run("inward_ether", &p);
        expect_carried(&p, families[i].client, families[i].inner);
        p = tcp(ETH_HLEN, families[i].client, CLIENT_PORT, families[i].public, 993,
                TH_SYN, "");
        expect_untouched(p, "inward_ether", 0);
        forget();
    }
}

/* ---- calls ---- */

static void put_call(size_t i, int port, uint32_t age_s)
{
    struct gw_carry_key key = key_of(families[i].client);
    struct gw_carry_flow call = {.ack = 0};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    call.seen_s = (uint32_t)now.tv_sec - age_s;
    key.port = htons((uint16_t)port);
    address(families[i].public, call.address);
    assert_int_equal(bpf_map_update_elem(map("calls"), &key, &call, BPF_ANY), 0);
}

static void forget_call(size_t i, int port)
{
    struct gw_carry_key key = key_of(families[i].client);
    key.port = htons((uint16_t)port);
    bpf_map_delete_elem(map("calls"), &key);
}

static struct parcel word(size_t i, int port, bool summed, const char *text)
{
    return udp(families[i].client, CLIENT_PORT, families[i].public, port, summed, text);
}

static void a_call_is_carried_inward(void **state)
{
    static const int ports[] = {3478, 49160, 49359};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < 3; k++) {
            expect_untouched(word(i, ports[k], true, "abc"), "inward_ether", 0);
            put_call(i, ports[k], 0);
            for (size_t len = 0; len < 4; len++) {
                struct parcel p = word(i, ports[k], true, &"abc"[3 - len]);
                run("inward_ether", &p);
                expect_carried_of(&p, IPPROTO_UDP, families[i].client,
                                  families[i].inner);
            }
            forget_call(i, ports[k]);
        }
    }
}

static void who_sums_nothing_up_is_left_so(void **state)
{
    (void)state;
    put_call(0, 3478, 0);
    struct parcel p = word(0, 3478, false, "abc");
    run("inward_ether", &p);
    assert_int_equal(p.verdict, TC_ACT_REDIRECT);
    expect_addresses(p.data + ETH_HLEN, CLIENT4, INNER4);
    assert_memory_equal(p.data + ETH_HLEN + 20 + 6, "\0\0", 2);
    forget_call(0, 3478);
}

static void other_ports_are_no_calls(void **state)
{
    static const int ports[] = {53, 3477, 3479, 49159, 49360, 51820};
    (void)state;
    for (size_t k = 0; k < sizeof(ports) / sizeof(ports[0]); k++) {
        put_call(0, ports[k], 0);
        expect_untouched(word(0, ports[k], true, "abc"), "inward_ether", 0);
        forget_call(0, ports[k]);
    }
}

/* The rules are asked again: a gateway that drains takes it for a new one. */
static void a_silent_call_is_over(void **state)
{
    (void)state;
    put_call(0, 3478, GW_CARRY_CALL_S - 2);
    struct parcel p = word(0, 3478, true, "abc");
    run("inward_ether", &p);
    expect_carried_of(&p, IPPROTO_UDP, CLIENT4, INNER4);
    put_call(0, 3478, GW_CARRY_CALL_S + 1);
    expect_untouched(word(0, 3478, true, "abc"), "inward_ether", 0);
    forget_call(0, 3478);
}

/* ---- errors of routers ---- */

static struct parcel error_about(const char *router, const char *client,
                                 const char *public)
{
    struct parcel quoted = tcp(0, public, 993, client, CLIENT_PORT, TH_ACK, "");
    struct parcel p = {.len = 0};
    bool v4 = is_v4(quoted.data);
    unsigned char *ip = p.data + ETH_HLEN, icmp[8] = {v4 ? 3 : 2, v4 ? 4 : 0};
    uint32_t quote = (v4 ? 20 : 40) + 8;
    size_t head = put_ip(ip, router, public, IPPROTO_ICMP, sizeof(icmp) + quote);
    memcpy(ip + head, icmp, sizeof(icmp));
    memcpy(ip + head + sizeof(icmp), quoted.data, quote);
    uint16_t check =
        (uint16_t)~sum(ip + head, sizeof(icmp) + quote,
                       v4 ? 0 : pseudo(ip, IPPROTO_ICMPV6, sizeof(icmp) + quote));
    ip[head + 2] = (unsigned char)(check >> 8);
    ip[head + 3] = (unsigned char)check;
    put_ether(&p);
    p.len = (uint32_t)(ETH_HLEN + head + sizeof(icmp) + quote);
    return p;
}

static void an_error_finds_the_store(void **state)
{
    static const char *const routers[] = {"::ffff:192.168.7.1", "2001:db8:9::1"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct parcel p =
            error_about(routers[i], families[i].client, families[i].public);
        const unsigned char *ip = p.data + ETH_HLEN;
        expect_untouched(p, "inward_ether", 0);
        put("flows", families[i].client, families[i].public,
            (struct gw_carry_flow){.ack = 1});
        run("inward_ether", &p);
        size_t head = is_v4(ip) ? 20 : 40, rest = p.len - ETH_HLEN - head;
        assert_int_equal(p.verdict, TC_ACT_REDIRECT);
        expect_addresses(ip, routers[i], families[i].inner);
        expect_addresses(ip + head + 8, families[i].inner, families[i].client);
        assert_int_equal(
            sum(ip + head, rest, is_v4(ip) ? 0 : pseudo(ip, IPPROTO_ICMPV6, rest)),
            0xffff);
        forget();
    }
}

static void an_error_about_a_call_finds_the_store(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct parcel p =
            error_about(families[i].client, families[i].client, families[i].public);
        unsigned char *ip = p.data + ETH_HLEN;
        bool v4 = is_v4(ip);
        size_t head = v4 ? 20 : 40, quoted = head + 8;
        /* The quotation becomes one of UDP, from the relay's port. */
        ip[quoted + (v4 ? 9 : 6)] = IPPROTO_UDP;
        ip[quoted + head] = 3478 >> 8;
        ip[quoted + head + 1] = 3478 & 0xff;
        ip[head + 2] = ip[head + 3] = 0;
        size_t rest = p.len - ETH_HLEN - head;
        uint16_t check =
            (uint16_t)~sum(ip + head, rest, v4 ? 0 : pseudo(ip, IPPROTO_ICMPV6, rest));
        ip[head + 2] = (unsigned char)(check >> 8);
        ip[head + 3] = (unsigned char)check;
        expect_untouched(p, "inward_ether", 0);
        put_call(i, 3478, 0);
        run("inward_ether", &p);
        assert_int_equal(p.verdict, TC_ACT_REDIRECT);
        expect_addresses(ip, families[i].client, families[i].inner);
        assert_int_equal(
            sum(ip + head, rest, v4 ? 0 : pseudo(ip, IPPROTO_ICMPV6, rest)), 0xffff);
        forget_call(i, 3478);
    }
}

/* ---- the namespace ---- */

static int up(void **state)
{
    struct gw_carry_settings s = {.tunnel = 1,
                                  .on = 1,
                                  .alone = {1, 2},
                                  .relay_port = 3478,
                                  .relay_min = 49160,
                                  .relay_max = 49359};
    struct gw_carry_count zeros[1024] = {{0}};
    uint32_t zero = 0;
    __be16 port = htons(993);
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
        fprintf(stderr, "needs root and namespaces\n");
        exit(77);
    }
    object = bpf_object__open_mem(gw_carry_object, gw_carry_object_size, NULL);
    assert_non_null(object);
    assert_int_equal(bpf_object__load(object), 0);
    address(PUBLIC4, s.addresses[0]);
    address(PUBLIC6, s.addresses[1]);
    address(INNER4, s.inner[0]);
    address(INNER6, s.inner[1]);
    assert_int_equal(bpf_map_update_elem(map("settings"), &zero, &s, BPF_ANY), 0);
    assert_int_equal(bpf_map_update_elem(map("doors"), &port, zeros, BPF_ANY), 0);
    return 0;
}

static int down(void **state)
{
    (void)state;
    bpf_object__close(object);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_flow_is_carried_inward),
        cmocka_unit_test(a_short_frame_is_filled_up),
        cmocka_unit_test(what_is_not_known_is_for_the_rules),
        cmocka_unit_test(a_handshake_opens),
        cmocka_unit_test(who_guesses_opens_nothing),
        cmocka_unit_test(what_ends_is_carried_no_longer),
        cmocka_unit_test(only_the_store_is_answered),
        cmocka_unit_test(a_call_is_carried_inward),
        cmocka_unit_test(who_sums_nothing_up_is_left_so),
        cmocka_unit_test(other_ports_are_no_calls),
        cmocka_unit_test(a_silent_call_is_over),
        cmocka_unit_test(an_error_finds_the_store),
        cmocka_unit_test(an_error_about_a_call_finds_the_store),
    };
    return cmocka_run_group_tests(tests, up, down);
}
