#include "uplink.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINES_MAX 100000

struct links {
    char names[GW_UPLINKS_MAX][IFNAMSIZ];
    size_t count;
};

static void links_add(struct links *l, const char *name)
{
    if (l->count == GW_UPLINKS_MAX || strncmp(name, "wg", 2) == 0 ||
        strcmp(name, "lo") == 0) {
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->names[i], name) == 0) {
            return;
        }
    }
    snprintf(l->names[l->count++], IFNAMSIZ, "%s", name);
}

static void links_v4(struct links *l, FILE *route)
{
    char line[512], name[IFNAMSIZ];
    unsigned long dest, mask;
    for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), route) != NULL; i++) {
        if (sscanf(line, "%15s %lx %*x %*x %*d %*d %*d %lx", name, &dest, &mask) == 3 &&
            dest == 0 && mask == 0) {
            links_add(l, name);
        }
    }
}

static void links_v6(struct links *l, FILE *route)
{
    static const char any[] = "00000000000000000000000000000000 00 ";
    char line[512], name[IFNAMSIZ];
    for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), route) != NULL; i++) {
        if (strncmp(line, any, strlen(any)) == 0 &&
            sscanf(line + strlen(any), "%*s %*s %*s %*s %*s %*s %*s %15s", name) == 1) {
            links_add(l, name);
        }
    }
}

/* "  eth0: RXBYTES PACKETS 6 more TXBYTES ..." */
static bool link_bytes(const struct links *l, char *line, int64_t *sum)
{
    char *colon = strchr(line, ':');
    const char *name = line + strspn(line, " ");
    long long rx, tx;
    if (colon == NULL ||
        sscanf(colon + 1, "%lld %*d %*d %*d %*d %*d %*d %*d %lld", &rx, &tx) != 2) {
        return false;
    }
    *colon = '\0';
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->names[i], name) == 0) {
            *sum += rx + tx;
            return true;
        }
    }
    return false;
}

int64_t gw_uplink_bytes(FILE *dev, FILE *route, FILE *route6)
{
    struct links l = {.count = 0};
    char line[512];
    int64_t sum = 0;
    bool any = false;
    if (route != NULL) {
        links_v4(&l, route);
    }
    if (route6 != NULL) {
        links_v6(&l, route6);
    }
    for (int i = 0;
         dev != NULL && i < LINES_MAX && fgets(line, sizeof(line), dev) != NULL; i++) {
        any = link_bytes(&l, line, &sum) || any;
    }
    return any ? sum : -1;
}

static void close_all(FILE *const *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (files[i] != NULL) {
            fclose(files[i]);
        }
    }
}

void gw_uplink_measure(struct px_counts *counts)
{
    FILE *const files[] = {fopen("/proc/net/dev", "re"), fopen("/proc/net/route", "re"),
                           fopen("/proc/net/ipv6_route", "re"),
                           fopen("/proc/sys/kernel/random/boot_id", "re")};
    counts->uplink_bytes = gw_uplink_bytes(files[0], files[1], files[2]);
    counts->boot[0] = '\0';
    if (files[3] != NULL && fscanf(files[3], "%36[0-9a-f-]", counts->boot) != 1) {
        counts->boot[0] = '\0';
    }
    close_all(files, sizeof(files) / sizeof(files[0]));
}

/* ---- by address ---- */

static bool is_public(const struct px_gateway *gw, const struct sockaddr *sa)
{
    const void *at = sa->sa_family == AF_INET
                         ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
                         : (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
    char text[INET6_ADDRSTRLEN] = "";

    if ((sa->sa_family != AF_INET && sa->sa_family != AF_INET6) ||
        inet_ntop(sa->sa_family, at, text, sizeof(text)) == NULL) {
        return false;
    }
    for (size_t i = 0; i < gw->address_count; i++) {
        if (strcmp(gw->addresses[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static void links_with_addresses(struct links *l, const struct px_gateway *gw)
{
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) != 0) {
        return;
    }
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr != NULL && is_public(gw, a->ifa_addr)) {
            links_add(l, a->ifa_name);
        }
    }
    freeifaddrs(all);
}

static void links_with_routes(struct links *l)
{
    FILE *const files[] = {fopen("/proc/net/route", "re"),
                           fopen("/proc/net/ipv6_route", "re")};

    if (files[0] != NULL) {
        links_v4(l, files[0]);
    }
    if (files[1] != NULL) {
        links_v6(l, files[1]);
    }
    close_all(files, 2);
}

static bool has_ether_header(const char *name)
{
    struct ifreq ask = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(ask.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
    int rc = fd >= 0 ? ioctl(fd, SIOCGIFHWADDR, &ask) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return rc != 0 || ask.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}

size_t gw_uplinks(const struct px_gateway *gw, struct gw_uplink out[GW_UPLINKS_MAX])
{
    struct links l = {.count = 0};
    size_t n = 0;

    links_with_addresses(&l, gw);
    links_with_routes(&l);
    for (size_t i = 0; i < l.count; i++) {
        unsigned index = if_nametoindex(l.names[i]);
        if (index != 0) {
            out[n++] = (struct gw_uplink){(int)index, has_ether_header(l.names[i])};
        }
    }
    return n;
}
