/* What comes out of a tunnel into the store, in a real kernel, packet by packet; judged
 * by rules, and then once more by programs. "wg1" is a TUN device, so the test is the
 * gateway at the other end of the tunnel, stolen or not, and says whatever bytes it
 * likes. The device's own counter and one behind all tell what became of each. Needs
 * root, nft and /dev/net/tun. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "ingress.h"
#include "proxy/plane.h"
#include "proxy/sample.h"

enum { NOTHING = 0, FIN = 1, SYN = 2, RST = 4, ACK = 16, XMAS = 0x29 };
enum { TCP = 6, UDP = 17, ICMP = 1, ICMP6 = 58, FRAGMENT = 44 };

#define NEAR    "10.77.1.2"
#define NEAR6   "fd77:1::2"
#define FAR     "10.77.1.1"
#define FAR6    "fd77:1::1"
#define CLIENT  "203.0.113.40"
#define CLIENT6 "2001:db8:7::40"
#define HOME    "10.9.0.2" /* the store's other addresses */
#define NEAR_2  "10.77.2.2"

static int tunnel = -1, home = -1; /* the home network: home0 */

/* ---- the store ---- */

static void tool(const char *const *argv, const char *input, char **text_r)
{
    struct cm_run run = {.argv = argv, .input = input};
    struct cm_err err;
    if (cm_run_ok(&run, text_r, &err) != 0) {
        fail_msg("%s", err.text);
    }
}
#define TOOL(...) tool((const char *const[]){__VA_ARGS__, NULL}, NULL, NULL)

static const char watch[] = "table inet watch {\n"
                            " counter in { }\n"
                            " chain behind {\n"
                            "  type filter hook input priority 10\n"
                            "  iifname wg1 counter name in\n"
                            " }\n"
                            "}\n";

static struct ingress *programs; /* NULL: rules judge */
static bool by_programs;         /* those of the last load() */

static void load_state(struct px_state *state)
{
    struct cm_err err;
    state->judged = by_programs = programs != NULL && ingress_can(state);
    if (by_programs && ingress_settle(programs, state, &err) != 0) {
        fail_msg("%s", err.text);
    }
    char *text = px_store_nft(state);
    tool((const char *const[]){"nft", "-f", "-", NULL}, text, NULL);
    free(text);
    if (programs != NULL && !by_programs) {
        ingress_stop(programs);
    }
}

static void load(enum cm_egress egress)
{
    struct px_state state = px_sample();
    state.egress = egress;
    load_state(&state);
}

static int64_t dropped(void)
{
    return by_programs ? (int64_t)ingress_dropped(programs) : 0;
}

static int64_t came, in; /* packets, at the last count() */

static int64_t after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    at = strstr(at, "packets ");
    assert_non_null(at);
    return strtoll(at + strlen("packets "), NULL, 10);
}

static int64_t packets_of_device(void)
{
    char *text = NULL;
    struct cm_err err;
    long long bytes, packets = -1;
    if (cm_file_read("/proc/self/net/dev", 4096, &text, NULL, &err) != 1) {
        fail_msg("%s", err.text);
    }
    const char *at = strstr(text, "wg1:");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "wg1: %lld %lld", &bytes, &packets), 2);
    free(text);
    return packets;
}

static void count(void)
{
    const char *const argv[] = {"nft",  "list",  "counters", "table",
                                "inet", "watch", NULL};
    char *text = NULL;
    tool(argv, NULL, &text);
    came = packets_of_device();
    in = after(text, "counter in {");
    free(text);
}

static int make_link(const char *name)
{
    struct ifreq wanted = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    snprintf(wanted.ifr_name, sizeof(wanted.ifr_name), "%s", name);
    return fd >= 0 && ioctl(fd, TUNSETIFF, &wanted) == 0 ? fd : -1;
}

static int set_up(void **unused)
{
    (void)unused;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0 ||
        (tunnel = make_link("wg1")) < 0 || (home = make_link("home0")) < 0) {
        fprintf(stderr, "needs root, network namespaces and TUN\n");
        exit(77);
    }
    /* As on every store: no program gets a port of calls by chance. */
    TOOL("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=49160-49359");
    TOOL("ip", "link", "set", "lo", "up");
    TOOL("ip", "addr", "add", HOME "/32", "dev", "lo");
    TOOL("ip", "addr", "add", NEAR_2 "/32", "dev", "lo");
    TOOL("ip", "addr", "add", NEAR "/30", "dev", "wg1");
    TOOL("ip", "-6", "addr", "add", NEAR6 "/64", "dev", "wg1", "nodad");
    TOOL("ip", "link", "set", "wg1", "mtu", "1280", "up");
    TOOL("ip", "link", "set", "home0", "up");
    TOOL("ip", "route", "add", "192.168.77.0/24", "dev", "home0");
    TOOL("ip", "route", "add", "default", "dev", "wg1", "src", NEAR);
    TOOL("ip", "-6", "route", "add", "default", "dev", "wg1", "src", NEAR6);
    tool((const char *const[]){"nft", "-f", "-", NULL}, watch, NULL);
    return 0;
}

/* ---- packets ---- */

struct packet {
    unsigned char bytes[1280];
    size_t len;
};

struct ends {
    const char *from, *to;
};

static bool is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static uint32_t sum(const unsigned char *bytes, size_t n, uint32_t so_far)
{
    for (size_t i = 0; i < n; i++) {
        so_far += (uint32_t)bytes[i] << (i % 2 == 0 ? 8 : 0);
    }
    return so_far;
}

static unsigned folded(uint32_t total)
{
    while (total >> 16 != 0) {
        total = (total & 0xffff) + (total >> 16);
    }
    return ~total & 0xffff;
}

/* The header; returns where the body goes, len bytes of it. */
static unsigned char *head(struct packet *p, struct ends ends, int protocol, size_t len)
{
    bool v6 = is_v6(ends.to);
    size_t own = v6 ? 40 : 20;
    *p = (struct packet){.len = own + len};
    cm_assert(p->len <= sizeof(p->bytes));
    if (v6) {
        p->bytes[0] = 0x60;
        put16(p->bytes + 4, (unsigned)len);
        p->bytes[6] = (unsigned char)protocol;
        p->bytes[7] = 64;
        assert_int_equal(inet_pton(AF_INET6, ends.from, p->bytes + 8), 1);
        assert_int_equal(inet_pton(AF_INET6, ends.to, p->bytes + 24), 1);
        return p->bytes + own;
    }
    p->bytes[0] = 0x45;
    put16(p->bytes + 2, (unsigned)p->len);
    p->bytes[8] = 64;
    p->bytes[9] = (unsigned char)protocol;
    assert_int_equal(inet_pton(AF_INET, ends.from, p->bytes + 12), 1);
    assert_int_equal(inet_pton(AF_INET, ends.to, p->bytes + 16), 1);
    put16(p->bytes + 10, folded(sum(p->bytes, 20, 0)));
    return p->bytes + own;
}

/* The checksum of the body, at that offset in it. */
static void seal(struct packet *p, int protocol, size_t at)
{
    bool v6 = p->bytes[0] == 0x60;
    unsigned char *body = p->bytes + (v6 ? 40 : 20);
    size_t len = p->len - (v6 ? 40 : 20);
    uint32_t total = sum(body, len, 0);
    if (protocol != ICMP) {
        total = sum(p->bytes + (v6 ? 8 : 12), v6 ? 32 : 8, total);
        total += (uint32_t)len + (uint32_t)protocol;
    }
    put16(body + at, folded(total));
}

/* The kernel has it, and has judged it, when this is back. */
static void say(const struct packet *p)
{
    assert_int_equal(write(tunnel, p->bytes, p->len), p->len);
}

/* What the store has said since, that protocol only; false: nothing. */
static bool hear(struct packet *p, int protocol)
{
    for (int64_t end = cm_now_mono_ms() + 500; cm_now_mono_ms() < end;) {
        ssize_t n = read(tunnel, p->bytes, sizeof(p->bytes));
        if (n > 0 && p->bytes[p->bytes[0] >> 4 == 4 ? 9 : 6] == protocol) {
            p->len = (size_t)n;
            return true;
        }
        if (n < 0) {
            usleep(1000);
        }
    }
    return false;
}

static void judged(const struct packet *p, bool let_in, const char *what)
{
    int64_t came_before = came, in_before = in, dropped_before = dropped();
    say(p);
    count();
    if (by_programs) {
        assert_int_equal(dropped() - dropped_before, let_in ? 0 : 1);
    }
    if (came != came_before + 1) {
        fail_msg("%s: did not come", what);
    }
    if ((in != in_before) != let_in) {
        fail_msg("%s: %s", what, let_in ? "kept out" : "let in");
    }
}

static void tcp(struct ends ends, unsigned sport, unsigned dport, unsigned flags,
                bool let_in)
{
    struct packet p;
    unsigned char *t = head(&p, ends, TCP, 20);
    put16(t, sport);
    put16(t + 2, dport);
    put16(t + 4, 7777);
    t[12] = 5 << 4;
    t[13] = (unsigned char)flags;
    seal(&p, TCP, 16);
    char *what = cm_asprintf("%s %u to %s %u, flags %02x", ends.from, sport, ends.to,
                             dport, flags);
    judged(&p, let_in, what);
    free(what);
}

static void udp(struct ends ends, unsigned sport, unsigned dport, bool let_in)
{
    struct packet p;
    unsigned char *u = head(&p, ends, UDP, 12);
    put16(u, sport);
    put16(u + 2, dport);
    put16(u + 4, 12);
    seal(&p, UDP, 6);
    char *what = cm_asprintf("UDP %s %u to %s %u", ends.from, sport, ends.to, dport);
    judged(&p, let_in, what);
    free(what);
}

/* With a packet of UDP in it, from `about` to somewhere. */
static void icmp(struct ends ends, int type, const char *about, bool let_in)
{
    struct packet p, inner;
    bool v6 = is_v6(ends.to);
    int protocol = v6 ? ICMP6 : ICMP;
    unsigned char *u =
        head(&inner, (struct ends){about, v6 ? CLIENT6 : CLIENT}, UDP, 8);
    put16(u, 49170);
    put16(u + 2, 9999);
    unsigned char *i = head(&p, ends, protocol, 8 + inner.len);
    i[0] = (unsigned char)type;
    memcpy(i + 8, inner.bytes, inner.len);
    seal(&p, protocol, 2);
    char *what = cm_asprintf("ICMP %d from %s about %s", type, ends.from, about);
    judged(&p, let_in, what);
    free(what);
}

/* ---- the tests ---- */

static const unsigned odd[] = {SYN, ACK, FIN, NOTHING, XMAS, RST, SYN | FIN, SYN | ACK};
#define ODD (sizeof(odd) / sizeof(odd[0]))

static const struct ends client[] = {{CLIENT, NEAR}, {CLIENT6, NEAR6}},
                         gateway[] = {{FAR, NEAR}, {FAR6, NEAR6}};

static void public_ports(void **unused)
{
    (void)unused;
    load(CM_EGRESS_GATEWAYS);
    for (int v6 = 0; v6 <= 1; v6++) {
        for (size_t i = 0; i < ODD; i++) {
            tcp(client[v6], 40000, 993, odd[i], true);
        }
        udp(client[v6], 40000, 3478, true);
        udp(client[v6], 40000, 49200, true);
    }
    /* What begins a connection, or looks so, has a public source. */
    static const struct ends private[] = {
        {"192.168.77.7", NEAR}, {"10.9.0.3", NEAR}, {"10.77.2.1", NEAR}, {FAR, NEAR},
        {"fd00::7", NEAR6},     {FAR6, NEAR6},      {"fe80::7", NEAR6}};
    for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
        tcp(private[i], 40000, 993, SYN, false);
        tcp(private[i], 40000, 993, SYN | FIN, false);
        tcp(private[i], 40000, 993, SYN | RST, false);
        udp(private[i], 40000, 3478, false);
    }
    tcp(client[0], 40000, 993, SYN | 0xc0, true); /* asks for ECN */
    tcp(private[0], 40000, 993, SYN | 0xc0, false);
}

/* Scans of every kind: no port but those, and no other address of the store. */
static void other_ports(void **unused)
{
    (void)unused;
    static const unsigned ports[] = {22, 5432, 6379, 4711, 3903, 8443, 12993};
    load(CM_EGRESS_GATEWAYS);
    for (int v6 = 0; v6 <= 1; v6++) {
        for (size_t i = 0; i < ODD; i++) {
            for (size_t k = 0; k < sizeof(ports) / sizeof(ports[0]); k++) {
                tcp(client[v6], 40000, ports[k], odd[i], false);
            }
            tcp(gateway[v6], 40000, 5432, odd[i], false);
        }
        udp(client[v6], 40000, 5353, false);
        udp(client[v6], 53, 45000, false);
        udp(gateway[v6], 40000, 3478, false);
    }
    for (size_t i = 0; i < ODD; i++) {
        tcp((struct ends){CLIENT, HOME}, 40000, 993, odd[i], false);
        tcp((struct ends){CLIENT, HOME}, 443, 45000, odd[i], false);
        tcp((struct ends){CLIENT, NEAR_2}, 40000, 993, odd[i], false);
    }
}

static void the_gateway_itself(void **unused)
{
    (void)unused;
    load(CM_EGRESS_GATEWAYS);
    for (unsigned port = 4709; port <= 4713; port++) {
        bool bus = port >= 4710 && port <= 4712;
        tcp(gateway[0], 40000, port, SYN, bus);
        tcp(gateway[0], 40000, port, ACK, bus);
        tcp(gateway[1], 40000, port, SYN, false);
        tcp((struct ends){"10.77.2.1", NEAR}, 40000, port, ACK, false);
    }
    for (int v6 = 0; v6 <= 1; v6++) {
        tcp(gateway[v6], 40000, 3903, SYN, true);
        tcp(gateway[v6], 40000, 993, SYN, false);
        icmp(gateway[v6], v6 ? 128 : 8, v6 ? NEAR6 : NEAR, true);
    }
    /* An open connection of the bus is not slowed down, who begins many is. */
    int64_t before = in;
    for (int i = 0; i < 300; i++) {
        struct packet p;
        unsigned char *t = head(&p, gateway[0], TCP, 20);
        put16(t + 2, 4711);
        t[12] = 5 << 4;
        t[13] = i < 150 ? ACK : SYN;
        say(&p);
    }
    count();
    assert_in_range(in - before, 150 + 20, 150 + 120);
}

static void answers(void **unused)
{
    (void)unused;
    static const enum cm_egress egress[] = {CM_EGRESS_GATEWAYS, CM_EGRESS_DIRECT,
                                            CM_EGRESS_ALL};
    for (size_t i = 0; i < 3; i++) {
        bool out = egress[i] == CM_EGRESS_GATEWAYS;
        load(egress[i]);
        for (int v6 = 0; v6 <= 1; v6++) {
            for (unsigned port = 25; port <= 443; port += 443 - 25) {
                tcp(client[v6], port, 45000, SYN | ACK, out);
                tcp(client[v6], port, 1024, ACK, out);
                tcp(client[v6], port, 60999, RST, out);
                tcp(client[v6], port, 45000, SYN, false);
                tcp(client[v6], port, 45000, SYN | FIN, false);
                tcp(client[v6], port, 22, ACK, false);
                tcp(client[v6], port, 1023, ACK, false);
                tcp(client[v6], port, 4710, ACK, false);
                tcp(client[v6], port, 3903, ACK, false);
            }
            tcp(client[v6], 80, 45000, ACK, false);
            tcp(client[v6], 5432, 45000, ACK, false);
            tcp(gateway[v6], 25, 45000, ACK, false);
        }
        tcp((struct ends){"192.168.77.7", NEAR}, 25, 45000, ACK, false);
    }
}

/* A router with a private address may tell of trouble on the way, and of nothing but
 * what left by this tunnel. */
static void errors(void **unused)
{
    (void)unused;
    static const struct ends router = {"192.168.1.1", NEAR},
                             router6 = {"fd00::1", NEAR6};
    static const int types[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};
    load(CM_EGRESS_GATEWAYS);
    for (size_t i = 0; i < 3; i++) {
        icmp(router, types[i], NEAR, true);
        icmp(router, types[i], HOME, false);
        icmp(client[0], types[i], NEAR_2, false);
        icmp(gateway[0], types[i], NEAR, true);
        icmp(gateway[0], types[i], NEAR_2, false);
    }
    for (size_t i = 0; i < 4; i++) {
        icmp(router6, types6[i], NEAR6, true);
        icmp(router6, types6[i], "fd77:2::2", false);
        icmp(client[1], types6[i], "2001:db8:99::2", false);
    }
    icmp(router, 8, NEAR, false);
    icmp(client[0], 8, NEAR, true);
    icmp(client[1], 128, NEAR6, true);
    icmp(client[0], 5, NEAR, false); /* another way */
    icmp(gateway[0], 5, NEAR, false);
    icmp(client[1], 137, NEAR6, false);
    icmp(client[1], 134, NEAR6, false); /* a router that offers itself */
}

/* One datagram of 24 bytes in two pieces. */
static void in_pieces(unsigned dport, bool let_in)
{
    struct packet whole, piece;
    unsigned char *u = head(&whole, client[1], UDP, 32);
    put16(u, 40000);
    put16(u + 2, dport);
    put16(u + 4, 32);
    seal(&whole, UDP, 6);
    for (unsigned offset = 0; offset <= 16; offset += 16) {
        unsigned char *f = head(&piece, client[1], FRAGMENT, 8 + 16);
        f[0] = UDP;
        put16(f + 2, offset | (offset == 0));
        f[7] = (unsigned char)(dport & 0xff);
        memcpy(f + 8, u + offset, 16);
        judged(&piece, offset > 0 || let_in, "a piece");
    }
}

static int listen_udp6(uint16_t port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    return fd;
}

static void pieces(void **unused)
{
    (void)unused;
    char text[64];
    int calls = listen_udp6(3478), other = listen_udp6(5353);
    load(CM_EGRESS_GATEWAYS);
    in_pieces(3478, true);
    in_pieces(5353, false);
    assert_int_equal(recv(calls, text, sizeof(text), 0), 24);
    assert_int_equal(recv(other, text, sizeof(text), 0), -1);
    close(calls);
    close(other);
}

/* The store calls CLIENT there and is answered. True: it hears that. */
static bool calls_out(int type, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct packet p, answer;
    char text[8];
    int protocol = type == SOCK_STREAM ? TCP : UDP, error = 0;
    socklen_t len = sizeof(error);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    inet_pton(AF_INET, CLIENT, &to.sin_addr);
    while (read(tunnel, p.bytes, sizeof(p.bytes)) > 0) {
    }
    (void)!connect(fd, (struct sockaddr *)&to, sizeof(to));
    (void)!send(fd, "?", 1, MSG_NOSIGNAL);
    assert_true(hear(&p, protocol));
    unsigned char *a = head(&answer, client[0], protocol, type == SOCK_STREAM ? 20 : 9);
    memcpy(a, p.bytes + 22, 2);
    memcpy(a + 2, p.bytes + 20, 2);
    if (type == SOCK_STREAM) {
        memcpy(a + 8, p.bytes + 24, 4);
        for (int i = 11; i >= 8 && ++a[i] == 0; i--) {
        }
        a[12] = 5 << 4;
        a[13] = SYN | ACK;
        seal(&answer, TCP, 16);
    } else {
        put16(a + 4, 9);
        seal(&answer, UDP, 6);
    }
    say(&answer);
    count();
    bool heard = type == SOCK_STREAM
                     ? getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
                           error == 0 && send(fd, "!", 1, MSG_NOSIGNAL) == 1
                     : recv(fd, text, sizeof(text), 0) == 1;
    close(fd);
    return heard;
}

static int64_t tracked(void)
{
    char *text = NULL;
    struct cm_err err;
    if (cm_file_read("/proc/sys/net/netfilter/nf_conntrack_count", 64, &text, NULL,
                     &err) != 1) {
        return -1;
    }
    int64_t n = strtoll(text, NULL, 10);
    free(text);
    return n;
}

/* Mail is answered where it leaves by gateways, all else where all leaves so; and only
 * there the kernel keeps a table of connections. */
static void calls_and_conntrack(void **unused)
{
    (void)unused;
    load(CM_EGRESS_GATEWAYS);
    assert_true(calls_out(SOCK_STREAM, 25));
    assert_true(calls_out(SOCK_STREAM, 443));
    assert_false(calls_out(SOCK_STREAM, 80));
    assert_false(calls_out(SOCK_DGRAM, 53));
    load(CM_EGRESS_DIRECT);
    assert_false(calls_out(SOCK_STREAM, 25));
    assert_int_equal(tracked() > 0, 0);
    load(CM_EGRESS_ALL);
    assert_true(calls_out(SOCK_STREAM, 25));
    assert_true(calls_out(SOCK_STREAM, 80));
    assert_true(calls_out(SOCK_DGRAM, 53));
    if (tracked() >= 0) {
        assert_true(tracked() > 0); /* so it would have been seen above */
    }
}

/* All of the above once more, on a machine that is new. */
static int set_up_programs(void **unused)
{
    struct cm_err err;
    close(tunnel);
    close(home);
    set_up(unused);
    programs = ingress_new(&err);
    if (programs == NULL) {
        fail_msg("%s", err.text);
    }
    return 0;
}

static int tear_down_programs(void **unused)
{
    (void)unused;
    ingress_free(&programs);
    return 0;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* A SYN comes there. True: whoever listens has it, and his answer goes where answers
 * from this address go, into the tunnel. */
static bool begins(int link, struct ends ends, unsigned sport)
{
    struct packet p, answer;
    unsigned char *t = head(&p, ends, TCP, 20);

    put16(t, sport);
    put16(t + 2, 993);
    t[12] = 5 << 4;
    t[13] = SYN;
    seal(&p, TCP, 16);
    while (read(tunnel, answer.bytes, sizeof(answer.bytes)) > 0) {
    }
    assert_int_equal(write(link, p.bytes, p.len), p.len);
    for (int i = 0; i < 8 && hear(&answer, TCP); i++) { /* others are said again */
        const unsigned char *a = answer.bytes + (is_v6(ends.to) ? 40 : 20);
        if (a[2] == sport >> 8 && a[3] == (sport & 0xff)) {
            return a[13] == (SYN | ACK);
        }
    }
    return false;
}

/* It reaches the store by its own addresses, and not by those of a tunnel, whoever it
 * claims to be. */
static void the_home_network(void **unused)
{
    (void)unused;
    int listener = listen_on(993);
    unsigned sport = programs != NULL ? 42000 : 41000;

    load(CM_EGRESS_GATEWAYS);
    assert_true(begins(tunnel, client[0], sport));
    assert_false(begins(home, client[0], sport + 1));
    assert_false(begins(home, gateway[0], sport + 2));
    assert_false(begins(home, (struct ends){"192.168.77.7", NEAR}, sport + 3));
    assert_true(begins(home, (struct ends){CLIENT, HOME}, sport + 4));

    /* The machine itself does. */
    struct sockaddr_in near = {.sin_family = AF_INET, .sin_port = htons(993)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, NEAR, &near.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&near, sizeof(near)), 0);
    close(fd);
    close(listener);
}

/* In fd77:N::2 N is written as in 10.77.N.2, in decimal. */
static void a_tunnel_above_nine(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    int listener = listen_on(993), link = make_link("wg12");
    unsigned sport = programs != NULL ? 44000 : 43000;
    static const struct ends right[] = {{CLIENT, "10.77.12.2"},
                                        {CLIENT6, "fd77:12::2"}},
                             wrong[] = {{CLIENT, NEAR}, {CLIENT6, "fd77:c::2"}};

    TOOL("ip", "addr", "add", "10.77.12.2/30", "dev", "wg12");
    TOOL("ip", "-6", "addr", "add", "fd77:12::2/64", "dev", "wg12", "nodad");
    TOOL("ip", "-6", "addr", "add", "fd77:c::2/64", "dev", "wg12", "nodad");
    TOOL("ip", "link", "set", "wg12", "up");
    state.gateways[1].number = 12;
    load_state(&state);
    for (int v6 = 0; v6 <= 1; v6++) {
        assert_true(begins(link, right[v6], sport++));
        assert_false(begins(link, wrong[v6], sport++));
        assert_false(begins(tunnel, right[v6], sport++));
    }
    close(link);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_and_conntrack), /* first: no table yet */
        cmocka_unit_test(public_ports),
        cmocka_unit_test(other_ports),
        cmocka_unit_test(the_gateway_itself),
        cmocka_unit_test(answers),
        cmocka_unit_test(errors),
        cmocka_unit_test(pieces),
        cmocka_unit_test(the_home_network),
        cmocka_unit_test(a_tunnel_above_nine),
    };
    int of_rules = cmocka_run_group_tests_name("rules", tests, set_up, NULL);
    int of_programs = cmocka_run_group_tests_name("programs", tests, set_up_programs,
                                                  tear_down_programs);
    return of_rules + of_programs;
}
