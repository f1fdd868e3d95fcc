#include "net.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "proxy/plane.h"
#include "stack.h"

#define COMMAND_MAX 4096
#define IP_LINES    "while read -r l; do ip $l || exit; done"
/* What proxy/plane.h writes: some lines begin with "-6 ". */

static const char ini[] = "[params]\nmail_domain = _chat.example\n"
                          "[gateway edge1]\nnumber = 1\n"
                          "addresses = 198.51.100.11 2001:db8:1::11\n"
                          "[gateway edge2]\nnumber = 2\n"
                          "addresses = 203.0.113.12 2001:db8:2::12\n";

static char dir[] = "/tmp/pt-calls-XXXXXX";
static char paths[NET_HOSTS][64];
static pid_t servers[3];
static int tag; /* in the names of our namespaces */
static struct px_state state = {
    .epoch = 1,
    .domain = "_chat.example",
    .bus_port = 4710,
    .ports = {993},
    .port_count = 1,
    .turn = {3478, 49160, 49359},
    .gateways = {{.name = "edge1",
                  .number = 1,
                  .addresses = {"198.51.100.11", "2001:db8:1::11"},
                  .address_count = 2},
                 {.name = "edge2",
                  .number = 2,
                  .addresses = {"203.0.113.12", "2001:db8:2::12"},
                  .address_count = 2}},
    .gateway_count = 2,
};

static const char *name(enum net_host host)
{
    static char names[NET_HOSTS][32];
    snprintf(names[host], sizeof names[host], "ptc%d-%d", tag, (int)host);
    return names[host];
}

const char *net_path(enum net_host host)
{
    snprintf(paths[host], sizeof paths[host], "/run/netns/%s", name(host));
    return paths[host];
}

static void feed(enum net_host host, const char *input, const char *command,
                 char **out_r)
{
    const char *argv[] = {"ip", "netns", "exec", name(host), "sh", "-c", command, NULL};
    struct cm_run run = {.argv = argv, .input = input};
    struct cm_err err;
    if (cm_run_ok(&run, out_r, &err) != 0) {
        fail_msg("%s: %s", command, err.text);
    }
}

void net_sh(enum net_host host, const char *fmt, ...)
{
    char command[COMMAND_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    feed(host, NULL, command, NULL);
}

void net_mode(int number, enum cm_mode mode)
{
    struct px_gateway *gw = &state.gateways[number - 1];
    gw->mode = mode;
    char *text = px_gateway_nft(&state, gw);
    feed(number == 1 ? NET_EDGE1 : NET_EDGE2, text, "nft -f -", NULL);
    free(text);
}

long net_counted(enum net_host host, const char *counter)
{
    char command[160], *said = NULL;
    snprintf(command, sizeof command, "nft list counter inet chatmail %s", counter);
    feed(host, NULL, command, &said);
    const char *at = strstr(said, "packets ");
    long n = at != NULL ? strtol(at + 8, NULL, 10) : -1;
    free(said);
    return n;
}

static char *word(const char *input, const char *command)
{
    char *said = NULL;
    feed(NET_WORLD, input, command, &said);
    said[strcspn(said, "\n")] = '\0';
    return said;
}

/* One end of it. Two programs of that name would meet in one directory. */
static void tunnel_end(enum net_host host, const char *device, const char *secret,
                       const char *peer, const char *rest)
{
    char *command = cm_asprintf(
        "mkdir -p /run/wireguard; unshare -m sh -ec 'mount -t tmpfs none"
        " /run/wireguard; umask 077; cat >/run/wireguard/key;"
        " wireguard-go %s >/dev/null 2>&1;"
        " wg set %s%s private-key /run/wireguard/key"
        " peer %s allowed-ips 0.0.0.0/0,::/0 %s'",
        device, device, host == NET_STORE ? "" : " listen-port 51820", peer, rest);
    feed(host, secret, command, NULL);
    free(command);
}

static void tunnel(enum net_host edge, int number)
{
    char device[16], endpoint[96];
    char *secret[2], *public[2];
    for (int i = 0; i < 2; i++) {
        secret[i] = word(NULL, "wg genkey");
        public[i] = word(secret[i], "wg pubkey");
    }
    net_sh(edge,
           "ip link add out0 type veth peer name o%d netns %s; ip link set out0 up;"
           " ip addr add 10.9.%d.1/30 dev out0",
           number, name(NET_STORE), number);
    net_sh(NET_STORE, "ip link set o%d up; ip addr add 10.9.%d.2/30 dev o%d", number,
           number, number);
    snprintf(device, sizeof device, "wg%d", number);
    snprintf(endpoint, sizeof endpoint,
             "endpoint 10.9.%d.1:51820 persistent-keepalive 25", number);
    tunnel_end(edge, "wg0", secret[0], public[1], "");
    tunnel_end(NET_STORE, device, secret[1], public[0], endpoint);
    for (int i = 0; i < 2; i++) {
        free(secret[i]);
        free(public[i]);
    }
}

static void wire(enum net_host edge, int number, const char *net4, const char *net6,
                 int last)
{
    net_sh(edge,
           "ip link set lo up; ip link add pub0 type veth peer name w%d netns %s;"
           " ip link set pub0 up; ip addr add %s.%d/24 dev pub0;"
           " ip -6 addr add %s::%d/64 dev pub0 nodad; ip route add default via %s.40;"
           " sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
           number, name(NET_WORLD), net4, last, net6, last, net4);
    net_sh(NET_WORLD,
           "ip link set w%d up; ip addr add %s.40/24 dev w%d;"
           " ip -6 addr add %s::40/64 dev w%d nodad",
           number, net4, number, net6, number);
    net_sh(edge, "ip -6 route add default via %s::40", net6);
    tunnel(edge, number);
    char *text = px_gateway_ip(&state, &state.gateways[number - 1]);
    feed(edge, text, IP_LINES, NULL);
    free(text);
    net_mode(number, CM_MODE_ACTIVE);
}

static void store(void)
{
    net_sh(NET_STORE, "ip link set lo up");
    char *text = px_store_ip(&state);
    feed(NET_STORE, text, IP_LINES, NULL);
    free(text);
    text = px_store_nft(&state);
    feed(NET_STORE, text, "nft -f -", NULL);
    free(text);
}

static pid_t start(int number, const struct op_file *file)
{
    char path[128], log[128], *text;
    struct cm_err err;
    snprintf(path, sizeof path, "%s/%d.conf", dir, number);
    snprintf(log, sizeof log, "%s/%d.log", dir, number);
    text = cm_asprintf("%suserdb=%s/%d.db\nstatic-auth-secret=" NET_SECRET "\n",
                       file->content, dir, number);
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0600, &err), 0);
    free(text);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen(log, "w", stdout) == NULL || dup2(1, 2) < 0) {
            _exit(98);
        }
        execlp("ip", "ip", "netns", "exec", name(NET_STORE), "turnserver", "-c", path,
               "--pidfile=", (char *)NULL);
        _exit(99);
    }
    return pid;
}

static void start_servers(void)
{
    struct cm_conf conf;
    struct op_facts facts = {.ipv6 = true};
    struct op_files files;
    struct cm_err err;
    assert_int_equal(cm_conf_parse("ini", ini, strlen(ini), &conf, &err), 0);
    assert_int_equal(op_stack_store(&conf, &facts, &files, &err), 0);
    for (size_t i = 0; i < files.count; i++) {
        int number;
        if (sscanf(files.items[i].path, "/etc/chatmail/turn/%d.conf", &number) == 1) {
            servers[number] = start(number, &files.items[i]);
        }
    }
    op_files_clear(&files);
    cm_conf_clear(&conf);
    net_sh(NET_STORE, "for i in $(seq 100); do"
                      " [ $(ss -Hlnu sport = :3478 | wc -l) -ge 4 ] && exit 0;"
                      " sleep 0.1; done; exit 1");
}

bool net_up(void)
{
    if (geteuid() != 0 || access("/usr/bin/turnserver", X_OK) != 0 ||
        mkdtemp(dir) == NULL) {
        return false;
    }
    tag = (int)getpid() % 100000;
    for (int i = 0; i < NET_HOSTS; i++) {
        const char *argv[] = {"ip", "netns", "add", name((enum net_host)i), NULL};
        struct cm_err err;
        if (cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err) != 0) {
            return false;
        }
    }
    net_sh(NET_WORLD, "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1"
                      " net.ipv6.conf.all.forwarding=1");
    wire(NET_EDGE1, 1, "198.51.100", "2001:db8:1", 11);
    wire(NET_EDGE2, 2, "203.0.113", "2001:db8:2", 12);
    store();
    start_servers();
    return true;
}

void net_down(void)
{
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        if (servers[i] > 0) {
            kill(servers[i], SIGTERM);
            waitpid(servers[i], NULL, 0);
        }
    }
    for (int i = 0; i < NET_HOSTS; i++) {
        /* A tunnel's program goes with its device. */
        net_sh((enum net_host)i, "for d in wg0 wg1 wg2; do"
                                 " ip link del $d 2>/dev/null; done; true");
        const char *argv[] = {"ip", "netns", "del", name((enum net_host)i), NULL};
        struct cm_err err;
        (void)!cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err);
    }
    const char *argv[] = {"rm", "-rf", dir, NULL};
    struct cm_err err;
    (void)!cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err);
}
