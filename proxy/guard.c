#include "guard.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "marks.h"
#include "plane.h"
#include "text.h"

#define KNOWN_MAX 65536
#define FRESH_MAX 65536

/* A bucket is forgotten when nobody came for so long; by then it should be full again,
 * or its source is treated better than it was told. */
#define FRESH_TIMEOUT "1m"
#define KNOWN_TIMEOUT "12h"

/* A document lasts longer than this only by mistake, or this machine's clock is wrong.
 */
#define BAN_S_MAX (30 * 24 * 3600)

/* Remembers on a flow that its source is known already. */
#define KNOWN_MARK "0x7079"

#define SYN "tcp flags & (fin | syn | rst | ack) == syn"

/* How a packet's source is named in family v6. */
static const char *source(bool v6)
{
    return v6 ? "ip6 saddr & ffff:ffff:ffff:ffff::" : "ip saddr";
}

void px_guard_counters(struct cm_buf *out)
{
    cm_buf_str(out, "    counter banned { }\n"
                    "    counter crowded { }\n"
                    "    counter flooding { }\n"
                    "    counter strangers { }\n");
}

static void set(struct cm_buf *out, const char *name, bool v6, int size,
                const char *rest)
{
    cm_buf_fmt(out, "    set %s%d { type %s; size %d; flags %s; }\n", name, v6 ? 6 : 4,
               v6 ? "ipv6_addr" : "ipv4_addr", size, rest);
}

void px_guard_sets(struct cm_buf *out, const struct px_state *state)
{
    cm_buf_str(out, "\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        set(out, "banned", v6, PX_BANS_MAX, "timeout");
        if (state->limits.source_rate > 0) {
            set(out, "fresh", v6, FRESH_MAX,
                "dynamic, timeout; timeout " FRESH_TIMEOUT);
        }
        if (state->limits.stranger_rate > 0) {
            set(out, "known", v6, KNOWN_MAX,
                "dynamic, timeout; timeout " KNOWN_TIMEOUT);
        }
    }
}

static void limit(struct cm_buf *out, int rate, int burst)
{
    cm_buf_fmt(out, "limit rate over %d/second burst %d packets", rate, burst);
}

static void newcomer_chain(struct cm_buf *out, const struct px_limits *limits, bool v6)
{
    cm_buf_fmt(out, "\n    chain newcomer%d {\n", v6 ? 6 : 4);
    if (limits->source_rate > 0) {
        cm_buf_fmt(out, "        update @fresh%d { %s ", v6 ? 6 : 4, source(v6));
        limit(out, limits->source_rate, limits->source_burst);
        cm_buf_str(out, " } counter name \"flooding\" drop\n");
    }
    if (limits->stranger_rate > 0) {
        cm_buf_fmt(out, "        %s != @known%d ", source(v6), v6 ? 6 : 4);
        limit(out, limits->stranger_rate, limits->stranger_rate * PX_STRANGER_WAVE_S);
        cm_buf_str(out, " counter name \"strangers\" drop\n");
    }
    cm_buf_str(out, "    }\n");
}

/* The kernel would drop it in silence. Who is refused goes elsewhere at once. */
static void crowded(struct cm_buf *out, const struct px_gateway *gw)
{
    bool tracked = !gw->carried || gw->mode != CM_MODE_ACTIVE;
    if (gw->crowded && gw->mode != CM_MODE_HOLD && tracked) {
        cm_buf_str(out, "\n        " SYN " counter name \"crowded\" reject with tcp "
                        "reset");
    }
}

/* Who has proven that he hears the store. */
static void proven(struct cm_buf *out, const struct px_state *state, bool v6)
{
    cm_buf_fmt(out, "        meta mark %#x", PX_MARK_PROVEN);
    px_text_count(out, state, "tcp dport", "flows");
    if (state->limits.stranger_rate > 0) {
        cm_buf_fmt(out, " update @known%d { %s }", v6 ? 6 : 4, source(v6));
    }
    cm_buf_str(out, "\n");
}

/* Without connection tracking: the store's answers are translated back by the programs,
 * which learn from the mark for which of our addresses they are. */
static void translate(struct cm_buf *out, const struct px_gateway *gw, bool v6)
{
    const char *ip = v6 ? "ip6" : "ip", *sep = "";
    char inner[46];

    (v6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
    cm_buf_fmt(out, "notrack meta mark set %s daddr map { ", ip);
    for (size_t i = 0; i < gw->address_count; i++) {
        if (px_is_v6(gw->addresses[i]) == v6) {
            cm_buf_fmt(out, "%s%s : %#x", sep, gw->addresses[i],
                       PX_MARK_INWARD + (unsigned)i);
            sep = ", ";
        }
    }
    cm_buf_fmt(out, " } %s daddr set %s\n", ip, inner);
}

/* Who drains or holds goes on with what is open. */
static void let_in(struct cm_buf *out, const struct px_gateway *gw, bool v6)
{
    cm_buf_str(out, "        ");
    if (gw->mode != CM_MODE_ACTIVE) {
        cm_buf_fmt(out, "meta mark { %#x, %#x } ", PX_MARK_PROVEN, PX_MARK_RESUMED);
    }
    translate(out, gw, v6);
}

/* The first packets of a call, until the programs know it. */
static void let_in_calls(struct cm_buf *out, const struct px_state *state,
                         const struct px_gateway *gw, bool v6)
{
    cm_buf_str(out, "        ");
    px_text_to_turn(out, state, gw, v6);
    /* The kernel may cut what does not fit into the tunnel: of an error the caller
     * would not know what it is about. */
    cm_buf_fmt(out, " counter name \"flows_turn\" %s", v6 ? "" : "ip frag-off set 0 ");
    translate(out, gw, v6);
}

static void door_chain(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw, bool v6)
{
    cm_buf_fmt(out,
               "\n    chain door%d {\n"
               "        %s @banned%d counter name \"banned\" drop\n"
               "       ",
               v6 ? 6 : 4, source(v6), v6 ? 6 : 4);
    px_text_count(out, state, "tcp dport", "in");
    crowded(out, gw);
    cm_buf_fmt(out, "\n        " SYN " %s newcomer%d\n", gw->carried ? "jump" : "goto",
               v6 ? 6 : 4);
    if (gw->carried && gw->mode != CM_MODE_OFF && px_family_count(gw, v6, NULL) > 0) {
        cm_buf_fmt(out, "        meta mark %#x accept\n", PX_MARK_OURS);
        proven(out, state, v6);
        let_in(out, gw, v6);
    }
    cm_buf_str(out, "    }\n");
}

bool px_guard_tracks(const struct px_state *state, const struct px_gateway *gw)
{
    return !gw->carried || gw->by_proxy || gw->mode == CM_MODE_OFF ||
           state->egress == CM_EGRESS_ALL;
}

bool px_guards_input(const struct px_gateway *gw)
{
    return gw->carried && !gw->by_proxy && gw->mode == CM_MODE_ACTIVE;
}

void px_guard_inner(struct cm_buf *out, const struct px_gateway *gw)
{
    char inner4[46], inner6[46];

    px_inner4(gw->number, 1, inner4);
    px_inner6(gw->number, 1, inner6);
    cm_buf_fmt(out,
               "        ip daddr %s iifname != { \"wg0\", \"lo\" } counter drop\n"
               "        ip6 daddr %s iifname != { \"wg0\", \"lo\" } counter drop\n",
               inner4, inner6);
}

static void guard_chain(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw)
{
    /* What is carried is met again as a packet of the tunnel: that comes first. */
    cm_buf_fmt(out,
               "\n    chain guard {\n"
               "        type filter hook prerouting priority raw; policy accept;\n"
               "        udp dport %d meta iiftype ether notrack accept\n"
               "        " PX_TEXT_FROM_WG0 " goto from_inside\n"
               "        udp dport %d notrack accept\n",
               gw->wg_port, gw->wg_port);
    for (int v6 = 0; v6 <= 1; v6++) {
        if (px_family_count(gw, v6, NULL) == 0) {
            continue;
        }
        cm_buf_str(out, "        ");
        px_text_to_tcp(out, state, gw, v6);
        cm_buf_fmt(out, " goto door%d\n", v6 ? 6 : 4);
        if (state->turn.port != 0) {
            cm_buf_str(out, "        ");
            px_text_to_turn(out, state, gw, v6);
            cm_buf_fmt(out, " %s @banned%d counter name \"banned\" drop\n", source(v6),
                       v6 ? 6 : 4);
            if (gw->mode == CM_MODE_ACTIVE && !px_guard_tracks(state, gw)) {
                let_in_calls(out, state, gw, v6);
            }
        }
    }
    if (px_guards_input(gw)) {
        px_guard_inner(out, gw);
    }
    cm_buf_str(out, "    }\n");
}

/* The third packet of a handshake proves that the source is true: connection tracking
 * calls no flow assured before. ("established" is too little: a SYN that is sent again
 * passes as that, and so does half of all guessed acknowledgements.) */
static void acquaint(struct cm_buf *out, bool v6, const char *then)
{
    cm_buf_fmt(out,
               " ct status assured ct mark 0x0 ct mark set " KNOWN_MARK
               " update @known%d { %s }%s\n",
               v6 ? 6 : 4, source(v6), then);
}

/* By proxy flows end on this machine. A flow that is marked leaves at the first rule:
 * nearly every packet there is. */
static void acquaint_chain(struct cm_buf *out, const struct px_state *state,
                           const struct px_gateway *gw)
{
    if (state->limits.stranger_rate == 0 || !gw->by_proxy) {
        return;
    }
    cm_buf_str(out,
               "\n    chain acquaint {\n"
               "        type filter hook prerouting priority mangle; policy accept;\n"
               "        ct mark " KNOWN_MARK " accept\n");
    for (int v6 = 0; v6 <= 1; v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            px_text_match_tcp(out, state, gw, v6);
            acquaint(out, v6, "");
        }
    }
    cm_buf_str(out, "    }\n");
}

void px_guard_open(struct cm_buf *out, const struct px_state *state,
                   const struct px_gateway *gw)
{
    bool open = gw->mode != CM_MODE_OFF && !gw->by_proxy;
    if (gw->carried && open) {
        cm_buf_fmt(out, "        meta mark %#x-%#x goto let_in\n", PX_MARK_INWARD,
                   PX_MARK_INWARD + CM_ADDRESSES_MAX - 1);
    } else if (open && state->limits.stranger_rate > 0) {
        cm_buf_str(out, "        ct mark " KNOWN_MARK " goto open\n");
    }
}

void px_guard_acquaint(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw)
{
    if (state->limits.stranger_rate == 0 || gw->by_proxy || gw->carried) {
        return;
    }
    for (int v6 = 0; v6 <= 1; v6++) {
        if (px_family_count(gw, v6, NULL) > 0) {
            cm_buf_fmt(out, "        meta nfproto %s meta l4proto tcp ct status dnat",
                       v6 ? "ipv6" : "ipv4");
            acquaint(out, v6, " accept");
        }
    }
}

void px_guard_chains(struct cm_buf *out, const struct px_state *state,
                     const struct px_gateway *gw)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        newcomer_chain(out, &state->limits, v6);
        door_chain(out, state, gw, v6);
    }
    guard_chain(out, state, gw);
    acquaint_chain(out, state, gw);
}

/* ---- bans ---- */

/* A gateway that is banned by mistake would be cut off from its own kin. */
static bool is_ours(const struct px_state *state, const struct px_ban *ban)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        for (size_t a = 0; a < gw->address_count; a++) {
            unsigned char address[CM_SOURCE_LEN];
            struct cm_err err;
            if (cm_source_parse(gw->addresses[a], address, &err) == 0 &&
                memcmp(address, ban->source, CM_SOURCE_LEN) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool px_ban_allowed(const struct px_state *state, const struct px_ban *ban)
{
    return cm_source_is_public(ban->source) && !is_ours(state, ban);
}

static void bans_of_family(struct cm_buf *out, const struct px_state *state, bool v6,
                           int64_t now_s)
{
    size_t n = 0;

    for (size_t i = 0; i < state->ban_count; i++) {
        const struct px_ban *ban = &state->bans[i];
        int64_t left = ban->until - now_s;
        char text[CM_SOURCE_TEXT];
        if (cm_source_is_v6(ban->source) != v6 || left <= 0 ||
            !px_ban_allowed(state, ban)) {
            continue;
        }
        cm_source_text(ban->source, false, text);
        if (n++ == 0) {
            cm_buf_fmt(out, "add element inet chatmail banned%d { ", v6 ? 6 : 4);
        } else {
            cm_buf_str(out, ", ");
        }
        cm_buf_fmt(out, "%s timeout %" PRId64 "s", text,
                   left < BAN_S_MAX ? left : BAN_S_MAX);
    }
    cm_buf_str(out, n > 0 ? " }\n" : "");
}

char *px_gateway_bans(const struct px_state *state, int64_t now_s)
{
    struct cm_buf out;

    cm_buf_init(&out, PX_TEXT_MAX);
    cm_buf_str(&out, "flush set inet chatmail banned4\n"
                     "flush set inet chatmail banned6\n");
    bans_of_family(&out, state, false, now_s);
    bans_of_family(&out, state, true, now_s);
    return px_text_done(&out);
}
