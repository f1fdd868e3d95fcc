#include "ingress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "common/mem.h"
#include "ingress_map.h"
#include "ingress_object.h"
#include "proxy/programs.h"
#include "proxy/tclink.h"

_Static_assert(INGRESS_TUNNELS == CM_GATEWAYS_MAX + 1, "");

struct ingress {
    struct bpf_object *object;
    int arrive; /* descriptors of a program, and of maps */
    int tunnels, ports, own, dropped;
    int cpus;
    struct bpf_link *near;           /* NULL: not attached */
    uint32_t kinds[INGRESS_PORTS];   /* as told */
    unsigned links[INGRESS_TUNNELS]; /* as settled; 0: was not there */
    struct ingress_address known[INGRESS_OWN];
    size_t known_count;
    bool settled;
};

/* ---- loading ---- */

static int load(struct ingress *g)
{
    DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "ingress");

    g->object = bpf_object__open_mem(ingress_object, ingress_object_size, &opts);
    if (g->object == NULL || bpf_object__load(g->object) != 0) {
        return -1;
    }
    g->arrive = bpf_program__fd(bpf_object__find_program_by_name(g->object, "arrive"));
    g->tunnels = bpf_object__find_map_fd_by_name(g->object, "tunnels");
    g->ports = bpf_object__find_map_fd_by_name(g->object, "ports");
    g->own = bpf_object__find_map_fd_by_name(g->object, "own");
    g->dropped = bpf_object__find_map_fd_by_name(g->object, "dropped");
    g->cpus = libbpf_num_possible_cpus();
    return g->arrive >= 0 && g->tunnels >= 0 && g->ports >= 0 && g->own >= 0 &&
                   g->dropped >= 0 && g->cpus > 0
               ? 0
               : -1;
}

struct ingress *ingress_new(struct cm_err *err)
{
    struct ingress *g = cm_calloc(1, sizeof(*g));

    px_programs_listen();
    if (load(g) != 0) {
        cm_err_set(err, CM_ERR_WORLD, "programs for the tunnels: %s",
                   px_programs_complaint());
        ingress_free(&g);
    }
    return g;
}

void ingress_free(struct ingress **ingress)
{
    struct ingress *g = *ingress;

    if (g != NULL) {
        bpf_link__destroy(g->near);
        bpf_object__close(g->object);
        free(g);
        *ingress = NULL;
    }
}

/* ---- telling ---- */

static int refused(const char *what, struct cm_err *err)
{
    return cm_err_set(err, CM_ERR_WORLD, "programs for the tunnels: %s: %s", what,
                      strerror(errno));
}

static void mark(uint32_t *kinds, int from, int to, uint32_t kind)
{
    for (int port = from; port <= to && from > 0; port++) {
        kinds[port] |= kind;
    }
}

static void kinds_of(const struct px_state *state, uint32_t kinds[INGRESS_PORTS])
{
    const struct px_turn *turn = &state->turn;

    for (size_t i = 0; i < state->port_count; i++) {
        int port = state->ports[i], header = port + CM_HEADER_PORTS;
        mark(kinds, port, port, INGRESS_PUBLIC);
        mark(kinds, header, header, INGRESS_HEADER);
    }
    mark(kinds, state->bus_port, state->bus_port + 2, INGRESS_BUS);
    mark(kinds, state->metrics_port, state->metrics_port, INGRESS_METRICS);
    if (turn->port != 0) {
        mark(kinds, turn->port, turn->port, INGRESS_CALLS);
        mark(kinds, turn->relay_min, turn->relay_max, INGRESS_CALLS);
    }
}

static int tell_ports(struct ingress *g, const struct px_state *state,
                      struct cm_err *err)
{
    uint32_t *kinds = cm_calloc(INGRESS_PORTS, sizeof(*kinds));
    int rc = 0;

    kinds_of(state, kinds);
    for (uint32_t port = 0; rc == 0 && port < INGRESS_PORTS; port++) {
        if (kinds[port] != g->kinds[port]) {
            rc = bpf_map_update_elem(g->ports, &port, &kinds[port], BPF_ANY);
            g->kinds[port] = rc == 0 ? kinds[port] : UINT32_MAX;
        }
    }
    free(kinds);
    return rc == 0 ? 0 : refused("ports", err);
}

/* By number; of no gateway: zeros, which let in nothing. */
static int tell_tunnels(const struct ingress *g, const struct px_state *state,
                        const unsigned links[INGRESS_TUNNELS], struct cm_err *err)
{
    struct ingress_tunnel tunnels[INGRESS_TUNNELS] = {0};

    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        tunnels[gw->number] =
            (struct ingress_tunnel){.link = links[gw->number],
                                    .header = gw->by_header,
                                    .answers = state->egress == CM_EGRESS_GATEWAYS};
    }
    for (uint32_t n = 1; n < INGRESS_TUNNELS; n++) {
        if (bpf_map_update_elem(g->tunnels, &n, &tunnels[n], BPF_ANY) != 0) {
            return refused("tunnels", err);
        }
    }
    return 0;
}

/* ---- addresses of our own ---- */

static bool address_of(const struct sockaddr *sa, struct ingress_address *out)
{
    if (sa != NULL && sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
        memcpy(out, &v6->sin6_addr, sizeof(*out));
        return true;
    }
    if (sa != NULL && sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        *out = (struct ingress_address){{0, 0, htonl(0xffff), v4->sin_addr.s_addr}};
        return true;
    }
    return false;
}

static bool is_among(const struct ingress_address *all, size_t n,
                     const struct ingress_address *one)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&all[i], one, sizeof(*one)) == 0) {
            return true;
        }
    }
    return false;
}

static size_t own_addresses(struct ingress_address out[INGRESS_OWN])
{
    struct ifaddrs *all = NULL;
    size_t n = 0;

    if (getifaddrs(&all) != 0) {
        return 0;
    }
    for (const struct ifaddrs *a = all; a != NULL && n < INGRESS_OWN; a = a->ifa_next) {
        n += address_of(a->ifa_addr, &out[n]) && !is_among(out, n, &out[n]);
    }
    freeifaddrs(all);
    return n;
}

/* A packet that claims to come from ourselves is forged. The kernel drops those of IPv4
 * by itself. */
static int tell_own(struct ingress *g, struct cm_err *err)
{
    struct ingress_address now[INGRESS_OWN];
    size_t n = own_addresses(now);
    uint32_t yes = 1;
    int rc = 0;

    for (size_t i = 0; i < g->known_count; i++) {
        if (!is_among(now, n, &g->known[i])) {
            (void)bpf_map_delete_elem(g->own, &g->known[i]);
        }
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = bpf_map_update_elem(g->own, &now[i], &yes, BPF_ANY);
    }
    memcpy(g->known, now, n * sizeof(*now));
    g->known_count = n;
    return rc == 0 ? 0 : refused("addresses", err);
}

/* ---- attaching ---- */

static void find_links(unsigned links[INGRESS_TUNNELS])
{
    for (int n = 1; n < INGRESS_TUNNELS; n++) {
        char name[IF_NAMESIZE];
        snprintf(name, sizeof(name), "wg%d", n);
        links[n] = if_nametoindex(name);
    }
}

static int attach_near(struct ingress *g, struct cm_err *err)
{
    struct bpf_program *p = bpf_object__find_program_by_name(g->object, "near");
    int ns = g->near != NULL ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (g->near == NULL && ns >= 0) {
        g->near = bpf_program__attach_netns(p, ns);
        close(ns);
    }
    return g->near != NULL ? 0 : refused("look-ups", err);
}

bool ingress_can(const struct px_state *state)
{
    return state->egress != CM_EGRESS_ALL;
}

int ingress_settle(struct ingress *g, const struct px_state *state, struct cm_err *err)
{
    unsigned links[INGRESS_TUNNELS] = {0};

    g->settled = false;
    find_links(links);
    if (tell_ports(g, state, err) != 0 || tell_own(g, err) != 0 ||
        tell_tunnels(g, state, links, err) != 0 || attach_near(g, err) != 0) {
        return -1;
    }
    for (int n = 1; n < INGRESS_TUNNELS; n++) {
        if (links[n] != 0 && px_tclink_attach((int)links[n], PX_TCLINK_INGRESS,
                                              g->arrive, true, "arrive", err) != 0) {
            return -1;
        }
    }
    memcpy(g->links, links, sizeof(links));
    g->settled = true;
    return 0;
}

void ingress_stop(struct ingress *g)
{
    unsigned links[INGRESS_TUNNELS] = {0};

    find_links(links);
    for (int n = 1; n < INGRESS_TUNNELS; n++) {
        if (links[n] != 0) {
            px_tclink_detach((int)links[n], PX_TCLINK_INGRESS);
        }
    }
    if (g != NULL) {
        bpf_link__destroy(g->near);
        g->near = NULL;
        g->settled = false;
    }
}

uint64_t ingress_dropped(const struct ingress *g)
{
    uint64_t *each = cm_calloc((size_t)g->cpus, sizeof(*each)), sum = 0;
    uint32_t zero = 0;

    if (bpf_map_lookup_elem(g->dropped, &zero, each) == 0) {
        for (int i = 0; i < g->cpus; i++) {
            sum += each[i];
        }
    }
    free(each);
    return sum;
}

bool ingress_holds(const struct ingress *g)
{
    unsigned links[INGRESS_TUNNELS] = {0};

    find_links(links);
    return g->settled && memcmp(links, g->links, sizeof(links)) == 0;
}
