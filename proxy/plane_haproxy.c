/* haproxy on an edge without agent, where the store is told of clients by PROXY v2. */
#include "plane.h"

#include "text.h"

#define CONNECTIONS 20000

static void head(struct cm_buf *out, const struct px_state *state,
                 const struct px_gateway *gw)
{
    cm_buf_fmt(out,
               "# Gateway %s of %s: TCP to the store, clients named by PROXY v2\n"
               "#\n"
               "# To /usr/local/etc/haproxy.conf (FreeBSD), /etc/haproxy/haproxy.cfg "
               "(Debian);\n"
               "# then: haproxy -c -f FILE && service haproxy reload\n"
               "# Modes and bans are the packet filter's.\n"
               "\n"
               "global\n"
               "    maxconn %d\n"
               "\n"
               "defaults\n"
               "    mode tcp\n"
               "    maxconn %d\n"
               "    option clitcpka\n"
               "    option srvtcpka\n"
               "    timeout connect 10s\n"
               "    # Dovecot speaks in an IDLE every two minutes.\n"
               "    timeout client 10m\n"
               "    timeout server 10m\n",
               gw->name, state->domain, CONNECTIONS, CONNECTIONS);
}

/* The store tells the gateways apart by the address that it is called at, so the header
 * says that one and not the public one. */
static void door(struct cm_buf *out, const struct px_gateway *gw, unsigned port,
                 bool v6)
{
    char inner[46];
    (v6 ? px_inner6 : px_inner4)(gw->number, 2, inner);
    cm_buf_fmt(out, "\nlisten door%d_%u\n", v6 ? 6 : 4, port);
    for (size_t i = 0; i < gw->address_count; i++) {
        if (px_is_v6(gw->addresses[i]) == v6) {
            cm_buf_fmt(out, "    bind %s%s%s:%u\n", v6 ? "[" : "", gw->addresses[i],
                       v6 ? "]" : "", port);
        }
    }
    cm_buf_fmt(out,
               "    tcp-request connection set-dst %s(%s)\n"
               "    server store %s%s%s:%u send-proxy-v2\n",
               v6 ? "ipv6" : "ipv4", inner, v6 ? "[" : "", inner, v6 ? "]" : "",
               port + CM_HEADER_PORTS);
}

char *px_gateway_haproxy(const struct px_state *state, const struct px_gateway *gw)
{
    struct cm_buf out;
    if (!gw->by_header) {
        return NULL;
    }
    cm_buf_init(&out, PX_TEXT_MAX);
    head(&out, state, gw);
    for (int v6 = 0; v6 <= 1; v6++) {
        for (size_t i = 0; i < state->port_count && px_family_count(gw, v6, NULL) > 0;
             i++) {
            door(&out, gw, state->ports[i], v6);
        }
    }
    return px_text_done(&out);
}
