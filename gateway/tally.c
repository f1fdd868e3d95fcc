#include "tally.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/run.h"

#define NFT_MS 20000

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
