#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "report.h"
#include "stats.h"

static void percentiles_are_nearest_rank(void **state)
{
    (void)state;
    const int64_t samples[] = {50, 10, 40, 20, 30};
    assert_int_equal(stats_percentile(samples, 5, 50), 30);
    assert_int_equal(stats_percentile(samples, 5, 95), 50);
    assert_int_equal(stats_percentile(samples, 5, 1), 10);
    assert_int_equal(stats_percentile(samples, 1, 50), 50);
    assert_int_equal(stats_percentile(samples, 0, 50), -1);
    assert_int_equal(samples[0], 50);
}

static struct road_options options = {.messages = 2};

static struct road *good_road(void)
{
    struct road *road = calloc(1, sizeof *road);
    assert_non_null(road);
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        struct road_door *door = &road->doors[i];
        door->gateway = scene_gateways[i / 2].name;
        door->address = scene_gateway_address(i);
        door->family = i % 2 == 0 ? 4 : 6;
        snprintf(door->client, sizeof door->client, "2001:db8:4::101");
        for (size_t p = 0; p < ROAD_PROBES; p++) {
            snprintf(door->ports[p].seen, 46, "2001:db8:4::101");
            door->ports[p].ok = true;
        }
    }
    for (size_t w = 0; w < ROAD_WAYS; w++) {
        road->ways[w] =
            (struct road_latency){.n = 2, .p50 = 580, .p95 = 601, .join_ms = 2470};
    }
    snprintf(road->relay2_saw, sizeof road->relay2_saw, "198.51.100.11 2001:db8:2::12");
    road->relay2_ok = true;
    road->failover_ms = 15300;
    return road;
}

static char *table_of(const struct road *road)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    report_table(out, road, &options);
    fclose(out);
    return text;
}

static void table_is_80_columns_wide(void **state)
{
    (void)state;
    struct road *road = good_road();
    road->doors[1].ports[3].ok = false;
    memset(road->doors[1].ports[3].why, 'x', 199);
    memset(road->ways[2].why, 'x', 199);
    road->ways[2].n = 1;
    char *text = table_of(road);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strlen(line) > 80) {
            fail_msg("%zu columns: %s", strlen(line), line);
        }
    }
    free(text);
    free(road);
}

static void verdict_follows_the_figures(void **state)
{
    (void)state;
    struct road *road = good_road();
    assert_true(road_ok(road, &options));
    road->doors[3].ports[8].ok = false;
    assert_false(road_ok(road, &options));
    road->doors[3].ports[8].ok = true;
    road->ways[ROAD_FROM_RELAY2].n = 1;
    assert_false(road_ok(road, &options));
    road->ways[ROAD_FROM_RELAY2].n = 2;
    road->relay2_ok = false;
    assert_false(road_ok(road, &options));
    road->relay2_ok = true;
    road->failover_ms = -1;
    assert_false(road_ok(road, &options));
    options.no_failover = true;
    assert_true(road_ok(road, &options));
    options.no_failover = false;
    free(road);
}

static json_t *bench_of(const struct road *road, bool *ok_r)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    *ok_r = report_bench(out, road, &options, true);
    fclose(out);
    json_t *rows = json_loads(text, 0, NULL);
    free(text);
    assert_non_null(rows);
    return rows;
}

static void bench_rows_have_ratios_and_goals(void **state)
{
    (void)state;
    bool ok;
    struct road *road = good_road();
    json_t *rows = bench_of(road, &ok);
    assert_true(ok);
    assert_int_equal(json_array_size(rows), 4 + 2 * ROAD_WAYS + 2);
    json_t *edge1 = json_array_get(rows, 4 + 2);
    assert_string_equal(json_string_value(json_object_get(edge1, "name")),
                        "p50 through edge1");
    assert_true(json_real_value(json_object_get(edge1, "ratio")) == 1.0);
    json_decref(rows);
    road->ways[ROAD_EDGE1].p50 = 5800;
    rows = bench_of(road, &ok);
    assert_false(ok);
    json_decref(rows);
    free(road);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_nearest_rank),
        cmocka_unit_test(table_is_80_columns_wide),
        cmocka_unit_test(verdict_follows_the_figures),
        cmocka_unit_test(bench_rows_have_ratios_and_goals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
