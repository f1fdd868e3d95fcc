#include "preflight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define CLOCK_SKEW_MAX_S 120
#define INODES_MIN       10000
#define INOTIFY_MIN      1024 /* one for each client in IDLE that does not hibernate */

/* What a fresh machine needs, and one that only gets a new version. A "1 GB" machine
 * has 950 MiB or so to give. */
static const struct need {
    int64_t disk_mib, disk_again_mib, memory_mib;
} store_need = {1500, 300, 850}, gateway_need = {400, 100, 180};

/* ---- reading ---- */

static void take_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

/* "listen tcp 0.0.0.0:25 users:(("exim4",pid=12,fd=3),("x",pid=1,fd=4))" */
static void take_listener(struct op_probe *p, const char *line)
{
    char protocol[8], address[128], users[512] = "";
    const char *colon;

    if (p->listener_count == OP_PORTS_MAX ||
        sscanf(line, "%7s %127s %511[^\n]", protocol, address, users) < 2 ||
        (colon = strrchr(address, ':')) == NULL) {
        return;
    }
    struct op_listener *l = &p->listeners[p->listener_count++];
    *l = (struct op_listener){.udp = strcmp(protocol, "udp") == 0,
                              .loopback = strncmp(address, "127.", 4) == 0 ||
                                          strncmp(address, "[::1]", 5) == 0,
                              .port = (int)strtol(colon + 1, NULL, 10)};
    for (const char *q = users; (q = strstr(q, "(\"")) != NULL;) {
        q += 2;
        size_t len = strcspn(q, "\""), have = strlen(l->names);
        snprintf(l->names + have, sizeof(l->names) - have, "%s%.*s",
                 have > 0 ? " " : "", (int)len, q);
        q += len;
    }
}

static void take_volume(struct op_probe *p, const char *line)
{
    struct op_volume v = {.free_inodes = -1};
    long long mib, inodes;

    if (p->volume_count < OP_VOLUMES &&
        sscanf(line, "%lld %lld %127s", &mib, &inodes, v.path) == 3) {
        v.free_mib = mib;
        v.free_inodes = inodes;
        p->volumes[p->volume_count++] = v;
    }
}

static void take_resolver(struct op_probe *p, const char *line)
{
    struct op_resolver r = {.rcode = -1};

    if (p->resolver_count < OP_RESOLVERS &&
        sscanf(line, "%63s %d", r.address, &r.rcode) >= 1) {
        p->resolvers[p->resolver_count++] = r;
    }
}

static void take_number(const char *value, int64_t *out)
{
    *out = strtoll(value, NULL, 10);
}

static void take_answer(struct op_probe *p, const char *key, const char *value)
{
    const struct {
        const char *key;
        char *out;
        size_t size;
    } texts[] = {
        {"os", p->os, sizeof(p->os)},
        {"name", p->os_name, sizeof(p->os_name)},
        {"arch", p->arch, sizeof(p->arch)},
        {"domain", p->domain, sizeof(p->domain)},
        {"nft", p->nft_says, sizeof(p->nft_says)},
    };
    const struct {
        const char *key;
        int64_t *out;
    } numbers[] = {
        {"time", &p->time_s}, {"memory", &p->memory_mib}, {"inotify", &p->inotify}};
    const struct {
        const char *key;
        bool *out;
    } flags[] = {
        {"systemd", &p->systemd},
        {"tunnel", &p->tunnel},
        {"container", &p->container},
        {"ipv6", &p->ipv6},
        {"apt", &p->apt},
        {"installed", &p->installed},
        {"readonly", &p->read_only},
        {"half", &p->half_restored},
        {"sysctl", &p->sysctl},
        {"nft", &p->nft_refused},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(key, texts[i].key) == 0)
            take_text(texts[i].out, texts[i].size, value);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) == 0 && value[0] != '\0')
            take_number(value, numbers[i].out);
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(key, flags[i].key) == 0)
            *flags[i].out = true;
    }
}

static void take_line(struct op_probe *p, char *line)
{
    char *value = strchr(line, ' ');

    if (value == NULL) {
        return;
    }
    *value++ = '\0';
    if (strcmp(line, "uid") == 0) {
        p->root = strcmp(value, "0") == 0;
    } else if (strcmp(line, "listen") == 0) {
        take_listener(p, value);
    } else if (strcmp(line, "disk") == 0) {
        take_volume(p, value);
    } else if (strcmp(line, "resolver") == 0) {
        take_resolver(p, value);
    } else {
        take_answer(p, line, value);
    }
}

void op_probe_read(const char *text, struct op_probe *p_r)
{
    char *copy = cm_strdup(text), *save = NULL;

    *p_r = (struct op_probe){.inotify = -1};
    for (char *l = strtok_r(copy, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        take_line(p_r, l);
    }
    free(copy);
}

/* ---- judging ---- */

struct port {
    bool udp;
    int64_t port;
    const char *owners; /* programs of ours that may have it already */
};

#define STORE_PORTS   17
#define GATEWAY_PORTS 10

static size_t store_ports(const struct cm_conf *conf, struct port out[STORE_PORTS])
{
    const struct port ports[] = {
        {false, 25, "master smtpd"},
        {false, 80, "nginx"},
        {false, 143, "dovecot imap-login"},
        {false, 443, "nginx"},
        {false, 465, "master smtpd"},
        {false, 587, "master smtpd"},
        {false, 993, "dovecot imap-login"},
        {false, 5432, "postgres"},
        {false, 8443, "nginx"},
        {false, 10465, "master smtpd"},
        {false, conf->postfix_reinject_port_incoming, "master smtpd"},
        {false, conf->store.bus_port, "chatmail-cluste"},
        {false, conf->store.bus_port + 1, "chatmail-cluste"},
        {false, conf->store.bus_port + 2, "chatmail-cluste"},
        {false, conf->store.metrics_port, "chatmail-web"},
        {true, CM_TURN_PORT, "turnserver"},
    };
    size_t n = sizeof(ports) / sizeof(ports[0]) - (conf->store.turn ? 0 : 1);

    memcpy(out, ports, n * sizeof(out[0]));
    return n;
}

/* Forwarded before any local process would see them, or taken by our own: another one
 * that listens would go deaf. */
static size_t gateway_ports(const struct cm_conf *conf,
                            const struct cm_conf_gateway *gateway,
                            struct port out[GATEWAY_PORTS])
{
    static const int tcp[] = {25, 80, 143, 443, 465, 587, 993};
    size_t n = 0;

    for (size_t i = 0; i < sizeof(tcp) / sizeof(tcp[0]); i++) {
        out[n++] = (struct port){false, tcp[i], "chatmail-proxy"};
    }
    out[n++] = (struct port){true, gateway->wg_port, "wireguard-go"};
    if (conf->store.turn) {
        out[n++] = (struct port){true, CM_TURN_PORT, ""};
    }
    return n;
}

static bool has_word(const char *list, const char *word, size_t n)
{
    for (const char *p = list; (p = strstr(p, word)) != NULL; p++) {
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* One of ours among those that have it? */
static bool is_ours(const char *owners, const char *names)
{
    for (const char *w = names; *w != '\0';) {
        size_t n = strcspn(w, " ");
        char word[OP_PROBE_WORD];
        snprintf(word, sizeof(word), "%.*s", (int)n, w);
        if (n > 0 && has_word(owners, word, strlen(word))) {
            return true;
        }
        w += n + (w[n] == ' ');
    }
    return false;
}

/* A tunnel of the kernel has its port without any program: after the first run that is
 * ours. */
static bool in_the_way(const struct op_probe *p, const struct port *want,
                       const struct op_listener *l, bool loopback_counts)
{
    if (l->udp != want->udp || l->port != want->port ||
        (l->loopback && !loopback_counts)) {
        return false;
    }
    if (l->names[0] == '\0' && l->udp && p->installed) {
        return false;
    }
    return !is_ours(want->owners, l->names);
}

static void judge_port(const struct op_probe *p, const struct port *want,
                       bool loopback_counts, struct op_defects *d)
{
    for (size_t i = 0; i < p->listener_count; i++) {
        const struct op_listener *l = &p->listeners[i];
        if (in_the_way(p, want, l, loopback_counts)) {
            bool known = l->names[0] != '\0';
            op_defects_add(d,
                           "stop and disable what listens there (systemctl disable "
                           "--now ...), or take another machine",
                           "%sport %d is occupied by: %.*s", want->udp ? "UDP " : "",
                           l->port, known ? (int)strcspn(l->names, " ") : 18,
                           known ? l->names : "an unknown program");
            return;
        }
    }
}

static void judge_ports(const struct op_probe *p, const struct cm_conf *conf,
                        const struct cm_conf_gateway *gateway, struct op_defects *d)
{
    struct port ports[STORE_PORTS];
    size_t n = gateway == NULL ? store_ports(conf, ports)
                               : gateway_ports(conf, gateway, ports);

    for (size_t i = 0; i < n; i++) {
        judge_port(p, &ports[i], gateway == NULL, d);
    }
}

static void judge_system(const struct op_probe *p, struct op_defects *d)
{
    if (!p->root) {
        op_defects_add(d, "log in as root: ssh = root@ADDRESS",
                       "chatops is not root there");
    }
    if (strcmp(p->os, "debian 12") != 0) {
        op_defects_add(d,
                       "nodes run Debian 12 (bookworm): install it there, or take "
                       "another machine",
                       "is %s",
                       p->os_name[0] != '\0' ? p->os_name
                       : p->os[0] != '\0'    ? p->os
                                             : "no Linux distribution that says its "
                                               "name (/etc/os-release)");
    }
    if (strcmp(p->arch, "amd64") != 0 && strcmp(p->arch, "arm64") != 0) {
        op_defects_add(d, "take a machine of amd64 or arm64",
                       "has a processor that there are no packages for (%s)",
                       p->arch[0] != '\0' ? p->arch : "unknown");
    }
    if (!p->systemd) {
        op_defects_add(d, "take a machine or container that boots with systemd",
                       "systemd does not run there");
    }
    if (!p->apt && p->root) {
        op_defects_add(d,
                       "log in and repair it: dpkg --configure -a; apt-get -f install",
                       "apt-get check fails, or dpkg");
    }
}

static void judge_time(const struct op_probe *p, int64_t now_s, struct op_defects *d)
{
    long long skew = (long long)(p->time_s - now_s);

    if (skew > CLOCK_SKEW_MAX_S || skew < -CLOCK_SKEW_MAX_S) {
        op_defects_add(
            d,
            "set the one that is wrong right: timedatectl set-ntp true (with "
            "systemd-timesyncd)",
            "its clock is %lld s %s that of this machine", skew > 0 ? skew : -skew,
            skew > 0 ? "ahead of" : "behind");
    }
}

static void judge_resolver(const struct op_probe *p, struct op_defects *d)
{
    static const char todo[] = "name one that answers in /etc/resolv.conf, for example "
                               "\"nameserver 9.9.9.9\"";

    if (p->resolver_count == 0) {
        op_defects_add(d, todo, "/etc/resolv.conf names no resolver");
        return;
    }
    for (size_t i = 0; i < p->resolver_count; i++) {
        if (p->resolvers[i].rcode == 0 || p->resolvers[i].rcode == 3) {
            return; /* one is enough; NXDOMAIN is an answer */
        }
    }
    const struct op_resolver *r = &p->resolvers[0];
    if (r->rcode < 0) {
        op_defects_add(d, todo, "its resolver %s does not answer%s", r->address,
                       p->resolver_count > 1 ? ", nor the others" : "");
    } else {
        op_defects_add(d, todo, "its resolver %s answers every question with %s",
                       r->address,
                       r->rcode == 2   ? "SERVFAIL"
                       : r->rcode == 5 ? "REFUSED"
                                       : "an error");
    }
}

static void judge_room(const struct op_probe *p, bool store, struct op_defects *d)
{
    const struct need *need = store ? &store_need : &gateway_need;
    int64_t disk = p->installed ? need->disk_again_mib : need->disk_mib;

    if (p->read_only && p->root) {
        op_defects_add(d, "look at dmesg there; mount it writable",
                       "/etc, /usr or /var cannot be written");
    }
    for (size_t i = 0; i < p->volume_count; i++) {
        const struct op_volume *v = &p->volumes[i];
        if (v->free_mib < disk) {
            op_defects_add(d, "make room there, or take a larger disk",
                           "has %lld MiB free in %s; it needs %lld",
                           (long long)v->free_mib, v->path, (long long)disk);
        }
        if (v->free_inodes >= 0 && v->free_inodes < INODES_MIN) {
            op_defects_add(d, "remove files there, or make the file system anew",
                           "has %lld inodes free in %s; it needs %d",
                           (long long)v->free_inodes, v->path, INODES_MIN);
        }
    }
    if (p->memory_mib < need->memory_mib) {
        op_defects_add(d, "give it more memory, or take another machine",
                       "has %lld MiB of memory; a %s needs %lld",
                       (long long)p->memory_mib, store ? "store" : "gateway",
                       (long long)need->memory_mib);
    }
}

/* Outside of a container the limit of inotify is raised by `run` itself. */
static void judge_kernel(const struct op_probe *p, bool store, struct op_defects *d)
{
    const char *host = p->container ? ", on the machine that this container is on" : "";
    char *todo;

    if (!p->tunnel) {
        todo = cm_asprintf("make one of them available%s (modprobe wireguard, or "
                           "modprobe tun)",
                           host);
        op_defects_add(
            d, todo, "has neither WireGuard in its kernel nor a working /dev/net/tun");
        free(todo);
    }
    if (p->nft_refused) {
        todo =
            cm_asprintf("it takes nf_tables with NAT, sets and limits, and the right "
                        "to set them (CAP_NET_ADMIN)%s",
                        host);
        op_defects_add(d, todo, "its kernel takes no rules of nft%s%s",
                       p->nft_says[0] != '\0' ? ": " : "", p->nft_says);
        free(todo);
    }
    if (!p->sysctl) {
        todo = cm_asprintf("make it writable%s", host);
        op_defects_add(d, todo, "/proc/sys/net cannot be written, so it cannot route");
        free(todo);
    }
    if (store && p->container && p->inotify >= 0 && p->inotify < INOTIFY_MIN) {
        op_defects_add(d,
                       "raise it on the machine that this container is on: sysctl "
                       "fs.inotify.max_user_instances=65535",
                       "fs.inotify.max_user_instances is %lld; it needs %d, or clients "
                       "hear of new mail late",
                       (long long)p->inotify, INOTIFY_MIN);
    }
}

static void judge_domain(const struct op_probe *p, const char *domain,
                         struct op_defects *d)
{
    if (p->domain[0] == '\0' || strcmp(p->domain, domain) == 0) {
        return;
    }
    char *todo = cm_asprintf(
        "put mail_domain = %s back, or take another machine for %s", p->domain, domain);
    op_defects_add(
        d, todo,
        "serves %s, and a store cannot change its domain (its accounts, keys "
        "and gateways belong to it)",
        p->domain);
    free(todo);
}

/* Mail for accounts that are not there yet would be refused. */
static void judge_restore(const struct op_probe *p, struct op_defects *d)
{
    if (p->half_restored) {
        op_defects_add(d,
                       "go on with it: chatops restore FILE; or, to begin without what "
                       "is missing, remove /var/lib/portico/restore there",
                       "is in the middle of a restore: its keys, database or "
                       "mailboxes are not all there yet");
    }
}

void op_probe_judge(const struct op_probe *p, const struct cm_conf *conf,
                    const struct cm_conf_gateway *gateway, int64_t now_s,
                    struct op_defects *defects)
{
    bool store = gateway == NULL;

    judge_system(p, defects);
    judge_time(p, now_s, defects);
    judge_resolver(p, defects);
    judge_room(p, store, defects);
    if (p->root) { /* nobody else may write, or load a module */
        judge_kernel(p, store, defects);
    }
    judge_ports(p, conf, gateway, defects);
    if (store) {
        judge_domain(p, conf->mail_domain, defects);
        judge_restore(p, defects);
    }
}
