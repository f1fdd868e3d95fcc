/* The scripts, step by step, in a real Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "redisfixture/redisfixture.h"

#include "queue.h"

static struct redisfixture *fx;
static struct cm_loop *loop;
static struct queue *queue;
static bool answered;
static enum cm_err_kind kind;
static struct item *items[64];
static size_t count;
static int64_t last_us, next_us;

static void turn(void)
{
    for (int i = 0; i < 500 && !answered; i++) {
        cm_loop_once(loop, 20);
    }
    assert_true(answered);
    answered = false;
}

static void on_done(const struct cm_err *err, void *ctx)
{
    (void)ctx;
    answered = true;
    kind = err->kind;
}

static void done(void)
{
    turn();
    assert_int_equal(kind, CM_ERR_NONE);
}

static void add_flying(const char *addr, const char *token, int64_t flying_us)
{
    struct queue_token one = {token, strlen(token), flying_us};
    struct queue_add add = {.addr = addr, .tokens = &one, .count = 1, .complete = true};
    queue_add(queue, &add, on_done, NULL);
    done();
}

static void add(const char *addr, const char *token)
{
    add_flying(addr, token, 0);
}

static void clear(void)
{
    while (count > 0) {
        item_free(&items[--count]);
    }
}

static void on_take(const struct queue_taken *taken, const struct cm_err *err,
                    void *ctx)
{
    (void)ctx;
    answered = true;
    kind = err->kind;
    for (size_t i = 0; taken != NULL && i < taken->count; i++) {
        items[count++] = taken->items[i];
    }
    last_us = taken != NULL ? taken->last_us : 0;
    next_us = taken != NULL ? taken->next_us : 0;
}

static size_t take_after(enum queue_lane lane, int64_t after_us, size_t limit)
{
    clear();
    queue_take(queue, lane, after_us, limit, on_take, NULL);
    done();
    return count;
}

static size_t take(enum queue_lane lane)
{
    return take_after(lane, 0, 64);
}

static const char *ask(const char *command, const char *key)
{
    return redisfixture_ask(fx, command, key, NULL);
}

/* The ways out. */

static void sent(const struct item *item)
{
    queue_sent(queue, item, on_done, NULL);
    done();
}

static void failed(const struct item *item, unsigned tries, int64_t due_us)
{
    queue_failed(queue, item, tries, due_us, on_done, NULL);
    done();
}

static void assert_empty(void)
{
    assert_string_equal(ask("GET", "push:count"), "0");
    assert_string_equal(ask("KEYS", "push:*"), "push:count");
}

static int fresh(void **state)
{
    (void)state;
    if (fx == NULL) {
        return 0;
    }
    redisfixture_ask(fx, "FLUSHALL", NULL);
    return 0;
}

static void need_redis(void)
{
    if (fx == NULL) {
        skip();
    }
}

static void test_one(void **state)
{
    (void)state;
    need_redis();
    add("a@x", "one");
    assert_int_equal(take(QUEUE_AGAIN), 0);
    assert_int_equal(take(QUEUE_FIRST), 1);
    assert_string_equal(items[0]->addr, "a@x");
    assert_string_equal(items[0]->token, "one");
    assert_int_equal(items[0]->tries, 0);
    assert_int_equal(items[0]->start_us, last_us);
    assert_int_equal(next_us, 0);
    assert_int_equal(take(QUEUE_FIRST), 1); /* it is still on record */
    sent(items[0]);
    assert_int_equal(take(QUEUE_FIRST), 0);
    assert_empty();
}

static void test_order_and_cursor(void **state)
{
    (void)state;
    need_redis();
    struct queue_token tokens[] = {{"z", 1, 0}, {"a", 1, 0}, {"m\0n", 3, 0}};
    struct queue_add three = {
        .addr = "a@x", .tokens = tokens, .count = 3, .complete = true};
    queue_add(queue, &three, on_done, NULL);
    done();
    assert_int_equal(take_after(QUEUE_FIRST, 0, 2), 2);
    assert_string_equal(items[0]->token, "z");
    assert_string_equal(items[1]->token, "a");
    assert_true(next_us > last_us);
    assert_int_equal(take_after(QUEUE_FIRST, last_us, 2), 1);
    assert_int_equal(items[0]->len, 3);
    assert_memory_equal(items[0]->token, "m\0n", 3);
    assert_int_equal(next_us, 0);
    int64_t before = last_us;
    assert_int_equal(take_after(QUEUE_FIRST, last_us, 2), 0);
    assert_int_equal(last_us, before);
}

static void test_retries(void **state)
{
    (void)state;
    need_redis();
    add("a@x", "one");
    take(QUEUE_FIRST);
    int64_t due = queue_now_us(queue) + 60000;
    failed(items[0], 1, due);
    assert_int_equal(take(QUEUE_FIRST), 0);
    assert_int_equal(take(QUEUE_AGAIN), 0);
    assert_int_equal(next_us, due);
    cm_loop_once(loop, 80);
    assert_int_equal(take(QUEUE_AGAIN), 1);
    assert_int_equal(items[0]->tries, 1);
    failed(items[0], 2, 0); /* given up */
    assert_empty();
    add("a@x", "one"); /* and an outcome that comes twice or late changes nothing */
    sent(items[0]);
    failed(items[0], 2, 0);
    queue_gone(queue, items[0], on_done, NULL);
    done();
    assert_string_equal(ask("GET", "push:count"), "1");
}

/* A ring for a token that waits for a retry is tried at once; when that goes well, so
 * is the older one. */
static void test_ring_behind_a_retry(void **state)
{
    (void)state;
    need_redis();
    add("a@x", "one");
    take(QUEUE_FIRST);
    int64_t old = items[0]->start_us, due = queue_now_us(queue) + INT64_C(3600000000);
    failed(items[0], 3, due);
    add("a@x", "one");
    assert_string_equal(ask("GET", "push:count"), "2");
    assert_int_equal(take(QUEUE_AGAIN), 0);
    assert_int_equal(take(QUEUE_FIRST), 1);
    assert_true(items[0]->start_us > old);
    assert_int_equal(items[0]->tries, 0);
    int64_t cursor = last_us;
    failed(items[0], 1, due + 1); /* the older one keeps its time */
    assert_int_equal(take(QUEUE_AGAIN), 0);
    assert_int_equal(next_us, due);
    add("a@x", "one");
    take(QUEUE_FIRST);
    sent(items[0]); /* the oldest of the three is done, the others are due */
    assert_int_equal(take_after(QUEUE_AGAIN, cursor, 64), 1);
    assert_int_equal(items[0]->tries, 1);
    sent(items[0]);
    assert_int_equal(take(QUEUE_FIRST), 1);
    sent(items[0]);
    assert_empty();
}

/* Who reads on from where it was finds what came while a key was under way. */
static void test_ring_during_a_flight(void **state)
{
    (void)state;
    need_redis();
    add("a@x", "one");
    take(QUEUE_FIRST);
    struct item *flying = items[0];
    count = 0;
    add("a@x", "one");
    add("b@x", "two");
    assert_int_equal(take_after(QUEUE_FIRST, last_us, 64), 1);
    assert_string_equal(items[0]->addr, "b@x");
    int64_t cursor = last_us;
    failed(flying, 1, queue_now_us(queue) + INT64_C(8000000));
    assert_int_equal(take_after(QUEUE_FIRST, cursor, 64), 1);
    assert_string_equal(items[0]->addr, "a@x");
    assert_int_equal(items[0]->tries, 0);
    item_free(&flying);
}

static void test_limit_of_a_key(void **state)
{
    (void)state;
    need_redis();
    char number[16];
    add("a@x", "one");
    take(QUEUE_FIRST);
    int64_t first = items[0]->start_us;
    for (int i = 1; i < 2 * QUEUE_KEY_MAX; i++) {
        add_flying("a@x", "one", first);
    }
    snprintf(number, sizeof(number), "%d", QUEUE_KEY_MAX);
    assert_string_equal(ask("GET", "push:count"), number);
    take(QUEUE_FIRST);
    assert_int_equal(items[0]->start_us, first);
    for (int i = 0; i < QUEUE_KEY_MAX; i++) {
        assert_int_equal(take(QUEUE_FIRST), 1);
        sent(items[0]);
    }
    assert_empty();
}

static void test_gone_and_forget(void **state)
{
    (void)state;
    need_redis();
    add("a@x", "dead");
    add("a@x", "dead");
    add("a@x", "alive");
    take(QUEUE_FIRST);
    assert_int_equal(count, 2);
    queue_gone(queue, items[0], on_done, NULL);
    done();
    assert_string_equal(ask("GET", "push:count"), "1");
    add("b@x", "other");
    struct queue_add later = {.addr = "a@x"};
    queue_add(queue, &later, on_done, NULL);
    done();
    assert_string_equal(ask("ZCARD", "push:lookup"), "1");
    queue_forget(queue, "a@x", on_done, NULL);
    done();
    assert_string_equal(ask("ZCARD", "push:lookup"), "0");
    assert_int_equal(take(QUEUE_FIRST), 1);
    assert_string_equal(items[0]->addr, "b@x");
    queue_forget(queue, "b@x", on_done, NULL);
    done();
    assert_empty();
}

static void on_lookups(const struct queue_lookup *lookups, size_t n, void *ctx)
{
    (void)ctx;
    answered = true;
    assert_int_equal(n, 2);
    assert_string_equal(lookups[0].addr, "b@x");
    assert_string_equal(lookups[1].addr, "a@x");
    assert_true(lookups[0].ring_us < lookups[1].ring_us);
}

static void test_lookups(void **state)
{
    (void)state;
    need_redis();
    static const char *const addrs[] = {"a@x", "b@x", "a@x"};
    for (int i = 0; i < 3; i++) {
        struct queue_add later = {.addr = addrs[i]};
        queue_add(queue, &later, on_done, NULL);
        done();
    }
    queue_lookups(queue, on_lookups, NULL);
    turn();
    add("b@x", "one"); /* all its tokens are known now */
    assert_string_equal(ask("ZCARD", "push:lookup"), "1");
}

static struct queue_figures figures;

static void on_figures(const struct queue_figures *now, void *ctx)
{
    (void)ctx;
    answered = true;
    assert_non_null(now);
    figures = *now;
}

static void test_figures(void **state)
{
    (void)state;
    need_redis();
    queue_figures(queue, on_figures, NULL);
    turn();
    assert_int_equal(figures.waiting, 0);
    assert_int_equal(figures.oldest_us, 0);
    assert_true(figures.last_ms > INT64_C(1700000000000));
    add("a@x", "one");
    add("b@x", "two");
    queue_note_success(queue, 12345);
    queue_figures(queue, on_figures, NULL);
    turn();
    assert_int_equal(figures.waiting, 2);
    assert_int_equal(figures.last_ms, 12345);
    take(QUEUE_FIRST);
    assert_int_equal(figures.oldest_us, items[0]->start_us);
}

/* A clock that was two hours ahead before the program started. */
static void test_hurry(void **state)
{
    (void)state;
    need_redis();
    static const int64_t hour_us = INT64_C(3600000000);
    add("a@x", "one");
    take(QUEUE_FIRST);
    failed(items[0], 1, queue_now_us(queue) + 2 * hour_us);
    add("b@x", "two");
    take(QUEUE_FIRST);
    failed(items[0], 1, queue_now_us(queue) + hour_us / 2);
    assert_int_equal(take(QUEUE_AGAIN), 0);
    queue_hurry(queue, hour_us);
    for (int i = 0; i < 100 && take(QUEUE_AGAIN) == 0; i++) {
        cm_loop_once(loop, 20);
    }
    assert_int_equal(count, 1);
    assert_string_equal(items[0]->addr, "a@x");
    assert_true(next_us > queue_now_us(queue));
}

/* Full: nothing more is taken, but what is there can go. */
static void test_full(void **state)
{
    (void)state;
    need_redis();
    add("a@x", "one");
    take(QUEUE_FIRST);
    redisfixture_ask(fx, "CONFIG", "SET", "maxmemory", "1", NULL);
    struct queue_token one = {"two", 3, 0};
    struct queue_add more = {.addr = "b@x", .tokens = &one, .count = 1};
    queue_add(queue, &more, on_done, NULL);
    turn();
    assert_int_equal(kind, CM_ERR_RETRY);
    failed(items[0], 1, queue_now_us(queue));
    assert_int_equal(take(QUEUE_AGAIN), 1);
    sent(items[0]);
    redisfixture_ask(fx, "CONFIG", "SET", "maxmemory", "0", NULL);
    assert_empty();
}

static int setup(void **state)
{
    (void)state;
    fx = redisfixture_new();
    if (fx == NULL) {
        return 0;
    }
    loop = cm_loop_new();
    queue = queue_new(loop, redisfixture_path(fx), NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    clear();
    queue_free(&queue);
    cm_loop_free(&loop);
    redisfixture_free(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one, fresh),
        cmocka_unit_test_setup(test_order_and_cursor, fresh),
        cmocka_unit_test_setup(test_retries, fresh),
        cmocka_unit_test_setup(test_ring_behind_a_retry, fresh),
        cmocka_unit_test_setup(test_ring_during_a_flight, fresh),
        cmocka_unit_test_setup(test_limit_of_a_key, fresh),
        cmocka_unit_test_setup(test_gone_and_forget, fresh),
        cmocka_unit_test_setup(test_lookups, fresh),
        cmocka_unit_test_setup(test_figures, fresh),
        cmocka_unit_test_setup(test_hurry, fresh),
        cmocka_unit_test_setup(test_full, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
