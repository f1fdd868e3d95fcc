#include "path.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "netkit/netkit.h"
#include "proxy/apply.h"
#include "proxy/plane.h"
#include "proxy/wgkey.h"

#include "load.h"

#define PUBLIC "198.51.100.11"
#define INNER  "10.77.1.2"
#define FILES  300000

static const char *const names[CARRIERS] = {"bare", "kernel", "proxy", "nginx",
                                            "haproxy"};

const char *carrier_name(enum carrier carrier)
{
    return names[carrier];
}

/* ---- the network ---- */

static struct px_state state_of(const struct path *path, bool by_proxy)
{
    (void)path;
    struct px_state state = {.domain = "bench.example",
                             .bus_port = 4710,
                             .ports = {LOAD_SINK, LOAD_ECHO},
                             .port_count = 2,
                             .egress = CM_EGRESS_GATEWAYS,
                             .gateway_count = 1,
                             .gateways = {{.name = "edge1",
                                           .number = 1,
                                           .egress = true,
                                           .by_proxy = by_proxy,
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
    netkit_must(path->client, "ip addr add 198.51.100.40/24 dev up0; "
                              "ip route add 10.77.1.0/30 via " PUBLIC "; "
                              "sysctl -qw net.ipv4.ip_local_port_range='2000 65000'");
    netkit_must(path->gateway, "ip addr add " PUBLIC "/24 dev pub0; "
                               "ip -6 addr add 2001:db8:1::11/64 dev pub0 nodad; "
                               "ip addr add 10.9.0.1/24 dev out0; "
                               "sysctl -qw net.ipv4.ip_forward=1 "
                               "net.ipv4.ip_local_port_range='2000 65000'");
    netkit_must(path->store, "ip addr add 10.9.0.2/24 dev home0; "
                             "ip route add default via 10.9.0.1");
    netkit_tunnel(path->gateway, "wg0", &path->tunnels[0]);
    netkit_tunnel(path->store, "wg1", &path->tunnels[1]);
}

/* In that host: the whole state there. */
static int applied_in(const struct path *path, pid_t host, const struct px_state *state,
                      struct cm_err *err)
{
    pid_t pid = netkit_fork(host);
    int status = 1;

    if (pid == 0) {
        struct px_seen seen = {0};
        struct px_outcome out = {0};
        struct cm_err why;
        int rc = host == path->store
                     ? px_apply_store(state, path->keys[1], &seen, &out, &why)
                     : px_apply_gateway(state, &state->gateways[0], path->keys[0],
                                        &seen, &out, &why);
        if (rc != 0) {
            fprintf(stderr, "%s\n", why.text);
        }
        _exit(rc == 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return status == 0 ? 0 : cm_err_set(err, CM_ERR_WORLD, "the network was not made");
}

static struct px_state made; /* with its keys */

static int apply_gateway(struct path *path, bool by_proxy, struct cm_err *err)
{
    made.epoch = ++path->epoch;
    made.gateways[0].by_proxy = by_proxy;
    return applied_in(path, path->gateway, &made, err);
}

int path_open(struct path *path, struct cm_err *err)
{
    struct rlimit files = {FILES, FILES};

    *path = (struct path){.dir = "/tmp/bench-edge-XXXXXX"};
    if (netkit_begin() != 0 || mkdtemp(path->dir) == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "needs root and network namespaces");
    }
    (void)setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    wire(path);
    made = state_of(path, false);
    if (keys_into(path, &made, err) != 0) {
        return -1;
    }
    made.epoch = ++path->epoch;
    if (applied_in(path, path->store, &made, err) != 0 ||
        apply_gateway(path, false, err) != 0) {
        return -1;
    }
    path->server = netkit_fork(path->store);
    if (path->server == 0) {
        load_serve();
    }
    netkit_must(path->store, "for i in 1 2 3 4 5 6 7 8 9; do "
                             "ss -Hltn | grep -q ':993 ' && exit 0; sleep 0.2; done; "
                             "exit 1");
    return 0;
}

void path_close(struct path *path)
{
    netkit_stop(&path->plane, SIGTERM);
    netkit_stop(&path->server, SIGKILL);
    for (int i = 0; i < 2; i++) {
        netkit_stop(&path->tunnels[i], SIGKILL);
    }
    netkit_stop(&path->client, SIGKILL);
    netkit_stop(&path->gateway, SIGKILL);
    netkit_stop(&path->store, SIGKILL);
    netkit_sh(0, "rm -rf %s", path->dir);
}

/* ---- carriers ---- */

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
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(97);
    }
    usleep(700000);
}

static int carry_proxy(struct path *path, struct cm_err *err)
{
    static const char text[] =
        "[proxy]\nlisten = " PUBLIC "\nports = 465 993\n"
        "store4 = " INNER "\nsource = transparent\n"
        "mode = active\nconnections = 50000\nper_source = 50000\n";
    char file[96];

    snprintf(file, sizeof(file), "%s/proxy.conf", path->dir);
    const char *argv[] = {PROXY_PROGRAM, "--settings", file, NULL};
    if (put(path, "proxy.conf", text, err) != 0 ||
        apply_gateway(path, true, err) != 0) {
        return -1;
    }
    netkit_must(path->gateway, PROXY_ROUTES " up");
    start(path, argv);
    return 0;
}

static int carry_nginx(struct path *path, struct cm_err *err)
{
    char file[96];
    char *text = cm_asprintf(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
        "daemon off; master_process off; pid %s/nginx.pid; error_log stderr crit;\n"
        "worker_rlimit_nofile 200000;\n"
        "events { worker_connections 60000; }\n"
        "stream { server { listen " PUBLIC ":465; proxy_pass " INNER ":465; }\n"
        " server { listen " PUBLIC ":993; proxy_pass " INNER ":993; } }\n",
        path->dir);
    int rc = put(path, "nginx.conf", text, err);

    free(text);
    snprintf(file, sizeof(file), "%s/nginx.conf", path->dir);
    const char *argv[] = {"nginx", "-c", file, NULL};
    if (rc == 0) {
        start(path, argv);
    }
    return rc;
}

static int carry_haproxy(struct path *path, struct cm_err *err)
{
    static const char text[] =
        "global\n maxconn 50000\n nbthread 1\n"
        "defaults\n mode tcp\n option splice-auto\n timeout connect 5s\n"
        " timeout client 1h\n timeout server 1h\n"
        "listen sink\n bind " PUBLIC ":465\n server s " INNER ":465\n"
        "listen echo\n bind " PUBLIC ":993\n server s " INNER ":993\n";
    char file[96];

    snprintf(file, sizeof(file), "%s/haproxy.cfg", path->dir);
    const char *argv[] = {"haproxy", "-q", "-db", "-f", file, NULL};
    if (put(path, "haproxy.cfg", text, err) != 0) {
        return -1;
    }
    start(path, argv);
    return 0;
}

int path_carry(struct path *path, enum carrier carrier, const char **address_r,
               struct cm_err *err)
{
    netkit_stop(&path->plane, SIGTERM);
    netkit_sh(path->gateway, PROXY_ROUTES " down; nft delete table inet chatmail "
                                          "2>/dev/null; true");
    /* The store's firewall knows no client with a tunnel's address. */
    bool ours = carrier == CARRIER_KERNEL || carrier == CARRIER_PROXY;
    if (!ours) {
        netkit_sh(path->store, "nft delete table inet chatmail 2>/dev/null; true");
    } else if (applied_in(path, path->store, &made, err) != 0) {
        return -1;
    }
    *address_r = carrier == CARRIER_BARE ? INNER : PUBLIC;
    switch (carrier) {
    case CARRIER_KERNEL:
        return apply_gateway(path, false, err);
    case CARRIER_PROXY:
        return carry_proxy(path, err);
    case CARRIER_NGINX:
        return carry_nginx(path, err);
    case CARRIER_HAPROXY:
        return carry_haproxy(path, err);
    default:
        return 0;
    }
}

int path_reload(struct path *path, struct cm_err *err)
{
    return apply_gateway(path, made.gateways[0].by_proxy, err);
}

/* ---- what it costs ---- */

double path_cpu_s(const struct path *path)
{
    char file[64], *text = NULL;
    unsigned long user = 0, sys = 0;
    struct cm_err err;

    snprintf(file, sizeof(file), "/proc/%d/stat", (int)path->plane);
    if (path->plane > 0 && cm_file_read(file, 4096, &text, NULL, &err) == 1) {
        const char *behind = strrchr(text, ')');
        if (behind != NULL) {
            (void)sscanf(behind + 1,
                         " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &sys);
        }
    }
    free(text);
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
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
