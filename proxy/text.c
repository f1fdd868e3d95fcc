#include "text.h"

#include <string.h>

bool px_is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

size_t px_family_count(const struct px_gateway *gw, bool v6, const char **first_r)
{
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < gw->address_count; i++) {
        if (px_is_v6(gw->addresses[i]) == v6) {
            first = n++ == 0 ? gw->addresses[i] : first;
        }
    }
    if (first_r != NULL) {
        *first_r = first;
    }
    return n;
}

void px_text_ports(struct cm_buf *out, const struct px_state *state)
{
    for (size_t i = 0; i < state->port_count; i++) {
        cm_buf_fmt(out, "%s%u", i == 0 ? "{ " : ", ", state->ports[i]);
    }
    cm_buf_str(out, " }");
}

void px_text_header_ports(struct cm_buf *out, const struct px_state *state)
{
    for (size_t i = 0; i < state->port_count; i++) {
        cm_buf_fmt(out, "%s%u", i == 0 ? "{ " : ", ",
                   state->ports[i] + CM_HEADER_PORTS);
    }
    cm_buf_str(out, " }");
}

void px_text_turn(struct cm_buf *out, const struct px_state *state)
{
    const struct px_turn *t = &state->turn;
    cm_buf_fmt(out, "{ %u, %u-%u }", t->port, t->relay_min, t->relay_max);
}

void px_text_addresses(struct cm_buf *out, const struct px_gateway *gw, bool v6)
{
    const char *sep = "{ ";
    for (size_t i = 0; i < gw->address_count; i++) {
        if (px_is_v6(gw->addresses[i]) == v6) {
            cm_buf_fmt(out, "%s%s", sep, gw->addresses[i]);
            sep = ", ";
        }
    }
    cm_buf_str(out, " }");
}

static void to_public(struct cm_buf *out, const struct px_gateway *gw, bool v6,
                      const char *protocol)
{
    cm_buf_fmt(out, "%s daddr ", v6 ? "ip6" : "ip");
    px_text_addresses(out, gw, v6);
    cm_buf_fmt(out, " %s dport ", protocol);
}

void px_text_to_tcp(struct cm_buf *out, const struct px_state *state,
                    const struct px_gateway *gw, bool v6)
{
    to_public(out, gw, v6, "tcp");
    px_text_ports(out, state);
}

void px_text_to_turn(struct cm_buf *out, const struct px_state *state,
                     const struct px_gateway *gw, bool v6)
{
    to_public(out, gw, v6, "udp");
    px_text_turn(out, state);
}

/* The uplink's name is nobody's business. */
#define OUTSIDE "        iifname != \"wg0\" "

void px_text_match_tcp(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw, bool v6)
{
    cm_buf_str(out, OUTSIDE);
    px_text_to_tcp(out, state, gw, v6);
}

void px_text_match_turn(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw, bool v6)
{
    cm_buf_str(out, OUTSIDE);
    px_text_to_turn(out, state, gw, v6);
}

void px_text_count(struct cm_buf *out, const struct px_state *state, const char *port,
                   const char *counter)
{
    cm_buf_fmt(out, " counter name %s map { ", port);
    for (size_t i = 0; i < state->port_count; i++) {
        cm_buf_fmt(out, "%s%u : \"%s_%u\"", i == 0 ? "" : ", ", state->ports[i],
                   counter, state->ports[i]);
    }
    cm_buf_str(out, " }");
}

void px_text_table_open(struct cm_buf *out)
{
    cm_buf_str(out, "table inet chatmail\n"
                    "delete table inet chatmail\n"
                    "table inet chatmail {\n");
}

char *px_text_done(struct cm_buf *out)
{
    cm_assert(!out->overflow);
    return cm_buf_steal(out);
}
