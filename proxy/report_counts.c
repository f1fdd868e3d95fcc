#include "report_counts.h"

#include <stddef.h>

#define BOOT_LETTERS "0123456789abcdef-"

static const struct {
    const char *key;
    size_t offset;
} totals[] = {
    {"uplink_bytes", offsetof(struct px_counts, uplink_bytes)},
    {"banned", offsetof(struct px_counts, banned)},
    {"flooding", offsetof(struct px_counts, flooding)},
    {"strangers", offsetof(struct px_counts, strangers)},
    {"crowded", offsetof(struct px_counts, crowded)},
    {"table_used", offsetof(struct px_counts, table_used)},
    {"table_max", offsetof(struct px_counts, table_max)},
    {"table_full", offsetof(struct px_counts, table_full)},
    {"carried", offsetof(struct px_counts, carried)},
};

#define TOTALS (sizeof(totals) / sizeof(totals[0]))

static const int64_t *total_of(const struct px_counts *counts, size_t i)
{
    return (const int64_t *)(const void *)((const char *)counts + totals[i].offset);
}

void px_counts_dump(const struct px_counts *counts, json_t *root)
{
    for (size_t i = 0; i < TOTALS; i++) {
        json_object_set_new(root, totals[i].key, json_integer(*total_of(counts, i)));
    }
    json_object_set_new(root, "boot", json_string(counts->boot));
    json_t *ports = json_array();
    for (size_t i = 0; i < counts->port_count; i++) {
        const struct px_port_counts *p = &counts->ports[i];
        json_array_append_new(
            ports, json_pack("[i,I,I,I,I,I,I]", p->port, (json_int_t)p->open,
                             (json_int_t)p->flows, (json_int_t)p->in_packets,
                             (json_int_t)p->in_bytes, (json_int_t)p->out_packets,
                             (json_int_t)p->out_bytes));
    }
    json_object_set_new(root, "ports", ports);
}

/* [port, open, flows, packets in, bytes in, packets out, bytes out] */
static int read_port(json_t *json, size_t index, struct px_port_counts *port,
                     struct cm_err *err)
{
    int64_t n[7];

    if (json_array_size(json) != 7) {
        return cm_err_set(err, CM_ERR_REFUSE, "ports[%zu]: not seven numbers", index);
    }
    for (size_t i = 0; i < 7; i++) {
        json_t *item = json_array_get(json, i);
        int64_t min = i == 0 ? 1 : -1, max = i == 0 ? 65535 : INT64_MAX;
        n[i] = json_is_integer(item) ? json_integer_value(item) : -2;
        if (n[i] < min || n[i] > max) {
            return cm_err_set(err, CM_ERR_REFUSE, "ports[%zu][%zu]: out of range",
                              index, i);
        }
    }
    *port = (struct px_port_counts){(uint16_t)n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
    return 0;
}

static int read_ports(const struct px_object *o, struct px_counts *counts,
                      struct cm_err *err)
{
    json_t *list;

    if (json_object_get(o->json, "ports") == NULL) {
        return 0;
    }
    if (px_field_array(o, "ports", 0, PX_PORTS_MAX, &list, err) != 0) {
        return -1;
    }
    counts->port_count = json_array_size(list);
    for (size_t i = 0; i < counts->port_count; i++) {
        if (read_port(json_array_get(list, i), i, &counts->ports[i], err) != 0) {
            return -1;
        }
        if (i > 0 && counts->ports[i].port <= counts->ports[i - 1].port) {
            return cm_err_set(err, CM_ERR_REFUSE, "ports[%zu]: not in ascending order",
                              i);
        }
    }
    return 0;
}

int px_counts_read(const struct px_object *o, struct px_counts *counts,
                   struct cm_err *err)
{
    *counts = px_counts_unknown();
    for (size_t i = 0; i < TOTALS; i++) {
        int64_t value;
        if (json_object_get(o->json, totals[i].key) == NULL) {
            continue;
        }
        if (px_field_int(o, totals[i].key, -1, INT64_MAX, &value, err) != 0) {
            return -1;
        }
        *(int64_t *)(void *)((char *)counts + totals[i].offset) = value;
    }
    if (json_object_get(o->json, "boot") != NULL &&
        px_field_text(o, "boot", BOOT_LETTERS, 0, counts->boot, sizeof(counts->boot),
                      err) != 0) {
        return -1;
    }
    return read_ports(o, counts, err);
}
