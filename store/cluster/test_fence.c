/* Bans from the table to the document, and traffic in its table: ledger, bans, fence,
 * budget and control as in the program, over a real PostgreSQL. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "bans.h"
#include "budget.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/pg.h"
#include "common/sign.h"
#include "control.h"
#include "fence.h"
#include "ledger.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

#define LIMIT_MS 8000

static struct pgfixture *pg;
static char secret[CM_SIGN_KEY_TEXT], public_key[CM_SIGN_KEY_TEXT];
static struct px_state state; /* obeyed */
static char conninfo[256], refused[8];
static struct cm_loop *loop;
static struct cm_pg *books;
static struct ledger *ledger;
static struct bans *bans;
static struct fence *fence;
static struct budget *budget;
static struct control *control;

/* ---- the program in small ---- */

static void on_newest(const char *envelope, void *ctx)
{
    (void)ctx;
    struct cm_err err;
    static struct px_state newest;
    if (*envelope != '\0') {
        assert_int_equal(
            px_envelope_open(public_key, envelope, strlen(envelope), &newest, &err), 0);
        assert_true(newest.epoch >= state.epoch);
        state = newest;
    }
}

static void on_read(void *ctx)
{
    (void)ctx;
    if (fence != NULL) {
        fence_tick(fence);
    }
}

static void on_notice(const char *payload, void *ctx)
{
    (void)payload;
    (void)ctx;
    bans_read(bans);
}

static void on_call(struct control_call *call, const char *verb, const char *input,
                    void *ctx)
{
    (void)ctx;
    assert_true(fence_call(fence, call, verb, input));
}

static void start(void)
{
    loop = cm_loop_new();
    struct cm_pg_options options = {.conninfo = conninfo,
                                    .connections = 2,
                                    .listen_channel = "chatmail_ban",
                                    .on_notify = on_notice};
    struct ledger_options wanted = {.conninfo = conninfo,
                                    .secret_key = secret,
                                    .public_key = public_key,
                                    .newest = on_newest};
    ledger = ledger_new(loop, &wanted);
    books = cm_pg_new(loop, &options);
    bans = bans_new(loop, books, on_read, NULL);
    budget = budget_new(loop, books);
    struct fence_env env = {bans, ledger, &state, refused};
    fence = fence_new(&env);
    control = control_new(loop, on_call, NULL);
}

static void stop(void)
{
    cm_pg_free(&books);
    ledger_free(&ledger);
    fence_free(&fence);
    bans_free(&bans);
    budget_free(&budget);
    control_free(&control);
    cm_loop_free(&loop);
}

static void on_limit(void *ctx)
{
    (void)ctx;
    cm_loop_stop(loop);
}

static void run_for(int64_t ms)
{
    struct cm_timer *timer = cm_timer_new(loop, on_limit, NULL);
    cm_timer_set(timer, ms);
    cm_loop_run(loop);
    cm_timer_free(&timer);
}

static void run_until(bool (*so)(void))
{
    int64_t end = cm_now_mono_ms() + LIMIT_MS;
    while (!so() && cm_now_mono_ms() < end) {
        run_for(20);
        fence_tick(fence);
    }
    assert_true(so());
}

/* As ctl speaks; the answer is the caller's. */
static json_t *call(const char *text)
{
    int pair[2];
    char said[8192];
    ssize_t n = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    control_adopt(control, pair[0]);
    assert_int_equal(write(pair[1], text, strlen(text)), strlen(text));
    shutdown(pair[1], SHUT_WR);
    for (int64_t end = cm_now_mono_ms() + LIMIT_MS; n < 0 && cm_now_mono_ms() < end;) {
        run_for(10);
        n = read(pair[1], said, sizeof(said) - 1);
    }
    close(pair[1]);
    json_t *o = json_loadb(said, n > 0 ? (size_t)n : 0, 0, NULL);
    assert_non_null(o);
    return o;
}

static void refuses(const char *text, const char *reason)
{
    json_t *o = call(text);
    const char *error = json_string_value(json_object_get(o, "error"));
    assert_non_null(error);
    if (strstr(error, reason) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", error, reason);
    }
    json_decref(o);
}

static void accepts(const char *text)
{
    json_t *o = call(text);
    assert_true(json_is_true(json_object_get(o, "ok")));
    json_decref(o);
}

static const char *sql(const char *text)
{
    return pgfixture_sql(pg, "chatmail", text);
}

static bool has(const char *source)
{
    unsigned char bytes[CM_SOURCE_LEN];
    struct cm_err err;
    assert_int_equal(cm_source_parse(source, bytes, &err), 0);
    for (size_t i = 0; i < state.ban_count; i++) {
        if (memcmp(state.bans[i].source, bytes, CM_SOURCE_LEN) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- publishing ---- */

static int64_t published_epoch;
static bool published_change;
static int published;

static void on_published(int64_t epoch, bool changed, const struct cm_err *err,
                         void *ctx)
{
    (void)ctx;
    assert_null(err);
    published_epoch = epoch;
    published_change = changed;
    published++;
}

static bool is_published(void)
{
    return published > 0 && state.epoch >= published_epoch;
}

static void publish(const struct px_state *wanted)
{
    published = 0;
    ledger_publish(ledger, wanted, LEDGER_ALL, state.epoch, on_published, NULL);
    run_until(is_published);
}

static struct px_state *wanted_state(enum cm_mode mode)
{
    static struct px_state wanted;
    wanted = (struct px_state){
        .domain = "a.example",
        .store_wg_public_key = "U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk=",
        .bus_port = 4710,
        .ports = {25, 993},
        .port_count = 2,
        .egress = CM_EGRESS_GATEWAYS,
        .gateway_count = 1,
        .gateways = {
            {.name = "edge1",
             .number = 1,
             .mode = mode,
             .egress = true,
             .addresses = {"198.51.100.11", "2001:db8:1::11"},
             .address_count = 2,
             .endpoint = "198.51.100.11",
             .wg_port = 51820,
             .wg_public_key = "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk="}}};
    return &wanted;
}

/* ---- the tests ---- */

static bool one_is_in(void)
{
    return has("203.0.113.66");
}

static bool none_is_in(void)
{
    return state.ban_count == 0;
}

static void nothing_without_a_document(void **unused)
{
    (void)unused;
    refuses("ban\n203.0.113.66 60 test", "no gateway");
    sql("select ban_add('203.0.113.66', 600, 'wrong passwords', false)");
    run_for(500);
    fence_tick(fence);
    run_for(300);
    assert_int_equal(state.epoch, 0);
    publish(wanted_state(CM_MODE_ACTIVE));
    run_until(one_is_in); /* now it is */
}

/* A daemon's ban comes by itself; what the operator publishes does not touch it. */
static void both_ways_past_each_other(void **unused)
{
    (void)unused;
    int64_t before = state.epoch;
    publish(wanted_state(CM_MODE_ACTIVE));
    assert_false(published_change); /* bans make no difference to a second run */
    assert_int_equal(published_epoch, before);
    publish(wanted_state(CM_MODE_DRAIN));
    assert_true(published_change);
    assert_true(has("203.0.113.66"));
    assert_int_equal(state.gateways[0].mode, CM_MODE_DRAIN);
    /* Both at once: the second waits, neither is lost. */
    published = 0;
    ledger_publish(ledger, wanted_state(CM_MODE_HOLD), LEDGER_ALL, state.epoch,
                   on_published, NULL);
    accepts("ban\n203.0.113.77 600 operator");
    run_until(is_published);
    for (int i = 0; i < 300 && !has("203.0.113.77"); i++) {
        run_for(20);
        fence_tick(fence);
    }
    assert_true(has("203.0.113.66") && has("203.0.113.77"));
    assert_int_equal(state.gateways[0].mode, CM_MODE_HOLD);
}

static void who_may_not_be_banned(void **unused)
{
    (void)unused;
    refuses("ban\n198.51.100.11 60 test", "a gateway's");
    refuses("ban\n2001:db8:1::99 60 test", "a gateway's"); /* the same /64 */
    refuses("ban\n127.0.0.1 60 test", "no address of the Internet");
    refuses("ban\n10.77.1.1 60 test", "no address of the Internet");
    refuses("ban\nfd77:1::1 60 test", "no address of the Internet");
    refuses("ban\nedge1.example 60 test", "not an address");
    refuses("ban\n203.0.113.5 0 test", "too small");
    refuses("ban\n203.0.113.5 99999999 test", "too large");
    refuses("ban\n203.0.113.5 60", "not SOURCE SECONDS REASON");
    refuses("unban\n203.0.113.5", "it is not banned");
    /* What gets into the table all the same does not get into the document. */
    sql("select ban_add('198.51.100.11', 600, 'x', false),"
        " ban_add('10.0.0.1', 600, 'x', false), ban_add('203.0.113.6', 600, 'x', "
        "false)");
    for (int i = 0; i < 400 && !has("203.0.113.6"); i++) {
        run_for(20);
        fence_tick(fence);
    }
    assert_true(has("203.0.113.6"));
    assert_false(has("198.51.100.11") || has("10.0.0.1"));
    assert_false(bans_differ(bans, &state, cm_now_wall_ms() / 1000));
}

static void listed_and_lifted(void **unused)
{
    (void)unused;
    sql("delete from ban; notify chatmail_ban");
    run_until(none_is_in);
    accepts("ban\n2001:db8:5:6:7::8 3600 operator: too many");
    json_t *o = call("bans\n");
    json_t *list = json_object_get(o, "bans"), *row = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(row, "source")),
                        "2001:db8:5:6::/64");
    assert_string_equal(json_string_value(json_object_get(row, "reason")),
                        "operator: too many");
    json_int_t until = json_integer_value(json_object_get(row, "until"));
    assert_in_range(until - cm_now_wall_ms() / 1000, 3590, 3601);
    json_decref(o);
    accepts("unban\n2001:db8:5:6::/64");
    run_until(none_is_in);
    o = call("bans\n");
    assert_true(json_is_true(json_object_get(o, "settled")));
    assert_int_equal(json_array_size(json_object_get(o, "bans")), 0);
    json_decref(o);
    assert_string_equal(sql("select count(*) from ban"), "0");
}

/* What is over stays in the document until there is something to say: no epoch of its
 * own. */
static void over_by_itself(void **unused)
{
    (void)unused;
    accepts("ban\n203.0.113.66 2 operator");
    run_until(one_is_in);
    int64_t before = state.epoch;
    run_for(2500);
    fence_tick(fence);
    run_for(300);
    assert_int_equal(state.epoch, before);
    assert_false(bans_differ(bans, &state, cm_now_wall_ms() / 1000));
    assert_int_equal(bans_count(bans, cm_now_wall_ms() / 1000), 0);
}

/* ---- traffic ---- */

static void carried(const char *boot, int64_t bytes, int64_t now_ms)
{
    struct px_report report = {.name = "edge1", .counts = px_counts_unknown()};
    snprintf(report.counts.boot, sizeof(report.counts.boot), "%s", boot);
    report.counts.uplink_bytes = bytes;
    budget_report(budget, &report, now_ms);
}

static void months_survive_restarts(void **unused)
{
    (void)unused;
    const int64_t november = INT64_C(1795737600000), december = INT64_C(1796947200000);
    int64_t bytes = budget_bytes(budget, "edge1", november);
    assert_int_equal(bytes, -1);
    carried("aaaa", 1000000, november); /* from before it was ours */
    carried("aaaa", 1000500, november);
    assert_int_equal(budget_bytes(budget, "edge1", november), 500);
    carried("bbbb", 200, november); /* rebooted */
    carried("", 77777, november);   /* knows nothing of itself */
    carried("bbbb", -1, november);
    carried("bbbb", 300, november);
    carried("bbbb", 40, november); /* a link made anew */
    assert_int_equal(budget_bytes(budget, "edge1", november), 840);
    budget_write(budget);
    run_for(300);
    assert_string_equal(sql("select name || ' ' || month || ' ' || bytes || ' ' || "
                            "counter || ' ' || boot from gateway_traffic"),
                        "edge1 2026-11-01 840 40 bbbb");
    stop();
    start();
    run_for(700);
    assert_int_equal(budget_bytes(budget, "edge1", november), 840);
    carried("bbbb", 140, november); /* what it carried meanwhile */
    assert_int_equal(budget_bytes(budget, "edge1", november), 940);
    assert_int_equal(budget_bytes(budget, "edge1", december), 0);
    carried("bbbb", 150, december);
    assert_int_equal(budget_bytes(budget, "edge1", december), 10);
    carried("cccc", INT64_MAX, december);
    carried("dddd", INT64_MAX, december); /* lies, and does not overflow */
    assert_true(budget_bytes(budget, "edge1", december) > 0);
}

static int set_up(void **fixture)
{
    static const char *const files[] = {"001-account", "002-cluster", "030-bans",
                                        "031-traffic"};
    struct cm_err err;
    *fixture = pg = pgfixture_new();
    if (pg == NULL) {
        return 0;
    }
    pgfixture_sql(pg, "postgres", "create database chatmail");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), SCHEMA_DIR "/%s.sql", files[i]);
        pgfixture_sql_file(pg, "chatmail", path);
    }
    snprintf(conninfo, sizeof(conninfo), "%s",
             pgfixture_conninfo(pg, "chatmail", "chatmail_cluster"));
    assert_int_equal(cm_sign_keygen(secret, public_key, &err), 0);
    start();
    run_for(500);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    if (pg != NULL) {
        stop();
        pgfixture_free(&pg);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_without_a_document, need),
        cmocka_unit_test_setup(both_ways_past_each_other, need),
        cmocka_unit_test_setup(who_may_not_be_banned, need),
        cmocka_unit_test_setup(listed_and_lifted, need),
        cmocka_unit_test_setup(over_by_itself, need),
        cmocka_unit_test_setup(months_survive_restarts, need),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
