/* What is read from the cluster's answers, and the document as edited. */
#include "fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "modes.h"

#define KEY_B "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_C "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

#define MEMBER(name, mode, applied, applied_mode, age, error)                          \
    "{\"name\":\"" name "\",\"number\":1,\"mode\":\"" mode                             \
    "\",\"applied_epoch\":" applied ",\"applied_mode\":\"" applied_mode                \
    "\",\"report_age_ms\":" age ",\"error\":\"" error "\"}"
#define STATUS(members) "{\"epoch\":7,\"refused\":\"\",\"gateways\":[" members "]}"

static struct op_fleet parse(const char *text)
{
    struct op_fleet fleet;
    struct cm_err err = {.text = ""};

    if (op_fleet_parse(text, &fleet, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return fleet;
}

static void test_applied(void **state)
{
    static const struct {
        const char *member, *why; /* NULL: it has */
    } cases[] = {
        {MEMBER("e", "drain", "7", "drain", "400", ""), NULL},
        {MEMBER("e", "drain", "6", "active", "400", ""),
         "it is at epoch 6, mode active"},
        {MEMBER("e", "drain", "7", "active", "400", ""),
         "it is at epoch 7, mode active"},
        {MEMBER("e", "drain", "7", "drain", "400", "nft said no"), "nft said no"},
        {MEMBER("e", "drain", "7", "drain", "31000", ""), "no report for 31 s"},
        {MEMBER("e", "drain", "-1", "", "-1", "no report yet"), "no report yet"},
        {MEMBER("other", "drain", "7", "drain", "400", ""),
         "it is not part of the published state"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[600], why[300];
        snprintf(text, sizeof(text), STATUS("%s"), cases[i].member);
        struct op_fleet fleet = parse(text);
        assert_int_equal(op_fleet_applied(&fleet, "e", CM_MODE_DRAIN, why, sizeof(why)),
                         cases[i].why == NULL);
        assert_string_equal(why, cases[i].why != NULL ? cases[i].why : "");
    }
}

static void test_last(void **state)
{
    struct op_fleet fleet;

    (void)state;
    fleet = parse(STATUS(MEMBER("a", "active", "7", "active", "1", "")));
    assert_true(op_fleet_is_last(&fleet, "a"));
    fleet = parse(STATUS(MEMBER("a", "active", "7", "active", "1",
                                "") "," MEMBER("b", "active", "7", "active", "1", "")));
    assert_false(op_fleet_is_last(&fleet, "a"));
    /* the other is drained, or silent: it takes nobody */
    fleet = parse(STATUS(MEMBER("a", "active", "7", "active", "1",
                                "") "," MEMBER("b", "drain", "7", "drain", "1", "")));
    assert_true(op_fleet_is_last(&fleet, "a"));
    assert_false(op_fleet_is_last(&fleet, "b"));
    fleet = parse(STATUS(MEMBER("a", "active", "7", "active", "1", "") "," MEMBER(
        "b", "active", "7", "active", "30001", "")));
    assert_true(op_fleet_is_last(&fleet, "a"));
    assert_false(op_fleet_is_last(&fleet, "nobody"));
}

static void test_late(void **state)
{
    struct op_fleet fleet =
        parse(STATUS(MEMBER("a", "active", "7", "active", "1", "") "," MEMBER(
            "b", "active", "6", "active", "1",
            "nft said no") "," MEMBER("c", "active", "5", "active", "90000", "")));
    char late[200], small[12];
    size_t living;

    (void)state;
    assert_int_equal(op_fleet_late(&fleet, "a", &living, late, sizeof(late)), 2);
    assert_int_equal(living, 1);
    assert_string_equal(late, "b: nft said no; c: no report for 90 s");
    assert_int_equal(op_fleet_late(&fleet, "b", &living, late, sizeof(late)), 1);
    assert_int_equal(living, 0);
    assert_int_equal(op_fleet_late(&fleet, "a", &living, small, sizeof(small)), 2);
    assert_string_equal(small, "b: nft said");
}

static void test_foreign_answers(void **state)
{
    static const char *const texts[] = {"", "oops", "[]", "{\"epoch\":1}",
                                        "{\"epoch\":\"1\",\"gateways\":[]}"};
    struct op_fleet fleet;
    struct cm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(op_fleet_parse(texts[i], &fleet, &err), -1);
    }
}

static const char document[] =
    "{\"bus_port\":4710,\"domain\":\"_chat.example\",\"egress\":\"gateways\","
    "\"epoch\":7,\"format\":\"1.3\",\"gateways\":[{\"addresses\":[\"198.51.100.11\"],"
    "\"egress\":true,\"endpoint\":\"198.51.100.11\",\"mode\":\"active\",\"name\":\"a\","
    "\"number\":1,\"wg_port\":51820,\"wg_public_key\":\"" KEY_B "\"},"
    "{\"addresses\":[\"203.0.113.12\"],\"egress\":true,\"endpoint\":\"203.0.113.12\","
    "\"mode\":\"hold\",\"name\":\"b\",\"number\":2,\"wg_port\":51820,"
    "\"wg_public_key\":\"" KEY_C "\"}],\"metrics_port\":3903,\"ports\":[25,993],"
    "\"store_wg_public_key\":\"" KEY_A "\"}";

/* A mode, or a gateway, and nothing else. */
static void test_edited(void **state)
{
    struct px_state *s = calloc(1, sizeof(*s)), *t = calloc(1, sizeof(*t));
    struct cm_err err = {.text = ""};

    (void)state;
    if (px_state_parse(document, strlen(document), s, &err) != 0) {
        fail_msg("%s", err.text);
    }
    char *text = op_edited_state(s, "a", CM_MODE_DRAIN, false, CM_EGRESS_GATEWAYS);
    assert_int_equal(px_state_parse(text, strlen(text), t, &err), 0);
    assert_int_equal(t->gateways[0].mode, CM_MODE_DRAIN);
    assert_int_equal(t->gateways[1].mode, CM_MODE_HOLD);
    t->gateways[0].mode = CM_MODE_ACTIVE;
    t->epoch = s->epoch;
    char *back = px_state_dump(t);
    assert_string_equal(back, document);
    free(back);
    free(text);
    text = op_edited_state(s, "a", CM_MODE_DRAIN, true, CM_EGRESS_DIRECT);
    assert_int_equal(px_state_parse(text, strlen(text), t, &err), 0);
    assert_int_equal(t->gateway_count, 1);
    assert_string_equal(t->gateways[0].name, "b");
    assert_int_equal(t->egress, CM_EGRESS_DIRECT);
    free(text);
    free(s);
    free(t);
}

static void test_published(void **state)
{
    struct op_published was;
    struct cm_err err = {.text = ""};
    char *rows = malloc(4096);

    (void)state;
    snprintf(rows, 4096, "document %s\nnumber 1 a\nnumber 2 b\nnumber 3 old", document);
    assert_int_equal(op_published_parse(rows, STATUS(""), &was, &err), 0);
    assert_int_equal(was.state.epoch, 7);
    assert_true(op_published_knew(&was, "old"));
    assert_true(op_published_knew(&was, "a"));
    assert_false(op_published_knew(&was, "ol"));
    assert_false(op_published_knew(&was, "3"));
    op_published_clear(&was);
    assert_int_equal(op_published_parse("number 1 a", STATUS(""), &was, &err), -1);
    assert_non_null(strstr(err.text, "chatops run"));
    op_published_clear(&was);
    assert_int_equal(op_published_parse("document {}", STATUS(""), &was, &err), -1);
    op_published_clear(&was);
    assert_int_equal(
        op_published_parse(rows, "{\"epoch\":7,\"refused\":\"forged\",\"gateways\":[]}",
                           &was, &err),
        -1);
    assert_non_null(strstr(err.text, "forged"));
    op_published_clear(&was);
    free(rows);
}

static void test_time(void **state)
{
    static const char *const bad[] = {"-1", "3601", "soon", ""};
    struct cm_err err;
    int64_t ms;

    (void)state;
    assert_int_equal(op_drain_time(NULL, &ms, &err), 0);
    assert_int_equal(ms, 60000);
    assert_int_equal(op_drain_time("0", &ms, &err), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(op_drain_time("3600", &ms, &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(op_drain_time(bad[i], &ms, &err), -1);
        assert_int_equal(strncmp(err.text, "--for", 5), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_applied), cmocka_unit_test(test_last),
        cmocka_unit_test(test_late),    cmocka_unit_test(test_foreign_answers),
        cmocka_unit_test(test_edited),  cmocka_unit_test(test_published),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
