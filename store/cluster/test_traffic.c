#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/metrics.h"
#include "content.h"
#include "figures_ports.h"
#include "health.h"

static struct px_state state;
static struct health health;

static void ignore_change(const struct health_change *change, void *ctx)
{
    (void)change;
    (void)ctx;
}

static int fresh(void **unused)
{
    (void)unused;
    state = (struct px_state){.epoch = 7,
                              .domain = "_chat.example",
                              .ports = {25, 993},
                              .port_count = 2,
                              .egress = CM_EGRESS_GATEWAYS,
                              .gateway_count = 2};
    state.gateways[0] = (struct px_gateway){.name = "edge1",
                                            .number = 1,
                                            .egress = true,
                                            .egress_weight = 100,
                                            .budget = 1000};
    state.gateways[1] = (struct px_gateway){
        .name = "edge2", .number = 4, .egress = true, .egress_weight = 100};
    health_init(&health);
    for (int i = 0; i < 2; i++) {
        struct px_report r = {.applied_epoch = 7,
                              .counts = {.uplink_bytes = -1,
                                         .banned = 5,
                                         .flooding = -1,
                                         .strangers = 0,
                                         .ports = {{25, -1, 3, 10, 1000, 20, 2000},
                                                   {777, 1, 1, 1, 1, 1, 1},
                                                   {993, 9, 8, 7, 6, 5, 4}},
                                         .port_count = 3}};
        for (int n = 0; n < HEALTH_GOOD_REPORTS; n++) {
            health_report(&health, state.gateways[i].number, &r, 1000 + n);
        }
    }
    health_judge(&health, &state, 1100, ignore_change, NULL);
    return 0;
}

static void egress_goes_to_those_with_budget(void **unused)
{
    (void)unused;
    int numbers[CM_GATEWAYS_MAX];
    assert_false(health_traffic(&health, 1, 999, 1000));
    assert_int_equal(health_egress(&health, &state, numbers), 2);
    assert_int_equal(numbers[0], 1);
    assert_true(health_traffic(&health, 1, 1000, 1000));
    assert_false(health_traffic(&health, 1, 1001, 1000));
    assert_int_equal(health_egress(&health, &state, numbers), 1);
    assert_int_equal(numbers[0], 4);
    assert_string_equal(health_egress_word(&health, &state, &state.gateways[0]),
                        "spent");
    assert_string_equal(health_egress_word(&health, &state, &state.gateways[1]),
                        "active");
    /* One that only stands in comes before one whose budget is spent. */
    state.gateways[1].egress_weight = 0;
    assert_int_equal(health_egress(&health, &state, numbers), 1);
    assert_int_equal(numbers[0], 4);
    state.gateways[1].egress_weight = 100;
    /* Nobody else is left: mail goes on. */
    state.gateways[1].mode = CM_MODE_DRAIN;
    assert_int_equal(health_egress(&health, &state, numbers), 1);
    assert_int_equal(numbers[0], 1);
    assert_string_equal(health_egress_word(&health, &state, &state.gateways[0]),
                        "active");
    state.gateways[1].mode = CM_MODE_ACTIVE;
    /* A new month, and no budget at all. */
    assert_true(health_traffic(&health, 1, 0, 1000));
    assert_false(health_traffic(&health, 4, INT64_MAX, 0));
    assert_int_equal(health_egress(&health, &state, numbers), 2);
}

static void figures_by_port(void **unused)
{
    (void)unused;
    struct cm_buf out;
    cm_buf_init(&out, CM_METRICS_MAX);
    (void)health_traffic(&health, 1, 999, 1000);
    figures_ports_write(&out, &state, &health);
    static const char *const lines[] = {
        "\nchatmail_gateway_port_open{gateway=\"edge1\",port=\"993\"} 9\n",
        "\nchatmail_gateway_port_flows_total{gateway=\"edge2\",port=\"25\"} 3\n",
        "\nchatmail_gateway_port_packets_total{gateway=\"edge1\",port=\"25\","
        "direction=\"in\"} 10\n",
        "\nchatmail_gateway_port_bytes_total{gateway=\"edge1\",port=\"25\","
        "direction=\"out\"} 2000\n",
        "\nchatmail_gateway_kept_out_packets_total{gateway=\"edge1\","
        "reason=\"banned\"} 5\n",
        "\nchatmail_gateway_month_bytes{gateway=\"edge1\"} 999\n",
        "\nchatmail_gateway_budget_bytes{gateway=\"edge1\"} 1000\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (strstr(out.data, lines[i]) == NULL) {
            fail_msg("no %s in %s", lines[i], out.data);
        }
    }
    assert_null(strstr(out.data, "port=\"777\""));
    assert_null(strstr(out.data, "port_open{gateway=\"edge1\",port=\"25\"}"));
    assert_null(strstr(out.data, "reason=\"flooding\""));
    assert_null(strstr(out.data, "month_bytes{gateway=\"edge2\"}"));
    assert_null(strstr(out.data, "budget_bytes{gateway=\"edge2\"}"));
    cm_buf_clear(&out);
}

static void content_is_without_epoch_and_bans(void **unused)
{
    (void)unused;
    char before[CONTENT_TEXT], after[CONTENT_TEXT];
    content_name(&state, before);
    assert_int_equal(strlen(before), 64);
    state.epoch = 9;
    state.ban_count = 1;
    state.bans[0] = (struct px_ban){{0x20, 1}, 2000000000};
    content_name(&state, after);
    assert_string_equal(before, after);
    state.gateways[1].budget = 5;
    content_name(&state, after);
    assert_string_not_equal(before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(egress_goes_to_those_with_budget, fresh),
        cmocka_unit_test_setup(figures_by_port, fresh),
        cmocka_unit_test_setup(content_is_without_epoch_and_bans, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
