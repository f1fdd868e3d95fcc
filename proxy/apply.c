#include "apply.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/run.h"
#include "cutting.h"
#include "guard.h"
#include "links.h"
#include "plane.h"

#define TOOL_TIMEOUT_MS 20000
#define SHOW_TIMEOUT_MS 3000 /* a wireguard-go that hangs holds up whoever asks it */
#define LOAD_MAX        (4u << 20)

/* The tunnels' own packets, which px_store_wg marks, as nft lists it. */
#define STORE_MATCH "meta mark 0x00007077"

/* After this long without a handshake an endpoint's name is looked up again. */
#define STALE_HANDSHAKE_S 150

static int tool(const char *const *argv, const char *input, char **out,
                struct cm_err *err)
{
    struct cm_run run = {.argv = argv, .input = input, .timeout_ms = TOOL_TIMEOUT_MS};
    return cm_run_ok(&run, out, err);
}

/* FNV-1a: tells texts apart, keeps no secret. Never 0. */
static uint64_t fingerprint(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *text != 0; text++) {
        h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    }
    return h != 0 ? h : 1;
}

/* ---- nft ---- */

/* Without the values of counters and, `terse`, of named sets, so that two readings of
 * one table are equal. */
static int read_table(bool terse, char **text_r, struct cm_err *err)
{
    const char *const argv[] = {"nft",   "-s",   terse ? "-t" : "-s", "list",
                                "table", "inet", "chatmail",          NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = TOOL_TIMEOUT_MS};
    struct cm_run_result res;
    int rc = cm_run(&run, &res, err);
    if (rc == 0 && res.exit_code == 0) {
        *text_r = cm_buf_steal(&res.out);
        rc = 1;
    } else if (rc == 0 && strstr(res.err.data, "No such file") == NULL) {
        rc = cm_err_set(err, CM_ERR_WORLD, "nft cannot list our table: %.300s",
                        res.err.data);
    }
    cm_run_result_clear(&res);
    return rc;
}

/* Tables of before 1.2 say "comment "epoch N"". */
static int64_t epoch_of(const char *table)
{
    static const char *const places[] = {"\tchain epoch_", "comment \"epoch "};
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(table, places[i]);
        if (at != NULL) {
            return strtoll(at + strlen(places[i]), NULL, 10);
        }
    }
    return 0;
}

int px_loaded(struct px_loaded *loaded_r, struct cm_err *err)
{
    char *text = NULL;
    int rc = read_table(true, &text, err);
    *loaded_r = (struct px_loaded){.epoch = 0};
    if (rc == 1) {
        loaded_r->epoch = epoch_of(text);
        loaded_r->tracks =
            strstr(text, "ct stat") != NULL || strstr(text, "type nat") != NULL;
        loaded_r->others =
            !loaded_r->tracks && strstr(text, "\tchain untracked {") != NULL;
    }
    free(text);
    return rc;
}

/* What is to be loaded. */
struct table {
    const char *text;
    int64_t epoch;
    const char *bans; /* lines that fill the sets of banned sources; NULL: none */
    bool terse;       /* its named sets change by themselves */
    char marks[3][32];
};

enum { TEXT, EPOCH, BANS };

static const char *const mark_names[] = {
    [TEXT] = "text_", [EPOCH] = "epoch_", [BANS] = "bans_"};

/* Empty chains, named after the text, the epoch and the bans, tell a later start of
 * this program (maybe a newer version of it) whether the table is what it would load
 * itself; `seen` tells whether somebody else changed it since. An epoch or a ban that
 * comes or goes leaves the rest as it is: counters, and sets of sources, go on. */
static void set_marks(struct table *t, uint64_t bans)
{
    snprintf(t->marks[TEXT], sizeof(t->marks[TEXT]), "text_%016" PRIx64,
             fingerprint(t->text));
    snprintf(t->marks[EPOCH], sizeof(t->marks[EPOCH]), "epoch_%" PRId64, t->epoch);
    snprintf(t->marks[BANS], sizeof(t->marks[BANS]), "bans_%016" PRIx64, bans);
}

/* The chain whose name begins so; "" when there is none. */
static void find_mark(const char *now, const char *name, char out[32])
{
    char chain[32];
    snprintf(chain, sizeof(chain), "\tchain %s", name);
    const char *at = strstr(now, chain);
    out[0] = '\0';
    if (at != NULL) {
        at += strlen("\tchain ");
        snprintf(out, 32, "%.*s", (int)strcspn(at, " "), at);
    }
}

static bool has_mark(const char *now, const struct table *t, int mark)
{
    char found[32];
    find_mark(now, mark_names[mark], found);
    return strcmp(found, t->marks[mark]) == 0;
}

static bool table_is(const char *now, const struct table *t)
{
    return has_mark(now, t, TEXT) && has_mark(now, t, EPOCH) && has_mark(now, t, BANS);
}

/* now: the table that stays; NULL: all is loaded. */
static char *load_text(const struct table *t, const char *now)
{
    struct cm_buf out;
    cm_buf_init(&out, LOAD_MAX);
    cm_buf_str(&out, now == NULL ? t->text : "");
    for (int mark = TEXT; mark <= BANS; mark++) {
        char before[32] = "";
        if (now != NULL) {
            find_mark(now, mark_names[mark], before);
        }
        if (strcmp(before, t->marks[mark]) == 0) {
            continue;
        }
        if (before[0] != '\0') {
            cm_buf_fmt(&out, "delete chain inet chatmail %s\n", before);
        }
        cm_buf_fmt(&out, "add chain inet chatmail %s\n", t->marks[mark]);
        cm_buf_str(&out, mark == BANS && t->bans != NULL ? t->bans : "");
    }
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

static int load(const struct table *t, const char *stays, char **now_r,
                struct cm_err *err)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    char *input = load_text(t, stays);
    int rc = tool(argv, input, NULL, err);
    free(input);
    return rc == 0 ? read_table(t->terse, now_r, err) : -1;
}

static int apply_nft(const struct table *t, struct px_seen *seen, bool *changed,
                     struct cm_err *err)
{
    char *now = NULL, *before;
    int found = read_table(t->terse, &now, err);
    if (found < 0) {
        return -1;
    }
    bool whole = found == 1 && has_mark(now, t, TEXT) &&
                 (seen->nft == 0 || seen->nft == fingerprint(now));
    if (!whole || !table_is(now, t)) {
        before = now;
        now = NULL;
        found = load(t, whole ? before : NULL, &now, err);
        free(before);
        if (found < 0) {
            return -1;
        }
        *changed = true;
    }
    int rc = 0;
    if (found == 0 || !table_is(now, t)) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "nft took epoch %" PRId64 " but the table does not show it",
                        t->epoch);
    } else {
        seen->nft = fingerprint(now);
    }
    free(now);
    return rc;
}

static int remove_nft(struct px_seen *seen, bool *changed, struct cm_err *err)
{
    static const char *const argv[] = {"nft",  "delete",   "table",
                                       "inet", "chatmail", NULL};
    char *now = NULL;
    int found = read_table(true, &now, err);
    free(now);
    seen->nft = 0;
    if (found <= 0) {
        return found;
    }
    *changed = true;
    return tool(argv, NULL, NULL, err);
}

/* ---- WireGuard ---- */

/* The value of "KEY = value" in the text that we rendered ourselves; "" when absent. */
static void setting(const char *text, const char *key, char *out, size_t cap)
{
    out[0] = 0;
    const char *at = strstr(text, key);
    if (at != NULL && strncmp(at + strlen(key), " = ", 3) == 0) {
        const char *value = at + strlen(key) + 3;
        snprintf(out, cap, "%.*s", (int)strcspn(value, "\n"), value);
    }
}

/* "a, b" of the text against "b,a" of wg. */
static bool same_list(const char *want, const char *have)
{
    char padded[256], item[128];
    size_t items = 0, commas = 0;
    snprintf(padded, sizeof(padded), ",%s,", have);
    for (const char *p = want; *p != 0; items++) {
        size_t n = strcspn(p, ",");
        snprintf(item, sizeof(item), ",%.*s,", (int)n, p);
        if (strstr(padded, item) == NULL) {
            return false;
        }
        p += n + strspn(p + n, ", ");
    }
    for (const char *p = have; *p != 0; p++) {
        commas += *p == ',';
    }
    return items == commas + 1;
}

struct dump {
    char *fields[16];
    size_t n;
};

static void tabs(struct dump *d, char *line)
{
    d->n = 0;
    for (char *p = line; p != NULL && d->n < 16;) {
        d->fields[d->n++] = strsep(&p, "\t");
    }
}

static bool same_interface(const char *text, const struct dump *d)
{
    char key[64], port[16], mark[16];
    setting(text, "PrivateKey", key, sizeof(key));
    setting(text, "ListenPort", port, sizeof(port));
    setting(text, "FwMark", mark, sizeof(mark));
    bool same = d->n == 4 && strcmp(key, d->fields[0]) == 0 &&
                (port[0] == 0 || strcmp(port, d->fields[2]) == 0) &&
                (mark[0] == 0 || strcmp(mark, d->fields[3]) == 0);
    cm_wipe(key, sizeof(key));
    return same;
}

static bool same_peer(const char *text, const struct dump *d)
{
    char key[64], endpoint[128], allowed[128], alive[16];
    setting(text, "PublicKey", key, sizeof(key));
    setting(text, "Endpoint", endpoint, sizeof(endpoint));
    setting(text, "AllowedIPs", allowed, sizeof(allowed));
    setting(text, "PersistentKeepalive", alive, sizeof(alive));
    return d->n == 8 && strcmp(key, d->fields[0]) == 0 &&
           (endpoint[0] == 0 || strcmp(d->fields[2], "(none)") != 0) &&
           same_list(allowed, d->fields[3]) &&
           strcmp(alive[0] != 0 ? alive : "off", d->fields[7]) == 0;
}

static int read_dump(const char *ifname, char **text_r, struct cm_err *err)
{
    const char *const argv[] = {"wg", "show", ifname, "dump", NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = SHOW_TIMEOUT_MS};
    return cm_run_ok(&run, text_r, err);
}

/* Whether the interface is as the text says. The endpoint only has to be there: the
 * peer may have moved, which WireGuard follows by itself. */
static int wg_same(const char *ifname, const char *text, bool *same_r,
                   struct cm_err *err)
{
    char *dump = NULL;
    if (read_dump(ifname, &dump, err) != 0) {
        return -1;
    }
    char *rest = strdupa("");
    char *at = dump;
    struct dump own = {0}, peer = {0};
    size_t peers = 0;
    tabs(&own, strsep(&at, "\n"));
    for (char *line; at != NULL && (line = strsep(&at, "\n")) != NULL && *line != 0;) {
        rest = line;
        peers++;
    }
    tabs(&peer, rest);
    *same_r = peers == 1 && same_interface(text, &own) && same_peer(text, &peer);
    if (own.n > 0) {
        cm_wipe(own.fields[0], strlen(own.fields[0]));
    }
    free(dump);
    return 0;
}

/* When that handshake was, by the monotonic clock. */
static int64_t shaken(const struct px_tunnel_facts *before, int64_t handshake,
                      int64_t now_ms)
{
    if (before->measured_ms > 0 && before->handshake == handshake) {
        return before->shaken_ms;
    }
    int64_t age = cm_now_wall_ms() - handshake * 1000;
    int64_t most = before->measured_ms > 0 ? now_ms - before->measured_ms : INT64_MAX;
    age = age > most ? most : age;
    return now_ms - (age < 0 ? 0 : age);
}

int px_tunnel_facts(const char *ifname, struct px_tunnel_facts *facts_r,
                    struct cm_err *err)
{
    char *dump = NULL;
    if (read_dump(ifname, &dump, err) != 0) {
        return -1;
    }
    int64_t now = cm_now_mono_ms();
    struct px_tunnel_facts facts = {.handshake_age_s = -1, .measured_ms = now};
    char *at = dump;
    char *own = strsep(&at, "\n");
    struct dump peer = {0};
    tabs(&peer, at != NULL ? strsep(&at, "\n") : NULL);
    if (peer.n == 8) {
        int64_t last = strtoll(peer.fields[4], NULL, 10);
        facts.handshake = last;
        facts.shaken_ms = shaken(facts_r, last, now);
        facts.handshake_age_s = last == 0 ? -1 : (now - facts.shaken_ms) / 1000;
        facts.rx_bytes = strtoll(peer.fields[5], NULL, 10);
        facts.tx_bytes = strtoll(peer.fields[6], NULL, 10);
    }
    cm_wipe(own, strlen(own));
    free(dump);
    *facts_r = facts;
    return 0;
}

/* By the monotonic clock: when the other one is put forward an hour, every handshake
 * looks an hour old, and the tunnels are as good as before. */
static bool stale(const char *ifname, const char *text, struct px_seen_wg *seen)
{
    char endpoint[128];
    struct px_tunnel_facts facts = {0};
    struct cm_err ignored;
    int64_t now = cm_now_mono_ms();
    setting(text, "Endpoint", endpoint, sizeof(endpoint));
    if (endpoint[0] == 0 || px_tunnel_facts(ifname, &facts, &ignored) != 0 ||
        facts.handshake == 0) {
        return false;
    }
    if (facts.handshake != seen->handshake) {
        seen->handshake = facts.handshake;
        seen->since_ms = now;
    }
    return now - seen->since_ms > STALE_HANDSHAKE_S * 1000;
}

static int apply_wg(const char *ifname, const char *text, struct px_seen_wg *seen,
                    bool *changed, struct cm_err *err)
{
    const char *const argv[] = {"wg", "syncconf", ifname, "/dev/stdin", NULL};
    bool same = false;
    if (wg_same(ifname, text, &same, err) != 0) {
        return -1;
    }
    /* A daemon that has just started knows no earlier text and trusts what it finds:
     * "wg syncconf" would give the store's end a new port, and what the gateway sends
     * to the old one is lost until the next keepalive. */
    if (same && (seen->text == 0 || seen->text == fingerprint(text)) &&
        !stale(ifname, text, seen)) {
        seen->text = fingerprint(text);
        return 0;
    }
    *changed = *changed || !same;
    if (tool(argv, text, NULL, err) != 0 || wg_same(ifname, text, &same, err) != 0) {
        return cm_err_prefix(err, "%s", ifname);
    }
    if (!same) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: wg took the configuration but does not show it", ifname);
    }
    seen->text = fingerprint(text);
    return 0;
}

/* ---- addresses, routes, rules ---- */

static int ip_batch(const char *text, int v6, unsigned scope, char **batch_r,
                    struct cm_err *err)
{
    const char *family = v6 ? "-6" : "-4";
    const char *const addr[] = {"ip", "-j", "addr", "show", NULL};
    const char *const rule[] = {"ip", "-N", family, "-j", "rule", "show", NULL};
    const char *const route[] = {"ip",   "-N",    family, "-j", "route",
                                 "show", "table", "all",  NULL};
    char *addr_text = NULL, *rule_text = NULL, *route_text = NULL;
    int rc = -1;
    if (tool(addr, NULL, &addr_text, err) == 0 &&
        tool(rule, NULL, &rule_text, err) == 0 &&
        tool(route, NULL, &route_text, err) == 0) {
        struct px_links_have have = {addr_text, rule_text, route_text};
        rc = px_links_diff(text, &have, v6, scope, batch_r, err);
    }
    free(addr_text);
    free(rule_text);
    free(route_text);
    return rc;
}

static int apply_ip_family(const char *text, int v6, unsigned scope, bool *changed,
                           struct cm_err *err)
{
    const char *const argv[] = {"ip", v6 ? "-6" : "-4", "-batch", "-", NULL};
    char *batch = NULL;
    if (ip_batch(text, v6, scope, &batch, err) != 0) {
        return -1;
    }
    int rc = 0;
    if (batch[0] != 0) {
        *changed = true;
        rc = tool(argv, batch, NULL, err);
        free(batch);
        batch = NULL;
        if (rc == 0) {
            rc = ip_batch(text, v6, scope, &batch, err);
        }
        if (rc == 0 && batch[0] != 0) {
            rc = cm_err_set(err, CM_ERR_WORLD,
                            "ip took the lines but still differs: %.*s",
                            (int)strcspn(batch, "\n"), batch);
        }
    }
    free(batch);
    return rc;
}

static int apply_ip(const char *text, unsigned scope, bool *changed, struct cm_err *err)
{
    if (apply_ip_family(text, 0, scope, changed, err) != 0) {
        return -1;
    }
    /* A kernel without IPv6 serves IPv4 only. */
    if (access("/proc/net/if_inet6", F_OK) != 0) {
        return 0;
    }
    return apply_ip_family(text, 1, scope, changed, err);
}

/* ---- sysctl ---- */

static int sysctl_read(const char *path, char out[32])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, 31) : -1;
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    return n > 0 ? 0 : -1;
}

/* In a container the setting may be the host's: say so, and go on with what there is.
 */
static void sysctl_set(const char *name, const char *value, struct px_outcome *out)
{
    char path[256], now[32];
    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    if (sysctl_read(path, now) == 0 && strcmp(now, value) == 0) {
        return;
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    if (fd >= 0) {
        close(fd);
    }
    if (done) {
        out->changed = true;
    } else if (access(path, F_OK) == 0 || access("/proc/net/if_inet6", F_OK) == 0) {
        cm_err_set(&out->warning, CM_ERR_WORLD,
                   "cannot set %s to %s; in a container set it on the host", name,
                   value);
    }
}

/* A forwarding host ignores router advertisements unless told 2, and would lose its
 * IPv6 default route minutes later. */
static void keep_router_advertisements(struct px_outcome *out)
{
    DIR *dir = opendir("/proc/sys/net/ipv6/conf");
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char name[320], path[340], now[32];
        snprintf(name, sizeof(name), "net/ipv6/conf/%s/accept_ra", e->d_name);
        snprintf(path, sizeof(path), "/proc/sys/%s", name);
        if (e->d_name[0] != '.' && strcmp(e->d_name, "wg0") != 0 &&
            sysctl_read(path, now) == 0 && strcmp(now, "1") == 0) {
            sysctl_set(name, "2", out);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* What userspace WireGuard hands over has no checksum that the kernel has seen, and
 * connection tracking would compute it anew for every packet of every flow. Both ends
 * of a flow check it anyway. Not there before connection tracking is. */
static void trust_checksums(struct px_outcome *out)
{
    static const char name[] = "net/netfilter/nf_conntrack_checksum";
    if (access("/proc/sys/net/netfilter/nf_conntrack_checksum", F_OK) == 0) {
        sysctl_set(name, "0", out);
    }
}

/* Room for new connections. At boot these settings are not there yet, so what is in
 * /etc/sysctl.d may not have come to pass. A flow whose ends are gone is forgotten
 * after two hours (RFC 5382) instead of five days: the store speaks in each every two
 * minutes.
 */
#define TABLE_MAX      262144
#define ESTABLISHED_S  "7440"
#define ESTABLISHED_AS "432000" /* the kernel's own; another is somebody's wish */

static void make_room(struct px_outcome *out)
{
    static const char max[] = "net/netfilter/nf_conntrack_max",
                      time[] = "net/netfilter/nf_conntrack_tcp_timeout_established";
    char now[32];
    if (sysctl_read("/proc/sys/net/netfilter/nf_conntrack_max", now) == 0 &&
        strtoll(now, NULL, 10) < TABLE_MAX) {
        char want[16];
        snprintf(want, sizeof(want), "%d", TABLE_MAX);
        sysctl_set(max, want, out);
    }
    if (sysctl_read("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
                    now) == 0 &&
        strcmp(now, ESTABLISHED_AS) == 0) {
        sysctl_set(time, ESTABLISHED_S, out);
    }
}

static void gateway_sysctls(struct px_outcome *out)
{
    trust_checksums(out);
    make_room(out);
    keep_router_advertisements(out);
    sysctl_set("net/ipv4/ip_forward", "1", out);
    if (access("/proc/net/if_inet6", F_OK) == 0) {
        sysctl_set("net/ipv6/conf/all/forwarding", "1", out);
    }
}

static void store_sysctls(const struct px_state *state, struct px_outcome *out)
{
    sysctl_set("net/ipv4/tcp_mtu_probing", "1", out);
    for (size_t i = 0; i < state->gateway_count; i++) {
        char ifname[16], name[64];
        snprintf(ifname, sizeof(ifname), "wg%d", state->gateways[i].number);
        snprintf(name, sizeof(name), "net/ipv4/conf/%s/rp_filter", ifname);
        if (px_link_there(ifname)) {
            sysctl_set(name, "2", out);
        }
    }
}

/* ---- links ---- */

bool px_link_there(const char *ifname)
{
    return if_nametoindex(ifname) != 0;
}

int px_link_remove(const char *ifname, struct cm_err *err)
{
    const char *const argv[] = {"ip", "link", "del", "dev", ifname, NULL};
    return px_link_there(ifname) ? tool(argv, NULL, NULL, err) : 0;
}

/* ---- a whole node ---- */

static int let_gateway_cut(const struct px_gateway *gw, struct px_outcome *out,
                           struct cm_err *err)
{
    static const char links[1][PX_LINK_NAME] = {"wg0"};
    char match[32];

    snprintf(match, sizeof(match), "udp sport %d", gw->wg_port);
    return px_cutting_settle(links, 1, match, &out->changed, err);
}

static int let_store_cut(const struct px_state *state, struct px_outcome *out,
                         struct cm_err *err)
{
    char links[CM_GATEWAYS_MAX][PX_LINK_NAME];
    size_t n = 0;

    for (size_t i = 0; i < state->gateway_count; i++) {
        snprintf(links[n], sizeof(links[n]), "wg%d", state->gateways[i].number);
        n += px_link_there(links[n]);
    }
    return px_cutting_settle((const char(*)[PX_LINK_NAME])links, n, STORE_MATCH,
                             &out->changed, err);
}

int px_apply_gateway_tunnel(const struct px_state *state, const struct px_gateway *gw,
                            const char *private_key, struct px_seen *seen,
                            struct px_outcome *out, struct cm_err *err)
{
    if (!px_link_there("wg0")) {
        return cm_err_set(err, CM_ERR_RETRY,
                          "wg0 is not there; see chatmail-tunnel@wg0.service");
    }
    char *wg = px_gateway_wg(state, gw, private_key);
    char *ip = px_gateway_ip(state, gw);
    int rc = apply_wg("wg0", wg, &seen->wg[0], &out->changed, err);
    if (rc == 0) {
        rc = apply_ip(ip, PX_LINKS_ADDRESSES, &out->changed, err);
    }
    if (rc == 0) {
        rc = let_gateway_cut(gw, out, err);
    }
    cm_wipe_str(&wg);
    free(ip);
    return rc;
}

static uint64_t bans_print(const struct px_state *state)
{
    char *text = px_gateway_bans(state, 0); /* without the time it is */
    uint64_t print = fingerprint(text);
    free(text);
    for (size_t i = 0; i < state->ban_count; i++) {
        print = (print ^ (uint64_t)state->bans[i].until) * UINT64_C(1099511628211);
    }
    return print;
}

int px_try_carried(const struct px_state *state, const struct px_gateway *gw,
                   struct px_seen *seen, struct cm_err *err)
{
    static const char *const argv[] = {"nft", "--check", "-f", "-", NULL};
    struct px_gateway carried = *gw;

    carried.carried = true;
    if (seen->carried || px_guard_tracks(state, &carried)) {
        return 0;
    }
    char *nft = px_gateway_nft(state, &carried);
    int rc = tool(argv, nft, NULL, err);
    free(nft);
    seen->carried = rc == 0;
    return rc;
}

int px_apply_gateway_rules(const struct px_state *state, const struct px_gateway *gw,
                           struct px_seen *seen, struct px_outcome *out,
                           struct cm_err *err)
{
    char *nft = px_gateway_nft(state, gw);
    char *bans = px_gateway_bans(state, cm_now_wall_ms() / 1000);
    struct table t = {.text = nft, .epoch = state->epoch, .bans = bans, .terse = true};
    set_marks(&t, bans_print(state));
    int rc = apply_nft(&t, seen, &out->changed, err);
    free(nft);
    free(bans);
    if (rc == 0) {
        gateway_sysctls(out);
    }
    return rc;
}

int px_apply_gateway(const struct px_state *state, const struct px_gateway *gw,
                     const char *private_key, struct px_seen *seen,
                     struct px_outcome *out, struct cm_err *err)
{
    return px_apply_gateway_rules(state, gw, seen, out, err) != 0
               ? -1
               : px_apply_gateway_tunnel(state, gw, private_key, seen, out, err);
}

static int remove_store(struct px_seen *seen, struct px_outcome *out,
                        struct cm_err *err)
{
    int rc = remove_nft(seen, &out->changed, err);
    if (rc == 0) {
        rc = px_cutting_settle(NULL, 0, STORE_MATCH, &out->changed, err);
    }
    if (rc == 0) {
        rc = apply_ip("", PX_LINKS_ROUTES | PX_LINKS_EGRESS, &out->changed, err);
    }
    return rc;
}

static int apply_store_tunnels(const struct px_state *state, const char *private_key,
                               struct px_seen *seen, struct px_outcome *out,
                               struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct px_gateway *gw = &state->gateways[i];
        char ifname[16];
        snprintf(ifname, sizeof(ifname), "wg%d", gw->number);
        if (!px_link_there(ifname)) {
            seen->wg[gw->number] = (struct px_seen_wg){0};
            continue;
        }
        char *wg = px_store_wg(state, gw, private_key);
        if (apply_wg(ifname, wg, &seen->wg[gw->number], &out->changed, err) != 0) {
            rc = -1;
        }
        cm_wipe_str(&wg);
    }
    return rc;
}

int px_apply_store(const struct px_state *state, const char *private_key,
                   struct px_seen *seen, struct px_outcome *out, struct cm_err *err)
{
    if (state->gateway_count == 0) {
        return remove_store(seen, out, err);
    }
    char *nft = px_store_nft(state);
    char *ip = px_store_ip(state);
    struct cm_err tunnel_err;
    struct table t = {.text = nft, .epoch = state->epoch};
    set_marks(&t, 0);
    int rc = apply_nft(&t, seen, &out->changed, err);
    if (rc == 0) {
        store_sysctls(state, out);
        int tunnels = apply_store_tunnels(state, private_key, seen, out, &tunnel_err);
        rc = apply_ip(ip, PX_LINKS_ADDRESSES | PX_LINKS_ROUTES, &out->changed, err);
        if (rc == 0) {
            rc = let_store_cut(state, out, err);
        }
        if (rc == 0 && tunnels != 0) {
            *err = tunnel_err;
            rc = -1;
        }
    }
    free(nft);
    free(ip);
    return rc;
}

int px_redial(const struct px_state *state, const struct px_gateway *gw,
              const char *private_key, struct cm_err *err)
{
    char ifname[16];
    snprintf(ifname, sizeof(ifname), "wg%d", gw->number);
    const char *const forget[] = {"wg",     "set", ifname, "peer", gw->wg_public_key,
                                  "remove", NULL};
    const char *const set[] = {"wg", "syncconf", ifname, "/dev/stdin", NULL};
    char *text = px_store_wg(state, gw, private_key);
    int rc = tool(forget, NULL, NULL, err) == 0 ? tool(set, text, NULL, err) : -1;
    cm_wipe_str(&text);
    return rc;
}

int px_apply_egress(const struct px_state *state, const int *healthy, size_t n,
                    struct px_outcome *out, struct cm_err *err)
{
    char *ip = px_store_egress_ip(state, healthy, n);
    int rc = apply_ip(ip, PX_LINKS_EGRESS, &out->changed, err);
    free(ip);
    return rc;
}

int px_kill_sessions(int number, struct cm_err *err)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        char inner[46], source[64];
        (v6 ? px_inner6 : px_inner4)(number, 2, inner);
        snprintf(source, sizeof(source), v6 ? "[%s]" : "%s", inner);
        const char *const argv[] = {"ss", "-H", "-n", "-K", "-t", "src", source, NULL};
        if (tool(argv, NULL, NULL, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int px_kill_egress(int number, struct cm_err *err)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        char inner[46], source[64];
        (v6 ? px_inner6 : px_inner4)(number, 2, inner);
        snprintf(source, sizeof(source), v6 ? "[%s]" : "%s", inner);
        const char *const argv[] = {"ss",   "-H",    "-n", "-K",    "-t", "src",
                                    source, "and",   "(",  "dport", "=",  ":25",
                                    "or",   "dport", "=",  ":443",  ")",  NULL};
        if (tool(argv, NULL, NULL, err) != 0) {
            return -1;
        }
    }
    return 0;
}
