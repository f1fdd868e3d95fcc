#include "path.h"

#include <fcntl.h>
#include <sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/sign.h"
#include "netkit/netkit.h"
#include "proxy/apply.h"
#include "proxy/plane.h"
#include "proxy/wgkey.h"

#include "carry/carry.h"
#include "ingress/ingress.h"
#include "proxy/tclink.h"
#include "load.h"

#define PUBLIC "198.51.100.11"
#define INNER  "10.77.1.2"
#define FILES  300000
#define AWAIT_DOORS                                                                    \
    "for i in $(seq 50); do ss -Hltn | grep -q ':993 ' && exit 0; sleep 0.1; done; "   \
    "exit 1"
#define PIPES 256 /* of haproxy, for splice */

static const char *const names[CARRIERS] = {"bare",  "kernel", "rules",
                                            "proxy", "nginx",  "haproxy"};

const char *carrier_name(enum carrier carrier)
{
    return names[carrier];
}

void path_take_core(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (core < 0 || core == i) {
            CPU_SET(i, &set);
        }
    }
    /* A machine with a single core has no other. */
    (void)sched_setaffinity(0, sizeof(set), &set);
}

/* ---- the network ---- */

static struct px_state state_of(void)
{
    struct px_state state = {.domain = "bench.example",
                             .bus_port = 4710,
                             .ports = {LOAD_SINK, LOAD_SOURCE, LOAD_ECHO},
                             .port_count = 3,
                             .egress = CM_EGRESS_GATEWAYS,
                             /* In force, and not in the way of one busy client. */
                             .limits = {100000, 1000000, 100000},
                             .gateway_count = 1,
                             .gateways = {{.name = "edge1",
                                           .number = 1,
                                           .egress = true,
                                           .egress_weight = PX_WEIGHT_DEFAULT,
                                           .addresses = {PUBLIC, "2001:db8:1::11"},
                                           .address_count = 2,
                                           .endpoint = "10.9.0.1",
                                           .wg_port = 51820}}};
    return state;
}

static int keys_into(struct path *path, struct px_state *state, struct cm_err *err)
{
    char file[96];

    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof(file), "%s/%d.key", path->dir, i);
        char *to =
            i == 0 ? state->gateways[0].wg_public_key : state->store_wg_public_key;
        if (px_wgkey_make(file, to, err) != 0 ||
            px_wgkey_load(file, path->keys[i], err) != 1) {
            return -1;
        }
    }
    return 0;
}

static void wire(struct path *path)
{
    path->client = netkit_host();
    path->gateway = netkit_host();
    path->store = netkit_host();
    netkit_wire(path->client, "up0", path->gateway, "pub0");
    netkit_wire(path->gateway, "out0", path->store, "home0");
    netkit_must(path->client, "for n in 0 1 2 3 4 5; do "
                              "ip addr add 198.51.100.4$n/24 dev up0; done; "
                              "sysctl -qw net.ipv4.ip_local_port_range='2000 65000'");
    netkit_must(path->gateway, "ip addr add " PUBLIC "/24 dev pub0; "
                               "ip -6 addr add 2001:db8:1::11/64 dev pub0 nodad; "
                               "ip addr add 10.9.0.1/24 dev out0; "
                               "sysctl -qw net.ipv4.ip_forward=1 "
                               "net.ipv4.ip_local_port_range='2000 65000' "
                               "net.ipv4.tcp_tw_reuse=1");
    netkit_must(path->store, "ip addr add 10.9.0.2/24 dev home0; "
                             "ip route add default via 10.9.0.1");
    path_take_core(PATH_GATEWAY_CORE);
    netkit_tunnel(path->gateway, "wg0", &path->tunnels[0]);
    path_take_core(PATH_STORE_CORE);
    netkit_tunnel(path->store, "wg1", &path->tunnels[1]);
    path_take_core(PATH_ANY_CORE);
}

/* As the agent does it. */
static int apply_in_gateway(const struct path *path, struct px_state *state,
                            struct px_seen *seen, struct px_outcome *out,
                            struct cm_err *err)
{
    struct px_gateway *gw = &state->gateways[0];

    gw->carried = path->carrier == CARRIER_KERNEL;
    if (gw->carried && gw_carry_begin(path->carry, state, gw, err) != 0) {
        return -1;
    }
    return px_apply_gateway(state, gw, path->keys[0], seen, out, err);
}

static int apply_in_store(const struct path *path, struct px_state *state,
                          struct px_seen *seen, struct px_outcome *out,
                          struct cm_err *err)
{
    state->judged = path->carrier != CARRIER_RULES;
    if (state->judged) {
        struct ingress *ingress = ingress_new(err);
        if (ingress == NULL || ingress_settle(ingress, state, err) != 0) {
            return -1;
        }
    }
    return px_apply_store(state, path->keys[1], seen, out, err);
}

/* In that host: the whole state there. The process that did it stays. */
static pid_t apply_in(const struct path *path, pid_t host, const struct px_state *state,
                      struct cm_err *err)
{
    int done[2];
    char ok = 0;
    struct px_seen seen = {0};
    struct px_outcome out = {0};
    struct px_state now = *state;

    cm_assert(pipe2(done, O_CLOEXEC) == 0);
    pid_t pid = netkit_fork(host);
    if (pid == 0) {
        if ((host == path->store ? apply_in_store : apply_in_gateway)(path, &now, &seen,
                                                                      &out, err) != 0) {
            fprintf(stderr, "%s\n", err->text);
            _exit(1);
        }
        (void)!write(done[1], "y", 1);
        for (;;) {
            pause();
        }
    }
    close(done[1]);
    if (read(done[0], &ok, 1) != 1) {
        cm_err_set(err, CM_ERR_WORLD, "the network was not made");
        netkit_stop(&pid, SIGKILL);
        pid = -1;
    }
    close(done[0]);
    return pid;
}

static int apply_store(struct path *path, const struct px_state *state,
                       struct cm_err *err)
{
    netkit_stop(&path->judges, SIGKILL);
    path->judges = apply_in(path, path->store, state, err);
    return path->judges > 0 ? 0 : -1;
}

static struct px_state made; /* with its keys */

const struct px_state *path_state(const struct path *path)
{
    (void)path;
    return &made;
}

/* 9.1.0.0 and up, until 2096. */
static void ban_many(struct px_state *state)
{
    for (size_t i = 0; i < PX_BANS_MAX; i++) {
        state->bans[i] =
            (struct px_ban){.source = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 9, 1,
                                       (unsigned char)(i >> 8), (unsigned char)i},
                            .until = 4000000000};
    }
    state->ban_count = PX_BANS_MAX;
}

int path_envelope(struct path *path, char **envelope_r, struct cm_err *err)
{
    char file[96], secret[CM_SIGN_KEY_TEXT], public_key[CM_SIGN_KEY_TEXT];

    if (cm_sign_keygen(secret, public_key, err) != 0) {
        return -1;
    }
    made.epoch = ++path->epoch;
    made.gateways[0].by_proxy = false;
    ban_many(&made);
    char *conf = cm_asprintf("[gateway]\nname = edge1\nnumber = 1\nwg_port = 51820\n"
                             "bus_port = %d\ncluster_key = %s\nstore_wg_key = %s\n",
                             made.bus_port, public_key, made.store_wg_public_key);
    char *document = px_state_dump(&made);
    snprintf(file, sizeof(file), "%s/gateway.conf", path->dir);
    int rc = cm_file_replace(file, conf, strlen(conf), 0600, err);
    if (rc == 0) {
        rc = px_envelope_seal(secret, document, envelope_r, err);
    }
    free(conf);
    free(document);
    cm_wipe(secret, sizeof(secret));
    return rc;
}

static int apply_gateway(struct path *path, bool by_proxy, struct cm_err *err)
{
    made.epoch = ++path->epoch;
    made.gateways[0].by_proxy = by_proxy;
    pid_t pid = apply_in(path, path->gateway, &made, err);
    if (pid < 0) {
        return -1;
    }
    netkit_stop(&pid, SIGKILL);
    return 0;
}

/* As many as we want, or as we may have. */
static size_t raise_files(void)
{
    struct rlimit files = {FILES, FILES};

    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        cm_assert(getrlimit(RLIMIT_NOFILE, &files) == 0);
        files.rlim_cur = files.rlim_max;
        cm_assert(setrlimit(RLIMIT_NOFILE, &files) == 0);
    }
    return files.rlim_cur;
}

/* Anew: what a former carrier has left open is gone. */
static void serve(struct path *path)
{
    netkit_stop(&path->server, SIGKILL);
    path->server = netkit_fork(path->store);
    if (path->server == 0) {
        path_take_core(PATH_STORE_CORE);
        load_serve();
    }
    netkit_must(path->store, AWAIT_DOORS);
}

int path_open(struct path *path, struct cm_err *err)
{

    *path = (struct path){.dir = "/tmp/bench-edge-XXXXXX", .carrier = CARRIER_RULES};
    if (netkit_begin() != 0 || mkdtemp(path->dir) == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "needs root and network namespaces");
    }
    path->files = raise_files();
    signal(SIGPIPE, SIG_IGN);
    wire(path);
    made = state_of();
    path->carry = gw_carry_new(-1, err);
    if (path->carry == NULL) {
        return -1;
    }
    if (keys_into(path, &made, err) != 0) {
        return -1;
    }
    made.epoch = ++path->epoch;
    if (apply_store(path, &made, err) != 0 || apply_gateway(path, false, err) != 0) {
        return -1;
    }
    serve(path);
    /* The store dials; before the first handshake nothing gets through. */
    netkit_must(path->store, "for i in $(seq 50); do wg show wg1 latest-handshakes | "
                             "grep -q '[1-9][0-9]*$' && exit 0; sleep 0.2; done; "
                             "exit 1");
    return 0;
}

void path_close(struct path *path)
{
    netkit_stop(&path->plane, SIGTERM);
    netkit_stop(&path->server, SIGKILL);
    netkit_stop(&path->judges, SIGKILL);
    for (int i = 0; i < 2; i++) {
        netkit_stop(&path->tunnels[i], SIGKILL);
    }
    netkit_stop(&path->client, SIGKILL);
    netkit_stop(&path->gateway, SIGKILL);
    netkit_stop(&path->store, SIGKILL);
    gw_carry_free(&path->carry);
    netkit_sh(0, "rm -rf %s", path->dir);
}

/* ---- carriers ---- */

size_t path_connections(const struct path *path)
{
    return (path->files - 2 * PIPES - 100) / 2;
}

static int put(const struct path *path, const char *name, const char *text,
               struct cm_err *err)
{
    char file[96];

    snprintf(file, sizeof(file), "%s/%s", path->dir, name);
    return cm_file_replace(file, text, strlen(text), 0644, err);
}

static void start(struct path *path, const char *const *argv)
{
    path->plane = netkit_fork(path->gateway);
    if (path->plane == 0) {
        path_take_core(PATH_GATEWAY_CORE);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(97);
    }
    netkit_must(path->gateway, AWAIT_DOORS);
}

/* All three speak to the store from the client's address, under the same rules. */
static int carry_from_client(struct path *path, struct cm_err *err)
{
    if (apply_gateway(path, true, err) != 0) {
        return -1;
    }
    netkit_must(path->gateway, PROXY_ROUTES " up");
    return 0;
}

static int carry_proxy(struct path *path, struct cm_err *err)
{
    static const char text[] =
        "[proxy]\nlisten = " PUBLIC "\nports = 465 587 993\n"
        "store4 = " INNER "\nsource = transparent\n"
        "mode = active\nconnections = 50000\nper_source = 50000\n";
    char file[96];

    snprintf(file, sizeof(file), "%s/proxy.conf", path->dir);
    const char *argv[] = {PROXY_PROGRAM, "--settings", file, NULL};
    if (put(path, "proxy.conf", text, err) != 0 || carry_from_client(path, err) != 0) {
        return -1;
    }
    start(path, argv);
    return 0;
}

static int carry_nginx(struct path *path, struct cm_err *err)
{
    char file[96];
    char *text = cm_asprintf(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
        "daemon off; master_process off; pid %s/nginx.pid; error_log stderr crit;\n"
        "events { worker_connections %zu; }\n"
        "stream { proxy_bind $remote_addr transparent; proxy_half_close on;\n"
        " proxy_timeout 1h;\n"
        " server { listen " PUBLIC ":465 backlog=4096; proxy_pass " INNER ":465; }\n"
        " server { listen " PUBLIC ":587 backlog=4096; proxy_pass " INNER ":587; }\n"
        " server { listen " PUBLIC ":993 backlog=4096; proxy_pass " INNER ":993; } }\n",
        path->dir, path->files);
    int rc = put(path, "nginx.conf", text, err);

    free(text);
    snprintf(file, sizeof(file), "%s/nginx.conf", path->dir);
    const char *argv[] = {"nginx", "-c", file, NULL};
    if (rc == 0 && (rc = carry_from_client(path, err)) == 0) {
        start(path, argv);
    }
    return rc;
}

static int carry_haproxy(struct path *path, struct cm_err *err)
{
    char file[96];
    size_t most = path_connections(path);
    char *text = cm_asprintf(
        "global\n maxconn %zu\n maxpipes %d\n nbthread 1\n"
        "defaults\n mode tcp\n option splice-auto\n timeout connect 5s\n"
        " timeout client 1h\n timeout server 1h\n maxconn %zu\n backlog 4096\n"
        " source 0.0.0.0 usesrc clientip\n"
        "listen sink\n bind " PUBLIC ":465\n server s " INNER ":465\n"
        "listen source\n bind " PUBLIC ":587\n server s " INNER ":587\n"
        "listen echo\n bind " PUBLIC ":993\n server s " INNER ":993\n",
        most, PIPES, most);
    int rc = put(path, "haproxy.cfg", text, err);

    free(text);
    snprintf(file, sizeof(file), "%s/haproxy.cfg", path->dir);
    const char *argv[] = {"haproxy", "-db", "-f", file, NULL};
    if (rc == 0 && (rc = carry_from_client(path, err)) == 0) {
        start(path, argv);
    }
    return rc;
}

void path_clear_links(struct path *path)
{
    const pid_t hosts[] = {path->gateway, path->store};
    static const char *const links[] = {"wg0", "wg1"};

    netkit_stop(&path->judges, SIGKILL);
    for (int i = 0; i < 2; i++) {
        pid_t pid = netkit_fork(hosts[i]);
        if (pid == 0) {
            int link = (int)if_nametoindex(links[i]);
            px_tclink_detach(link, PX_TCLINK_INGRESS);
            px_tclink_detach(link, PX_TCLINK_EGRESS);
            netkit_sh(0, "tc qdisc del dev %s clsact 2>/dev/null; true", links[i]);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
}

int path_carry(struct path *path, enum carrier carrier, const char **address_r,
               struct cm_err *err)
{
    static int (*const proxies[CARRIERS])(struct path *, struct cm_err *) = {
        [CARRIER_PROXY] = carry_proxy,
        [CARRIER_NGINX] = carry_nginx,
        [CARRIER_HAPROXY] = carry_haproxy};

    netkit_stop(&path->plane, SIGKILL);
    netkit_sh(path->gateway,
              PROXY_ROUTES " down; nft delete table inet chatmail "
                           "2>/dev/null; nft delete table inet chatmail_cutting "
                           "2>/dev/null; conntrack -F 2>/dev/null; "
                           "for d in pub0 out0; do "
                           "tc qdisc del dev $d clsact 2>/dev/null; done; true");
    path_clear_links(path);
    path->carrier = carrier;
    /* An address for each: what connection tracking remembers of one carrier is not met
     * by the next. */
    netkit_must(path->client,
                "ip route replace " PUBLIC "/32 dev up0 src 198.51.100.4%d && "
                "ip route replace 10.77.1.0/30 via " PUBLIC " src 198.51.100.4%d",
                (int)carrier, (int)carrier);
    serve(path);
    *address_r = carrier == CARRIER_BARE ? INNER : PUBLIC;
    if (carrier == CARRIER_BARE) {
        netkit_sh(path->store,
                  "nft delete table inet chatmail 2>/dev/null; "
                  "nft delete table inet chatmail_cutting 2>/dev/null; true");
        return 0;
    }
    if (apply_store(path, &made, err) != 0) {
        return -1;
    }
    return proxies[carrier] == NULL ? apply_gateway(path, false, err)
                                    : proxies[carrier](path, err);
}

int path_reload(struct path *path, struct cm_err *err)
{
    return apply_gateway(path, made.gateways[0].by_proxy, err);
}

/* ---- what it costs ---- */

double path_cpu_s(const struct path *path)
{
    clockid_t clock;
    struct timespec spent = {0};

    if (path->plane <= 0 || clock_getcpuclockid(path->plane, &clock) != 0 ||
        clock_gettime(clock, &spent) != 0) {
        return 0;
    }
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

double path_pss_kib(const struct path *path)
{
    char file[64], *text = NULL;
    double kib = 0;
    struct cm_err err;

    snprintf(file, sizeof(file), "/proc/%d/smaps_rollup", (int)path->plane);
    if (path->plane > 0 && cm_file_read(file, 16384, &text, NULL, &err) == 1) {
        const char *pss = strstr(text, "\nPss:");
        kib = pss != NULL ? strtod(pss + 5, NULL) : 0;
    }
    free(text);
    return kib;
}
