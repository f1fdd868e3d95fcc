/* A thief has edge1 and its key. It searches the disk for secrets, tries every TCP and
 * UDP port of the store from every kind of source, some of them also with segments that
 * begin no connection, and says whatever there is to say on the bus. It reaches what
 * docs/bus.md names, nothing breaks, and it can speak for nobody but itself; on both
 * data planes, though the store sees no difference.
 *
 * The thief is edge1 with its daemon stopped and its side of the tunnel opened wide.
 * What got past the store's firewall is seen by the store itself: somebody looks at the
 * link in front of it, and a table of ours behind it remembers ports. So silence proves
 * something. The firewall is programs the first time, and rules the second. */
#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arrivals.h"
#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "plane.h"
#include "probe/wire.h"
#include "tattle.h"
#include "unit.h"

#define KNOCK_MS 2500
#define PORTS    ARRIVALS_PORTS
#define PACE     400 /* packets, then a pause: the tunnel's queue holds 500 */
#define PAUSE_US 15000
#define ROUNDS   12

struct target {
    const char *what;
    const char *source; /* an address edge1 is made to speak from */
    const char *host;
    int port;
    bool opens;
};

#define PUBLIC "198.51.100.11"

static const struct target targets[] = {
    {"port 25, public source", PUBLIC, "10.77.1.2", 25, true},
    {"ssh of the store", PUBLIC, "10.77.1.2", 22, false},
    {"PostgreSQL", PUBLIC, "10.77.1.2", 5432, false},
    {"Redis", PUBLIC, "10.77.1.2", 6379, false},
    {"ssh of the store, home address", PUBLIC, "10.9.0.2", 22, false},
    {"mail at the home address", PUBLIC, "10.9.0.2", 25, false},
    {"ssh of a neighbour at home", PUBLIC, "10.9.0.3", 22, false},
    {"the other gateway's inner address", PUBLIC, "10.77.2.2", 25, false},
    {"bus with a public source", PUBLIC, "10.77.1.2", 4711, false},
    {"/metrics with a public source", PUBLIC, "10.77.1.2", 3903, false},
    {"/metrics with the other tunnel's source", "10.77.2.1", "10.77.1.2", 3903, false},
    {"a private source", "192.168.77.7", "10.77.1.2", 25, false},
    {"a source of the home net", "10.9.0.3", "10.77.1.2", 25, false},
    {"the other tunnel's source", "10.77.2.1", "10.77.1.2", 25, false},
    {"its own tunnel address", "10.77.1.1", "10.77.1.2", 25, false},
    {"port 25 again, public source", PUBLIC, "10.77.1.2", 25, true},
};

static int turn_thief(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "systemctl stop chatmail-gateway && "
                    "wg set wg0 peer \"$(wg show wg0 peers)\" "
                    "allowed-ips 0.0.0.0/0,::/0");
}

/* The route's preferred source is what the probe will speak from. */
static int aim(struct stage *stage, const struct target *t, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "ip addr show | grep -q 'inet %s/' || "
                    "ip addr add %s/32 dev lo && "
                    "ip route replace %s/32 dev wg0 src %s",
                    t->source, t->source, t->host, t->source);
}

static int knock(struct stage *stage, const char *netns, const struct target *t,
                 struct cm_err *err)
{
    struct cm_err why = {.text = ""};
    struct wire_to to = {
        .netns = netns, .host = t->host, .port = t->port, .timeout_ms = KNOCK_MS};
    if (aim(stage, t, err) != 0) {
        return -1;
    }
    struct wire *wire = wire_open(&to, &why);
    bool opened = wire != NULL;
    wire_close(&wire);
    if (opened == t->opens) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_REFUSE, "a stolen gateway, %s: %s%s", t->what,
                      opened ? "a connection opened" : "no connection: ", why.text);
}

/* ---- every port ---- */

#define WATCH "inet lab_watch"

/* Behind our firewall. %1$s ip or ip6, %2$s whose packets, %3$s of which family: others
 * come by edge1 at the same time. */
static const char watch[] =
    "table " WATCH " {\n"
    " set tcp_in { type inet_service; size 65535; flags dynamic; }\n"
    " set odd_in { type inet_service; size 65535; flags dynamic; }\n"
    " set udp_in { type inet_service; size 65535; flags dynamic; }\n"
    " chain behind {\n"
    "  type filter hook input priority 10\n"
    "  iifname != wg1 accept\n"
    "  meta nfproto != %3$s accept\n"
    "  %1$s saddr != %2$s accept\n"
    "  tcp flags & (syn | ack) == syn add @tcp_in { tcp dport }\n"
    "  tcp flags & (syn | ack) != syn add @odd_in { tcp dport }\n"
    "  meta l4proto udp add @udp_in { udp dport }\n"
    " }\n"
    "}\n";

static int watch_anew(struct stage *stage, const char *source, struct cm_err *err)
{
    char *said = NULL;
    bool v6 = strchr(source, ':') != NULL;
    char *rules = cm_asprintf(watch, v6 ? "ip6" : "ip", source, v6 ? "ipv6" : "ipv4");
    int status = stage_ask(stage, "store", rules, &said, err,
                           "nft delete table " WATCH " 2>/dev/null; nft -f -");
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_WORLD, "nft: %.300s", said);
    }
    free(rules);
    free(said);
    return status;
}

/* The set as a line of numbers and ranges: "25, 80, 49160-49359". */
static int ports_of(struct stage *stage, const char *set, char **text_r,
                    struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, text_r, err,
        "nft list set " WATCH " %s | tr -d '\\n\\t ' | "
        "sed -n 's/.*elements={\\([0-9,]*\\)}.*/\\1/p' | tr , '\\n' | sort -n | "
        "awk '{ if (n && $1 == last + 1) last = $1; else { if (n) "
        "printf \"%%s%%s\", sep, first == last ? first : first \"-\" last; "
        "if (n) sep = \", \"; first = last = $1; n = 1 } } END { if (n) "
        "printf \"%%s%%s\", sep, first == last ? first : first \"-\" last }'",
        set);
}

struct scan {
    const char *what;
    const char *source, *host;
    const char *tcp, *udp; /* what may be reached, docs/bus.md */
    const char *odd;       /* by what begins no connection: without effect */
};

#define MAIL "25, 80, 143, 443, 465, 587, 993"
#define TURN "3478, 49160-49359"

static const struct scan scans[] = {
    {"a public source", PUBLIC, "10.77.1.2", MAIL, TURN, MAIL},
    {"its own inner address", "10.77.1.1", "10.77.1.2", "3903, 4710-4712", "",
     MAIL ", 3903, 4710-4712"},
    {"a public source, IPv6", "2001:db8:1::11", "fd77:1::2", MAIL, TURN, MAIL},
    {"its own inner address, IPv6", "fd77:1::1", "fd77:1::2", "3903", "",
     MAIL ", 3903"},
};

static socklen_t address(const char *text, int port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (strchr(text, ':') != NULL) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        cm_assert(inet_pton(AF_INET6, text, &v6->sin6_addr) == 1);
        return sizeof *v6;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    cm_assert(inet_pton(AF_INET, text, &v4->sin_addr) == 1);
    return sizeof *v4;
}

/* One packet to it: a SYN, or a datagram. */
static void poke(const struct scan *scan, int type, int port)
{
    struct sockaddr_storage from, to;
    socklen_t len = address(scan->source, 0, &from);
    address(scan->host, port, &to);
    int fd = socket(to.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&from, len) == 0 &&
        connect(fd, (struct sockaddr *)&to, len) == 0) {
        (void)!send(fd, "x", 1, MSG_NOSIGNAL);
    }
    close(fd);
}

static bool all_of(const volatile bool came[PORTS + 1])
{
    for (int port = 1; port <= PORTS; port++) {
        if (!came[port]) {
            return false;
        }
    }
    return true;
}

static _Noreturn void be_scanner(const char *netns, const struct scan *scan,
                                 const volatile struct arrivals *came)
{
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        _exit(1);
    }
    for (int port = 1, n = 0; port <= PORTS; port++) {
        if (!came->tcp[port]) {
            poke(scan, SOCK_STREAM, port);
            n++;
        }
        if (!came->udp[port]) {
            poke(scan, SOCK_DGRAM, port);
            n++;
        }
        if (n >= PACE) {
            usleep(PAUSE_US);
            n = 0;
        }
    }
    _exit(0);
}

/* As often as it takes until the store has seen a packet to every port; a round tries
 * those that it has not, for a busy tunnel loses some of every burst. */
static int scan_all(const char *netns, const struct scan *scan, struct arrivals *came,
                    struct cm_err *err)
{
    bool all = false;
    for (int round = 0; !all && round < ROUNDS; round++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        cm_assert(pid >= 0);
        if (pid == 0) {
            be_scanner(netns, scan, came);
        }
        cm_assert(waitpid(pid, &status, 0) == pid);
        if (status != 0) {
            return cm_err_set(err, CM_ERR_WORLD, "the scan did not run");
        }
        stage_sleep_ms(500);
        all = all_of(came->tcp) && all_of(came->udp);
    }
    return all ? 0
               : cm_err_set(err, CM_ERR_WORLD, "not every port was tried in %d rounds",
                            ROUNDS);
}

static int reaches_only(struct stage *stage, const char *set, const char *want,
                        const struct scan *scan, struct cm_err *err)
{
    char *got = NULL;
    int rc = ports_of(stage, set, &got, err);
    if (rc == 0 && strcmp(got, want) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "from %s reaches %s %.300s; may reach %s",
                        scan->what, set, got, want);
    }
    free(got);
    return rc;
}

/* ---- segments that begin nothing ---- */

/* ACK, FIN, none, Xmas, RST, SYN with FIN, SYN with ACK. */
static const unsigned char odd_flags[] = {0x10, 0x01, 0x00, 0x29, 0x04, 0x03, 0x12};
static const int odd_ports[] = {22,   25,   80,    143,   443,   465,   587,
                                993,  3903, 4710,  4711,  4712,  5432,  6379,
                                8443, 9999, 10026, 10465, 10993, 12025, 45000};

#define ODD_PORTS (sizeof odd_ports / sizeof odd_ports[0])

static _Noreturn void be_odd(const char *netns, const struct scan *scan)
{
    struct sockaddr_storage from, to;
    socklen_t len = address(scan->source, 0, &from);
    address(scan->host, 0, &to);
    int ns = open(netns, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) {
        _exit(1);
    }
    int fd = socket(to.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, len) != 0) {
        _exit(2);
    }
    for (size_t i = 0; i < ODD_PORTS; i++) {
        for (size_t k = 0; k < sizeof odd_flags; k++) {
            unsigned char segment[20] = {[12] = 5 << 4, [13] = odd_flags[k]};
            uint16_t ports[2] = {htons(40000), htons((uint16_t)odd_ports[i])};
            memcpy(segment, ports, sizeof ports);
            (void)!sendto(fd, segment, sizeof segment, 0, (struct sockaddr *)&to, len);
        }
    }
    _exit(0);
}

/* Until one to each of those ports has come. The firewall is what is asked: their sums
 * are wrong. */
static int odd_all(const char *netns, const struct scan *scan,
                   const volatile struct arrivals *came, struct cm_err *err)
{
    bool all = false;
    for (int round = 0; !all && round < ROUNDS; round++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        cm_assert(pid >= 0);
        if (pid == 0) {
            be_odd(netns, scan);
        }
        cm_assert(waitpid(pid, &status, 0) == pid);
        if (status != 0) {
            return cm_err_set(err, CM_ERR_WORLD, "the odd scan did not run");
        }
        stage_sleep_ms(200);
        all = true;
        for (size_t i = 0; i < ODD_PORTS; i++) {
            all = all && came->odd[odd_ports[i]];
        }
    }
    return all ? 0 : cm_err_set(err, CM_ERR_WORLD, "odd segments do not come");
}

static int scan_from(struct stage *stage, const char *netns, const struct scan *scan,
                     struct cm_err *err)
{
    struct arrivals *came = NULL;
    pid_t watcher = -1;
    char store[64];
    int rc = -1;
    if (watch_anew(stage, scan->source, err) == 0 &&
        scene_netns(&stage->scene, "store", store, err) == 0 &&
        arrivals_begin(store, "wg1", scan->source, &came, &watcher, err) == 0 &&
        scan_all(netns, scan, came, err) == 0 && odd_all(netns, scan, came, err) == 0 &&
        reaches_only(stage, "odd_in", scan->odd, scan, err) == 0 &&
        reaches_only(stage, "tcp_in", scan->tcp, scan, err) == 0 &&
        reaches_only(stage, "udp_in", scan->udp, scan, err) == 0) {
        rc = 0;
    }
    arrivals_end(&came, &watcher);
    return rc;
}

/* Only where all of the store's packets leave by gateways the kernel keeps a table.
 * What is in it already may be of a moment ago, when a run tried whether nat can be
 * had. */
static int untracked(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "nft list table inet chatmail |"
                    " grep -qE 'chain own_talk|goto tunnel_1' && "
                    "! nft list ruleset | grep -wE 'ct|type nat|notrack'");
}

static int every_port(struct stage *stage, const char *netns, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "edge1", 0, NULL, err,
                 "ip route replace 10.77.1.2/32 dev wg0; "
                 "sysctl -qw net.ipv4.ip_nonlocal_bind=1 "
                 "net.ipv6.ip_nonlocal_bind=1") != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++) {
        if (scan_from(stage, netns, &scans[i], err) != 0) {
            return cm_err_prefix(err, "scan from %s", scans[i].what);
        }
    }
    if (untracked(stage, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu scans of %d ports", sizeof scans / sizeof scans[0],
               2 * PORTS);
    return 0;
}

/* ---- the bus ---- */

/* What the cluster thinks of the gateways; the thief may only lie about edge1. */
static int unimpressed(struct stage *stage, const struct cluster_status *before,
                       struct cm_err *err)
{
    struct cluster_status now;
    if (cluster_ask(stage, &now, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < now.count; i++) {
        const struct cluster_gateway *g = &now.gateways[i];
        if (strcmp(g->name, "edge2") == 0 &&
            (g->applied_epoch != now.epoch || g->report_age_ms > 5000 ||
             g->error[0] != '\0')) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "edge2 is said to have epoch %lld, a report %lld ms old, "
                              "error \"%.100s\"",
                              (long long)g->applied_epoch, (long long)g->report_age_ms,
                              g->error);
        }
    }
    return now.epoch == before->epoch && now.count == before->count
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "the desired state changed");
}

static int every_message(struct stage *stage, const char *netns, struct cm_err *err)
{
    struct cluster_status before;
    int64_t pid = 0, pid_now = 0;
    size_t said = 0;
    if (cluster_ask(stage, &before, err) != 0 ||
        unit_pid(stage, "store", "chatmail-cluster", &pid, err) != 0 ||
        tattle_all(netns, before.epoch, &said, err) != 0) {
        return cm_err_prefix(err, "bus");
    }
    stage_sleep_ms(1000);
    if (unit_pid(stage, "store", "chatmail-cluster", &pid_now, err) != 0 ||
        unimpressed(stage, &before, err) != 0) {
        return cm_err_prefix(err, "bus");
    }
    stage_note(stage, "%zu kinds of bus messages", said);
    return pid == pid_now && pid != 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "chatmail-cluster was %lld, is %lld",
                            (long long)pid, (long long)pid_now);
}

static int knocks(struct stage *stage, const char *netns, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        if (knock(stage, netns, &targets[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- what is on the disk ---- */

#define SECRETS                                                                        \
    "cat /etc/chatmail/cluster.key /etc/chatmail/wg.key /etc/chatmail/turn.secret; "   \
    "sed -n 2,3p /etc/dkimkeys/opendkim.private; "                                     \
    "k=$(sed -n 's/^ *ssl_certificate_key \\(.*\\);/\\1/p' /etc/nginx/nginx.conf | "   \
    "head -1); sed -n 2,3p $k; "                                                       \
    "runuser -u postgres -- psql -qtAX -d chatmail -c "                                \
    "\"select password from account where password <> '' limit 3\""
#define PLACES "/etc /root /home /var /run /tmp /usr/local /opt"

/* Files of a node that hold one of these lines. */
static int hold_any(struct stage *stage, const char *node, const char *lines,
                    char **files_r, struct cm_err *err)
{
    int status = stage_ask(stage, node, lines, files_r, err,
                           "cat >/dev/shm/booty && chmod 600 /dev/shm/booty; "
                           "grep -rIlsFf /dev/shm/booty " PLACES "; "
                           "rm -f /dev/shm/booty");
    return status < 0 ? -1 : 0;
}

/* Neither the gateway nor the operator's machine has a secret of the store; the store,
 * asked the same way, does. */
static int no_booty(struct stage *stage, struct cm_err *err)
{
    static const char *const nodes[] = {"edge1", "operator", "store"};
    char *lines = NULL;
    if (scene_sh(&stage->scene, "store", 0, &lines, err, SECRETS " | grep .") != 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 3; i++) {
        char *files = NULL;
        bool here = i == 2;
        rc = hold_any(stage, nodes[i], lines, &files, err);
        if (rc == 0 && here && strstr(files, "/etc/chatmail/cluster.key") == NULL) {
            rc = cm_err_set(err, CM_ERR_WORLD, "the search finds nothing anywhere");
        } else if (rc == 0 && !here && files[0] != '\0') {
            rc = cm_err_set(err, CM_ERR_REFUSE, "%s has secrets of the store: %.300s",
                            nodes[i], files);
        }
        free(files);
    }
    free(lines);
    return rc;
}

/* A user of the other gateway notices nothing. */
static int steal(struct stage *stage, struct cm_err *err)
{
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    struct scene_account account;
    char netns[64];
    if (scene_netns(&stage->scene, "edge1", netns, err) != 0 ||
        account_make(stage, &account, SCENE_DOMAIN, err) != 0 ||
        no_booty(stage, err) != 0 || turn_thief(stage, err) != 0 ||
        every_message(stage, netns, err) != 0 || knocks(stage, netns, err) != 0 ||
        every_port(stage, netns, err) != 0) {
        return -1;
    }
    return door_must_let_in(stage, &edge2, &account, err);
}

static int repent(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "nft delete table " WATCH " 2>/dev/null; true") != 0) {
        return -1;
    }
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "sysctl -qw net.ipv4.ip_nonlocal_bind=0 "
                    "net.ipv6.ip_nonlocal_bind=0; "
                    "for a in 192.168.77.7 10.9.0.3 10.77.2.1; do"
                    " ip addr del $a/32 dev lo 2>/dev/null; done; "
                    "for h in 10.77.1.2 10.9.0.2 10.9.0.3 10.77.2.2; do"
                    " ip route del $h/32 dev wg0 2>/dev/null; done; "
                    "systemctl start chatmail-gateway");
}

static int play(struct stage *stage, struct cm_err *err)
{
    return steal(stage, err) != 0 ? -1 : repent(stage, err);
}

/* As on a machine whose kernel refuses programs, or as this one is. */
static int judge_by(struct stage *stage, bool rules, struct cm_err *err)
{
    static const char plain[] = "d=/run/systemd/system/chatmail-cluster.service.d; "
                                "mkdir -p $d; printf '[Service]\\n"
                                "CapabilityBoundingSet=\\n"
                                "CapabilityBoundingSet=CAP_NET_ADMIN\\n'"
                                " >$d/plain.conf",
                      back[] = "rm -rf /run/systemd/system/chatmail-cluster.service.d";
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "%s; systemctl daemon-reload && systemctl restart chatmail-cluster",
                    rules ? plain : back) != 0
               ? -1
               : scene_until(&stage->scene, "store", 30, err,
                             "nft list table inet chatmail | grep -q '%s'",
                             rules ? "goto tunnel_1" : "chain own_talk");
}

int scenario_stolen_gateway(struct stage *stage, struct cm_err *err)
{
    if (judge_by(stage, false, err) != 0 || play(stage, err) != 0) {
        return cm_err_prefix(err, "kernel plane");
    }
    if (plane_set(stage, true, err) != 0 || judge_by(stage, true, err) != 0) {
        return -1;
    }
    stage_note(stage, "by proxy, and by rules");
    return play(stage, err) != 0 ? cm_err_prefix(err, "proxy plane") : 0;
}

int scenario_gateway_honest(struct stage *stage, struct cm_err *err)
{
    return repent(stage, err) != 0 || judge_by(stage, false, err) != 0
               ? -1
               : plane_back(stage, err);
}
