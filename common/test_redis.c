#include "common/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/loop.h"
#include "need/need.h"
#include "redisfixture/redisfixture.h"

static struct redisfixture *fx;

struct seen {
    int calls, fails;
    struct cm_redis_value value; /* of the last one; text is a copy */
    char text[64];
    size_t items;
    struct cm_err err;
};

struct world {
    struct cm_loop *loop;
    struct cm_redis *redis;
    int ups, downs;
};

static void on_value(const struct cm_redis_value *value, const struct cm_err *err,
                     void *ctx)
{
    struct seen *seen = ctx;
    seen->calls++;
    if (value == NULL) {
        seen->fails++;
        seen->err = *err;
        return;
    }
    assert_int_equal(err->kind, CM_ERR_NONE);
    seen->value = *value;
    seen->items = 0;
    const struct cm_redis_value *v = value;
    if (v->type == CM_REDIS_LIST) {
        seen->items = v->len;
        v = v->len > 0 ? &v->items[v->len - 1] : v;
    }
    if (v->type == CM_REDIS_TEXT) {
        assert_true(v->len < sizeof(seen->text));
        assert_int_equal(v->text[v->len], '\0');
        memcpy(seen->text, v->text, v->len + 1);
    }
}

static void on_state(bool up, void *ctx)
{
    struct world *w = ctx;
    *(up ? &w->ups : &w->downs) += 1;
}

static void wait_for(struct world *w, const int *count, int want, int64_t limit_ms)
{
    int64_t end = cm_now_mono_ms() + limit_ms;
    while (*count < want && cm_now_mono_ms() < end) {
        cm_loop_once(w->loop, 20);
    }
    assert_int_equal(*count, want);
}

static void open_world(struct world *w, unsigned max_queue, int64_t deadline_ms)
{
    *w = (struct world){.loop = cm_loop_new()};
    struct cm_redis_options opt = {.path = redisfixture_path(fx),
                                   .max_queue = max_queue,
                                   .deadline_ms = deadline_ms,
                                   .on_state = on_state,
                                   .ctx = w};
    w->redis = cm_redis_new(w->loop, &opt);
}

static void close_world(struct world *w)
{
    cm_redis_free(&w->redis);
    cm_loop_free(&w->loop);
}

#define ASK(w, seen, ...)                                                              \
    cm_redis_words((w)->redis, (const char *const[]){__VA_ARGS__, NULL}, on_value, seen)

static void test_values(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    open_world(&w, 0, 0);
    ASK(&w, &seen, "SET", "a", "one"); /* before it is connected */
    wait_for(&w, &seen.calls, 1, 2000);
    assert_string_equal(seen.text, "OK");
    assert_int_equal(w.ups, 1);
    assert_true(cm_redis_up(w.redis));
    ASK(&w, &seen, "GET", "a");
    wait_for(&w, &seen.calls, 2, 2000);
    assert_string_equal(seen.text, "one");
    ASK(&w, &seen, "GET", "nothing");
    wait_for(&w, &seen.calls, 3, 2000);
    assert_int_equal(seen.value.type, CM_REDIS_NIL);
    ASK(&w, &seen, "STRLEN", "a");
    wait_for(&w, &seen.calls, 4, 2000);
    assert_int_equal(seen.value.type, CM_REDIS_INT);
    assert_int_equal(seen.value.integer, 3);
    ASK(&w, &seen, "EVAL", "return {1, {2, 'x'}, 'last'}", "0");
    wait_for(&w, &seen.calls, 5, 2000);
    assert_int_equal(seen.items, 3);
    assert_string_equal(seen.text, "last");
    ASK(&w, &seen, "NOSUCHCOMMAND");
    wait_for(&w, &seen.fails, 1, 2000);
    assert_int_equal(seen.err.kind, CM_ERR_WORLD);
    ASK(&w, &seen, "GET", "a"); /* it went on */
    wait_for(&w, &seen.calls, 7, 2000);
    assert_int_equal(w.downs, 0);
    close_world(&w);
}

static void test_every_byte(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    open_world(&w, 0, 0);
    static const char key[] = "k\0\r\n$5", value[] = "\0\xff\r\n*1\r\n";
    struct cm_redis_arg set[] = {
        {"SET", 3}, {key, sizeof(key)}, {value, sizeof(value)}, {"EX", 2}, {"9", 1}};
    struct cm_redis_arg get[] = {{"GET", 3}, {key, sizeof(key)}};
    cm_redis_command(w.redis, set, 5, on_value, &seen);
    cm_redis_command(w.redis, get, 2, on_value, &seen);
    wait_for(&w, &seen.calls, 2, 2000);
    assert_int_equal(seen.value.len, sizeof(value));
    assert_memory_equal(seen.text, value, sizeof(value));
    struct cm_redis_arg empty[] = {{"SET", 3}, {"", 0}, {"", 0}};
    cm_redis_command(w.redis, empty, 3, NULL, NULL); /* nobody wants the answer */
    ASK(&w, &seen, "GET", "");
    wait_for(&w, &seen.calls, 3, 2000);
    assert_int_equal(seen.value.type, CM_REDIS_TEXT);
    assert_int_equal(seen.value.len, 0);
    close_world(&w);
}

static void on_ordered(const struct cm_redis_value *value, const struct cm_err *err,
                       void *ctx)
{
    (void)err;
    int *count = ctx;
    assert_non_null(value);
    assert_int_equal(value->integer, ++*count);
}

static void test_pipelined(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    open_world(&w, 20001, 0);
    ASK(&w, &seen, "DEL", "counter");
    wait_for(&w, &seen.calls, 1, 2000);
    int count = 0;
    for (int i = 0; i < 20000; i++) {
        cm_redis_words(w.redis, (const char *const[]){"INCR", "counter", NULL},
                       on_ordered, &count);
    }
    ASK(&w, &seen, "GET", "counter");
    assert_int_equal(seen.fails, 0);
    ASK(&w, &seen, "GET", "counter"); /* one too many */
    assert_int_equal(seen.fails, 1);
    assert_int_equal(seen.err.kind, CM_ERR_RETRY);
    wait_for(&w, &count, 20000, 10000);
    wait_for(&w, &seen.calls, 3, 2000);
    assert_string_equal(seen.text, "20000");
    close_world(&w);
}

static void test_deadline(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    open_world(&w, 0, 200);
    wait_for(&w, &w.ups, 1, 2000);
    redisfixture_freeze(fx);
    int64_t start = cm_now_mono_ms();
    ASK(&w, &seen, "GET", "a");
    ASK(&w, &seen, "GET", "a");
    wait_for(&w, &seen.fails, 2, 2000);
    assert_true(cm_now_mono_ms() - start < 1500);
    assert_int_equal(seen.err.kind, CM_ERR_RETRY);
    assert_int_equal(w.downs, 1);
    assert_false(cm_redis_up(w.redis));
    ASK(&w, &seen, "GET", "a"); /* at once */
    assert_int_equal(seen.fails, 3);
    assert_non_null(strstr(seen.err.text, "deadline"));
    redisfixture_unfreeze(fx);
    wait_for(&w, &w.ups, 2, 5000);
    ASK(&w, &seen, "PING");
    wait_for(&w, &seen.calls, 4, 2000);
    assert_int_equal(seen.fails, 3);
    close_world(&w);
}

static void test_restart_and_scripts(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    struct cm_redis_script script = {.source = "redis.call('incrby', KEYS[1], ARGV[1])"
                                               " return redis.call('get', KEYS[1])"};
    struct cm_redis_arg key = {"sum", 3}, by = {"5", 1};
    open_world(&w, 0, 0);
    for (int round = 1; round <= 3; round++) {
        cm_redis_eval(w.redis, &script, &key, 1, &by, 1, on_value, &seen);
        cm_redis_eval(w.redis, &script, &key, 1, &by, 1, on_value, &seen);
        wait_for(&w, &seen.calls, round * 2, 3000);
        assert_int_equal(seen.fails, 0);
        assert_int_equal(atoi(seen.text), round * 10);
        redisfixture_stop(fx);
        wait_for(&w, &w.downs, round, 2000);
        assert_true(cm_redis_last_error(w.redis)[0] != '\0');
        redisfixture_start(fx);
        wait_for(&w, &w.ups, round + 1, 5000);
    }
    struct cm_redis_script wrong = {.source = "return redis.call('incr')"};
    cm_redis_eval(w.redis, &wrong, NULL, 0, NULL, 0, on_value, &seen);
    wait_for(&w, &seen.fails, 1, 2000);
    assert_int_equal(seen.err.kind, CM_ERR_WORLD);
    close_world(&w);
}

static void test_absent_then_loading(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    redisfixture_ask(fx, "EVAL", "for i = 1, 3000 do redis.call('set', i, 'x') end",
                     "0", NULL);
    redisfixture_stop(fx);
    open_world(&w, 0, 0);
    ASK(&w, &seen, "GET", "1"); /* the first attempt has ended: nobody is there */
    wait_for(&w, &seen.fails, 1, 1000);
    assert_int_equal(seen.err.kind, CM_ERR_RETRY);
    redisfixture_option(fx, "key-load-delay", "20");
    redisfixture_option(fx, "loading-process-events-interval-bytes", "1024");
    redisfixture_spawn(fx);
    int64_t end = cm_now_mono_ms() + 10000;
    while (strstr(cm_redis_last_error(w.redis), "LOADING") == NULL &&
           cm_now_mono_ms() < end) {
        cm_loop_once(w.loop, 20);
    }
    assert_non_null(strstr(cm_redis_last_error(w.redis), "LOADING"));
    assert_int_equal(w.ups, 0);
    wait_for(&w, &w.ups, 1, 10000);
    ASK(&w, &seen, "GET", "3000");
    wait_for(&w, &seen.calls, 2, 2000);
    assert_string_equal(seen.text, "x");
    close_world(&w);
}

static void test_full(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    struct cm_redis_script script = {.source = "return redis.call('set', KEYS[1], 1)"};
    struct cm_redis_arg key = {"full", 4};
    open_world(&w, 0, 0);
    ASK(&w, &seen, "CONFIG", "SET", "maxmemory", "1");
    ASK(&w, &seen, "SET", "full", "1");
    wait_for(&w, &seen.calls, 2, 2000);
    assert_int_equal(seen.fails, 1);
    assert_int_equal(seen.err.kind, CM_ERR_RETRY);
    cm_redis_eval(w.redis, &script, &key, 1, NULL, 0, on_value, &seen);
    wait_for(&w, &seen.fails, 2, 2000);
    assert_int_equal(seen.err.kind, CM_ERR_RETRY);
    ASK(&w, &seen, "CONFIG", "SET", "maxmemory", "0");
    wait_for(&w, &seen.calls, 4, 2000);
    assert_int_equal(seen.fails, 2);
    close_world(&w);
}

/* Freed by an answer, with others behind it in the same read. */
static void on_free(const struct cm_redis_value *value, const struct cm_err *err,
                    void *ctx)
{
    (void)value;
    (void)err;
    struct world *w = ctx;
    cm_redis_free(&w->redis);
}

static void test_free_inside(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    open_world(&w, 0, 0);
    cm_redis_words(w.redis, (const char *const[]){"PING", NULL}, on_free, &w);
    ASK(&w, &seen, "PING");
    ASK(&w, &seen, "PING");
    wait_for(&w, &seen.fails, 2, 2000);
    assert_string_equal(seen.err.text, "shutting down");
    assert_null(w.redis);
    close_world(&w);

    open_world(&w, 0, 200); /* and by a failure */
    wait_for(&w, &w.ups, 1, 2000);
    redisfixture_freeze(fx);
    cm_redis_words(w.redis, (const char *const[]){"PING", NULL}, on_free, &w);
    ASK(&w, &seen, "PING");
    wait_for(&w, &seen.fails, 3, 2000);
    redisfixture_unfreeze(fx);
    close_world(&w);
}

static int group_setup(void **state)
{
    *state = fx = redisfixture_new();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    redisfixture_free(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_values, need),
        cmocka_unit_test_setup(test_every_byte, need),
        cmocka_unit_test_setup(test_pipelined, need),
        cmocka_unit_test_setup(test_deadline, need),
        cmocka_unit_test_setup(test_restart_and_scripts, need),
        cmocka_unit_test_setup(test_full, need),
        cmocka_unit_test_setup(test_free_inside, need),
        cmocka_unit_test_setup(test_absent_then_loading, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
