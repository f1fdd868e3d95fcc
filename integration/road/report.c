#include "report.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define GOAL_RATIO_GATEWAY 1.25 /* a gateway adds a tunnel's round trips, no more */
#define GOAL_RATIO_RELAY   1.50 /* two relays: two queues */
#define GOAL_FAILOVER_S    30.0 /* the client's own 15 s, and room */

static void ports_line(FILE *out, const struct road_door *door)
{
    fputs("        ", out);
    for (size_t p = 0; p < ROAD_PROBES; p++) {
        fprintf(out, " %s%s", road_probes[p].label, door->ports[p].ok ? "" : "(!)");
    }
    fputc('\n', out);
}

static void door_lines(FILE *out, const struct road_door *door)
{
    size_t good = 0;
    for (size_t p = 0; p < ROAD_PROBES; p++) {
        good += door->ports[p].ok;
    }
    fprintf(out, "  %-6s v%d %-16s %-17s %s\n", door->gateway, door->family,
            door->address, door->client,
            good == ROAD_PROBES ? "the same, all ports" : "NOT ALL:");
    ports_line(out, door);
    for (size_t p = 0; p < ROAD_PROBES; p++) {
        const struct road_seen *seen = &door->ports[p];
        if (!seen->ok) {
            fprintf(out, "         ! %s: store saw %s %.28s\n", road_probes[p].label,
                    seen->seen[0] != '\0' ? seen->seen : "nothing;", seen->why);
        }
    }
}

static void way_line(FILE *out, const struct road_latency *latency, const char *name,
                     size_t asked)
{
    fprintf(out, "  %-24s", name);
    if (latency->n > 0) {
        fprintf(out, " %6lld ms %6lld ms", (long long)latency->p50,
                (long long)latency->p95);
    } else {
        fprintf(out, " %9s %9s", "-", "-");
    }
    fprintf(out, "  %3zu of %zu", latency->n, asked);
    if (latency->join_ms >= 0) {
        fprintf(out, "  %6lld ms", (long long)latency->join_ms);
    }
    fputc('\n', out);
    if (latency->why[0] != '\0') {
        fprintf(out, "    ! %.74s\n", latency->why);
    }
}

void report_table(FILE *out, const struct road *road,
                  const struct road_options *options)
{
    fputs("\nThe client's address as the store saw it\n"
          "  gateway   address          true client       store saw\n",
          out);
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        door_lines(out, &road->doors[i]);
    }
    fputs("\nEncrypted message, send call to the other client's event\n"
          "  way                            p50       p95   arrived   handshake\n",
          out);
    for (size_t w = 0; w < ROAD_WAYS; w++) {
        way_line(out, &road->ways[w], road_way_names[w], options->messages);
    }
    fprintf(out, "\nMail from " SCENE_DOMAIN " reached relay2 from\n  %.76s\n  %s\n",
            road->relay2_saw[0] != '\0' ? road->relay2_saw : "nobody",
            road->relay2_ok ? "(gateways' addresses; the home line's is never shown)"
                            : "WRONG: not only gateways' addresses");
    if (!options->no_failover) {
        fputs(
            "\nedge1 power-cut under a connected client, app opened: message after\n  ",
            out);
        if (road->failover_ms >= 0) {
            fprintf(out, "%.1f s  (about 15 s are the client's own)\n",
                    (double)road->failover_ms / 1000.0);
        } else {
            fprintf(out, "never: %.70s\n", road->failover_why);
        }
    }
    fprintf(out, "\n%s\n",
            road_ok(road, options) ? "All as promised." : "NOT as promised.");
}

/* --- JSON --- */

static json_t *door_json(const struct road_door *door)
{
    json_t *ports = json_object();
    for (size_t p = 0; p < ROAD_PROBES; p++) {
        const struct road_seen *seen = &door->ports[p];
        json_object_set_new(ports, road_probes[p].label,
                            json_pack("{s:s, s:b, s:s}", "seen", seen->seen, "ok",
                                      seen->ok, "error", seen->why));
    }
    return json_pack("{s:s, s:s, s:i, s:s, s:o}", "gateway", door->gateway, "address",
                     door->address, "family", door->family, "client", door->client,
                     "ports", ports);
}

static json_t *way_json(const struct road_latency *latency, const char *name)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "name", name, "p50_ms",
                     (json_int_t)latency->p50, "p95_ms", (json_int_t)latency->p95,
                     "arrived", (json_int_t)latency->n, "lost",
                     (json_int_t)latency->lost, "handshake_ms",
                     (json_int_t)latency->join_ms, "error", latency->why);
}

static void print_json(FILE *out, json_t *root)
{
    json_dumpf(root, out, JSON_COMPACT | JSON_SORT_KEYS);
    fputc('\n', out);
    json_decref(root);
}

void report_json(FILE *out, const struct road *road, const struct road_options *options)
{
    json_t *doors = json_array();
    json_t *ways = json_array();
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        json_array_append_new(doors, door_json(&road->doors[i]));
    }
    for (size_t w = 0; w < ROAD_WAYS; w++) {
        json_array_append_new(ways, way_json(&road->ways[w], road_way_names[w]));
    }
    print_json(out, json_pack("{s:o, s:o, s:{s:s, s:b}, s:{s:I, s:s}, s:b}", "doors",
                              doors, "ways", ways, "relay2", "saw", road->relay2_saw,
                              "ok", road->relay2_ok, "failover", "ms",
                              (json_int_t)road->failover_ms, "error",
                              road->failover_why, "ok", road_ok(road, options)));
}

/* --- bench rows --- */

struct row {
    char name[64];
    double value; /* negative: not measured */
    const char *unit;
    const char *compared_with; /* "" for nothing */
    double ratio;              /* 0: none */
    char goal[40];
    bool ok;
};

#define ROWS_MAX 32

struct rows {
    struct row items[ROWS_MAX];
    size_t n;
};

static struct row *add_row(struct rows *rows, double value, const char *unit, bool ok)
{
    cm_assert(rows->n < ROWS_MAX);
    struct row *row = &rows->items[rows->n++];
    *row = (struct row){.value = value, .unit = unit, .compared_with = "", .ok = ok};
    return row;
}

static void add_latency(struct rows *rows, const struct road *road, size_t w,
                        size_t messages)
{
    const struct road_latency *latency = &road->ways[w];
    const struct road_latency *base = &road->ways[ROAD_STRAIGHT];
    bool whole = latency->n == messages;
    struct row *row = add_row(rows, (double)latency->p50, "ms", whole);
    snprintf(row->name, sizeof row->name, "p50 %s", road_way_names[w]);
    snprintf(row->goal, sizeof row->goal, "all arrive");
    if (w != ROAD_STRAIGHT && base->p50 > 0 && latency->p50 > 0) {
        double limit = w == ROAD_TO_RELAY2 || w == ROAD_FROM_RELAY2
                           ? GOAL_RATIO_RELAY
                           : GOAL_RATIO_GATEWAY;
        row->compared_with = road_way_names[ROAD_STRAIGHT];
        row->ratio = (double)latency->p50 / (double)base->p50;
        snprintf(row->goal, sizeof row->goal, "ratio <= %.2f", limit);
        row->ok = whole && row->ratio <= limit;
    }
    row = add_row(rows, (double)latency->p95, "ms", whole);
    snprintf(row->name, sizeof row->name, "p95 %s", road_way_names[w]);
    snprintf(row->goal, sizeof row->goal, "all arrive");
}

static void add_doors(struct rows *rows, const struct road *road)
{
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        const struct road_door *door = &road->doors[i];
        int good = 0;
        for (size_t p = 0; p < ROAD_PROBES; p++) {
            good += door->ports[p].ok;
        }
        struct row *row = add_row(rows, good, "ports", good == ROAD_PROBES);
        snprintf(row->name, sizeof row->name, "true address %s v%d", door->gateway,
                 door->family);
        snprintf(row->goal, sizeof row->goal, "all %d", ROAD_PROBES);
    }
}

static void make_rows(struct rows *rows, const struct road *road,
                      const struct road_options *options)
{
    rows->n = 0;
    add_doors(rows, road);
    for (size_t w = 0; w < ROAD_WAYS; w++) {
        add_latency(rows, road, w, options->messages);
    }
    struct row *row = add_row(rows, road->relay2_ok, "yes=1", road->relay2_ok);
    snprintf(row->name, sizeof row->name, "relay2 saw gateways only");
    snprintf(row->goal, sizeof row->goal, "1");
    if (!options->no_failover) {
        double seconds = (double)road->failover_ms / 1000.0;
        row = add_row(rows, seconds, "s", seconds >= 0 && seconds <= GOAL_FAILOVER_S);
        snprintf(row->name, sizeof row->name, "edge1 cut, app opened, message");
        snprintf(row->goal, sizeof row->goal, "<= %.0f", GOAL_FAILOVER_S);
    }
}

static void rows_text(FILE *out, const struct rows *rows)
{
    fprintf(out, "%-31s %8s %-5s %7s %-17s %s\n", "name", "value", "unit", "ratio",
            "goal", "ok");
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->items[i];
        char ratio[16] = "-";
        if (row->ratio > 0) {
            snprintf(ratio, sizeof ratio, "%.2f", row->ratio);
        }
        fprintf(out, "%-31s %8.6g %-5s %7s %-17s %s\n", row->name, row->value,
                row->unit, ratio, row->goal, row->ok ? "ok" : "NO");
    }
    fprintf(out, "ratios are against \"%s\" of the same run\n",
            road_way_names[ROAD_STRAIGHT]);
}

static void rows_json(FILE *out, const struct rows *rows)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->items[i];
        json_array_append_new(
            list, json_pack("{s:s, s:f, s:s, s:s, s:o, s:s, s:b}", "name", row->name,
                            "value", row->value, "unit", row->unit, "compared_with",
                            row->compared_with, "ratio",
                            row->ratio > 0 ? json_real(row->ratio) : json_null(),
                            "goal", row->goal, "ok", row->ok));
    }
    print_json(out, list);
}

bool report_bench(FILE *out, const struct road *road,
                  const struct road_options *options, bool json)
{
    struct rows rows;
    bool all = true;
    make_rows(&rows, road, options);
    if (json) {
        rows_json(out, &rows);
    } else {
        rows_text(out, &rows);
    }
    for (size_t i = 0; i < rows.n; i++) {
        all &= rows.items[i].ok;
    }
    return all;
}
