/* The first steps of a run: is every node fit, before any of them is touched? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"
#include "preflight.h"
#include "say.h"

#define CLOCK_SKEW_MAX_S 120
#define STORE_DISK_MIB   1500

/* One answer per line, "key value". ss is in Debian's base system; without it the ports
 * are not looked at. */
static const char probe_script[] =
    "echo uid $(id -u)\n"
    ". /etc/os-release; echo os \"$ID\" \"$VERSION_ID\"\n"
    "echo arch $(dpkg --print-architecture)\n"
    "[ -d /run/systemd/system ] && echo systemd yes\n"
    "[ -c /dev/net/tun ] && echo tunnel tun\n"
    "{ [ -d /sys/module/wireguard ] || modprobe -nq wireguard; } 2>/dev/null &&"
    " echo tunnel kernel\n"
    "systemd-detect-virt -cq 2>/dev/null && echo container yes\n"
    "[ -e /proc/net/if_inet6 ] && [ \"$(cat /proc/sys/net/ipv6/conf/all/disable_ipv6"
    " 2>/dev/null)\" != 1 ] && echo ipv6 yes\n"
    "sed -n 's/^mail_domain *= */domain /p' /etc/chatmail/chatmail.ini 2>/dev/null\n"
    "echo time $(date +%s)\n"
    "echo disk $(df -Pm /var | awk 'NR == 2 { print $4 }')\n"
    "apt-get -o Debug::NoLocking=1 -qq check >/dev/null 2>&1 && echo apt yes\n"
    "ss -Hltnp 2>/dev/null | awk '{ print \"listen\", $4, $6 }'\n"
    "true";

static const struct port_owner {
    int port;
    const char *owners; /* processes of ours that may have it already */
} store_ports[] = {
    {25, "master smtpd"},
    {80, "nginx"},
    {143, "dovecot imap-login"},
    {443, "nginx"},
    {465, "master smtpd"},
    {587, "master smtpd"},
    {993, "dovecot imap-login"},
    {8443, "nginx"},
    {0, NULL},
};

/* Forwarded before any local process would see them, or taken by our own: another one
 * that listens would go deaf. */
static const struct port_owner gateway_ports[] = {
    {25, "chatmail-proxy"},  {80, "chatmail-proxy"},
    {143, "chatmail-proxy"}, {443, "chatmail-proxy"},
    {465, "chatmail-proxy"}, {587, "chatmail-proxy"},
    {993, "chatmail-proxy"}, {0, NULL},
};

static bool has_owner(const char *owners, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = owners; (p = strstr(p, name)) != NULL; p += n) {
        if ((p == owners || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* "listen 0.0.0.0:25 users:(("exim4",pid=12,fd=3))" */
static int check_listener(const char *line, const struct port_owner *ports,
                          bool loopback, struct cm_err *err)
{
    char address[128], users[256] = "", name[64] = "an unknown program";
    const char *colon, *quote;

    if (sscanf(line, "listen %127s %255[^\n]", address, users) < 1 ||
        (colon = strrchr(address, ':')) == NULL) {
        return 0;
    }
    if (!loopback &&
        (strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0)) {
        return 0;
    }
    quote = strchr(users, '"');
    if (quote != NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(quote + 1, "\""), quote + 1);
    }
    int port = (int)strtol(colon + 1, NULL, 10);
    for (const struct port_owner *p = ports; p->port != 0; p++) {
        if (p->port == port && !has_owner(p->owners, name)) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "port %d is occupied by: %s; stop and disable it, or use "
                              "another machine",
                              port, name);
        }
    }
    return 0;
}

static void take_line(struct op_probe *p, const char *line)
{
    if (strncmp(line, "uid ", 4) == 0) {
        p->root = strcmp(line + 4, "0") == 0;
    } else if (strncmp(line, "os ", 3) == 0) {
        snprintf(p->os, sizeof(p->os), "%s", line + 3);
    } else if (strncmp(line, "arch ", 5) == 0) {
        snprintf(p->arch, sizeof(p->arch), "%s", line + 5);
    } else if (strncmp(line, "domain ", 7) == 0) {
        snprintf(p->domain, sizeof(p->domain), "%s", line + 7);
    } else if (strncmp(line, "time ", 5) == 0) {
        p->time_s = strtoll(line + 5, NULL, 10);
    } else if (strncmp(line, "disk ", 5) == 0) {
        p->disk_mib = strtoll(line + 5, NULL, 10);
    }
    p->systemd |= strcmp(line, "systemd yes") == 0;
    p->tunnel |= strncmp(line, "tunnel ", 7) == 0;
    p->container |= strcmp(line, "container yes") == 0;
    p->ipv6 |= strcmp(line, "ipv6 yes") == 0;
    p->apt |= strcmp(line, "apt yes") == 0;
}

int op_probe_read(const char *text, bool store, struct op_probe *p_r,
                  struct cm_err *err)
{
    struct op_probe p = {.root = false};
    char *copy = cm_strdup(text), *save = NULL;
    int rc = 0;

    for (char *l = strtok_r(copy, "\n", &save); l != NULL && rc == 0;
         l = strtok_r(NULL, "\n", &save)) {
        if (strncmp(l, "listen ", 7) == 0) {
            rc = check_listener(l, store ? store_ports : gateway_ports, store, err);
        } else {
            take_line(&p, l);
        }
    }
    free(copy);
    if (rc == 0) {
        *p_r = p;
    }
    return rc;
}

int op_probe_domain(const struct op_probe *p, const char *domain, struct cm_err *err)
{
    if (p->domain[0] == '\0' || strcmp(p->domain, domain) == 0) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "serves %s, and a store cannot change its domain (its accounts, "
                      "keys and gateways belong to it); put mail_domain = %s back, or "
                      "take another machine for %s",
                      p->domain, p->domain, domain);
}

int op_probe_judge(const struct op_probe *p, bool store, int64_t now_s,
                   struct cm_err *err)
{
    long long skew = (long long)(p->time_s - now_s);

    if (!p->root) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "is not entered as root; use root@ADDRESS");
    }
    if (strcmp(p->os, "debian 12") != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "runs \"%s\"; it must be Debian 12",
                          p->os);
    }
    if (!p->systemd) {
        return cm_err_set(err, CM_ERR_WORLD, "does not run systemd; it must");
    }
    if (!p->tunnel) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "has neither WireGuard in the kernel nor /dev/net/tun; have the "
            "provider switch on TUN/TAP, or take another machine");
    }
    if (!p->apt) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "apt-get check fails; log in and repair it with: apt-get -f "
                          "install");
    }
    if (skew > CLOCK_SKEW_MAX_S || skew < -CLOCK_SKEW_MAX_S) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "its clock is %lld s %s that of this machine; set it right: "
                          "timedatectl set-ntp true",
                          skew > 0 ? skew : -skew, skew > 0 ? "ahead of" : "behind");
    }
    if (store && p->disk_mib < STORE_DISK_MIB) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "has %lld MiB free in /var; it needs at least %d",
                          (long long)p->disk_mib, STORE_DISK_MIB);
    }
    return 0;
}

static int check_node(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    bool store = node->gateway == NULL;
    struct op_probe p;
    char *text;

    if (op_host_ask(&node->host, probe_script, &text, err) != 0) {
        return -1;
    }
    int rc = op_probe_read(text, store, &p, err);
    free(text);
    if (rc != 0 || op_probe_judge(&p, store, cm_now_wall_ms() / 1000, err) != 0 ||
        (store && op_probe_domain(&p, node->cluster->conf.mail_domain, err) != 0)) {
        return -1;
    }
    snprintf(node->arch, sizeof(node->arch), "%s", p.arch);
    node->facts.ipv6 = p.ipv6;
    node->facts.container = p.container;
    if (op_package_find(node, err) != 0) {
        return -1;
    }
    op_step_note(step, "%s%s", p.arch, p.container ? ", container" : "");
    return 1;
}

void op_add_preflight(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {
        .node = node->host.name, .name = "is fit", .check = check_node, .ctx = node};

    op_plan_add(plan, &s);
}
