#include "tally.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/run.h"

#define LINKS_MAX 8
#define LINES_MAX 100000
#define NFT_MS    20000

/* ---- counters ---- */

static struct gw_count *find(struct gw_tally *tally, const char *name, size_t len)
{
    for (size_t i = 0; i < tally->count; i++) {
        if (strncmp(tally->counts[i].name, name, len) == 0 &&
            tally->counts[i].name[len] == '\0') {
            return &tally->counts[i];
        }
    }
    if (tally->count == GW_TALLY_MAX || len >= sizeof(tally->counts[0].name)) {
        return NULL;
    }
    struct gw_count *c = &tally->counts[tally->count++];
    memcpy(c->name, name, len);
    return c;
}

static void add(int64_t *sum, int64_t *last, int64_t now)
{
    *sum += now >= *last ? now - *last : now;
    *last = now;
}

/* counter NAME {
 *         packets N bytes N
 * } */
void gw_tally_take(struct gw_tally *tally, const char *text)
{
    static const char head[] = "\tcounter ";
    for (const char *p = text; (p = strstr(p, head)) != NULL;) {
        long long packets, bytes;
        p += strlen(head);
        size_t len = strcspn(p, " {\n");
        struct gw_count *c =
            sscanf(p + len, " { packets %lld bytes %lld", &packets, &bytes) == 2
                ? find(tally, p, len)
                : NULL;
        if (c != NULL && packets >= 0 && bytes >= 0) {
            add(&c->packets, &c->last_packets, packets);
            add(&c->bytes, &c->last_bytes, bytes);
        }
    }
}

static struct px_port_counts *port_of(struct px_counts *counts, uint16_t port)
{
    size_t i = 0;
    while (i < counts->port_count && counts->ports[i].port < port) {
        i++;
    }
    if (i < counts->port_count && counts->ports[i].port == port) {
        return &counts->ports[i];
    }
    if (counts->port_count == PX_PORTS_MAX) {
        return NULL;
    }
    memmove(&counts->ports[i + 1], &counts->ports[i],
            (counts->port_count++ - i) * sizeof(counts->ports[0]));
    counts->ports[i] = (struct px_port_counts){.port = port, .open = -1};
    return &counts->ports[i];
}

/* "in_993" after "in_": 993; 0 when it is something else. */
static uint16_t number_after(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncmp(name, prefix, len) != 0 || name[len] < '1' || name[len] > '9') {
        return 0;
    }
    char *end;
    unsigned long n = strtoul(name + len, &end, 10);
    return *end == '\0' && n <= 65535 ? (uint16_t)n : 0;
}

static void fill_port(const struct gw_count *c, struct px_counts *counts)
{
    static const char *const prefixes[] = {"flows_", "in_", "out_"};
    struct px_port_counts *p = NULL;
    size_t kind = 0;
    for (; kind < 3 && p == NULL; kind++) {
        uint16_t port = number_after(c->name, prefixes[kind]);
        p = port != 0 ? port_of(counts, port) : NULL;
    }
    if (p == NULL) {
        return;
    }
    switch (kind - 1) {
    case 0:
        p->flows = c->packets;
        break;
    case 1:
        p->in_packets = c->packets;
        p->in_bytes = c->bytes;
        break;
    default:
        p->out_packets = c->packets;
        p->out_bytes = c->bytes;
    }
}

void gw_tally_fill(const struct gw_tally *tally, struct px_counts *counts)
{
    for (size_t i = 0; i < tally->count; i++) {
        const struct gw_count *c = &tally->counts[i];
        if (strcmp(c->name, "banned") == 0) {
            counts->banned = c->packets;
        } else if (strcmp(c->name, "flooding") == 0) {
            counts->flooding = c->packets;
        } else if (strcmp(c->name, "strangers") == 0) {
            counts->strangers = c->packets;
        } else if (strcmp(c->name, "crowded") == 0) {
            counts->crowded = c->packets;
        } else {
            fill_port(c, counts);
        }
    }
}

void gw_tally_measure(struct gw_tally *tally)
{
    static const char *const argv[] = {"nft",  "list",     "counters", "table",
                                       "inet", "chatmail", NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = NFT_MS};
    struct cm_err err;
    char *text = NULL;
    if (cm_run_ok(&run, &text, &err) == 0) {
        gw_tally_take(tally, text);
    }
    free(text);
}

/* ---- the uplink ---- */

struct links {
    char names[LINKS_MAX][IFNAMSIZ];
    size_t count;
};

static void links_add(struct links *l, const char *name)
{
    if (l->count == LINKS_MAX || strncmp(name, "wg", 2) == 0 ||
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
