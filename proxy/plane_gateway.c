/* The gateway's end: one tunnel "wg0", DNAT inward, SNAT outward. */
#include "plane.h"

#include <string.h>

#include "guard.h"
#include "text.h"

#define REFUSE_UDP "reject with icmpx type port-unreachable"
#define ICMP_OF_TUNNEL                                                                 \
    "meta l4proto { icmp, ipv6-icmp } limit rate 20/second burst 40 packets accept"

/* Counters are declared first: a named counter outlives no reload, but it can be read
 * one by one and says which port a flow came for. */
static void counters(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_str(out, "\n");
    static const char *const kinds[] = {"flows", "in", "out"};
    for (size_t i = 0; i < state->port_count; i++) {
        for (size_t k = 0; k < 3; k++) {
            cm_buf_fmt(out, "    counter %s_%u { }\n", kinds[k], state->ports[i]);
        }
    }
    cm_buf_str(out, state->turn.port != 0 ? "    counter flows_turn { }\n" : "");
    cm_buf_str(out, "    counter to_store { }\n"
                    "    counter from_store { }\n"
                    "    counter egress_flows { }\n"
                    "    counter refused { }\n");
    px_guard_counters(out);
}

static void dnat_chain(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw)
{
    /* By proxy only UDP is translated. */
    cm_buf_str(out,
               "\n    chain inward {\n"
               "        type nat hook prerouting priority dstnat; policy accept;\n");
    for (int v6 = 0; v6 <= 1 && gw->mode == CM_MODE_ACTIVE; v6++) {
        char inner[46];
        (v6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
        if (px_family_count(gw, v6, NULL) == 0) {
            continue;
        }
        if (!gw->by_proxy && !gw->carried) {
            px_text_match_tcp(out, state, gw, v6);
            px_text_count(out, state, "tcp dport", "flows");
            cm_buf_fmt(out, " dnat %s to %s\n", v6 ? "ip6" : "ip", inner);
        }
        if (state->turn.port != 0) {
            px_text_match_turn(out, state, gw, v6);
            cm_buf_fmt(out, " counter name \"flows_turn\" dnat %s to %s\n",
                       v6 ? "ip6" : "ip", inner);
        }
    }
    cm_buf_str(out, "    }\n");
}

/* What is not translated arrives here: nothing listens on these ports on the gateway.
 * In drain and off the caller is told at once, also one whose flow we have lost; in
 * hold it is kept waiting. */
static void input_mode(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw)
{
    bool hold = gw->mode == CM_MODE_HOLD;
    for (int v6 = 0; v6 <= 1 && gw->mode != CM_MODE_ACTIVE; v6++) {
        if (px_family_count(gw, v6, NULL) == 0) {
            continue;
        }
        px_text_match_tcp(out, state, gw, v6);
        /* By proxy what is open comes by here too. */
        cm_buf_fmt(out, "%s counter name \"refused\" %s\n",
                   gw->by_proxy && gw->mode != CM_MODE_OFF ? " ct state new" : "",
                   hold ? "drop" : "reject with tcp reset");
        if (state->turn.port != 0) {
            px_text_match_turn(out, state, gw, v6);
            cm_buf_fmt(out, " counter name \"refused\" %s\n",
                       hold ? "drop" : REFUSE_UDP);
        }
    }
}

/* While the store is gone the other end of its mail waits for it; what this node itself
 * asks for is known. */
static void input_egress(struct cm_buf *out, const struct px_gateway *gw)
{
    if (gw->carried && gw->mode == CM_MODE_OFF) {
        cm_buf_str(out,
                   "        iifname != { \"wg0\", \"lo\" } tcp sport { 25, 443 } tcp "
                   "flags & (syn | ack) != syn ct state { invalid, new } counter "
                   "drop\n");
    }
}

/* What is open is translated before it arrives here. A SYN that is not fell between the
 * old rules and the new: a nat chain that replaces another is asked before it, and in
 * the moment between the two answers the kernel may go over from the old to the new;
 * or it is taken for one of a connection that ended seconds ago, when another mode or
 * plane was in force. It is sent again in a second and meets the rules then; without a
 * word from us its client does not take it for refused. */
static void input_missed(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1 && gw->mode == CM_MODE_ACTIVE && !gw->by_proxy; v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            px_text_match_tcp(out, state, gw, v6);
            cm_buf_str(out,
                       " tcp flags & (fin | syn | rst | ack) == syn counter drop\n");
        }
    }
}

/* To the listeners of chatmail-proxy, and counted on the way. */
static void input_proxy(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1 && gw->by_proxy && gw->mode == CM_MODE_ACTIVE; v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            px_text_match_tcp(out, state, gw, v6);
            cm_buf_str(out, " ct state new");
            px_text_count(out, state, "tcp dport", "flows");
            cm_buf_str(out, "\n");
        }
    }
}

static void input_chain(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    cm_buf_fmt(out,
               "\n    chain arrive {\n"
               "        type filter hook input priority filter; policy accept;\n"
               "        udp dport %d meta iiftype ether accept\n"
               "        " PX_TEXT_FROM_WG0 " jump arrive_tunnel\n"
               "        udp dport %d accept\n",
               gw->wg_port, gw->wg_port);
    px_guard_inner(out, gw);
    input_mode(out, state, gw);
    input_egress(out, gw);
    input_missed(out, state, gw);
    input_proxy(out, state, gw);
    cm_buf_fmt(
        out,
        "    }\n"
        "\n    chain arrive_tunnel {\n"
        "        ct state established,related accept\n"
        "        ct state untracked tcp sport %d-%d tcp flags & (syn | ack) != syn "
        "accept\n"
        "        " ICMP_OF_TUNNEL "\n"
        "        counter drop\n"
        "    }\n",
        state->bus_port, state->bus_port + 2);
}

/* What chatmail-proxy says to its clients. */
static void output_chain(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw)
{
    if (!gw->by_proxy) {
        return;
    }
    cm_buf_str(out, "\n    chain leave {\n"
                    "        type filter hook output priority filter; policy accept;\n"
                    "        oifname != \"wg0\"");
    px_text_count(out, state, "tcp sport", "out");
    cm_buf_str(out, "\n    }\n");
}

/* To this node from the store. Who is carried needs no chain at `input`, which every
 * packet of the tunnel itself would pass: nothing is translated after this chain, so it
 * knows already what is for this node. */
static void from_inside(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    char near[46], far[46];
    px_inner4(gw->number, 1, near);
    px_inner4(gw->number, 2, far);
    cm_buf_str(out, "\n    chain from_inside {\n");
    if (px_guards_input(gw)) {
        cm_buf_str(out, "        fib daddr type unicast accept\n");
    } else {
        cm_buf_fmt(out, "        ip daddr != %s accept\n", near);
    }
    cm_buf_fmt(out,
               "        ip saddr %s tcp sport %d-%d notrack\n"
               "        ip saddr %s meta l4proto icmp notrack\n",
               far, state->bus_port, state->bus_port + 2, far);
    if (px_guards_input(gw)) {
        cm_buf_str(out, "        tcp flags & (syn | ack) != syn accept\n"
                        "        " ICMP_OF_TUNNEL "\n"
                        "        counter drop\n");
    }
    cm_buf_str(out, "    }\n");
}

/* What this node lives by does not need a place in the table of connections, which may
 * be full: the tunnel, the bus in it, and the RST for who then comes new (the first
 * packet of its direction: sequence 0). Where nobody tracks there is no such chain,
 * which every packet that leaves would pass. */
static void untracked_chain(struct cm_buf *out, const struct px_state *state,
                            const struct px_gateway *gw)
{
    char near[46], far[46];
    if (px_guards_input(gw) && !px_guard_tracks(state, gw) && !gw->tracked) {
        return;
    }
    px_inner4(gw->number, 1, near);
    px_inner4(gw->number, 2, far);
    cm_buf_fmt(out,
               "\n    chain untracked {\n"
               "        type filter hook output priority raw; policy accept;\n"
               "        udp sport %d notrack accept\n"
               "        ip daddr %s ip saddr %s tcp dport %d-%d notrack\n"
               "        ip daddr %s ip saddr %s meta l4proto icmp notrack\n",
               gw->wg_port, far, near, state->bus_port, state->bus_port + 2, far, near);
    if (gw->crowded) {
        cm_buf_str(out, "        tcp sport ");
        px_text_ports(out, state);
        cm_buf_str(out, " tcp sequence 0 tcp flags & (syn | rst | ack) == (rst | ack) "
                        "notrack\n");
    }
    cm_buf_str(out, "    }\n");
}

/* What the relay says in fragments the programs leave alone. */
static void relayed_in_pieces(struct cm_buf *out, const struct px_state *state,
                              const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1 && state->turn.port != 0; v6++) {
        const char *address, *ip = v6 ? "ip6" : "ip";
        char inner[46];
        if (px_family_count(gw, v6, &address) > 0) {
            (v6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
            cm_buf_fmt(out, "        %s saddr %s udp sport ", ip, inner);
            px_text_turn(out, state);
            cm_buf_fmt(out, " %s saddr set %s accept\n", ip, address);
        }
    }
}

/* Tracked nowhere, so that the packets of the tunnel itself need not be looked at for
 * it: what is let in went its way, what leaves is carried. */
static void closed_chains(struct cm_buf *out, const struct px_state *state,
                          const struct px_gateway *gw)
{
    cm_buf_str(out, "\n    chain to_tunnel {\n"
                    "        counter drop\n"
                    "    }\n"
                    "\n    chain from_tunnel {\n"
                    "        counter name \"from_store\"\n");
    relayed_in_pieces(out, state, gw);
    cm_buf_str(out, "        counter drop\n"
                    "    }\n");
}

/* Nobody goes there. As long as it is there the kernel puts fragments together before
 * the rules see them, as it does where connections are tracked. */
static void whole_chain(struct cm_buf *out)
{
    cm_buf_str(out, "\n    chain whole {\n"
                    "        meta nfproto ipv4 meta l4proto tcp tproxy ip to :1\n"
                    "        meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :1\n"
                    "    }\n");
}

static void to_tunnel(struct cm_buf *out, const struct px_state *state,
                      const struct px_gateway *gw)
{
    cm_buf_str(out, "\n    chain to_tunnel {\n");
    if (gw->mode == CM_MODE_OFF) {
        cm_buf_str(out, "        ct status dnat meta l4proto tcp counter name "
                        "\"refused\" reject with tcp reset\n");
    }
    if (gw->mode == CM_MODE_OFF && state->turn.port != 0) {
        cm_buf_str(out, "        ct status dnat meta l4proto udp counter name "
                        "\"refused\" " REFUSE_UDP "\n");
    }
    cm_buf_str(out, "        counter name \"to_store\"\n");
    cm_buf_str(out, "        tcp flags syn tcp option maxseg size set rt mtu\n");
    px_guard_acquaint(out, state, gw);
    cm_buf_str(out, "        ct state established,related accept\n"
                    "        ct status dnat accept\n"
                    "        counter drop\n"
                    "    }\n");
}

/* A gateway that was rebooted has forgotten its flows. When the store speaks first in
 * one of them, it is picked up as it is, as long as there is only one address that it
 * can have had; else the client's next packet revives it. */
static void pick_up(struct cm_buf *out, const struct px_state *state,
                    const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1 && gw->mode != CM_MODE_OFF && !gw->carried; v6++) {
        if (px_family_count(gw, v6, NULL) == 1) {
            cm_buf_fmt(out, "        meta nfproto %s tcp sport ", v6 ? "ipv6" : "ipv4");
            px_text_ports(out, state);
            cm_buf_str(out, " tcp flags & (fin | syn | rst) == 0x0 accept\n");
        }
    }
}

/* A relay speaks to a peer before the peer does, and to peers without number. */
static void relayed(struct cm_buf *out, const struct px_state *state,
                    const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1 && state->turn.port != 0 && gw->mode != CM_MODE_OFF;
         v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            cm_buf_fmt(out, "        meta nfproto %s udp sport ", v6 ? "ipv6" : "ipv4");
            px_text_turn(out, state);
            cm_buf_str(out, " accept\n");
        }
    }
}

static void egress(struct cm_buf *out, const struct px_state *state,
                   const struct px_gateway *gw)
{
    if (!gw->egress || state->egress == CM_EGRESS_DIRECT || gw->mode == CM_MODE_OFF) {
        return;
    }
    const char *what = state->egress == CM_EGRESS_ALL
                           ? "ct state new"
                           : "tcp dport { 25, 443 } ct state new";
    for (int v6 = 0; v6 <= 1; v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            cm_buf_fmt(out,
                       "        meta nfproto %s %s counter name \"egress_flows\" "
                       "accept\n",
                       v6 ? "ipv6" : "ipv4", what);
        }
    }
}

static void from_tunnel(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    cm_buf_str(out, "\n    chain from_tunnel {\n");
    if (gw->mode == CM_MODE_OFF) {
        cm_buf_str(out, "        meta l4proto tcp counter name \"refused\" reject with "
                        "tcp reset\n");
    }
    if (gw->mode == CM_MODE_OFF && state->turn.port != 0) {
        cm_buf_str(out, "        meta l4proto udp counter name \"refused\" " REFUSE_UDP
                        "\n");
    }
    cm_buf_str(out, "        counter name \"from_store\"\n");
    cm_buf_str(out, "       ");
    px_text_count(out, state, "tcp sport", "out");
    cm_buf_str(out, "\n");
    cm_buf_str(out, "        tcp flags syn tcp option maxseg size set rt mtu\n"
                    "        ct state established,related accept\n");
    pick_up(out, state, gw);
    relayed(out, state, gw);
    egress(out, state, gw);
    cm_buf_str(out, "        counter drop\n"
                    "    }\n");
}

/* Carried: only what begins comes by here, and was let in at the door. Segments need no
 * clamp: the store's end of the tunnel is as narrow as this one, so what it offers and
 * sends fits. */
static void let_in_chain(struct cm_buf *out)
{
    cm_buf_str(out, "\n    chain let_in {\n"
                    "        oifname != \"wg0\" counter drop\n"
                    "        counter name \"to_store\"\n"
                    "        accept\n"
                    "    }\n");
}

/* Of what is open nearly every packet is: no names of interfaces are compared. */
static void open_chain(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_str(out, "\n    chain open {\n"
                    "        ct direction original counter name \"to_store\" accept\n"
                    "        counter name \"from_store\"\n"
                    "       ");
    px_text_count(out, state, "tcp sport", "out");
    cm_buf_str(out, " accept\n"
                    "    }\n");
}

static void forward_chain(struct cm_buf *out, const struct px_state *state,
                          const struct px_gateway *gw)
{
    /* Accept as policy: what does not touch the tunnel is not ours. */
    cm_buf_str(out,
               "\n    chain onward {\n"
               "        type filter hook forward priority filter; policy accept;\n");
    px_guard_open(out, state, gw);
    cm_buf_str(out, "        oifname \"wg0\" jump to_tunnel\n"
                    "        iifname \"wg0\" jump from_tunnel\n"
                    "    }\n");
}

static void snat_chain(struct cm_buf *out, const struct px_gateway *gw)
{
    cm_buf_str(out,
               "\n    chain outward {\n"
               "        type nat hook postrouting priority srcnat; policy accept;\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        const char *public_address;
        char inner[46];
        if (px_family_count(gw, v6, &public_address) == 0) {
            continue;
        }
        (v6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
        cm_buf_fmt(out, "        oifname != \"wg0\" %s saddr %s snat %s to %s\n",
                   v6 ? "ip6" : "ip", inner, v6 ? "ip6" : "ip", public_address);
    }
    cm_buf_str(out, "    }\n");
}

char *px_gateway_nft(const struct px_state *state, const struct px_gateway *gw)
{
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    px_text_table_open(&out);
    counters(&out, state);
    px_guard_sets(&out, state);
    px_guard_chains(&out, state, gw);
    from_inside(&out, state, gw);
    untracked_chain(&out, state, gw);
    if (px_guard_tracks(state, gw)) {
        dnat_chain(&out, state, gw);
    } else {
        whole_chain(&out);
    }
    if (!px_guards_input(gw)) {
        input_chain(&out, state, gw);
    }
    output_chain(&out, state, gw);
    if (gw->carried) {
        let_in_chain(&out);
    } else {
        open_chain(&out, state);
    }
    forward_chain(&out, state, gw);
    if (px_guard_tracks(state, gw)) {
        to_tunnel(&out, state, gw);
        from_tunnel(&out, state, gw);
        snat_chain(&out, gw);
    } else {
        closed_chains(&out, state, gw);
    }
    cm_buf_str(&out, "}\n");
    return px_text_done(&out);
}

char *px_gateway_proxy(const struct px_state *state, const struct px_gateway *gw)
{
    char inner4[46], inner6[46];
    struct cm_buf out;

    if (!gw->by_proxy) {
        return NULL;
    }
    px_inner4(gw->number, 2, inner4);
    px_inner6(gw->number, 2, inner6);
    cm_buf_init(&out, PX_TEXT_MAX);
    cm_buf_str(&out, "[proxy]\nlisten =");
    for (size_t i = 0; i < gw->address_count; i++) {
        cm_buf_fmt(&out, " %s", gw->addresses[i]);
    }
    cm_buf_str(&out, "\nports =");
    for (size_t i = 0; i < state->port_count; i++) {
        cm_buf_fmt(&out, " %u", state->ports[i]);
    }
    cm_buf_fmt(&out, "\nstore4 = %s\nstore6 = %s\nsource = %s\nmode = %s\n", inner4,
               inner6, gw->by_header ? "header" : "transparent",
               cm_mode_name(gw->mode));
    return px_text_done(&out);
}

char *px_gateway_wg(const struct px_state *state, const struct px_gateway *gw,
                    const char *private_key)
{
    char inner4[46], inner6[46];
    px_inner4(gw->number, 2, inner4);
    px_inner6(gw->number, 2, inner6);
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    /* No endpoint: the store dials, from wherever it is today. */
    cm_buf_fmt(&out,
               "[Interface]\n"
               "PrivateKey = %s\n"
               "ListenPort = %d\n"
               "\n"
               "[Peer]\n"
               "PublicKey = %s\n"
               "AllowedIPs = %s/32, %s/128\n",
               private_key, gw->wg_port, state->store_wg_public_key, inner4, inner6);
    return px_text_done(&out);
}

char *px_gateway_ip(const struct px_state *state, const struct px_gateway *gw)
{
    (void)state;
    char inner4[46], inner6[46];
    px_inner4(gw->number, 1, inner4);
    px_inner6(gw->number, 1, inner6);
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    cm_buf_fmt(&out,
               "link set dev wg0 mtu 1280 up\n"
               "addr replace %s/30 dev wg0\n"
               "-6 addr replace %s/64 dev wg0 nodad\n",
               inner4, inner6);
    return px_text_done(&out);
}
