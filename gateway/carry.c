#include "carry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "carry_object.h"
#include "common/mem.h"
#include "common/source.h"
#include "proxy/guard.h"
#include "proxy/programs.h"
#include "proxy/tclink.h"
#include "uplink.h"

#define BATCH    256
#define CPUS_MAX 1024

struct gw_carry {
    struct bpf_object *object;
    int flows, fresh, calls, doors, settings; /* descriptors of the maps */
    int cpus;
    uint32_t rules;
    bool attached;
};

/* ---- loading ---- */

static int find_maps(struct gw_carry *c)
{
    c->flows = bpf_object__find_map_fd_by_name(c->object, "flows");
    c->fresh = bpf_object__find_map_fd_by_name(c->object, "fresh");
    c->calls = bpf_object__find_map_fd_by_name(c->object, "calls");
    c->doors = bpf_object__find_map_fd_by_name(c->object, "doors");
    c->settings = bpf_object__find_map_fd_by_name(c->object, "settings");
    c->cpus = libbpf_num_possible_cpus();
    return c->flows >= 0 && c->fresh >= 0 && c->calls >= 0 && c->doors >= 0 &&
                   c->settings >= 0 && c->cpus > 0 && c->cpus <= CPUS_MAX
               ? 0
               : -1;
}

static bool fits(int map)
{
    struct bpf_map_info info = {0};
    __u32 len = sizeof(info);

    return bpf_obj_get_info_by_fd(map, &info, &len) == 0 &&
           info.type == BPF_MAP_TYPE_LRU_HASH &&
           info.key_size == sizeof(struct gw_carry_key) &&
           info.value_size == sizeof(struct gw_carry_flow) &&
           info.max_entries == GW_CARRY_FLOWS;
}

static int load(struct gw_carry *c, int kept)
{
    DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "carry");

    c->object = bpf_object__open_mem(gw_carry_object, gw_carry_object_size, &opts);
    if (c->object == NULL) {
        return -1;
    }
    /* Without BTF of the kernel's a tc program is known by its type alone. */
    struct bpf_map *flows = bpf_object__find_map_by_name(c->object, "flows");
    if (flows == NULL ||
        (kept >= 0 && fits(kept) && bpf_map__reuse_fd(flows, kept) != 0)) {
        return -1;
    }
    return bpf_object__load(c->object) == 0 ? find_maps(c) : -1;
}

struct gw_carry *gw_carry_new(int kept, struct cm_err *err)
{
    struct gw_carry *c = cm_calloc(1, sizeof(*c));

    px_programs_listen();
    if (load(c, kept) != 0) {
        cm_err_set(err, CM_ERR_WORLD, "programs for open connections: %s",
                   px_programs_complaint());
        gw_carry_free(&c);
    }
    return c;
}

void gw_carry_free(struct gw_carry **carry)
{
    struct gw_carry *c = *carry;

    if (c != NULL) {
        bpf_object__close(c->object);
        free(c);
        *carry = NULL;
    }
}

int gw_carry_fd(const struct gw_carry *c)
{
    return c->flows;
}

/* ---- attaching ---- */

static int attach(const struct gw_carry *c, int link, enum px_tclink_where where,
                  bool ours, const char *name, struct cm_err *err)
{
    struct bpf_program *p = bpf_object__find_program_by_name(c->object, name);

    return px_tclink_attach(link, where, p != NULL ? bpf_program__fd(p) : -1, ours,
                            name, err);
}

static int attach_uplinks(const struct gw_carry *c, const struct px_gateway *gw,
                          struct cm_err *err)
{
    struct gw_uplink links[GW_UPLINKS_MAX];
    size_t n = gw_uplinks(gw, links);

    if (n == 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "no interface has a public address or a default route");
    }
    for (size_t i = 0; i < n; i++) {
        if (attach(c, links[i].index, PX_TCLINK_INGRESS, false,
                   links[i].ether ? "inward_ether" : "inward_bare", err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- telling ---- */

static void address_of(const char *text, __u32 out[4])
{
    struct in_addr v4;

    if (inet_pton(AF_INET, text, &v4) == 1) {
        out[0] = out[1] = 0;
        out[2] = htonl(0xffff);
        out[3] = v4.s_addr;
    } else {
        cm_assert(inet_pton(AF_INET6, text, out) == 1);
    }
}

/* What leaves without having been let in: mail, and calls. Where connections are
 * tracked the rules do it. */
static void fill_outward(struct gw_carry_settings *s, const struct px_state *state,
                         const struct px_gateway *gw)
{
    const struct px_turn *turn = &state->turn;
    bool egress = gw->egress && state->egress == CM_EGRESS_GATEWAYS;
    struct px_gateway own = *gw;

    own.carried = true;
    if (px_guard_tracks(state, &own)) {
        return;
    }
    for (size_t i = gw->address_count; i-- > 0;) {
        int v6 = strchr(gw->addresses[i], ':') != NULL;
        s->relay[v6] = turn->port != 0 ? (__u32)i + 1 : 0;
        s->egress[v6] = egress ? (__u32)i + 1 : 0;
    }
}

static void fill(struct gw_carry_settings *s, const struct px_state *state,
                 const struct px_gateway *gw, int tunnel)
{
    char inner[46];

    _Static_assert(GW_CARRY_ADDRESSES == CM_ADDRESSES_MAX, "");
    *s = (struct gw_carry_settings){.tunnel = (__u32)tunnel,
                                    .on = 1,
                                    .relay_port = state->turn.port,
                                    .relay_min = state->turn.relay_min,
                                    .relay_max = state->turn.relay_max};
    px_inner4(gw->number, 2, inner);
    address_of(inner, s->inner[0]);
    px_inner6(gw->number, 2, inner);
    address_of(inner, s->inner[1]);
    for (size_t i = 0; i < gw->address_count; i++) {
        int v6 = strchr(gw->addresses[i], ':') != NULL;
        address_of(gw->addresses[i], s->addresses[i]);
        if (!gw->by_proxy) {
            s->alone[v6] = s->alone[v6] == 0 ? (__u32)i + 1 : UINT32_MAX;
        }
    }
    for (int v6 = 0; v6 <= 1; v6++) {
        s->alone[v6] = s->alone[v6] == UINT32_MAX ? 0 : s->alone[v6];
    }
    fill_outward(s, state, gw);
}

static int tell(const struct gw_carry *c, const struct gw_carry_settings *s,
                struct cm_err *err)
{
    __u32 zero = 0;

    return bpf_map_update_elem(c->settings, &zero, s, BPF_ANY) == 0
               ? 0
               : cm_err_set(err, CM_ERR_WORLD, "settings of the programs: %s",
                            strerror(errno));
}

/* A port that is ours no longer stays counted, and is let in by no rule. */
static int open_doors(const struct gw_carry *c, const struct px_state *state,
                      struct cm_err *err)
{
    struct gw_carry_count *zeros = cm_calloc((size_t)c->cpus, sizeof(*zeros));
    int rc = 0;

    _Static_assert(GW_CARRY_DOORS >= PX_PORTS_MAX, "");
    for (size_t i = 0; rc == 0 && i < state->port_count; i++) {
        __be16 port = htons(state->ports[i]);
        if (bpf_map_update_elem(c->doors, &port, zeros, BPF_NOEXIST) != 0 &&
            errno != EEXIST) {
            rc = cm_err_set(err, CM_ERR_WORLD, "ports of the programs: %s",
                            strerror(errno));
        }
    }
    free(zeros);
    return rc;
}

int gw_carry_begin(struct gw_carry *c, const struct px_state *state,
                   const struct px_gateway *gw, struct cm_err *err)
{
    struct gw_carry_settings settings;
    int tunnel = (int)if_nametoindex("wg0");

    if (gw->by_proxy && !c->attached) {
        return 0;
    }
    if (tunnel == 0) {
        return cm_err_set(err, CM_ERR_WORLD, "wg0 is not there");
    }
    fill(&settings, state, gw, tunnel);
    settings.rules = c->rules;
    if (open_doors(c, state, err) != 0 || tell(c, &settings, err) != 0 ||
        attach(c, tunnel, PX_TCLINK_INGRESS, true, "outward", err) != 0 ||
        attach(c, tunnel, PX_TCLINK_EGRESS, true, "onward", err) != 0 ||
        attach_uplinks(c, gw, err) != 0) {
        return -1;
    }
    c->attached = true;
    return 0;
}

void gw_carry_stop(struct gw_carry *c)
{
    struct gw_carry_settings none = {.on = 0};
    struct cm_err ignored;

    (void)!tell(c, &none, &ignored);
}

/* ---- what is open ---- */

typedef bool keep_fn(const struct gw_carry_key *, const struct gw_carry_flow *, void *);

struct page {
    struct gw_carry_key keys[BATCH];
    struct gw_carry_flow flows[BATCH];
};

/* The kernel's mark of how far it came is as long as a key of a hash is, or a number.
 */
static void walk(int map, keep_fn *keep, void *ctx)
{
    struct page *page = cm_malloc(sizeof(*page));
    struct gw_carry_key in, out;
    __u32 seen = 0;
    int rc = 0;

    for (bool first = true; rc == 0 && seen < 2 * GW_CARRY_FLOWS; first = false) {
        __u32 n = BATCH;
        DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, opts);
        rc = bpf_map_lookup_batch(map, first ? NULL : &in, &out, page->keys,
                                  page->flows, &n, &opts);
        n = rc == 0 || errno == ENOENT ? n : 0;
        for (__u32 i = 0; i < n; i++) {
            if (!keep(&page->keys[i], &page->flows[i], ctx)) {
                bpf_map_delete_elem(map, &page->keys[i]);
            }
        }
        seen += n;
        in = out;
    }
    free(page);
}

void gw_carry_walk(struct gw_carry *c, keep_fn *keep, void *ctx)
{
    walk(c->flows, keep, ctx);
}

struct banned {
    unsigned char (*sources)[CM_SOURCE_LEN];
    size_t count;
};

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, CM_SOURCE_LEN);
}

static bool not_banned(const struct gw_carry_key *key, const struct gw_carry_flow *flow,
                       void *ctx)
{
    const struct banned *banned = ctx;
    unsigned char source[CM_SOURCE_LEN];

    if (flow->egress != 0) {
        return true; /* a ban keeps a source off our doors; mail still goes to it */
    }
    memcpy(source, key->client, sizeof(source));
    if (cm_source_is_v6(source)) {
        memset(source + 8, 0, 8);
    }
    return bsearch(source, banned->sources, banned->count, CM_SOURCE_LEN, by_bytes) ==
           NULL;
}

static void drop_banned(const struct gw_carry *c, const struct px_state *state)
{
    struct banned banned = {.count = 0};

    banned.sources = cm_calloc(state->ban_count, CM_SOURCE_LEN);
    for (size_t i = 0; i < state->ban_count; i++) {
        memcpy(banned.sources[banned.count++], state->bans[i].source, CM_SOURCE_LEN);
    }
    qsort(banned.sources, banned.count, CM_SOURCE_LEN, by_bytes);
    walk(c->flows, not_banned, &banned);
    walk(c->fresh, not_banned, &banned);
    walk(c->calls, not_banned, &banned);
    free(banned.sources);
}

int gw_carry_obey(struct gw_carry *c, const struct px_state *state,
                  const struct px_gateway *gw, struct cm_err *err)
{
    c->rules++;
    if (gw_carry_begin(c, state, gw, err) != 0) {
        return -1;
    }
    if (state->ban_count > 0) {
        drop_banned(c, state);
    }
    return 0;
}

/* ---- counting ---- */

static struct px_port_counts *port_in(struct px_counts *counts, __be16 port)
{
    for (size_t i = 0; i < counts->port_count; i++) {
        if (counts->ports[i].port == ntohs(port)) {
            return &counts->ports[i];
        }
    }
    return NULL;
}

struct looking {
    struct px_counts *counts;
    int64_t open;
    __u32 now_s;
};

static bool count_one(const struct gw_carry_key *key, const struct gw_carry_flow *flow,
                      void *ctx)
{
    struct looking *l = ctx;
    struct px_port_counts *port = port_in(l->counts, key->port);

    bool over = flow->ended == GW_CARRY_BOTH_ENDED;
    if ((__s32)(l->now_s - flow->seen_s) > (over ? GW_CARRY_OVER_S : GW_CARRY_IDLE_S)) {
        return false;
    }
    if (flow->ended != 0 || flow->egress != 0) {
        return true; /* somebody has hung up, or it is none of a client's */
    }
    l->open++;
    if (port != NULL) {
        port->open++;
    }
    return true;
}

int64_t gw_carry_open(struct gw_carry *c, struct px_counts *counts)
{
    struct timespec now;
    struct looking l = {.counts = counts};

    /* As bpf_ktime_get_coarse_ns() has it. */
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    l.now_s = (__u32)now.tv_sec;
    for (size_t i = 0; i < counts->port_count; i++) {
        counts->ports[i].open = 0;
    }
    walk(c->flows, count_one, &l);
    return l.open;
}

void gw_carry_count(const struct gw_carry *c, struct px_counts *counts)
{
    struct gw_carry_count *each = cm_calloc((size_t)c->cpus, sizeof(*each));

    for (size_t i = 0; i < counts->port_count; i++) {
        struct px_port_counts *port = &counts->ports[i];
        __be16 number = htons(port->port);
        if (bpf_map_lookup_elem(c->doors, &number, each) != 0) {
            continue;
        }
        for (int cpu = 0; cpu < c->cpus; cpu++) {
            port->flows += (int64_t)each[cpu].flows;
            port->in_packets += (int64_t)each[cpu].in_packets;
            port->in_bytes += (int64_t)each[cpu].in_bytes;
            port->out_packets += (int64_t)each[cpu].out_packets;
            port->out_bytes += (int64_t)each[cpu].out_bytes;
        }
    }
    free(each);
}
