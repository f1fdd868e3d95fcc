#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/mem.h"
#include "report.h"

static struct px_report sample(void)
{
    struct px_report r = {
        .name = "edge1",
        .version = "0.1.0~rc1",
        .applied_epoch = 17,
        .applied_mode = "active",
        .handshake_age_s = 12,
        .flows = 3,
        .rx_bytes = INT64_C(5000000000),
        .tx_bytes = 7,
        .counts = {.uplink_bytes = INT64_C(7000000000),
                   .boot = "6f1f7bd0-4b3a-4c86-9ed8-2d0a4e8f1f0e",
                   .banned = 4,
                   .flooding = -1,
                   .strangers = 0,
                   .crowded = 6,
                   .table_used = 262143,
                   .table_max = 262144,
                   .table_full = 1,
                   .carried = 1,
                   .ports = {{25, 1, 2, 3, 4, 5, 6}, {993, -1, 20, 30, 40, 50, 60}},
                   .port_count = 2},
        .reverted_epoch = 18,
        .probes = {{25, PX_PROBE_OK, 3}, {143, PX_PROBE_SILENT, 5000}},
        .probe_count = 2,
        .error = ""};
    return r;
}

static void dump_and_back(void **unused)
{
    (void)unused;
    struct px_report r = sample(), back;
    struct cm_err err;
    strcpy(r.error, "nft failed\n\xff\x1b[31m");
    char *text = px_report_dump(&r);
    assert_int_equal(px_report_parse(text, strlen(text), &back, &err), 0);
    assert_string_equal(back.error, "nft failed???[31m");
    assert_int_equal(back.rx_bytes, INT64_C(5000000000));
    assert_string_equal(back.applied_mode, "active");
    assert_memory_equal(&back.counts, &r.counts, sizeof(r.counts));
    assert_int_equal(back.reverted_epoch, 18);
    assert_int_equal(back.probe_count, 2);
    assert_int_equal(back.probes[1].port, 143);
    assert_int_equal(back.probes[1].result, PX_PROBE_SILENT);
    assert_int_equal(back.probes[1].ms, 5000);
    free(text);
}

static void refuse(const char *old, const char *new, const char *reason)
{
    struct px_report r = sample(), back = {.applied_epoch = 99};
    struct cm_err err = {0};
    char *text = px_report_dump(&r);
    char *at = strstr(text, old);
    assert_non_null(at);
    char *bad = cm_asprintf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    assert_int_equal(px_report_parse(bad, strlen(bad), &back, &err), -1);
    assert_int_equal(err.kind, CM_ERR_REFUSE);
    if (strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", err.text, reason);
    }
    assert_int_equal(back.applied_epoch, 99);
    free(bad);
    free(text);
}

static void refused_fields(void **unused)
{
    (void)unused;
    refuse("edge1", "EDGE", "name");
    refuse("edge1", "an-edge-with-a-name-that-is-too-long", "name: 36 bytes");
    refuse("\"flows\":3", "\"flows\":\"3\"", "flows: not an integer");
    refuse("\"flows\":3", "\"flows\":-2", "flows: -2");
    refuse("\"applied_epoch\":17", "\"applied_epoch\":1e3", "applied_epoch");
    refuse("\"applied_mode\":\"active\"", "\"applied_mode\":\"root\"", "applied_mode");
    refuse("\"error\":\"\"", "\"error\":\"\\u001b[2J\"", "error");
    refuse("\"error\":\"\"", "\"error\":null", "error: not a text");
    refuse("\"uplink_bytes\":7000000000", "\"uplink_bytes\":-2", "uplink_bytes: -2");
    refuse("6f1f7bd0", "6F1F7BD0", "boot");
    refuse("[25,1,2,3,4,5,6]", "[25,1,2,3,4,5]", "ports[0]: not seven numbers");
    refuse("[25,1,2,3,4,5,6]", "7", "ports[0]: not seven numbers");
    refuse("[25,1,2,3,4,5,6]", "[25,1,2,3,4,5,-2]", "ports[0][6]: out of range");
    refuse("[25,1,2,3,4,5,6]", "[0,1,2,3,4,5,6]", "ports[0][0]: out of range");
    refuse("[25,1,2,3,4,5,6]", "[993,1,2,3,4,5,6]", "ports[1]: not in ascending order");
    refuse("[25,1,2,3,4,5,6]", "[25,1,2,\"3\",4,5,6]", "ports[0][3]: out of range");
    refuse("\"reverted_epoch\":18", "\"reverted_epoch\":-1", "reverted_epoch: -1");
    refuse("\"ok\"", "\"fine\"", "probes[].result: not one we know");
    refuse("\"port\":25", "\"port\":0", "probes[].port: 0");
    refuse("\"version\"", "\"versio\"", "version: missing");
}

/* A gateway from before there were counts. */
static void without_counts(void **unused)
{
    (void)unused;
    static const char text[] =
        "{\"applied_epoch\":17,\"applied_mode\":\"active\",\"error\":\"\",\"flows\":3,"
        "\"format\":\"1.0\",\"handshake_age_s\":12,\"name\":\"edge1\",\"rx_bytes\":1,"
        "\"tx_bytes\":2,\"version\":\"0.1.0\"}";
    struct px_report back;
    struct cm_err err;
    assert_int_equal(px_report_parse(text, strlen(text), &back, &err), 0);
    assert_int_equal(back.counts.uplink_bytes, -1);
    assert_int_equal(back.counts.banned, -1);
    assert_int_equal(back.counts.table_used, -1);
    assert_int_equal(back.counts.table_full, -1);
    assert_int_equal(back.counts.carried, -1);
    assert_string_equal(back.counts.boot, "");
    assert_int_equal(back.counts.port_count, 0);
}

/* The most that a gateway can have to say fits. */
static void longest(void **unused)
{
    (void)unused;
    struct px_report r = sample(), back;
    struct cm_err err;
    memset(r.error, '"', sizeof(r.error) - 1);
    r.probe_count = PX_SIGHTS_MAX;
    for (size_t i = 0; i < PX_SIGHTS_MAX; i++) {
        r.probes[i] = (struct px_sight){(uint16_t)(60000 + i), PX_PROBE_REFUSED, 60000};
    }
    r.counts.port_count = PX_PORTS_MAX;
    for (size_t i = 0; i < PX_PORTS_MAX; i++) {
        r.counts.ports[i] = (struct px_port_counts){(uint16_t)(60000 + i),
                                                    4000000,
                                                    INT64_MAX,
                                                    INT64_MAX,
                                                    INT64_MAX,
                                                    INT64_MAX,
                                                    INT64_MAX};
    }
    char *text = px_report_dump(&r);
    assert_in_range(strlen(text), 1, PX_REPORT_MAX);
    assert_int_equal(px_report_parse(text, strlen(text), &back, &err), 0);
    free(text);
}

/* Of a gateway that is one version behind. */
static void without_what_is_new(void **unused)
{
    (void)unused;
    struct px_report r = sample(), back;
    struct cm_err err;
    char *text = px_report_dump(&r);
    char *at = strstr(text, "\"reverted_epoch\"");
    assert_non_null(at);
    memcpy(at, "\"from_the_future", 15);
    assert_int_equal(px_report_parse(text, strlen(text), &back, &err), 0);
    assert_int_equal(back.reverted_epoch, 0);
    free(text);
}

static void too_long(void **unused)
{
    (void)unused;
    struct px_report back;
    struct cm_err err;
    char text[PX_REPORT_MAX + 1];
    memset(text, '{', sizeof(text));
    assert_int_equal(px_report_parse(text, sizeof(text), &back, &err), -1);
    assert_non_null(strstr(err.text, "at most 4096"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dump_and_back),       cmocka_unit_test(refused_fields),
        cmocka_unit_test(without_counts),      cmocka_unit_test(longest),
        cmocka_unit_test(without_what_is_new), cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
