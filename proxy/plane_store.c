/* The store's end: one tunnel, one inner address and one routing table per gateway. */
#include "plane.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/err.h"
#include "not_public.h"
#include "text.h"

/* The mark on WireGuard's own packets, so that with egress "all" they do not go into
 * the tunnel that they carry. */
#define WG_MARK "0x7077"

/* ---- nft ---- */

/* Every number that may ever be a tunnel, not only today's: a tunnel that is coming up
 * or going down is under the rules too. Other wg interfaces of the machine are not
 * ours. */
static void tunnel_set(struct cm_buf *out)
{
    cm_buf_str(out, "\n    set tunnels {\n"
                    "        type ifname\n"
                    "        elements = { ");
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        cm_buf_fmt(out, "%s\"wg%d\"",
                   n == 1       ? ""
                   : n % 8 == 1 ? ",\n                     "
                                : ", ",
                   n);
    }
    cm_buf_str(out, " }\n    }\n");
}

static void foreign_set(struct cm_buf *out)
{
    const char *sep = "";

    cm_buf_str(out, "\n    set not_public {\n"
                    "        type ipv4_addr; flags interval\n"
                    "        elements = { ");
#define ELEMENT(a, b, c, d, bits)                                                      \
    cm_buf_fmt(out, "%s%d.%d.%d.%d/%d", sep, a, b, c, d, bits);                        \
    sep = (a) == 127 || ((a) == 192 && (b) == 0) ? ",\n                     " : ", ";
    PX_NOT_PUBLIC(ELEMENT)
    cm_buf_str(out, " }\n    }\n");
}

/* "{ 10.77.1.2, 10.77.2.2 }" */
static void inner_all(struct cm_buf *out, const struct px_state *state, bool v6)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        char inner[46];
        (v6 ? px_inner6 : px_inner4)(state->gateways[i].number, 2, inner);
        cm_buf_fmt(out, "%s%s", i == 0 ? "{ " : ", ", inner);
    }
    cm_buf_str(out, " }");
}

static void inner_drop(struct cm_buf *out, const struct px_state *state, bool v6)
{
    if (state->gateway_count == 0) {
        return;
    }
    cm_buf_fmt(out, "        %s daddr ", v6 ? "ip6" : "ip");
    inner_all(out, state, v6);
    cm_buf_str(out, " iifname != \"lo\" counter drop\n");
}

/* What a caller has relayed to one of our own addresses does not leave the machine. It
 * may reach another relayed port, as from outside, and nothing else that listens here.
 * Relayed ports aside, chatmail-turn asks the server whether it lives, and is answered.
 */
static void relay_drop(struct cm_buf *out, const struct px_state *state)
{
    if (state->gateway_count == 0 || state->turn.port == 0) {
        return;
    }
    cm_buf_fmt(out,
               "        udp sport != %u-%u udp dport %u accept\n"
               "        udp sport %u accept\n",
               state->turn.relay_min, state->turn.relay_max, state->turn.port,
               state->turn.port);
    for (int v6 = 0; v6 <= 1; v6++) {
        const char *ip = v6 ? "ip6" : "ip";
        for (int near = 1; near >= 0; near--) {
            cm_buf_fmt(out, "        meta l4proto udp %s saddr ", ip);
            inner_all(out, state, v6);
            if (near) {
                cm_buf_fmt(out, " %s daddr ", ip);
                inner_all(out, state, v6);
                cm_buf_fmt(out, " udp dport %u-%u", state->turn.relay_min,
                           state->turn.relay_max);
            }
            cm_buf_str(out, near ? " accept\n" : " counter drop\n");
        }
    }
}

/* Whoever is heard there is believed, so no program of the store's is either. */
static void header_drop(struct cm_buf *out, const struct px_state *state)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        for (int v6 = 0; v6 <= 1 && state->gateways[i].by_header; v6++) {
            char near[46];
            (v6 ? px_inner6 : px_inner4)(state->gateways[i].number, 2, near);
            cm_buf_fmt(out, "        %s daddr %s tcp dport ", v6 ? "ip6" : "ip", near);
            px_text_header_ports(out, state);
            cm_buf_str(out, " counter drop\n");
        }
    }
}

/* A segment that begins nothing: a listener makes a connection of a SYN without ACK and
 * of nothing else. */
#define GOES_ON "tcp flags & (syn | ack) != syn"

/* The ways of today's gateways, and a shut door for every other tunnel. */
static void ways(struct cm_buf *out, const struct px_state *state)
{
    bool ours[CM_GATEWAYS_MAX + 1] = {false};
    for (size_t i = 0; i < state->gateway_count; i++) {
        ours[state->gateways[i].number] = true;
    }
    cm_buf_str(out, "        meta iiftype != ether iifname vmap {");
    for (int n = 1; n <= CM_GATEWAYS_MAX; n++) {
        cm_buf_fmt(out, "%s\"wg%d\" : goto ",
                   n == 1       ? " "
                   : n % 4 == 1 ? ",\n            "
                                : ", ",
                   n);
        cm_buf_fmt(out, ours[n] ? "tunnel_%d" : "shut", n);
    }
    cm_buf_str(out, " }\n");
}

static void limited(struct cm_buf *out, int rate, int burst)
{
    cm_buf_fmt(out, " limit rate %d/second burst %d packets accept\n", rate, burst);
}

static void header_ports(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw, bool v6)
{
    const char *ip = v6 ? "ip6" : "ip";
    char far[46], near[46];
    (v6 ? px_inner6 : px_inner4)(gw->number, 1, far);
    (v6 ? px_inner6 : px_inner4)(gw->number, 2, near);
    cm_buf_fmt(out, "        %s saddr %s %s daddr %s tcp dport ", ip, far, ip, near);
    px_text_header_ports(out, state);
    cm_buf_str(out, " accept\n");
}

/* What nearly every packet is: one of a tunnel itself (to none of the addresses that
 * px_inner4 and px_inner6 give), or in a tunnel one of an open connection, which a
 * single look-up finds among all gateways and ports. */
static void open_flows(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_str(out, "        meta iiftype ether ip daddr != 10.77.0.0/16 accept\n"
                    "        meta iiftype ether ip6 daddr != fd77::/16 accept\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        const char *sep = "";
        if (state->gateway_count == 0 || state->port_count == 0) {
            continue;
        }
        cm_buf_fmt(out, "        " GOES_ON " iifname . %s daddr . tcp dport {",
                   v6 ? "ip6" : "ip");
        for (size_t i = 0; i < state->gateway_count; i++) {
            int number = state->gateways[i].number;
            char near[46];
            (v6 ? px_inner6 : px_inner4)(number, 2, near);
            for (size_t k = 0; k < state->port_count; k++) {
                cm_buf_fmt(out, "%s%s\"wg%d\" . %s . %u", sep,
                           k % 3 == 0 ? "\n            " : " ", number, near,
                           state->ports[k]);
                sep = ",";
            }
        }
        cm_buf_str(out, " } accept\n");
    }
}

/* From chatmail-proxy, where it cannot speak from the client's address. */
static void header_flows(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1 && gw->by_header; v6++) {
        header_ports(out, state, gw, v6);
    }
}

/* A router on the way may have any address. So what counts is what the error is about:
 * the packet in it has to have left by this tunnel. Whether its connection is there is
 * looked up by the kernel. */
static void errors(struct cm_buf *out, int number, bool v6)
{
    char near[46];
    unsigned char bytes[16];
    (v6 ? px_inner6 : px_inner4)(number, 2, near);
    cm_assert(inet_pton(v6 ? AF_INET6 : AF_INET, near, bytes) == 1);
    cm_buf_fmt(out, "        %s daddr %s %s type { destination-unreachable, ",
               v6 ? "ip6" : "ip", near, v6 ? "icmpv6" : "icmp");
    cm_buf_fmt(out, "%stime-exceeded, parameter-problem } @th,%s 0x",
               v6 ? "packet-too-big, " : "", v6 ? "128,128" : "160,32");
    for (int i = 0; i < (v6 ? 16 : 4); i++) {
        cm_buf_fmt(out, "%02x", bytes[i]);
    }
    limited(out, 100, 200);
}

static void own_words(struct cm_buf *out, int number, bool v6)
{
    const char *ip = v6 ? "ip6" : "ip";
    char far[46], near[46];
    (v6 ? px_inner6 : px_inner4)(number, 1, far);
    (v6 ? px_inner6 : px_inner4)(number, 2, near);
    cm_buf_fmt(out, "        %s saddr %s %s daddr %s goto gateway_%d\n", ip, far, ip,
               near, number);
}

static void echoes(struct cm_buf *out)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        cm_buf_fmt(out, "        %s type { echo-request, echo-reply }",
                   v6 ? "icmpv6" : "icmp");
        limited(out, 20, 40);
    }
}

static void new_flows(struct cm_buf *out, const struct px_state *state, int number,
                      bool v6)
{
    const char *ip = v6 ? "ip6" : "ip";
    char near[46];
    (v6 ? px_inner6 : px_inner4)(number, 2, near);
    cm_buf_fmt(out, "        %s daddr %s tcp dport ", ip, near);
    px_text_ports(out, state);
    cm_buf_str(out, " accept\n");
    if (state->turn.port == 0) {
        return;
    }
    cm_buf_fmt(out, "        %s daddr %s udp dport ", ip, near);
    px_text_turn(out, state);
    cm_buf_str(out, " accept\n");
    if (v6) {
        /* In IPv6 pieces are put together after the rules; without a first one, which
         * has the port, they are thrown away. */
        cm_buf_fmt(out, "        %s daddr %s frag frag-off != 0 accept\n", ip, near);
    }
}

/* To what the gateway lets out (plane_gateway.c). Which ports the kernel gives to
 * connections that leave is the operator's to set, but none below 1024. A listener
 * there, were there one, has a RST for such a segment; ours are left out all the same.
 */
static void answers(struct cm_buf *out, const struct px_state *state,
                    const struct px_gateway *gw, bool v6)
{
    char near[46];
    (v6 ? px_inner6 : px_inner4)(gw->number, 2, near);
    cm_buf_fmt(out,
               "        %s daddr %s tcp sport { 25, 443 } tcp dport >= 1024 "
               "tcp dport != { %d-%d",
               v6 ? "ip6" : "ip", near, state->bus_port, state->bus_port + 2);
    if (state->metrics_port > 0) {
        cm_buf_fmt(out, ", %d", state->metrics_port);
    }
    for (size_t i = 0; i < state->port_count && gw->by_header; i++) {
        cm_buf_fmt(out, ", %d", state->ports[i] + CM_HEADER_PORTS);
    }
    cm_buf_str(out, " } " GOES_ON " accept\n");
}

/* The order is that of how many packets come; one of an open connection does not come
 * here at all (open_flows). Nothing here but egress "all" asks the kernel to track
 * connections, which every packet of the whole machine would pay for.
 *
 * That an open connection's segments are looked up nowhere is no door. Only a SYN
 * begins one (TCP fast open and a port in TIME-WAIT want a SYN too), and SYNs come
 * last, to be judged in full; anything else at a listener has a RST or nothing. What a
 * gateway forges into connections of this inner address it could as well forge on
 * their way, for all of them go through it. A listener that overflows takes an ACK for
 * a SYN if it guesses a SYN cookie, one in 2^29. Its source was not looked at then, and
 * nothing is gained by that: a gateway may name any public source as it is, and those
 * that are trusted, 127/8 and ::1, the kernel itself takes from lo only. */
static void tunnel_chain(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw)
{
    cm_buf_fmt(out, "\n    chain tunnel_%d {\n", gw->number);
    header_flows(out, state, gw);
    if (state->egress == CM_EGRESS_ALL) {
        cm_buf_str(out, "        ct state established,related accept\n");
    }
    errors(out, gw->number, false);
    errors(out, gw->number, true);
    own_words(out, gw->number, false);
    own_words(out, gw->number, true);
    cm_buf_str(out, "        ip saddr @not_public counter drop\n"
                    "        ip6 saddr != 2000::/3 counter drop\n"
                    "        fib saddr type local counter drop\n");
    new_flows(out, state, gw->number, false);
    new_flows(out, state, gw->number, true);
    if (state->egress == CM_EGRESS_GATEWAYS) {
        answers(out, state, gw, false);
        answers(out, state, gw, true);
    }
    echoes(out);
    cm_buf_str(out, "        counter drop\n    }\n");
}

/* The gateway itself, from its own inner address: the bus, /metrics and pings; nothing
 * else but what it says by PROXY v2. A client has a public address. */
static void gateway_chain(struct cm_buf *out, const struct px_state *state, int number)
{
    cm_buf_fmt(out,
               "\n    chain gateway_%d {\n"
               "        meta nfproto ipv4 tcp dport %d-%d " GOES_ON " accept\n"
               "        meta nfproto ipv4 tcp dport %d-%d",
               number, state->bus_port, state->bus_port + 2, state->bus_port,
               state->bus_port + 2);
    limited(out, 20, 60);
    if (state->metrics_port > 0) {
        cm_buf_fmt(out,
                   "        tcp dport %d " GOES_ON " accept\n"
                   "        tcp dport %d",
                   state->metrics_port, state->metrics_port);
        limited(out, 2, 10);
    }
    echoes(out);
    cm_buf_str(out, "        counter drop\n    }\n");
}

/* What this machine says to itself. */
static void own_talk(struct cm_buf *out, const struct px_state *state)
{
    header_drop(out, state);
    relay_drop(out, state);
}

/* For every packet that is for this machine. */
static void arrive(struct cm_buf *out, const struct px_state *state)
{
    foreign_set(out);
    cm_buf_str(out, "\n    chain arrive {\n"
                    "        type filter hook input priority filter; policy accept;\n");
    open_flows(out, state);
    ways(out, state);
    inner_drop(out, state, false);
    inner_drop(out, state, true);
    cm_buf_str(out, "        meta iiftype != loopback accept\n");
    own_talk(out, state);
    cm_buf_str(out, "    }\n"
                    "\n    chain shut {\n"
                    "        counter drop\n"
                    "    }\n");
    for (size_t i = 0; i < state->gateway_count; i++) {
        gateway_chain(out, state, state->gateways[i].number);
        tunnel_chain(out, state, &state->gateways[i]);
    }
}

/* No chain at `input`: each packet of a tunnel would pass it twice. */
static void arrive_judged(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_str(out, "\n    chain own_talk {\n"
                    "        type filter hook ingress device \"lo\" priority filter; "
                    "policy accept;\n");
    own_talk(out, state);
    cm_buf_str(out, "    }\n");
}

char *px_store_nft(const struct px_state *state)
{
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    px_text_table_open(&out);
    tunnel_set(&out);
    (state->judged ? arrive_judged : arrive)(&out, state);
    cm_buf_str(&out,
               "\n    chain onward {\n"
               "        type filter hook forward priority filter; policy accept;\n"
               "        iifname @tunnels counter drop\n"
               "        oifname @tunnels counter drop\n"
               "    }\n"
               "}\n");
    return px_text_done(&out);
}

/* ---- WireGuard ---- */

char *px_store_wg(const struct px_state *state, const struct px_gateway *gw,
                  const char *private_key)
{
    (void)state;
    bool bracket = px_is_v6(gw->endpoint) && gw->endpoint[0] != '[';
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    cm_buf_fmt(&out,
               "[Interface]\n"
               "PrivateKey = %s\n"
               "FwMark = " WG_MARK "\n"
               "\n"
               "[Peer]\n"
               "PublicKey = %s\n"
               "Endpoint = %s%s%s:%d\n"
               "AllowedIPs = 0.0.0.0/0, ::/0\n"
               "PersistentKeepalive = 25\n",
               private_key, gw->wg_public_key, bracket ? "[" : "", gw->endpoint,
               bracket ? "]" : "", gw->wg_port);
    return px_text_done(&out);
}

/* ---- addresses, routes, rules ---- */

static void tunnel_ip(struct cm_buf *out, int n)
{
    char near4[46], near6[46];
    px_inner4(n, 2, near4);
    px_inner6(n, 2, near6);
    cm_buf_fmt(out,
               "link set dev wg%d mtu 1280 up\n"
               "addr replace %s/30 dev wg%d\n"
               "-6 addr replace %s/64 dev wg%d nodad\n",
               n, near4, n, near6, n);
    cm_buf_fmt(out,
               "route replace default dev wg%d src %s table %d\n"
               "-6 route replace default dev wg%d src %s table %d metric 1024\n",
               n, near4, 100 + n, n, near6, 100 + n);
    cm_buf_fmt(out,
               "rule add pref %d from %s lookup %d\n"
               "-6 rule add pref %d from %s lookup %d\n",
               1000 + n, near4, 100 + n, 1000 + n, near6, 100 + n);
}

/* Whoever has taken a source address of a tunnel stays on that tunnel (pref 1000+N,
 * above). All others ask here. */
static void egress_rules(struct cm_buf *out, enum cm_egress egress)
{
    static const char *const families[] = {"", "-6 "};
    for (size_t i = 0; i < 2 && egress != CM_EGRESS_DIRECT; i++) {
        const char *family = families[i];
        if (egress == CM_EGRESS_GATEWAYS) {
            cm_buf_fmt(out, "%srule add pref 2000 ipproto tcp dport 25 lookup 200\n",
                       family);
            continue;
        }
        /* The home network stays reachable: only main's default route is passed over.
         */
        cm_buf_fmt(out,
                   "%srule add pref 1900 fwmark " WG_MARK " lookup main\n"
                   "%srule add pref 1950 lookup main suppress_prefixlength 0\n"
                   "%srule add pref 2000 lookup 200\n",
                   family, family, family);
    }
}

char *px_store_ip(const struct px_state *state)
{
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    for (size_t i = 0; i < state->gateway_count; i++) {
        tunnel_ip(&out, state->gateways[i].number);
    }
    if (state->gateway_count > 0) {
        egress_rules(&out, state->egress);
    }
    return px_text_done(&out);
}

static const struct px_gateway *by_number(const struct px_state *state, int number)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].number == number) {
            return &state->gateways[i];
        }
    }
    return NULL;
}

char *px_store_egress_ip(const struct px_state *state, const int *healthy, size_t n)
{
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct px_gateway *gw = by_number(state, healthy[i]);
        /* A gateway without a public address of a family cannot send in it. */
        for (int v6 = 0; gw != NULL && v6 <= 1; v6++) {
            char inner[46];
            (v6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
            if (px_family_count(gw, v6, NULL) > 0) {
                cm_buf_fmt(&out,
                           "%sroute replace default dev wg%d src %s table 200 metric "
                           "%zu\n",
                           v6 ? "-6 " : "", gw->number, inner, 10 + i);
            }
        }
    }
    /* Never past the gateways: with none alive mail waits in the queue, it does not
     * leave by the home line. */
    if (state->gateway_count > 0 && state->egress != CM_EGRESS_DIRECT) {
        cm_buf_str(&out,
                   "route replace unreachable default table 200 metric 32000\n"
                   "-6 route replace unreachable default table 200 metric 32000\n");
    }
    return px_text_done(&out);
}
