/* The real chatmail-gateway against a real kernel: a client, a gateway and a store,
 * each in a network namespace of its own, with WireGuard between the last two. The
 * store's end is made by proxy/apply and a stand-in for chatmail-cluster that serves
 * whatever envelope lies in a file. Needs root, nft, ip, wg; wireguard-go where the
 * kernel has no WireGuard.
 *
 *   client 198.51.100.40 -- .11 gateway 10.9.0.1 -- 10.9.0.2 store */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/bus.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "common/sign.h"
#include "netkit/netkit.h"
#include "proxy/apply.h"
#include "proxy/report.h"
#include "proxy/wgkey.h"
#include "trial.h"

enum { CLIENT, GATEWAY, STORE, HOSTS };

static char dir[] = "/tmp/pt-net-XXXXXX";
static pid_t host[HOSTS], tunnel[2], daemon_pid, stand_in;
static char secret[CM_SIGN_KEY_TEXT], cluster_key[CM_SIGN_KEY_TEXT];
static struct px_state state;
static volatile unsigned *asked; /* questions that the stand-in has answered; shared */

/* ---- processes and namespaces ---- */

static char *at(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/* ---- the stand-in for chatmail-cluster, and a server that says who came ---- */

static void answer(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    (void)data;
    (void)len;
    (void)ctx;
    struct cm_err err;
    char *text = NULL;
    size_t n = 0;
    if (cm_file_read(at("envelope"), 1 << 20, &text, &n, &err) == 1) {
        (void)!cm_bus_send(bus, text, n, &err);
    }
    free(text);
    (*asked)++;
}

static void keep_report(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    (void)bus;
    (void)ctx;
    struct cm_err err;
    (void)!cm_file_replace(at("report"), data, len, 0600, &err);
}

static void greet(int fd, unsigned events, void *ctx)
{
    (void)events;
    (void)ctx;
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    char text[64] = "?";
    int conn = accept(fd, (struct sockaddr *)&from, &len);
    if (conn < 0) {
        return;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&from;
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
    dprintf(conn, "%s\n", strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
    /* Left open: it ends with us. */
}

static int listen_on(int port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 16) != 0) {
        _exit(97);
    }
    return fd;
}

static void serve(int which)
{
    struct cm_loop *loop = cm_loop_new();
    struct cm_err err;
    int ep;
    static const int ports[] = {25, 993, 5432};
    for (size_t i = 0; i < 3; i++) {
        cm_io_new(loop, listen_on(ports[i]), CM_IO_READ, greet, NULL);
    }
    if (which == STORE) {
        struct cm_bus *pub = cm_bus_new(loop, CM_BUS_PUB, NULL, NULL, &err);
        struct cm_bus *rep = cm_bus_new(loop, CM_BUS_REP, answer, NULL, &err);
        struct cm_bus *pull = cm_bus_new(loop, CM_BUS_PULL, keep_report, NULL, &err);
        if (cm_bus_bind(pub, "tcp://10.77.1.2:4710", &ep, &err) != 0 ||
            cm_bus_bind(rep, "tcp://10.77.1.2:4711", &ep, &err) != 0 ||
            cm_bus_bind(pull, "tcp://10.77.1.2:4712", &ep, &err) != 0) {
            _exit(96);
        }
    }
    cm_loop_run(loop);
}

static pid_t serve_in(int which)
{
    pid_t pid = netkit_fork(host[which]);
    if (pid == 0) {
        serve(which);
        _exit(0);
    }
    return pid;
}

/* Connects from that host; fills what the other end said. 0 or an errno. */
static int dial(int which, const char *address, int port, char said[64], int *keep)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = netkit_fork(host[which]);
    if (pid == 0) {
        struct sockaddr_in6 to6 = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port)};
        struct sockaddr_in to4 = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port)};
        bool v6 = strchr(address, ':') != NULL;
        inet_pton(v6 ? AF_INET6 : AF_INET, address,
                  v6 ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr);
        int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
        struct timeval limit = {.tv_sec = 2};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        char text[64] = "";
        int failed = connect(fd, v6 ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4,
                             v6 ? sizeof(to6) : sizeof(to4)) != 0
                         ? errno
                         : 0;
        if (failed == 0) {
            ssize_t n = read(fd, text, sizeof(text) - 1);
            text[n > 0 ? n - 1 : 0] = 0;
        }
        dprintf(pair[1], "%s\n", text);
        if (failed == 0 && keep != NULL) {
            /* Waits for "go", then says whether the connection still carries a byte. */
            char go;
            (void)!read(pair[1], &go, 1);
            bool alive = write(fd, "x", 1) == 1;
            usleep(300000);
            alive = alive && write(fd, "y", 1) == 1;
            dprintf(pair[1], "%d", alive);
        }
        _exit(failed);
    }
    close(pair[1]);
    ssize_t n = read(pair[0], said, 63);
    said[n > 0 ? n - 1 : 0] = 0;
    if (keep != NULL) {
        *keep = pair[0];
        return 0;
    }
    close(pair[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static bool still_alive(int keep)
{
    char alive = '0';
    assert_int_equal(write(keep, "g", 1), 1);
    (void)!read(keep, &alive, 1);
    close(keep);
    return alive == '1';
}

/* ---- the cluster ---- */

static void publish(int64_t epoch, enum cm_mode mode)
{
    struct cm_err err;
    char *envelope;
    state.epoch = epoch;
    state.gateways[0].mode = mode;
    char *document = px_state_dump(&state);
    assert_int_equal(px_envelope_seal(secret, document, &envelope, &err), 0);
    assert_int_equal(
        cm_file_replace(at("envelope"), envelope, strlen(envelope), 0600, &err), 0);
    free(document);
    free(envelope);
}

/* Waits until the store has a report of that epoch. */
static void wait_report(int64_t epoch, struct px_report *report)
{
    int64_t end = cm_now_mono_ms() + 15000;
    while (cm_now_mono_ms() < end) {
        struct cm_err err;
        char *text = NULL;
        size_t len;
        if (cm_file_read(at("report"), PX_REPORT_MAX, &text, &len, &err) == 1 &&
            px_report_parse(text, len, report, &err) == 0 &&
            report->applied_epoch == epoch && report->applied_mode[0] != 0) {
            free(text);
            return;
        }
        free(text);
        usleep(50000);
    }
    fail_msg("no report of epoch %d", (int)epoch);
}

static void start_daemon(void)
{
    daemon_pid = netkit_fork(host[GATEWAY]);
    if (daemon_pid == 0) {
        int log = open(at("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        char config[256], key[256];
        snprintf(config, sizeof(config), "%s", at("gateway.conf"));
        snprintf(key, sizeof(key), "%s", at("gateway.key"));
        dup2(log, STDERR_FILENO);
        execl(GATEWAY_PROGRAM, "chatmail-gateway", "--config", config, "--key", key,
              (char *)NULL);
        _exit(95);
    }
}

static void wire(void)
{
    netkit_wire(host[CLIENT], "ptc0", host[GATEWAY], "pub0");
    netkit_wire(host[GATEWAY], "pth0", host[STORE], "home0");
    assert_int_equal(netkit_sh(host[CLIENT],
                               "ip link set lo up; ip link set ptc0 up; "
                               "ip addr add 198.51.100.40/24 dev ptc0; "
                               "ip -6 addr add 2001:db8:1::40/64 dev ptc0 nodad"),
                     0);
    assert_int_equal(netkit_sh(host[GATEWAY],
                               "ip link set lo up; ip link set pub0 up; "
                               "ip link set pth0 up; "
                               "ip addr add 198.51.100.11/24 dev pub0; "
                               "ip -6 addr add 2001:db8:1::11/64 dev pub0 nodad; "
                               "ip addr add 10.9.0.1/24 dev pth0"),
                     0);
    assert_int_equal(netkit_sh(host[STORE], "ip link set lo up; ip link set home0 up; "
                                            "ip addr add 10.9.0.2/24 dev home0; "
                                            "ip route add default via 10.9.0.1"),
                     0);
}

static void write_config(void)
{
    struct cm_err err;
    struct px_gateway *gw = &state.gateways[0];
    char path[256];
    snprintf(path, sizeof(path), "%s", at("store.key"));
    assert_int_equal(px_wgkey_make(path, state.store_wg_public_key, &err), 0);
    snprintf(path, sizeof(path), "%s", at("gateway.key"));
    assert_int_equal(px_wgkey_make(path, gw->wg_public_key, &err), 0);
    assert_int_equal(cm_sign_keygen(secret, cluster_key, &err), 0);
    char *text = cm_asprintf("[gateway]\nname = edge1\nnumber = 1\nwg_port = 51820\n"
                             "bus_port = 4710\ncluster_key = %s\nstore_wg_key = %s\n",
                             cluster_key, state.store_wg_public_key);
    assert_int_equal(
        cm_file_replace(at("gateway.conf"), text, strlen(text), 0600, &err), 0);
    free(text);
}

static void apply_store(void)
{
    pid_t pid = netkit_fork(host[STORE]);
    if (pid == 0) {
        struct px_seen seen = {0};
        struct px_outcome out = {0};
        struct cm_err err;
        char key[PX_WG_KEY_TEXT];
        int rc = px_wgkey_load(at("store.key"), key, &err) == 1 &&
                         px_apply_store(&state, key, &seen, &out, &err) == 0 &&
                         px_apply_egress(&state, (int[]){1}, 1, &out, &err) == 0
                     ? 0
                     : 1;
        if (rc != 0) {
            fprintf(stderr, "%s\n", err.text);
        }
        _exit(rc);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static int set_up(void **unused)
{
    (void)unused;
    if (netkit_begin() != 0 || mkdtemp(dir) == NULL) {
        fprintf(stderr, "needs root and namespaces\n");
        exit(77);
    }
    asked = mmap(NULL, sizeof(*asked), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(asked, MAP_FAILED);
    state = (struct px_state){
        .domain = "a.example",
        .bus_port = 4710,
        .ports = {25, 993},
        .port_count = 2,
        .egress = CM_EGRESS_GATEWAYS,
        .gateway_count = 1,
        .gateways = {{.name = "edge1",
                      .number = 1,
                      .egress = true,
                      .addresses = {"198.51.100.11", "2001:db8:1::11"},
                      .address_count = 2,
                      .endpoint = "10.9.0.1",
                      .wg_port = 51820}}};
    for (int i = 0; i < HOSTS; i++) {
        host[i] = netkit_host();
    }
    wire();
    write_config();
    netkit_tunnel(host[GATEWAY], "wg0", &tunnel[0]);
    netkit_tunnel(host[STORE], "wg1", &tunnel[1]);
    publish(5, CM_MODE_ACTIVE);
    apply_store();
    stand_in = serve_in(STORE);
    start_daemon();
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    int status = -1;
    kill(daemon_pid, SIGTERM);
    waitpid(daemon_pid, &status, 0);
    if (status != 0) {
        netkit_sh(0, "cat %s >&2", at("log"));
    }
    netkit_stop(&stand_in, SIGKILL);
    netkit_stop(&tunnel[0], SIGKILL);
    netkit_stop(&tunnel[1], SIGKILL);
    for (int i = 0; i < HOSTS; i++) {
        netkit_stop(&host[i], SIGKILL);
    }
    return netkit_sh(0, "rm -rf %s", dir) != 0 || status != 0;
}

/* ---- what must hold ---- */

static void forwards_with_the_true_address(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    wait_report(5, &report);
    assert_string_equal(report.applied_mode, "active");
    assert_string_equal(report.error, "");
    assert_in_range(report.handshake_age_s, 0, 60);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    assert_string_equal(said, "198.51.100.40");
    assert_int_equal(dial(CLIENT, "2001:db8:1::11", 25, said, NULL), 0);
    assert_string_equal(said, "2001:db8:1::40");
    /* A port that is not ours, and inner addresses from outside. */
    assert_int_equal(dial(CLIENT, "198.51.100.11", 5432, said, NULL), ECONNREFUSED);
    assert_int_equal(
        netkit_sh(host[CLIENT], "ip route add 10.77.1.0/30 via 198.51.100.11"), 0);
    assert_int_not_equal(dial(CLIENT, "10.77.1.2", 993, said, NULL), 0);
    assert_int_not_equal(dial(CLIENT, "10.77.1.1", 22, said, NULL), 0);
}

/* From its own public address, which the store's firewall lets through; what answers
 * there says an address, and no SMTP server does. */
static void knocks_through_the_tunnel(void **unused)
{
    (void)unused;
    struct px_report report = {.probe_count = 0};
    for (int i = 0; i < 150 && report.probe_count == 0; i++) {
        wait_report(5, &report);
        usleep(100000);
    }
    assert_int_equal(report.probe_count, 1); /* 25; neither 143 nor 443 is forwarded */
    assert_int_equal(report.probes[0].port, 25);
    assert_int_equal(report.probes[0].result, PX_PROBE_WRONG);
    assert_in_range(report.probes[0].ms, 0, 4000);
}

/* The tunnel and the bus in it need no place in the table of connections, and dead
 * flows do not keep theirs for days. */
static void takes_no_place_in_the_table(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    wait_report(5, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    if (netkit_sh(host[GATEWAY], "test -r /proc/net/nf_conntrack") != 0) {
        skip();
    }
    assert_int_equal(netkit_sh(host[GATEWAY],
                               "grep -q dport=993 /proc/net/nf_conntrack && "
                               "! grep -qE 'port=(51820|471[0-2])' "
                               "/proc/net/nf_conntrack"),
                     0);
    assert_int_equal(netkit_sh(host[GATEWAY], "grep -qx 7440 /proc/sys/net/netfilter/"
                                              "nf_conntrack_tcp_timeout_established"),
                     0);
    assert_true(report.counts.table_used >= 0);
    assert_true(report.counts.table_max > 0);
    assert_int_equal(report.counts.table_full, 0);
}

static void mail_leaves_by_the_gateway(void **unused)
{
    (void)unused;
    char said[64];
    pid_t foreign = serve_in(CLIENT);
    usleep(300000);
    assert_int_equal(dial(STORE, "198.51.100.40", 25, said, NULL), 0);
    assert_string_equal(said, "198.51.100.11");
    assert_int_equal(dial(STORE, "2001:db8:1::40", 25, said, NULL), 0);
    assert_string_equal(said, "2001:db8:1::11");
    netkit_stop(&foreign, SIGKILL);
}

static void stolen_gateway_reaches_nothing_else(void **unused)
{
    (void)unused;
    char said[64];
    /* From the gateway itself: neither mail with a private source nor the database. */
    assert_int_not_equal(dial(GATEWAY, "10.77.1.2", 993, said, NULL), 0);
    assert_int_not_equal(dial(GATEWAY, "10.77.1.2", 5432, said, NULL), 0);
    assert_int_equal(netkit_sh(host[GATEWAY],
                               "ip addr add 198.51.100.99/32 dev wg0; "
                               "ip route add 10.77.1.2/32 dev wg0 src 198.51.100.99"),
                     0);
    /* Control: a claimed public address reaches a mail port... */
    assert_int_equal(dial(GATEWAY, "10.77.1.2", 993, said, NULL), 0);
    /* ...and nothing else. */
    assert_int_not_equal(dial(GATEWAY, "10.77.1.2", 5432, said, NULL), 0);
    netkit_sh(
        host[GATEWAY],
        "ip route del 10.77.1.2/32 dev wg0; ip addr del 198.51.100.99/32 dev wg0");
}

static void refuses_what_is_not_right(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    struct cm_err err;
    publish(4, CM_MODE_OFF);
    for (int i = 0;
         i < 80 && netkit_sh(0, "grep -q 'epoch 4 is older' %s", at("log")) != 0; i++) {
        usleep(100000);
    }
    assert_int_equal(netkit_sh(0,
                               "grep -q 'event=document_refused.*epoch 4 is older' %s",
                               at("log")),
                     0);
    publish(9, CM_MODE_OFF);
    char *text = NULL;
    size_t len;
    assert_int_equal(cm_file_read(at("envelope"), 1 << 20, &text, &len, &err), 1);
    text[len - 3] ^= 1;
    assert_int_equal(cm_file_replace(at("envelope"), text, len, 0600, &err), 0);
    free(text);
    usleep(6000000);
    assert_int_equal(
        netkit_sh(0, "test $(grep -c event=document_refused %s) = 2", at("log")), 0);
    wait_report(5, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

static void drain_hold_off(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    publish(10, CM_MODE_ACTIVE);
    wait_report(10, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    publish(11, CM_MODE_DRAIN);
    wait_report(11, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), ECONNREFUSED);
    assert_int_equal(dial(CLIENT, "2001:db8:1::11", 993, said, NULL), ECONNREFUSED);
    assert_true(still_alive(keep));

    publish(12, CM_MODE_HOLD);
    wait_report(12, &report);
    int why = dial(CLIENT, "198.51.100.11", 993, said, NULL);
    assert_true(why == EINPROGRESS || why == EAGAIN || why == ETIMEDOUT);

    publish(13, CM_MODE_ACTIVE);
    wait_report(13, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    publish(14, CM_MODE_OFF);
    wait_report(14, &report);
    assert_false(still_alive(keep));
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), ECONNREFUSED);
}

static void killed_and_back(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    publish(20, CM_MODE_ACTIVE);
    wait_report(20, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    netkit_stop(&daemon_pid, SIGKILL);
    /* The kernel goes on without us. */
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    publish(19, CM_MODE_OFF);
    unlink(at("report"));
    start_daemon();
    for (int i = 0;
         i < 80 && netkit_sh(0, "grep -q 'epoch 19 is older' %s", at("log")) != 0;
         i++) {
        usleep(100000);
    }
    assert_int_equal(netkit_sh(0, "grep -q 'epoch 19 is older' %s", at("log")), 0);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    publish(20, CM_MODE_ACTIVE);
    wait_report(20, &report);
    assert_true(still_alive(keep));
    /* Nothing was loaded anew: the flows are still counted from before. */
    assert_int_equal(netkit_sh(host[GATEWAY],
                               "nft list counter inet chatmail flows_993 | "
                               "grep -q 'packets [2-9]'"),
                     0);
}

static int64_t reported_flows(int64_t epoch)
{
    struct px_report report;
    wait_report(epoch, &report);
    for (size_t i = 0; i < report.counts.port_count; i++) {
        if (report.counts.ports[i].port == 993) {
            return report.counts.ports[i].flows;
        }
    }
    return -1;
}

/* A document that brings a ban leaves the rest of the rules as it is; what was counted
 * arrives in the reports. */
static void bans_and_counts(void **unused)
{
    (void)unused;
    struct cm_err err;
    char said[64];
    int64_t end = cm_now_mono_ms() + 15000, flows = -1;
    while (flows < 3 && cm_now_mono_ms() < end) {
        assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
        flows = reported_flows(state.epoch);
    }
    assert_true(flows >= 3);
    assert_int_equal(netkit_sh(host[GATEWAY], "nft add counter inet chatmail kept"), 0);
    usleep(6000000); /* a hand that meddles is noticed, once: then it is loaded anew */
    assert_int_equal(netkit_sh(host[GATEWAY],
                               "nft list counter inet chatmail flows_993 | grep -q "
                               "'packets 0'"),
                     0);
    assert_int_equal(cm_source_parse("198.51.100.40", state.bans[0].source, &err), 0);
    state.bans[0].until = cm_now_wall_ms() / 1000 + 600;
    state.ban_count = 1;
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    publish(28, CM_MODE_ACTIVE);
    assert_true(reported_flows(28) >= flows);
    assert_int_not_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
    assert_int_equal(dial(CLIENT, "2001:db8:1::11", 993, said, NULL), 0);
    assert_int_equal(netkit_sh(host[GATEWAY],
                               "nft list counter inet chatmail flows_993 | grep -q "
                               "'packets [1-9]'"),
                     0);
    state.ban_count = 0;
    publish(29, CM_MODE_ACTIVE);
    assert_true(reported_flows(29) >= flows);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

/* Waits until the store has a report that says so. */
static void wait_reverted(int64_t bad, int64_t former, int64_t limit_ms)
{
    struct px_report report = {0};
    int64_t end = cm_now_mono_ms() + limit_ms;
    unlink(at("report"));
    while (cm_now_mono_ms() < end) {
        struct cm_err err;
        char *text = NULL;
        size_t len;
        if (cm_file_read(at("report"), PX_REPORT_MAX, &text, &len, &err) == 1 &&
            px_report_parse(text, len, &report, &err) == 0 &&
            report.reverted_epoch == bad && report.applied_epoch == former) {
            free(text);
            assert_non_null(strstr(report.error, "cut us off from the store"));
            return;
        }
        free(text);
        usleep(100000);
    }
    fail_msg("no report of a revert; the last one was of epoch %d",
             (int)report.applied_epoch);
}

/* Its bus is somewhere else, says the document, and is not. */
static void a_document_that_cuts_off_is_taken_back(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    publish(21, CM_MODE_ACTIVE);
    wait_report(21, &report);
    assert_int_equal(report.reverted_epoch, 0);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    state.bus_port = 4720;
    publish(22, CM_MODE_ACTIVE);
    wait_reverted(22, 21, 60000);
    assert_int_equal(
        netkit_sh(0, "test $(grep -c event=epoch_reverted %s) = 1", at("log")), 0);
    assert_true(still_alive(keep));
    /* What is right is taken at once, what is older than the bad one is not. */
    state.bus_port = 4710;
    publish(23, CM_MODE_ACTIVE);
    wait_report(23, &report);
    assert_int_equal(report.reverted_epoch, 0);
    assert_string_equal(report.error, "");
}

/* What is in force stays: a question that was asked under it has been answered, and a
 * further one says that the answer was heard. Who goes away before that has cut the
 * gateway off, for all that it can know. */
static void wait_settled(void)
{
    unsigned enough = *asked + 2;
    int64_t end = cm_now_mono_ms() + 60000;
    while (*asked < enough) {
        if (cm_now_mono_ms() > end) {
            fail_msg("the gateway does not ask");
        }
        usleep(50000);
    }
}

/* The store goes away after a change and comes back: no harm is done. */
static void an_outage_is_no_bad_document(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    publish(24, CM_MODE_ACTIVE);
    wait_report(24, &report);
    wait_settled();
    netkit_stop(&stand_in, SIGKILL);
    usleep((GW_TRIAL_MS + 5000) * 1000);
    assert_int_equal(
        netkit_sh(0, "test $(grep -c event=epoch_reverted %s) = 1", at("log")), 0);
    unlink(at("report"));
    stand_in = serve_in(STORE); /* listens before it takes reports */
    wait_report(24, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), 0);
}

/* Dials until the answer is that; fails after limit_ms. Returns how long it took. */
static int64_t until(int want, int64_t limit_ms)
{
    char said[64];
    int64_t start = cm_now_mono_ms();
    while (dial(CLIENT, "198.51.100.11", 993, said, NULL) != want) {
        if (cm_now_mono_ms() - start > limit_ms) {
            fail_msg("not %d within %d ms", want, (int)limit_ms);
        }
        usleep(200000);
    }
    return cm_now_mono_ms() - start;
}

static void a_store_that_is_gone_is_answered_for(void **unused)
{
    (void)unused;
    struct px_report report;
    char said[64];
    int keep;
    publish(25, CM_MODE_ACTIVE);
    wait_report(25, &report);
    assert_int_equal(dial(CLIENT, "198.51.100.11", 993, said, &keep), 0);
    assert_int_equal(netkit_sh(host[GATEWAY], "ip link set pth0 down"), 0);
    until(ECONNREFUSED, 9000);
    assert_int_equal(dial(CLIENT, "2001:db8:1::11", 993, said, NULL), ECONNREFUSED);
    assert_false(still_alive(keep));
    assert_int_equal(netkit_sh(host[GATEWAY], "ip link set pth0 up"), 0);
    until(0, 15000);
    assert_int_equal(netkit_sh(0, "grep -q event=store_back %s", at("log")), 0);
    /* Who holds, holds. */
    publish(26, CM_MODE_HOLD);
    wait_report(26, &report);
    assert_int_equal(netkit_sh(host[GATEWAY], "ip link set pth0 down"), 0);
    usleep(8000000);
    assert_int_not_equal(dial(CLIENT, "198.51.100.11", 993, said, NULL), ECONNREFUSED);
    assert_int_equal(netkit_sh(host[GATEWAY], "ip link set pth0 up"), 0);
    publish(27, CM_MODE_ACTIVE);
    wait_report(27, &report);
}

static void store_dies_and_comes_back(void **unused)
{
    (void)unused;
    struct px_report report;
    netkit_stop(&stand_in, SIGKILL);
    usleep(2000000);
    publish(30, CM_MODE_ACTIVE);
    unlink(at("report"));
    stand_in = serve_in(STORE);
    wait_report(30, &report);
    assert_string_equal(report.error, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwards_with_the_true_address),
        cmocka_unit_test(knocks_through_the_tunnel),
        cmocka_unit_test(takes_no_place_in_the_table),
        cmocka_unit_test(mail_leaves_by_the_gateway),
        cmocka_unit_test(stolen_gateway_reaches_nothing_else),
        cmocka_unit_test(refuses_what_is_not_right),
        cmocka_unit_test(drain_hold_off),
        cmocka_unit_test(killed_and_back),
        cmocka_unit_test(a_document_that_cuts_off_is_taken_back),
        cmocka_unit_test(an_outage_is_no_bad_document),
        cmocka_unit_test(a_store_that_is_gone_is_answered_for),
        cmocka_unit_test(bans_and_counts),
        cmocka_unit_test(store_dies_and_comes_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
