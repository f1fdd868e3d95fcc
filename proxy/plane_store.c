/* The store's end: one tunnel, one inner address and one routing table per gateway. */
#include "plane.h"

#include <string.h>

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

/* Sources that no client on the Internet has. The documentation networks are not in it:
 * the lab lives there. */
static void foreign_set(struct cm_buf *out)
{
    cm_buf_str(out,
               "\n    set not_public {\n"
               "        type ipv4_addr; flags interval\n"
               "        elements = { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, "
               "127.0.0.0/8,\n"
               "                     169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24,\n"
               "                     192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }\n"
               "    }\n");
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

/* The gateway itself, from its own inner address: the bus, /metrics and pings, and what
 * it says by PROXY v2; nothing else. A client has a public address. */
static void gateway_rules(struct cm_buf *out, const struct px_state *state,
                          const struct px_gateway *gw, bool v6)
{
    int n = gw->number;
    bool header = gw->by_header;
    const char *ip = v6 ? "ip6" : "ip";
    char far[46], near[46];
    (v6 ? px_inner6 : px_inner4)(n, 1, far);
    (v6 ? px_inner6 : px_inner4)(n, 2, near);
    if (!v6) {
        cm_buf_fmt(
            out,
            "        ip saddr %s ip daddr %s tcp dport %d-%d limit rate 20/second "
            "burst 60 packets accept\n",
            far, near, state->bus_port, state->bus_port + 2);
    }
    if (header) {
        cm_buf_fmt(out, "        %s saddr %s %s daddr %s tcp dport ", ip, far, ip,
                   near);
        px_text_header_ports(out, state);
        cm_buf_str(out, " accept\n");
    }
    if (state->metrics_port > 0) {
        cm_buf_fmt(out,
                   "        %s saddr %s %s daddr %s tcp dport %d limit rate 2/second "
                   "burst 10 packets accept\n",
                   ip, far, ip, near, state->metrics_port);
    }
    cm_buf_fmt(out,
               "        %s saddr %s %s daddr %s meta l4proto %s limit rate 20/second "
               "burst 40 packets accept\n",
               ip, far, ip, near, v6 ? "ipv6-icmp" : "icmp");
}

static void tunnel_chain(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw)
{
    cm_buf_fmt(out, "\n    chain tunnel_%d {\n", gw->number);
    gateway_rules(out, state, gw, false);
    gateway_rules(out, state, gw, true);
    cm_buf_str(out,
               "        ip saddr @not_public counter drop\n"
               "        ip6 saddr != 2000::/3 counter drop\n"
               "        fib saddr type local counter drop\n"
               "        meta l4proto { icmp, ipv6-icmp } limit rate 20/second burst "
               "40 packets accept\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        char near[46];
        (v6 ? px_inner6 : px_inner4)(gw->number, 2, near);
        cm_buf_fmt(out, "        %s daddr %s tcp dport ", v6 ? "ip6" : "ip", near);
        px_text_ports(out, state);
        cm_buf_str(out, " accept\n");
        if (state->turn.port != 0) {
            cm_buf_fmt(out, "        %s daddr %s udp dport ", v6 ? "ip6" : "ip", near);
            px_text_turn(out, state);
            cm_buf_str(out, " accept\n");
        }
    }
    cm_buf_str(out, "        counter drop\n    }\n");
}

char *px_store_nft(const struct px_state *state)
{
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    px_text_table_open(&out);
    tunnel_set(&out);
    foreign_set(&out);
    cm_buf_str(&out, "\n    chain arrive {\n"
                     "        type filter hook input priority filter; policy accept;\n"
                     "        meta iiftype != ether iifname @tunnels jump tunnel\n");
    inner_drop(&out, state, false);
    inner_drop(&out, state, true);
    /* The rest is about what this machine says to itself. */
    cm_buf_str(&out, "        iifname != \"lo\" accept\n");
    header_drop(&out, state);
    relay_drop(&out, state);
    /* Established and related first: an ICMP error may come from a router with a
     * private address, and nothing is established that was not let in below. */
    cm_buf_str(&out, "    }\n"
                     "\n    chain tunnel {\n"
                     "        ct state established,related accept\n");
    for (size_t i = 0; i < state->gateway_count; i++) {
        cm_buf_fmt(&out, "        iifname \"wg%d\" jump tunnel_%d\n",
                   state->gateways[i].number, state->gateways[i].number);
    }
    cm_buf_str(&out, "        counter drop\n    }\n");
    for (size_t i = 0; i < state->gateway_count; i++) {
        tunnel_chain(&out, state, &state->gateways[i]);
    }
    cm_buf_str(&out,
               "\n    chain onward {\n"
               "        type filter hook forward priority filter; policy accept;\n"
               "        iifname @tunnels counter drop\n"
               "        oifname @tunnels counter drop\n"
               "    }\n"
               "\n    chain carry {\n"
               "        type filter hook output priority raw; policy accept;\n"
               "        meta mark " WG_MARK " " PX_TEXT_NO_DF "\n"
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
