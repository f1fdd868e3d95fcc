/* plane: what a node's network should look like, as text that the system's own tools
 * take.
 *
 * Pure functions: state in, text out, nothing touched. apply.h does the touching.
 * Golden files in proxy/testdata show every text. Text of nft is for "nft -f -", of wg
 * for "wg syncconf IF /dev/stdin". Everything lives in our own "table inet chatmail".
 */
#ifndef PX_PLANE_H
#define PX_PLANE_H

#include "proxy/state.h"

struct px_links {
    /* One `ip -batch -` line per entry, v4 and v6 apart by the leading "-6 " where
     * needed; written so that a repeat is harmless ("replace", or delete before add).
     */
    char *text;
};

/* Gateway side: one tunnel "wg0". DNAT of the state's ports from every public address
 * to the inner store address of this gateway, no masquerade inward, SNAT outward for
 * tcp 25 and 443 (and for everything when egress is `all`), MSS clamp both ways,
 * related accepted; where programs carry (guard.h, px_guard_tracks) none of that but
 * what lets a client in; and the mode: active forwards; drain and off answer new
 * connections with RST (drain lets present flows live, off resets them too); hold drops
 * SYNs silently. The UDP ports of the state's turn go the same way, with an ICMP error
 * for a RST. What comes first, before any of that, is in guard.h: bans, and limits on
 * new connections. Neither the epoch nor the bans are in the text: they come and go
 * without it. */
char *px_gateway_nft(const struct px_state *state, const struct px_gateway *gw);
/* Lines that make the sets of banned sources of a loaded table what the state says,
 * each with the time that is left at now_s (seconds since 1970), at most 30 days. Left
 * out: what is over, what is no public address, and the addresses of gateways. */
char *px_gateway_bans(const struct px_state *state, int64_t now_s);
/* Whether such a ban means anybody on the Internet who is none of our gateways. */
bool px_ban_allowed(const struct px_state *state, const struct px_ban *ban);
/* What chatmail-proxy shall do (proxy/daemon/settings.h) when the gateway's plane is
 * the proxy; NULL else. What sends the store's answers to the machine itself comes and
 * goes with the proxy's unit, and is not in these rules. */
char *px_gateway_proxy(const struct px_state *state, const struct px_gateway *gw);
char *px_gateway_wg(const struct px_state *state, const struct px_gateway *gw,
                    const char *private_key);
char *px_gateway_ip(const struct px_state *state, const struct px_gateway *gw);

/* The same for an edge that runs FreeBSD and no agent: a whole pf.conf, and a file for
 * wg-quick with PX_PRIVATE_KEY_HERE in the place of the private key. Both say in
 * comments where they go and what else the machine needs. By the kernel: by_proxy is
 * not looked at; with by_header TCP is for a proxy on that machine. Limits and bans as
 * in guard.h, with what pf has for them: a source is one address, in IPv6 too;
 * strangers meet SYN cookies; bans are a table that is filled from outside. Egress
 * `gateways` lets tcp 25 and 443 of the store out, `all` everything. A reload keeps
 * present flows in every mode; for `off` the head says how to end them. */
#define PX_PRIVATE_KEY_HERE "PRIVATE-KEY"
char *px_gateway_pf(const struct px_state *state, const struct px_gateway *gw);
/* What that proxy may be: a file for haproxy; NULL without by_header. */
char *px_gateway_haproxy(const struct px_state *state, const struct px_gateway *gw);
char *px_gateway_pf_wg(const struct px_state *state, const struct px_gateway *gw);

/* Store side: tunnels "wgN", inner addresses, one routing table 100+N and one source
 * rule per gateway, the egress table 200 with the gateways of `healthy` (numbers, best
 * first), and the firewall: a tunnel may reach the mail ports, turn's and the bus, from
 * public source addresses (bus: from its own inner address) only. What begins no TCP
 * connection passes to the mail ports unseen; and with egress `gateways` what may be an
 * answer to mail, from port 25 or 443. Connections are tracked with egress `all` only.
 * Where programs judge (state->judged, store/ingress) the rules keep what the machine
 * says to itself, and that nothing is forwarded. */
char *px_store_nft(const struct px_state *state);
char *px_store_wg(const struct px_state *state, const struct px_gateway *gw,
                  const char *private_key);
char *px_store_ip(const struct px_state *state);
char *px_store_egress_ip(const struct px_state *state, const int *healthy, size_t n);

#endif
