#include "common/pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/mem.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

static struct pgfixture *fx;

static const struct cm_pg_statement st_echo = {"echo", "select $1::text, null::text"};
static const struct cm_pg_statement st_insert = {"ins", "insert into t(k) values($1)"};
static const struct cm_pg_statement st_count = {"count", "select count(*) from t"};
static const struct cm_pg_statement st_bad = {"bad", "select nothing from nowhere"};
static const struct cm_pg_statement st_sleep = {"sleep", "select pg_sleep($1::float)"};
static const struct cm_pg_statement st_star = {"star", "select * from s"};

struct seen {
    int calls;
    int rows;
    int64_t affected;
    bool value_null;
    char value[64];
    enum cm_err_kind kind;
    char text[256];
};

struct world {
    struct cm_loop *loop;
    struct cm_pg *pg;
    bool up;
    int ups, downs;
    char notified[64];
};

static void on_result(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct seen *seen = ctx;
    seen->calls++;
    if (res == NULL) {
        seen->kind = err->kind;
        snprintf(seen->text, sizeof(seen->text), "%.255s", err->text);
        return;
    }
    seen->rows = cm_pg_rows(res);
    seen->affected = cm_pg_affected(res);
    if (seen->rows > 0) {
        const char *v = cm_pg_value(res, 0, 0);
        snprintf(seen->value, sizeof(seen->value), "%.63s", v != NULL ? v : "(null)");
    }
}

static void on_state(bool up, void *ctx)
{
    struct world *w = ctx;
    w->up = up;
    *(up ? &w->ups : &w->downs) += 1;
}

static void on_notify(const char *payload, void *ctx)
{
    struct world *w = ctx;
    snprintf(w->notified, sizeof(w->notified), "%.63s", payload);
}

static void run_until(struct world *w, const int *calls, int want, int64_t limit_ms)
{
    int64_t end = cm_now_mono_ms() + limit_ms;
    while (*calls < want && cm_now_mono_ms() < end) {
        cm_loop_once(w->loop, 20);
    }
    assert_int_equal(*calls, want);
}

static void open_world(struct world *w, unsigned connections, unsigned queue,
                       int64_t deadline_ms)
{
    memset(w, 0, sizeof(*w));
    w->loop = cm_loop_new();
    struct cm_pg_options opt = {.conninfo =
                                    pgfixture_conninfo(fx, "postgres", "postgres"),
                                .connections = connections,
                                .max_queue = queue,
                                .deadline_ms = deadline_ms,
                                .listen_channel = "news",
                                .on_notify = on_notify,
                                .on_state = on_state,
                                .ctx = w};
    w->pg = cm_pg_new(w->loop, &opt);
    run_until(w, &w->ups, 1, 5000);
    assert_true(cm_pg_up(w->pg));
}

static void close_world(struct world *w)
{
    cm_pg_free(&w->pg);
    cm_loop_free(&w->loop);
}

static void ask(struct world *w, const struct cm_pg_statement *st, const char *param,
                struct seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    cm_pg_query(w->pg, st, &param, param != NULL ? 1 : 0, on_result, seen);
}

static void test_queries(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 3, 0, 0);
    struct seen seen;
    for (int i = 0; i < 3; i++) { /* first prepares, later ones do not */
        ask(&w, &st_echo, "it's \"x\"", &seen);
        run_until(&w, &seen.calls, 1, 2000);
        assert_int_equal(seen.kind, CM_ERR_NONE);
        assert_int_equal(seen.rows, 1);
        assert_string_equal(seen.value, "it's \"x\"");
    }
    const char *null_param[] = {NULL};
    memset(&seen, 0, sizeof(seen));
    cm_pg_query(w.pg, &st_echo, null_param, 1, on_result, &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_string_equal(seen.value, "(null)");
    ask(&w, &st_insert, "7", &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_int_equal(seen.affected, 1);
    close_world(&w);
}

static void test_sql_error_is_world(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 0, 0);
    struct seen seen;
    ask(&w, &st_bad, NULL, &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_int_equal(seen.kind, CM_ERR_WORLD);
    assert_non_null(strstr(seen.text, "42P01"));
    ask(&w, &st_echo, "still works", &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_string_equal(seen.value, "still works");
    close_world(&w);
}

static void test_many_queries_share_few_connections(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 0, 0);
    static struct seen seen[500];
    for (int i = 0; i < 500; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        ask(&w, &st_echo, text, &seen[i]);
    }
    for (int i = 0; i < 500; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        run_until(&w, &seen[i].calls, 1, 5000);
        assert_string_equal(seen[i].value, text);
    }
    assert_true(atoi(pgfixture_sql(fx, "postgres",
                                   "select count(*) from pg_stat_activity where "
                                   "application_name='portico'")) <= 2);
    close_world(&w);
}

static void test_queue_limit(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2, 0);
    struct seen seen[4];
    ask(&w, &st_sleep, "0.2", &seen[0]); /* on the connection */
    ask(&w, &st_echo, "1", &seen[1]);
    ask(&w, &st_echo, "2", &seen[2]);
    ask(&w, &st_echo, "3", &seen[3]);
    assert_int_equal(seen[3].calls, 1);
    assert_int_equal(seen[3].kind, CM_ERR_RETRY);
    run_until(&w, &seen[2].calls, 1, 2000);
    assert_string_equal(seen[1].value, "1");
    assert_string_equal(seen[2].value, "2");
    close_world(&w);
}

static void test_deadline_then_recovers(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 0, 300);
    struct seen slow, queued, after;
    int64_t start = cm_now_mono_ms();
    ask(&w, &st_sleep, "30", &slow);
    ask(&w, &st_echo, "x", &queued);
    run_until(&w, &slow.calls, 1, 2000);
    run_until(&w, &queued.calls, 1, 2000);
    assert_int_equal(slow.kind, CM_ERR_RETRY);
    assert_int_equal(queued.kind, CM_ERR_RETRY);
    assert_true(cm_now_mono_ms() - start < 1000);
    run_until(&w, &w.ups, 2, 5000);
    ask(&w, &st_echo, "back", &after);
    run_until(&w, &after.calls, 1, 2000);
    assert_string_equal(after.value, "back");
    close_world(&w);
}

static void test_frozen_server(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 0, 300);
    pgfixture_freeze(fx);
    struct seen a;
    ask(&w, &st_echo, "a", &a);
    run_until(&w, &a.calls, 1, 2000);
    assert_int_equal(a.kind, CM_ERR_RETRY);
    pgfixture_unfreeze(fx);
    for (int i = 0; i < 100; i++) {
        ask(&w, &st_echo, "b", &a);
        run_until(&w, &a.calls, 1, 2000);
        if (a.kind == CM_ERR_NONE) {
            break;
        }
        cm_loop_once(w.loop, 100);
    }
    assert_string_equal(a.value, "b");
    close_world(&w);
}

static void test_server_restart(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 4, 0, 0);
    struct seen during, away, after;
    ask(&w, &st_sleep, "30", &during);
    for (int i = 0; i < 10; i++) {
        cm_loop_once(w.loop, 10);
    }
    pgfixture_stop(fx);
    run_until(&w, &w.downs, 1, 2000);
    assert_int_equal(during.calls, 1);
    assert_int_equal(during.kind, CM_ERR_RETRY);
    int64_t start = cm_now_mono_ms();
    ask(&w, &st_echo, "x", &away);
    assert_int_equal(away.calls, 1); /* at once, not after a deadline */
    assert_int_equal(away.kind, CM_ERR_RETRY);
    assert_true(cm_now_mono_ms() - start < 50);
    assert_non_null(strstr(away.text, "PostgreSQL is away"));
    pgfixture_start(fx);
    run_until(&w, &w.ups, 2, 5000);
    ask(&w, &st_echo, "again", &after); /* prepared anew */
    run_until(&w, &after.calls, 1, 2000);
    assert_string_equal(after.value, "again");
    close_world(&w);
}

static void test_notify(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 0, 0);
    for (int i = 0; i < 5; i++) {
        cm_loop_once(w.loop, 20);
    }
    /* The first connection up may be the other one: repeat until LISTEN has been sent.
     */
    for (int i = 0; i < 50 && w.notified[0] == '\0'; i++) {
        pgfixture_sql(fx, "postgres", "notify news, 'epoch 5'");
        cm_loop_once(w.loop, 50);
    }
    assert_string_equal(w.notified, "epoch 5");
    close_world(&w);
}

static void test_schema_changes_under_a_statement(void **state)
{
    (void)state;
    pgfixture_sql(fx, "postgres", "create table s(a int); insert into s values (1)");
    struct world w;
    open_world(&w, 1, 0, 0);
    struct seen seen;
    ask(&w, &st_star, NULL, &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_string_equal(seen.value, "1");
    pgfixture_sql(fx, "postgres", "alter table s add b int");
    ask(&w, &st_star, NULL, &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_int_equal(seen.kind, CM_ERR_RETRY);
    run_until(&w, &w.ups, 2, 2000);
    ask(&w, &st_star, NULL, &seen);
    run_until(&w, &seen.calls, 1, 2000);
    assert_string_equal(seen.value, "1");
    close_world(&w);
}

static void test_free_answers_everything(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 0, 0);
    struct seen a, b;
    ask(&w, &st_sleep, "30", &a);
    ask(&w, &st_echo, "1", &b);
    cm_loop_once(w.loop, 10);
    cm_pg_free(&w.pg);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    assert_string_equal(a.text, "shutting down");
    cm_loop_free(&w.loop);
}

struct chain {
    struct world *w;
    int calls;
};

static void chain_next(const struct cm_pg_result *res, const struct cm_err *err,
                       void *ctx)
{
    (void)err;
    struct chain *chain = ctx;
    assert_non_null(res);
    if (++chain->calls < 20) {
        cm_pg_query(chain->w->pg, &st_count, NULL, 0, chain_next, chain);
    }
}

static void test_query_from_a_callback(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 0, 0);
    struct chain chain = {.w = &w};
    cm_pg_query(w.pg, &st_count, NULL, 0, chain_next, &chain);
    run_until(&w, &chain.calls, 20, 3000);
    close_world(&w);
}

static void test_wrong_role(void **state)
{
    (void)state;
    struct world w = {.loop = cm_loop_new()};
    struct cm_pg_options opt = {.conninfo =
                                    pgfixture_conninfo(fx, "postgres", "nobody_here"),
                                .connections = 1};
    w.pg = cm_pg_new(w.loop, &opt);
    for (int i = 0; i < 50 && cm_pg_last_error(w.pg)[0] == '\0'; i++) {
        cm_loop_once(w.loop, 20);
    }
    struct seen seen;
    ask(&w, &st_echo, "x", &seen);
    assert_int_equal(seen.kind, CM_ERR_RETRY);
    assert_non_null(strstr(seen.text, "nobody_here"));
    close_world(&w);
}

/* A program that was killed and is back must not turn the first caller away. */
static void test_query_before_the_first_connection(void **state)
{
    (void)state;
    struct world w = {.loop = cm_loop_new()};
    struct cm_pg_options opt = {
        .conninfo = pgfixture_conninfo(fx, "postgres", "postgres"), .connections = 2};
    struct seen seen;
    w.pg = cm_pg_new(w.loop, &opt);
    ask(&w, &st_echo, "early", &seen);
    assert_int_equal(seen.calls, 0);
    run_until(&w, &seen.calls, 1, 2000);
    assert_int_equal(seen.kind, CM_ERR_NONE);
    assert_string_equal(seen.value, "early");
    close_world(&w);
}

static void test_query_before_a_failed_attempt(void **state)
{
    (void)state;
    struct world w = {.loop = cm_loop_new()};
    struct cm_pg_options opt = {.conninfo = "host=/nowhere/at/all dbname=x user=x",
                                .connections = 2};
    struct seen seen;
    w.pg = cm_pg_new(w.loop, &opt);
    ask(&w, &st_echo, "early", &seen);
    run_until(&w, &seen.calls, 1, 1000);
    assert_int_equal(seen.kind, CM_ERR_RETRY);
    close_world(&w);
}

static int group_setup(void **state)
{
    fx = pgfixture_new();
    *state = fx;
    if (fx != NULL) {
        pgfixture_sql(fx, "postgres", "create table t(k text)");
    }
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    pgfixture_free(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_queries, need),
        cmocka_unit_test_setup(test_sql_error_is_world, need),
        cmocka_unit_test_setup(test_many_queries_share_few_connections, need),
        cmocka_unit_test_setup(test_queue_limit, need),
        cmocka_unit_test_setup(test_deadline_then_recovers, need),
        cmocka_unit_test_setup(test_frozen_server, need),
        cmocka_unit_test_setup(test_server_restart, need),
        cmocka_unit_test_setup(test_notify, need),
        cmocka_unit_test_setup(test_schema_changes_under_a_statement, need),
        cmocka_unit_test_setup(test_free_answers_everything, need),
        cmocka_unit_test_setup(test_query_from_a_callback, need),
        cmocka_unit_test_setup(test_wrong_role, need),
        cmocka_unit_test_setup(test_query_before_the_first_connection, need),
        cmocka_unit_test(test_query_before_a_failed_attempt),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
