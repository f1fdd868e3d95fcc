/* The texts of an invite (golden files in ops/testdata/enrol; PORTICO_GOLDEN_UPDATE=1
 * writes them anew), and its way through a real database. */
#include "enrol_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/enrol.h"
#include "common/file.h"
#include "common/mem.h"
#include "numbers.h"
#include "pgfixture/pgfixture.h"
#include "publish.h"
#include "waiting.h"

#define TOKEN "abcdefghjkmnabcdefghjkmn"
#define KEY   "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk="
#define HASH  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct cm_conf conf;

static struct op_invitation sample(void)
{
    struct op_invitation inv = {
        .conf = &conf,
        .name = "edge3",
        .number = 3,
        .cluster_key = "Q0xVU1RFUktFWUNMVVNURVJLRVlDTFVTVEVSS0VZQ0w=",
        .store_wg_key = "U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk=",
        .pin = "UElOUElOUElOUElOUElOUElOUElOUElOUElOUElOUEk=",
        .doors = {"198.51.100.11", "2001:db8:1::11"},
        .door_count = 2,
        .packages = {{"amd64", HASH},
                     {"arm64", "fedcba9876543210fedcba9876543210fedcba9876543210fedcba"
                               "9876543210"}},
        .package_count = 2,
    };
    return inv;
}

static void golden(const char *name, const char *got)
{
    char path[4096], *want = NULL;
    struct cm_err err = {.text = ""};

    snprintf(path, sizeof(path), "%s/enrol/%s", getenv("PORTICO_TESTDATA_DIR"), name);
    if (getenv("PORTICO_GOLDEN_UPDATE") != NULL) {
        assert_int_equal(cm_file_replace(path, got, strlen(got), 0644, &err), 0);
        return;
    }
    if (cm_file_read(path, 1 << 20, &want, NULL, &err) != 1) {
        fail_msg("%s: %s", path, err.text);
    }
    assert_string_equal(got, want);
    free(want);
}

static char *script_of(const struct op_invitation *inv)
{
    struct cm_err err = {.text = ""};
    char *script;

    if (op_enrol_script(inv, &script, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return script;
}

static void test_texts(void **state)
{
    struct op_invitation inv = sample();
    char *script = script_of(&inv), *line = op_enrol_line(&inv, TOKEN, HASH),
         *cloud = op_enrol_cloud_init(line);

    (void)state;
    golden("script.sh", script);
    golden("line", line);
    golden("user-data.yaml", cloud);
    assert_null(strchr(line, '\n'));
    assert_null(strstr(script, TOKEN));
    free(script);
    free(line);
    free(cloud);
}

static void test_time(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds; /* 0: refused */
    } cases[] = {
        {NULL, 86400}, {"90m", 5400}, {"24h", 86400},  {"7d", 604800}, {"60", 60},
        {"120s", 120}, {"59", 0},     {"31d", 0},      {"h", 0},       {"", 0},
        {"1w", 0},     {"-1h", 0},    {"9999999d", 0}, {"1d1h", 0},
    };
    struct cm_err err;
    int64_t seconds;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = op_invite_time(cases[i].text, &seconds, &err);
        assert_int_equal(rc, cases[i].seconds > 0 ? 0 : -1);
        if (rc == 0) {
            assert_int_equal(seconds, cases[i].seconds);
        }
    }
}

static struct op_waiters waiters_of(struct pgfixture *pg)
{
    struct op_waiters w;
    struct cm_err err = {.text = ""};

    if (op_waiting_parse(pgfixture_sql(pg, "chatmail", op_waiting_sql), &w, &err) !=
        0) {
        fail_msg("%s", err.text);
    }
    return w;
}

static void test_database(void **state)
{
    struct pgfixture *pg = pgfixture_chatmail(SCHEMA_DIR, "001-account", "002-cluster",
                                              "015-enrol", (char *)NULL);
    struct op_invitation inv = sample();
    char *script, *sql, hash[CM_ENROL_HASH], *ask;

    (void)state;
    if (pg == NULL) {
        skip();
    }
    assert_int_equal(waiters_of(pg).count, 0);
    script = script_of(&inv);
    assert_true(cm_enrol_hash(TOKEN, hash));
    sql = op_enrol_sql("edge3", 3, hash, 3600, script);
    assert_int_equal(strlen(pgfixture_sql(pg, "chatmail", sql)),
                     strlen("2026-11-26T10:00:00Z"));
    /* the same name again: the former token is void */
    pgfixture_sql(pg, "chatmail", sql);
    ask = cm_asprintf("select gateway_enrol_script('%s')", hash);
    assert_string_equal(pgfixture_sql(pg, "chatmail", ask), script);

    struct op_waiters w = waiters_of(pg);
    assert_int_equal(w.count, 1);
    assert_string_equal(w.items[0].name, "edge3");
    assert_false(w.items[0].joined);
    assert_false(w.items[0].over);
    assert_string_equal(w.items[0].print, "");

    free(ask);
    ask = cm_asprintf("select gateway_enrol_join('%s', '%s', '2: eth0    inet "
                      "203.0.113.13/24 brd 203.0.113.255 scope global eth0', "
                      "'203.0.113.99')",
                      hash, KEY);
    assert_string_equal(pgfixture_sql(pg, "chatmail", ask), "joined");
    w = waiters_of(pg);
    assert_true(w.items[0].joined);
    assert_string_equal(w.items[0].wg_key, KEY);
    assert_string_equal(w.items[0].print, "573e 33c2 540f 3ba3 bb1b");
    assert_string_equal(w.items[0].addresses, "203.0.113.13");
    assert_ptr_equal(op_waiting_find(&w, "edge3"), &w.items[0]);
    assert_null(op_waiting_find(&w, "edge"));
    /* behind its provider's translation: whence it came */
    pgfixture_sql(pg, "chatmail",
                  "update gateway_invite set interfaces = '2: eth0    inet "
                  "10.0.0.5/24 scope global eth0'");
    assert_string_equal(waiters_of(pg).items[0].addresses, "203.0.113.99");
    assert_string_equal(pgfixture_sql(pg, "chatmail", op_numbers_sql), "3 edge3");
    assert_string_equal(pgfixture_sql(pg, "chatmail", op_publish_keys_sql), "");
    pgfixture_sql(pg, "chatmail",
                  "insert into desired_state values (4, E'SIG\\n{\"gateways\":"
                  "[{\"name\":\"edge1\",\"wg_public_key\":\"" KEY "\"}]}')");
    assert_string_equal(pgfixture_sql(pg, "chatmail", op_publish_keys_sql),
                        "edge1 " KEY);
    free(ask);
    free(sql);
    free(script);
    pgfixture_free(&pg);
}

int main(void)
{
    static const char ini[] = "[params]\nmail_domain = chat.example.org\n";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_database),
    };
    struct cm_err err;

    cm_assert(cm_conf_parse("x.ini", ini, strlen(ini), &conf, &err) == 0);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    cm_conf_clear(&conf);
    return rc;
}
