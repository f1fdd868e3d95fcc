/* What `chatops gateway list` makes of chatmail.ini and the store's answer. */
#include "roll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static const char ini[] =
    "[params]\nmail_domain = _chat.example\n"
    "[gateway edge1]\nssh = root@a\nnumber = 1\naddresses = 198.51.100.11 2001:db8::1\n"
    "[gateway edge2]\nssh = root@b\nnumber = 2\naddresses = 203.0.113.12\nmode = off\n"
    "egress = no\n"
    "[gateway edge3]\nssh = root@c\nnumber = 3\naddresses = 203.0.113.13\n"
    "[gateway edge4]\nnumber = 4\naddresses = 203.0.113.14\n"
    "wg_public_key = BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    "[gateway edge9]\nnumber = 9\naddresses = 203.0.113.19\nagent = no\n"
    "wg_public_key = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

static const char status[] =
    "{\"epoch\":7,\"refused\":\"\",\"gateways\":["
    "{\"name\":\"edge1\",\"mode\":\"active\",\"applied_epoch\":7,"
    "\"applied_mode\":\"active\",\"report_age_ms\":300,\"error\":\"\","
    "\"version\":\"0.1.0\",\"health\":\"up\",\"health_reason\":\"\",\"agent\":true},"
    "{\"name\":\"edge2\",\"mode\":\"active\",\"applied_epoch\":6,"
    "\"applied_mode\":\"active\",\"report_age_ms\":300,\"error\":\"nft said no\","
    "\"version\":\"0.0.9\",\"health\":\"impaired\",\"health_reason\":\"inside port "
    "25: silent\",\"agent\":true},"
    "{\"name\":\"edge4\",\"mode\":\"active\",\"applied_epoch\":7,"
    "\"applied_mode\":\"active\",\"report_age_ms\":300,\"error\":\"\","
    "\"version\":\"0.0.9\",\"health\":\"up\",\"health_reason\":\"\",\"agent\":true},"
    "{\"name\":\"edge9\",\"mode\":\"active\",\"applied_epoch\":-1,"
    "\"applied_mode\":\"\",\"report_age_ms\":-1,\"error\":\"\",\"version\":\"\","
    "\"health\":\"up\",\"health_reason\":\"\",\"agent\":false},"
    "{\"name\":\"old\",\"mode\":\"drain\",\"applied_epoch\":7,"
    "\"applied_mode\":\"drain\",\"report_age_ms\":300,\"error\":\"\","
    "\"version\":\"0.1.0\",\"health\":\"up\",\"health_reason\":\"\"}]}";

static struct op_roll fill(const char *answer)
{
    struct op_fleet fleet;
    struct op_roll roll;
    struct cm_conf conf;
    struct cm_err err = {.text = ""};

    assert_int_equal(cm_conf_parse("x.ini", ini, strlen(ini), &conf, &err), 0);
    if (answer != NULL && op_fleet_parse(answer, &fleet, &err) != 0) {
        fail_msg("%s", err.text);
    }
    op_roll_fill(&conf, answer != NULL ? &fleet : NULL, &roll);
    cm_conf_clear(&conf);
    return roll;
}

static void check(const struct op_roll_row *row, const char *name, const char *mode,
                  const char *state, int64_t applied, int64_t weight, const char *note)
{
    assert_string_equal(row->name, name);
    assert_string_equal(row->mode, mode);
    assert_string_equal(row->state, state);
    assert_int_equal(row->applied, applied);
    assert_int_equal(row->weight, weight);
    assert_string_equal(row->note, note);
}

static void test_states(void **state)
{
    struct op_roll roll = fill(status);

    (void)state;
    assert_int_equal(roll.epoch, 7);
    assert_int_equal(roll.count, 6);
    check(&roll.rows[0], "edge1", "active", "up", 7, 100, "");
    check(&roll.rows[1], "edge2", "active", "impaired", 6, -1,
          "nft said no (it runs version 0.0.9)");
    check(&roll.rows[2], "edge3", "active", "not enrolled", -1, 100,
          "run: chatops run");
    check(&roll.rows[3], "edge4", "active", "up", 7, 100,
          "no ssh: chatops run does not update it, and its version is another one; to "
          "change that: chatops gateway add edge4 --ssh TARGET");
    check(&roll.rows[4], "edge9", "active", "up", -1, 100, "");
    assert_string_equal(roll.rows[4].version, "no agent");
    check(&roll.rows[5], "old", "drain", "up", 7, -1,
          "published, but not in chatmail.ini; run: chatops run");
}

static void test_store_away(void **state)
{
    struct op_roll roll = fill(NULL);

    (void)state;
    assert_int_equal(roll.epoch, -1);
    assert_int_equal(roll.count, 5);
    check(&roll.rows[1], "edge2", "off", "unknown", -1, -1,
          "the store does not answer");
}

static void test_json(void **state)
{
    struct op_roll roll = fill(status);
    json_t *list = op_roll_json(&roll), *one = json_array_get(list, 0);
    char *text = json_dumps(one, JSON_COMPACT | JSON_SORT_KEYS);

    (void)state;
    assert_int_equal(json_array_size(list), 6);
    assert_string_equal(
        text, "{\"addresses\":[\"198.51.100.11\",\"2001:db8::1\"],\"applied_epoch\":7,"
              "\"egress_weight\":100,\"mode\":\"active\",\"name\":\"edge1\",\"note\":"
              "\"\",\"number\":1,\"ssh\":\"root@a\",\"state\":\"up\",\"version\":"
              "\"0.1.0\",\"wanted_epoch\":7}");
    free(text);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_store_away),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
