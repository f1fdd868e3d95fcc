/* The gateway's end on FreeBSD, without an agent: pf.conf in the order and grammar of
 * FreeBSD's pf.conf(5) (scrub, translation, filter; first `quick` match decides), and a
 * file for wg-quick(8). */
#include "plane.h"

#include <inttypes.h>
#include <string.h>

#include "guard.h"
#include "text.h"

#define OUTSIDE "on ! wg0"
#define STATES  200000
#define SOURCES 65536
#define MTU     1280

/* A packet that came to a public port and was redirected carries DOOR through the
 * filter; one that was sent to the store's inner address by a stranger does not. What
 * the store sends out carries OUT. */
#define DOOR "tagged DOOR"

static const char *family(bool v6)
{
    return v6 ? "inet6" : "inet";
}

static void inner(const struct px_gateway *gw, int side, bool v6, char out[46])
{
    (v6 ? px_inner6 : px_inner4)(gw->number, side, out);
}

static bool has_egress(const struct px_state *state, const struct px_gateway *gw)
{
    return gw->egress && state->egress != CM_EGRESS_DIRECT && gw->mode != CM_MODE_OFF;
}

static void head(struct cm_buf *out, const struct px_state *state,
                 const struct px_gateway *gw)
{
    cm_buf_fmt(out,
               "# Gateway %s of %s, mode %s, epoch %" PRId64 "\n"
               "#\n"
               "# To /etc/pf.conf; then: pfctl -nf /etc/pf.conf && pfctl -f "
               "/etc/pf.conf\n"
               "# Flows that pf knows outlive a reload. FreeBSD 14 or later.\n",
               gw->name, state->domain, cm_mode_name(gw->mode), state->epoch);
    for (int v6 = 0; v6 <= 1 && gw->mode == CM_MODE_OFF; v6++) {
        char store[46];
        inner(gw, 2, v6, store);
        cm_buf_fmt(out, "# %s pfctl -k %s -k %s\n",
                   v6 ? "            " : "To end them:", v6 ? "::/0" : "0.0.0.0/0",
                   store);
    }
    cm_buf_str(out, "#\n"
                    "# To /etc/rc.conf:\n"
                    "#   pf_enable=\"YES\"\n"
                    "#   gateway_enable=\"YES\"\n"
                    "#   ipv6_gateway_enable=\"YES\"\n"
                    "#   wireguard_enable=\"YES\"\n"
                    "#   wireguard_interfaces=\"wg0\"\n"
                    "# The same without a reboot:\n"
                    "#   sysctl net.inet.ip.forwarding=1 net.inet6.ip6.forwarding=1\n");
    cm_buf_fmt(
        out,
        "# Who is banned, told from the operator's machine, from cron for example:\n"
        "#   chatops bans --pf | ssh root@%s pfctl -q -t chatmail_banned -T "
        "replace -f -\n",
        gw->addresses[0]);
}

static void ports(struct cm_buf *out, const char *name, const struct px_state *state)
{
    cm_buf_fmt(out, "%s = \"", name);
    px_text_ports(out, state);
    cm_buf_str(out, "\"\n");
}

static void macros(struct cm_buf *out, const struct px_state *state,
                   const struct px_gateway *gw)
{
    const struct px_turn *t = &state->turn;
    cm_buf_str(out, "\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        char ours[46], store[46];
        const char *first;
        inner(gw, 1, v6, ours);
        inner(gw, 2, v6, store);
        cm_buf_fmt(out, "gate%d = \"%s\"\nstore%d = \"%s\"\n", v6 ? 6 : 4, ours,
                   v6 ? 6 : 4, store);
        if (px_family_count(gw, v6, &first) == 0) {
            continue;
        }
        cm_buf_fmt(out, "public%d = \"", v6 ? 6 : 4);
        const char *sep = "{ ";
        for (size_t i = 0; i < gw->address_count; i++) {
            if (px_is_v6(gw->addresses[i]) == (v6 != 0)) {
                cm_buf_fmt(out, "%s%s", sep, gw->addresses[i]);
                sep = ", ";
            }
        }
        cm_buf_fmt(out, " }\"\nfrom%d = \"%s\"\n", v6 ? 6 : 4, first);
    }
    ports(out, "doors", state);
    if (t->port != 0) {
        cm_buf_fmt(out, "calls = \"{ %u, %u:%u }\"\n", t->port, t->relay_min,
                   t->relay_max);
    }
}

/* From so many half-open connections on, as many as may be strangers at once (guard.c),
 * pf answers SYNs without keeping anything, until there are half as many. */
static void syncookies(struct cm_buf *out, const struct px_limits *limits)
{
    int start = limits->stranger_rate * PX_STRANGER_WAVE_S / (STATES / 100);
    if (limits->stranger_rate > 0) {
        start = start < 2 ? 2 : start > 50 ? 50 : start;
        cm_buf_fmt(out, "set syncookies adaptive (start %d%%, end %d%%)\n", start,
                   start / 2);
    }
}

/* Both directions of a connection pass wg0, so its SYN and its SYN-ACK do. */
static void options(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_fmt(out,
               "table <chatmail_banned> persist\n"
               "\n"
               "set skip on lo0\n"
               "set block-policy drop\n"
               "set limit { states %d, src-nodes %d }\n"
               "set timeout src.track 60\n",
               STATES, SOURCES);
    syncookies(out, &state->limits);
    cm_buf_fmt(out,
               "\n"
               "# The tunnel carries %d bytes.\n"
               "scrub on wg0 inet proto tcp all max-mss %d\n"
               "scrub on wg0 inet6 proto tcp all max-mss %d\n",
               MTU, MTU - 40, MTU - 60);
}

/* No masquerade inward: the store sees the clients' addresses. Calls keep their ports
 * outward, for peers have been told them. */
static void translation(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    cm_buf_str(out, "\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        int n = v6 ? 6 : 4;
        if (px_family_count(gw, v6, NULL) == 0) {
            continue;
        }
        if (state->turn.port != 0 && gw->mode != CM_MODE_OFF) {
            cm_buf_fmt(out,
                       "nat " OUTSIDE " %s proto udp from $store%d port $calls to any "
                       "-> $from%d static-port\n",
                       family(v6), n, n);
        }
        if (has_egress(state, gw)) {
            cm_buf_fmt(out, "nat " OUTSIDE " %s%s from $store%d to any%s -> $from%d\n",
                       family(v6), state->egress == CM_EGRESS_ALL ? "" : " proto tcp",
                       n, state->egress == CM_EGRESS_ALL ? "" : " port { 25, 443 }", n);
        }
        if (gw->mode != CM_MODE_ACTIVE) {
            continue;
        }
        if (!gw->by_header) {
            cm_buf_fmt(out,
                       "rdr " OUTSIDE " %s proto tcp from any to $public%d port $doors "
                       "tag DOOR -> $store%d\n",
                       family(v6), n, n);
        }
        if (state->turn.port != 0) {
            cm_buf_fmt(out,
                       "rdr " OUTSIDE " %s proto udp from any to $public%d port $calls "
                       "tag DOOR -> $store%d\n",
                       family(v6), n, n);
        }
    }
}

/* " keep state", within the limit of one source. pf counts what finished a handshake,
 * so nobody can use up another's. As many at once as the burst, over the time in which
 * the rate would fill it again. */
static void keep_limited(struct cm_buf *out, const struct px_limits *limits)
{
    cm_buf_str(out, " flags S/SA keep state");
    if (limits->source_rate > 0) {
        int seconds = limits->source_burst / limits->source_rate;
        seconds = seconds < 1 ? 1 : seconds;
        cm_buf_fmt(out, " (source-track rule, max-src-conn-rate %d/%d)",
                   seconds == 1 ? limits->source_rate : limits->source_burst, seconds);
    }
    cm_buf_str(out, "\n");
}

/* To the proxy on this machine. */
static void inward_proxy(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            cm_buf_fmt(out,
                       "pass in quick " OUTSIDE " %s proto tcp from any to $public%d "
                       "port $doors",
                       family(v6), v6 ? 6 : 4);
            keep_limited(out, &state->limits);
        }
    }
}

/* A packet in the middle of a flow that we have lost is answered, so that the client
 * connects anew at once. */
static void inward_kernel(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_str(out, "pass in quick " OUTSIDE " proto tcp all " DOOR);
    keep_limited(out, &state->limits);
    cm_buf_str(out,
               "block return-rst in quick " OUTSIDE " proto tcp all " DOOR "\n"
               "pass out quick on wg0 proto tcp all " DOOR " flags S/SA keep state\n");
}

static void inward_active(struct cm_buf *out, const struct px_state *state,
                          const struct px_gateway *gw)
{
    if (gw->by_header) {
        inward_proxy(out, state, gw);
    } else {
        inward_kernel(out, state);
    }
    if (state->turn.port != 0) {
        cm_buf_str(out, "pass in quick " OUTSIDE " proto udp all " DOOR " keep state\n"
                        "pass out quick on wg0 proto udp all " DOOR " keep state\n");
    }
}

static void inward_shut(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    bool hold = gw->mode == CM_MODE_HOLD;
    for (int v6 = 0; v6 <= 1; v6++) {
        int n = v6 ? 6 : 4;
        if (px_family_count(gw, v6, NULL) == 0) {
            continue;
        }
        cm_buf_fmt(out,
                   "block %s in quick " OUTSIDE " %s proto tcp from any to $public%d "
                   "port $doors\n",
                   hold ? "drop" : "return-rst", family(v6), n);
        if (state->turn.port != 0) {
            cm_buf_fmt(out,
                       "block %s in quick " OUTSIDE " %s proto udp from any to "
                       "$public%d port $calls\n",
                       hold ? "drop"
                       : v6 ? "return-icmp6"
                            : "return-icmp",
                       family(v6), n);
        }
    }
}

/* Before everything, in every mode. What was redirected has the tag in place of the
 * address. */
static void banned(struct cm_buf *out, const struct px_state *state,
                   const struct px_gateway *gw)
{
    static const char from[] =
        "block drop in quick " OUTSIDE " from <chatmail_banned> to any " DOOR "\n";
    bool tagged =
        gw->mode == CM_MODE_ACTIVE && (!gw->by_header || state->turn.port != 0);
    cm_buf_str(out, tagged ? from : "");
    for (int v6 = 0; v6 <= 1 && (gw->by_header || gw->mode != CM_MODE_ACTIVE); v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            cm_buf_fmt(out,
                       "block drop in quick " OUTSIDE " %s proto tcp from "
                       "<chatmail_banned> to $public%d port $doors\n",
                       family(v6), v6 ? 6 : 4);
        }
    }
}

static void inward(struct cm_buf *out, const struct px_state *state,
                   const struct px_gateway *gw)
{
    cm_buf_fmt(out, "\n# From outside: %s.\n",
               gw->mode == CM_MODE_ACTIVE ? "new connections go to the store"
               : gw->mode == CM_MODE_HOLD ? "new connections are left without an answer"
                                          : "new connections are refused");
    banned(out, state, gw);
    if (gw->mode == CM_MODE_ACTIVE) {
        inward_active(out, state, gw);
    } else {
        inward_shut(out, state, gw);
    }
    cm_buf_str(out, "\n# The inner addresses are nobody's but the tunnel's.\n"
                    "block drop in quick " OUTSIDE " from any to { $gate4, $store4, "
                    "$gate6, $store6 }\n"
                    "block drop in quick " OUTSIDE " from { $gate4, $store4, $gate6, "
                    "$store6 } to any\n");
}

/* The tunnel's own: the store may ping us, and reach nothing on this machine. What we
 * ask the store (a probe by hand) is let through by its firewall or not. */
static void own(struct cm_buf *out)
{
    cm_buf_str(
        out,
        "\n# From the tunnel.\n"
        "pass in quick on wg0 inet proto icmp from $store4 to $gate4 keep state\n"
        "pass in quick on wg0 inet6 proto ipv6-icmp from $store6 to $gate6 keep state\n"
        "block drop in quick on wg0 from any to self\n"
        "pass out quick on wg0 inet from $gate4 to $store4 keep state\n"
        "pass out quick on wg0 inet6 from $gate6 to $store6 keep state\n");
}

/* The filter sees the packet going out with its new source address: the tag is what
 * tells it from this machine's own. */
static void outward(struct cm_buf *out, const struct px_state *state,
                    const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        int n = v6 ? 6 : 4;
        if (px_family_count(gw, v6, NULL) == 0) {
            continue;
        }
        if (state->turn.port != 0 && gw->mode != CM_MODE_OFF) {
            cm_buf_fmt(out,
                       "pass in quick on wg0 %s proto udp from $store%d port $calls to "
                       "any tag OUT keep state\n",
                       family(v6), n);
        }
        if (has_egress(state, gw) && state->egress == CM_EGRESS_ALL) {
            cm_buf_fmt(out,
                       "pass in quick on wg0 %s from $store%d to any tag OUT keep "
                       "state\n",
                       family(v6), n);
        } else if (has_egress(state, gw)) {
            cm_buf_fmt(out,
                       "pass in quick on wg0 %s proto tcp from $store%d to any port "
                       "{ 25, 443 } tag OUT flags S/SA keep state\n",
                       family(v6), n);
        }
    }
    cm_buf_str(out, "pass out quick " OUTSIDE " all tagged OUT keep state\n"
                    "block drop quick on wg0 all\n"
                    "\n# What does not touch the tunnel is yours: rules of your own go "
                    "here.\n"
                    "pass all\n");
}

char *px_gateway_pf(const struct px_state *state, const struct px_gateway *gw)
{
    struct cm_buf out;
    cm_buf_init(&out, PX_TEXT_MAX);
    head(&out, state, gw);
    macros(&out, state, gw);
    options(&out, state);
    translation(&out, state, gw);
    inward(&out, state, gw);
    own(&out);
    outward(&out, state, gw);
    return px_text_done(&out);
}

char *px_gateway_pf_wg(const struct px_state *state, const struct px_gateway *gw)
{
    char ours4[46], ours6[46], store4[46], store6[46];
    struct cm_buf out;
    inner(gw, 1, false, ours4);
    inner(gw, 1, true, ours6);
    inner(gw, 2, false, store4);
    inner(gw, 2, true, store6);
    cm_buf_init(&out, PX_TEXT_MAX);
    cm_buf_fmt(&out,
               "# To /usr/local/etc/wireguard/wg0.conf, root's alone (chmod 600).\n"
               "# pkg install wireguard-tools\n"
               "#\n"
               "# The key is made on this machine and stays there:\n"
               "#   umask 077; wg genkey >/usr/local/etc/wireguard/wg0.key\n"
               "# Put the content of wg0.key in place of PRIVATE-KEY. The public half, "
               "for the store:\n"
               "#   wg pubkey </usr/local/etc/wireguard/wg0.key\n"
               "# Then: service wireguard start\n"
               "\n"
               "[Interface]\n"
               "PrivateKey = " PX_PRIVATE_KEY_HERE "\n"
               "ListenPort = %d\n"
               "Address = %s/30, %s/64\n"
               "MTU = %d\n"
               "\n"
               "# The store dials, from wherever it is today.\n"
               "[Peer]\n"
               "PublicKey = %s\n"
               "AllowedIPs = %s/32, %s/128\n",
               gw->wg_port, ours4, ours6, MTU, state->store_wg_public_key, store4,
               store6);
    return px_text_done(&out);
}
