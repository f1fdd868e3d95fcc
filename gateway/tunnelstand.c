#include "tunnelstand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bus.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/sign.h"
#include "netkit/netkit.h"
#include "proxy/apply.h"
#include "proxy/wgkey.h"

struct stand stand;

static char dir[] = "/tmp/pt-net-XXXXXX";
static char secret[CM_SIGN_KEY_TEXT], cluster_key[CM_SIGN_KEY_TEXT];

char *stand_file(const char *name)
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
    if (cm_file_read(stand_file("envelope"), 1 << 20, &text, &n, &err) == 1) {
        (void)!cm_bus_send(bus, text, n, &err);
    }
    free(text);
    (*stand.asked)++;
}

static void keep_report(struct cm_bus *bus, const char *data, size_t len, void *ctx)
{
    (void)bus;
    (void)ctx;
    struct cm_err err;
    (void)!cm_file_replace(stand_file("report"), data, len, 0600, &err);
}

static void name_source(const struct sockaddr_in6 *from, char text[64])
{
    inet_ntop(AF_INET6, &from->sin6_addr, text, 64);
    if (strncmp(text, "::ffff:", 7) == 0) {
        memmove(text, text + 7, strlen(text + 7) + 1);
    }
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
    name_source((const struct sockaddr_in6 *)&from, text);
    dprintf(conn, "%s\n", text);
    /* Left open: it ends with us. */
}

/* Of UDP: as a relay of calls. */
static void echo(int fd, unsigned events, void *ctx)
{
    (void)events;
    (void)ctx;
    struct sockaddr_in6 from;
    socklen_t len = sizeof(from);
    char text[64];
    if (recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len) > 0) {
        name_source(&from, text);
        (void)!sendto(fd, text, strlen(text), 0, (struct sockaddr *)&from, len);
    }
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

static struct sockaddr_in6 at(const char *address, int port)
{
    struct sockaddr_in6 out = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port)};
    char mapped[64];
    snprintf(mapped, sizeof(mapped), "%s%s",
             strchr(address, ':') ? "" : "::ffff:", address);
    inet_pton(AF_INET6, mapped, &out.sin6_addr);
    return out;
}

/* As coturn: each address has a socket of its own, from which it answers. */
static int listen_for_calls(const char *address)
{
    struct sockaddr_in6 own = at(address, 3478);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0) {
        _exit(98);
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
    for (size_t i = 0; i < 2; i++) {
        static const char *const inner[] = {"10.77.1.2", "fd77:1::2"};
        static const char *const client[] = {"198.51.100.40", "2001:db8:1::40"};
        if (which != GATEWAY) {
            int fd = listen_for_calls((which == STORE ? inner : client)[i]);
            cm_io_new(loop, fd, CM_IO_READ, echo, NULL);
        }
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

pid_t stand_serve(int which)
{
    pid_t pid = netkit_fork(stand.host[which]);
    if (pid == 0) {
        serve(which);
        _exit(0);
    }
    return pid;
}

/* Connects from that host; fills what the other end said. 0 or an errno. */
int stand_dial(int which, const char *address, int port, char said[64], int *keep)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = netkit_fork(stand.host[which]);
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

/* In its own process. */
static int call(const char *from, int port, const char *address, size_t len, int tell)
{
    static const char word[4096];
    struct sockaddr_in6 own = at(from, port), to = at(address, 3478);
    struct timeval limit = {.tv_sec = 1};
    char text[64];
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        send(fd, word, len, 0) != (ssize_t)len) {
        return errno;
    }
    ssize_t n = recv(fd, text, sizeof(text), 0);
    if (n < 0) {
        return errno;
    }
    return write(tell, text, (size_t)n) == n ? 0 : errno;
}

int stand_call(int which, const char *from, int port, const char *address, size_t len,
               char said[64])
{
    int pair[2], status = 0;
    assert_int_equal(pipe(pair), 0);
    pid_t pid = netkit_fork(stand.host[which]);
    if (pid == 0) {
        _exit(call(from, port, address, len, pair[1]));
    }
    close(pair[1]);
    ssize_t n = read(pair[0], said, 63);
    said[n > 0 ? n : 0] = 0;
    close(pair[0]);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* In its own process. */
static void wait_at(const char *address, int tell)
{
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(993)};
    struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(993)};
    bool v6 = strchr(address, ':') != NULL;
    char text[64];
    inet_pton(v6 ? AF_INET6 : AF_INET, address,
              v6 ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr);
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (connect(fd, v6 ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4,
                v6 ? sizeof(to6) : sizeof(to4)) != 0 ||
        read(fd, text, sizeof(text)) <= 0) {
        _exit(1);
    }
    (void)!write(tell, "c", 1);
    ssize_t n = read(fd, text, sizeof(text));
    (void)!write(tell, n == 0 ? "f" : "r", 1);
    _exit(0);
}

int stand_wait_at(const char *address, int *waits)
{
    int pair[2];
    char come = 0;
    assert_int_equal(pipe(pair), 0);
    if (netkit_fork(stand.host[CLIENT]) == 0) {
        close(pair[0]);
        wait_at(address, pair[1]);
    }
    close(pair[1]);
    (void)!read(pair[0], &come, 1);
    *waits = pair[0];
    return come == 'c' ? 0 : -1;
}

bool stand_alive(int keep)
{
    char alive = '0';
    assert_int_equal(write(keep, "g", 1), 1);
    (void)!read(keep, &alive, 1);
    close(keep);
    return alive == '1';
}

/* ---- the cluster ---- */

void stand_publish(int64_t epoch, enum cm_mode mode)
{
    struct cm_err err;
    char *envelope;
    stand.state.epoch = epoch;
    stand.state.gateways[0].mode = mode;
    char *document = px_state_dump(&stand.state);
    assert_int_equal(px_envelope_seal(secret, document, &envelope, &err), 0);
    assert_int_equal(
        cm_file_replace(stand_file("envelope"), envelope, strlen(envelope), 0600, &err),
        0);
    free(document);
    free(envelope);
}

/* Waits until the store has a report of that epoch. */
void stand_report(int64_t epoch, struct px_report *report)
{
    int64_t end = cm_now_mono_ms() + 15000;
    while (cm_now_mono_ms() < end) {
        struct cm_err err;
        char *text = NULL;
        size_t len;
        if (cm_file_read(stand_file("report"), PX_REPORT_MAX, &text, &len, &err) == 1 &&
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

void stand_start(void)
{
    stand.daemon = netkit_fork(stand.host[GATEWAY]);
    if (stand.daemon == 0) {
        int log = open(stand_file("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        char config[256], key[256];
        snprintf(config, sizeof(config), "%s", stand_file("gateway.conf"));
        snprintf(key, sizeof(key), "%s", stand_file("gateway.key"));
        dup2(log, STDERR_FILENO);
        execl(GATEWAY_PROGRAM, "chatmail-gateway", "--config", config, "--key", key,
              (char *)NULL);
        _exit(95);
    }
}

static void wire(void)
{
    netkit_wire(stand.host[CLIENT], "ptc0", stand.host[GATEWAY], "pub0");
    netkit_wire(stand.host[GATEWAY], "pth0", stand.host[STORE], "home0");
    assert_int_equal(netkit_sh(stand.host[CLIENT],
                               "ip link set lo up; ip link set ptc0 up; "
                               "ip addr add 198.51.100.40/24 dev ptc0; "
                               "ip -6 addr add 2001:db8:1::40/64 dev ptc0 nodad"),
                     0);
    assert_int_equal(netkit_sh(stand.host[GATEWAY],
                               "ip link set lo up; ip link set pub0 up; "
                               "ip link set pth0 up; "
                               "ip addr add 198.51.100.11/24 dev pub0; "
                               "ip -6 addr add 2001:db8:1::11/64 dev pub0 nodad; "
                               "ip addr add 10.9.0.1/24 dev pth0"),
                     0);
    assert_int_equal(netkit_sh(stand.host[STORE],
                               "ip link set lo up; ip link set home0 up; "
                               "ip addr add 10.9.0.2/24 dev home0; "
                               "ip route add default via 10.9.0.1"),
                     0);
}

static void write_config(void)
{
    struct cm_err err;
    struct px_gateway *gw = &stand.state.gateways[0];
    char path[256];
    snprintf(path, sizeof(path), "%s", stand_file("store.key"));
    assert_int_equal(px_wgkey_make(path, stand.state.store_wg_public_key, &err), 0);
    snprintf(path, sizeof(path), "%s", stand_file("gateway.key"));
    assert_int_equal(px_wgkey_make(path, gw->wg_public_key, &err), 0);
    assert_int_equal(cm_sign_keygen(secret, cluster_key, &err), 0);
    char *text = cm_asprintf("[gateway]\nname = edge1\nnumber = 1\nwg_port = 51820\n"
                             "bus_port = 4710\ncluster_key = %s\nstore_wg_key = %s\n",
                             cluster_key, stand.state.store_wg_public_key);
    assert_int_equal(
        cm_file_replace(stand_file("gateway.conf"), text, strlen(text), 0600, &err), 0);
    free(text);
}

static void apply_store(void)
{
    pid_t pid = netkit_fork(stand.host[STORE]);
    if (pid == 0) {
        struct px_seen seen = {0};
        struct px_outcome out = {0};
        struct cm_err err;
        char key[PX_WG_KEY_TEXT];
        int rc = px_wgkey_load(stand_file("store.key"), key, &err) == 1 &&
                         px_apply_store(&stand.state, key, &seen, &out, &err) == 0 &&
                         px_apply_egress(&stand.state, (int[]){1}, 1, &out, &err) == 0
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

int stand_up(void **unused)
{
    (void)unused;
    if (netkit_begin() != 0 || mkdtemp(dir) == NULL) {
        fprintf(stderr, "needs root and namespaces\n");
        exit(77);
    }
    stand.asked = mmap(NULL, sizeof(*stand.asked), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stand.asked, MAP_FAILED);
    stand.state = (struct px_state){
        .domain = "a.example",
        .bus_port = 4710,
        .ports = {25, 993},
        .port_count = 2,
        .egress = CM_EGRESS_GATEWAYS,
        .turn = {.port = 3478, .relay_min = 49160, .relay_max = 49359},
        .gateway_count = 1,
        .gateways = {{.name = "edge1",
                      .number = 1,
                      .egress = true,
                      .addresses = {"198.51.100.11", "2001:db8:1::11"},
                      .address_count = 2,
                      .endpoint = "10.9.0.1",
                      .wg_port = 51820}}};
    for (int i = 0; i < HOSTS; i++) {
        stand.host[i] = netkit_host();
    }
    wire();
    write_config();
    netkit_tunnel(stand.host[GATEWAY], "wg0", &stand.tunnels[0]);
    netkit_tunnel(stand.host[STORE], "wg1", &stand.tunnels[1]);
    stand_publish(5, CM_MODE_ACTIVE);
    apply_store();
    stand.server = stand_serve(STORE);
    stand_start();
    return 0;
}

int stand_down(void **unused)
{
    (void)unused;
    int status = -1;
    kill(stand.daemon, SIGTERM);
    waitpid(stand.daemon, &status, 0);
    if (status != 0) {
        netkit_sh(0, "cat %s >&2", stand_file("log"));
    }
    netkit_stop(&stand.server, SIGKILL);
    netkit_stop(&stand.tunnels[0], SIGKILL);
    netkit_stop(&stand.tunnels[1], SIGKILL);
    for (int i = 0; i < HOSTS; i++) {
        netkit_stop(&stand.host[i], SIGKILL);
    }
    return netkit_sh(0, "rm -rf %s", dir) != 0 || status != 0;
}
