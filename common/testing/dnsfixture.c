#include "dnsfixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit.h"

#define KNOTD       "/usr/sbin/knotd"
#define UNBOUND     "/usr/sbin/unbound"
#define READY_TRIES 500
#define TRY_MS      20

struct dnsfixture {
    char dir[64];
    uint16_t port;
    pid_t server;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "dnsfixture: %s: %s\n", what, why);
    exit(99);
}

/* Free for UDP and TCP alike just now. */
static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (bind(tcp, (struct sockaddr *)&a, sizeof a) != 0 ||
        getsockname(tcp, (struct sockaddr *)&a, &len) != 0) {
        die("bind", strerror(errno));
    }
    uint16_t port =
        bind(udp, (struct sockaddr *)&a, sizeof a) == 0 ? ntohs(a.sin_port) : 0;
    close(tcp);
    close(udp);
    return port != 0 ? port : free_port();
}

static void spill(const struct dnsfixture *fx, const char *name, const char *text)
{
    struct cm_err err;
    char path[96];

    daemonkit_path(path, fx->dir, name);
    if (cm_file_replace(path, text, strlen(text), 0644, &err) != 0) {
        die(path, err.text);
    }
}

static struct dnsfixture *fresh(const char *program)
{
    if (access(program, X_OK) != 0) {
        return NULL;
    }
    struct dnsfixture *fx = cm_calloc(1, sizeof(*fx));
    daemonkit_dir(fx->dir, "dnsfixture");
    fx->port = free_port();
    return fx;
}

static void spawn(struct dnsfixture *fx, const char *const *argv)
{
    char log[96];
    union {
        const char *const *in;
        char *const *out;
    } u = {.in = argv}; /* exec does not change it */

    daemonkit_path(log, fx->dir, "log");
    fx->server = fork();
    if (fx->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(argv[0], u.out);
        _exit(96);
    }
    if (fx->server < 0) {
        die("fork", strerror(errno));
    }
}

/* SOA of the zone, asked by UDP: any answer without SERVFAIL or REFUSED is one. */
static int answers(const struct dnsfixture *fx, const char *zone)
{
    unsigned char q[300] = {0x12, 0x34, 1, 0, 0, 1}, a[4096];
    size_t n = 12;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(fx->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (const char *label = zone; *label != '\0' && *label != '.';) {
        size_t len = strcspn(label, ".");
        q[n++] = (unsigned char)len;
        memcpy(q + n, label, len);
        n += len;
        label += len + (label[len] == '.');
    }
    n++;
    memcpy(q + n, "\0\6\0\1", 4); /* SOA, IN */
    n += 4;
    sendto(fd, q, n, 0, (struct sockaddr *)&to, sizeof to);
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int ok = poll(&pfd, 1, 200) == 1 && recv(fd, a, sizeof a, 0) > 12 &&
             (a[3] & 15) != 2 && (a[3] & 15) != 5;
    close(fd);
    return ok;
}

static struct dnsfixture *run(struct dnsfixture *fx, const char *program,
                              const char *zone)
{
    char conf[96];

    daemonkit_path(conf, fx->dir, "conf");
    const char *knot[] = {program, "-c", conf, NULL};
    const char *unbound[] = {program, "-d", "-p", "-c", conf, NULL};
    spawn(fx, strcmp(program, KNOTD) == 0 ? knot : unbound);
    for (int i = 0; i < READY_TRIES; i++) {
        if (answers(fx, zone)) {
            return fx;
        }
        usleep(TRY_MS * 1000);
    }
    die("does not start, see", fx->dir);
}

static char *knot_conf(const struct dnsfixture *fx, const char *zone, uint16_t primary)
{
    char *remote = primary == 0 ? cm_strdup("")
                                : cm_asprintf("remote:\n  - id: primary\n"
                                              "    address: 127.0.0.1@%u\n",
                                              primary);
    char *conf = cm_asprintf(
        "server:\n    rundir: \"%s\"\n    listen: 127.0.0.1@%u\n"
        "    tcp-workers: 1\n    udp-workers: 1\n    background-workers: 1\n"
        "log:\n  - target: stderr\n    any: info\n"
        "database:\n    storage: \"%s\"\n"
        "key:\n  - id: " DNSFIXTURE_KEY "\n    algorithm: hmac-sha256\n"
        "    secret: " DNSFIXTURE_SECRET "\n%s"
        "acl:\n  - id: change\n    key: " DNSFIXTURE_KEY "\n    action: update\n"
        "  - id: copy\n    address: 127.0.0.1\n    action: transfer\n"
        "zone:\n  - domain: %s\n    storage: \"%s\"\n    file: zone\n    %s\n",
        fx->dir, fx->port, fx->dir, remote, zone, fx->dir,
        primary == 0 ? "acl: [change, copy]" : "master: primary");
    free(remote);
    return conf;
}

struct dnsfixture *dnsfixture_knot(const char *zone, const char *records)
{
    struct dnsfixture *fx = fresh(KNOTD);

    if (fx == NULL) {
        return NULL;
    }
    char *conf = knot_conf(fx, zone, 0);
    char *text = cm_asprintf("$ORIGIN %s\n$TTL 300\n%s", zone, records);
    spill(fx, "conf", conf);
    spill(fx, "zone", text);
    free(conf);
    free(text);
    return run(fx, KNOTD, zone);
}

struct dnsfixture *dnsfixture_secondary(const char *zone,
                                        const struct dnsfixture *primary)
{
    struct dnsfixture *fx = fresh(KNOTD);

    if (fx == NULL) {
        return NULL;
    }
    char *conf = knot_conf(fx, zone, primary->port);
    spill(fx, "conf", conf);
    free(conf);
    return run(fx, KNOTD, zone);
}

struct dnsfixture *dnsfixture_unbound(const char *zone, const struct dnsfixture *of)
{
    struct dnsfixture *fx = fresh(UNBOUND);

    if (fx == NULL) {
        return NULL;
    }
    char *conf = cm_asprintf(
        "server:\n  directory: \"%s\"\n  chroot: \"\"\n  username: \"\"\n"
        "  pidfile: \"\"\n  use-syslog: no\n  interface: 127.0.0.1@%u\n"
        "  num-threads: 1\n  module-config: \"iterator\"\n"
        "  do-not-query-localhost: no\n  do-ip6: no\n  local-zone: \"%s\" nodefault\n"
        "remote-control:\n  control-enable: no\n"
        "stub-zone:\n  name: \"%s\"\n  stub-addr: 127.0.0.1@%u\n",
        fx->dir, fx->port, zone, zone, of->port);
    spill(fx, "conf", conf);
    free(conf);
    return run(fx, UNBOUND, zone);
}

uint16_t dnsfixture_port(const struct dnsfixture *fx)
{
    return fx->port;
}

void dnsfixture_free(struct dnsfixture **fxp)
{
    struct dnsfixture *fx = *fxp;

    if (fx == NULL) {
        return;
    }
    *fxp = NULL;
    if (fx->server > 0) {
        kill(fx->server, SIGKILL);
        waitpid(fx->server, NULL, 0);
    }
    daemonkit_dir_remove(fx->dir);
    free(fx);
}
