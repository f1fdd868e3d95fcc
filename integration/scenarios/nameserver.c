#include "nameserver.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#define KNOTD   "/usr/sbin/knotd"
#define NAMED   "/usr/sbin/named"
#define OPENSSL "/usr/bin/openssl"
#define LABEL   "eth0:ns" /* of the addresses given; IPv6 has none */
#define READY_S 20

struct nameserver {
    char dir[64];
    pid_t pid;
};

/* ---- addresses ---- */

int nameserver_address(struct stage *stage, const char *address, struct cm_err *err)
{
    bool v6 = strchr(address, ':') != NULL;
    return scene_sh(&stage->scene, "dns", 0, NULL, err,
                    v6 ? "ip addr replace %s/64 dev eth0 nodad"
                       : "ip addr replace %s/24 dev eth0 label " LABEL,
                    address);
}

int nameserver_addresses_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "dns", 0, NULL, err,
                    "ip -o -4 addr show label " LABEL " | awk '{ print $4 }' |"
                    " xargs -r -n1 ip addr del dev eth0;"
                    " ip addr del " NS_SIX "/64 dev eth0 2>/dev/null; true");
}

/* ---- a process ---- */

static _Noreturn void become(const char *netns, const char *dir,
                             const char *const *argv)
{
    union {
        const char *const *in;
        char *const *out;
    } u = {.in = argv}; /* exec does not change it */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int net = open(netns, O_RDONLY | O_CLOEXEC);
    if (net < 0 || setns(net, CLONE_NEWNET) != 0 || chdir(dir) != 0) {
        _exit(126);
    }
    int log = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(argv[0], u.out);
    _exit(127);
}

static int spawn(struct stage *stage, struct nameserver *ns, const char *const *argv,
                 struct cm_err *err)
{
    char netns[64];
    if (access(argv[0], X_OK) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s is not installed; see tools/front.sh",
                          argv[0]);
    }
    if (scene_netns(&stage->scene, "dns", netns, err) != 0) {
        return -1;
    }
    fflush(NULL);
    ns->pid = fork();
    if (ns->pid == 0) {
        become(netns, ns->dir, argv);
    }
    return ns->pid > 0 ? 0 : cm_err_set(err, CM_ERR_WORLD, "fork");
}

static int put(const struct nameserver *ns, const char *name, const char *text,
               struct cm_err *err)
{
    char *path = cm_asprintf("%s/%s", ns->dir, name);
    int rc = cm_file_replace(path, text, strlen(text), 0600, err);
    free(path);
    return rc;
}

void nameserver_stop(struct nameserver **server)
{
    struct nameserver *ns = *server;
    if (ns == NULL) {
        return;
    }
    if (ns->pid > 0) {
        kill(ns->pid, SIGKILL);
        waitpid(ns->pid, NULL, 0);
    }
    daemonkit_dir_remove(ns->dir);
    free(ns);
    *server = NULL;
}

static struct nameserver *fresh(struct stage *stage, const char *address,
                                struct cm_err *err)
{
    if (nameserver_address(stage, address, err) != 0) {
        return NULL;
    }
    struct nameserver *ns = cm_calloc(1, sizeof *ns);
    daemonkit_dir(ns->dir, "nameserver");
    return ns;
}

/* What it said last, for the error. */
static struct nameserver *failed(struct nameserver *ns, struct cm_err *err)
{
    char *path = cm_asprintf("%s/log", ns->dir), *log = NULL;
    struct cm_err ignored;
    if (cm_file_read(path, 1u << 20, &log, NULL, &ignored) == 1) {
        size_t n = strlen(log);
        cm_err_prefix(err, "%s", n > 500 ? log + n - 500 : log);
    }
    free(log);
    free(path);
    nameserver_stop(&ns);
    return NULL;
}

/* ---- Knot ---- */

static char *knot_conf(const struct nameserver *ns, const struct nameserver_how *how)
{
    bool primary = how->records != NULL;
    const char *peer = primary ? how->tell : how->primary;
    char *remote = peer == NULL
                       ? cm_strdup("")
                       : cm_asprintf("remote:\n  - id: peer\n    address: %s\n", peer);
    char *only = how->only == NULL
                     ? cm_strdup("")
                     : cm_asprintf("    update-owner: name\n"
                                   "    update-owner-match: sub-or-equal\n"
                                   "    update-owner-name: [%s]\n",
                                   how->only);
    char *conf = cm_asprintf(
        "server:\n    rundir: \"%s\"\n    listen: %s@53\n    tcp-workers: 1\n"
        "    udp-workers: 1\n    background-workers: 1\n"
        "log:\n  - target: stderr\n    any: info\n"
        "database:\n    storage: \"%s\"\n"
        "key:\n  - id: " NAMESERVER_KEY "\n    algorithm: hmac-sha256\n"
        "    secret: " NAMESERVER_SECRET "\n%s"
        "acl:\n  - id: change\n    key: " NAMESERVER_KEY "\n    action: update\n%s"
        "  - id: copy\n    action: [transfer, notify]\n"
        "zone:\n  - domain: %s\n    storage: \"%s\"\n    file: zone\n"
        "    acl: [%scopy]\n%s",
        ns->dir, how->address, ns->dir, remote, only, how->zone, ns->dir,
        primary ? "change, " : "",
        peer == NULL ? ""
        : primary    ? "    notify: peer\n"
                     : "    master: peer\n");
    free(only);
    free(remote);
    return conf;
}

/* ---- BIND ---- */

static char *bind_conf(const struct nameserver *ns, const struct nameserver_how *how)
{
    bool v6 = strchr(how->address, ':') != NULL;
    char *role =
        how->records == NULL
            ? cm_asprintf("type secondary; primaries { %s; }; allow-notify { any; };",
                          how->primary)
            : cm_asprintf("type primary; update-policy { grant " NAMESERVER_KEY
                          " subdomain %s; }; notify explicit;"
                          " also-notify { %s%s };",
                          how->only != NULL ? how->only : how->zone,
                          how->tell != NULL ? how->tell : "",
                          how->tell != NULL ? ";" : "");
    char *conf = cm_asprintf(
        "options {\n  directory \"%s\";\n  listen-on { %s; };\n"
        "  listen-on-v6 { %s; };\n  recursion no;\n  dnssec-validation no;\n"
        "  pid-file none;\n  lock-file none;\n  session-keyfile none;\n"
        "  empty-zones-enable no;\n  allow-transfer { any; };\n};\n"
        "controls { };\n"
        "key \"" NAMESERVER_KEY
        "\" { algorithm hmac-sha256; secret \"" NAMESERVER_SECRET "\"; };\n"
        "zone \"%s\" { %s file \"zone\"; };\n",
        ns->dir, v6 ? "none" : how->address, v6 ? how->address : "none", how->zone,
        role);
    free(role);
    return conf;
}

/* ---- */

static int run(struct stage *stage, struct nameserver *ns,
               const struct nameserver_how *how, struct cm_err *err)
{
    char *conf_file = cm_asprintf("%s/conf", ns->dir);
    char *conf = how->bind ? bind_conf(ns, how) : knot_conf(ns, how);
    char *zone = cm_asprintf("$ORIGIN %s\n$TTL 300\n%s", how->zone,
                             how->records != NULL ? how->records : "");
    const char *knot[] = {KNOTD, "-c", conf_file, NULL};
    const char *bind[] = {NAMED, "-g", "-n", "1", "-c", conf_file, NULL};
    int rc = put(ns, "conf", conf, err);
    if (rc == 0 && how->records != NULL) {
        rc = put(ns, "zone", zone, err);
    }
    rc = rc == 0 ? spawn(stage, ns, how->bind ? bind : knot, err) : -1;
    if (rc == 0) {
        rc = scene_sh(&stage->scene, "client", READY_S, NULL, err,
                      "until dig +time=1 +tries=1 +norecurse @%s %s SOA |"
                      " grep -q 'flags:.* aa'; do sleep 0.05; done",
                      how->address, how->zone);
    }
    free(zone);
    free(conf);
    free(conf_file);
    return rc;
}

struct nameserver *nameserver_start(struct stage *stage,
                                    const struct nameserver_how *how,
                                    struct cm_err *err)
{
    struct nameserver *ns = fresh(stage, how->address, err);
    if (ns == NULL) {
        return NULL;
    }
    return run(stage, ns, how, err) == 0 ? ns : failed(ns, err);
}

struct nameserver *nameserver_policy(struct stage *stage, const char *address,
                                     const char *cert, const char *policy,
                                     struct cm_err *err)
{
    struct nameserver *ns = fresh(stage, address, err);
    if (ns == NULL) {
        return NULL;
    }
    char *dir = cm_asprintf("%s/.well-known", ns->dir);
    char *at = cm_asprintf("%s:443", address);
    const char *argv[] = {OPENSSL, "s_server", "-quiet", "-WWW", "-cert",
                          cert,    "-accept",  at,       NULL};
    int rc = cm_file_mkdirs(dir, 0700, err);
    if (rc == 0) {
        rc = put(ns, ".well-known/mta-sts.txt", policy, err);
    }
    rc = rc == 0 ? spawn(stage, ns, argv, err) : -1;
    if (rc == 0) {
        rc = scene_sh(&stage->scene, "client", READY_S, NULL, err,
                      "until nc -z %s 443; do sleep 0.05; done", address);
    }
    free(at);
    free(dir);
    return rc == 0 ? ns : failed(ns, err);
}
