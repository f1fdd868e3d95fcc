#include "common/netlimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/netlimit_local.h"
#include "redisfixture/redisfixture.h"

static struct redisfixture *fx;

struct world {
    struct cm_loop *loop;
    struct cm_redis *redis;
    struct cm_netlimit *limit;
};

struct tally {
    int calls, ok, net, gateway;
    int64_t retry_after_s; /* of the last refusal */
};

static void on_verdict(enum cm_netlimit_verdict verdict, int64_t retry_after_s,
                       void *ctx)
{
    struct tally *t = ctx;
    t->calls++;
    t->ok += verdict == CM_NETLIMIT_OK;
    t->net += verdict == CM_NETLIMIT_NET;
    t->gateway += verdict == CM_NETLIMIT_GATEWAY;
    if (verdict == CM_NETLIMIT_OK) {
        assert_int_equal(retry_after_s, 0);
    } else {
        assert_in_range(retry_after_s, 1, CM_NETLIMIT_WINDOW_S);
        t->retry_after_s = retry_after_s;
    }
}

static void world_open(struct world *w)
{
    *w = (struct world){.loop = cm_loop_new()};
    struct cm_redis_options opt = {.path = redisfixture_path(fx), .deadline_ms = 300};
    w->redis = cm_redis_new(w->loop, &opt);
    w->limit = cm_netlimit_new(w->loop, w->redis, "create");
}

static void world_close(struct world *w)
{
    cm_netlimit_free(&w->limit);
    cm_redis_free(&w->redis);
    cm_loop_free(&w->loop);
}

static void wait_calls(struct world *w, const struct tally *t, int want)
{
    int64_t end = cm_now_mono_ms() + 5000;
    while (t->calls < want && cm_now_mono_ms() < end) {
        cm_loop_once(w->loop, 20);
    }
    assert_int_equal(t->calls, want);
}

/* One event, waited for. */
static enum cm_netlimit_verdict one(struct world *w, const char *client,
                                    const char *local, int64_t per_net,
                                    int64_t per_gateway)
{
    struct cm_netlimit_max max = {per_net, per_gateway};
    struct tally t = {0};
    cm_netlimit_count(w->limit, client, local, &max, on_verdict, &t);
    wait_calls(w, &t, 1);
    return t.net ? CM_NETLIMIT_NET : t.gateway ? CM_NETLIMIT_GATEWAY : CM_NETLIMIT_OK;
}

static int setup(void **state)
{
    (void)state;
    if (fx == NULL) {
        skip();
        return 0;
    }
    redisfixture_ask(fx, "FLUSHALL", NULL);
    cm_clock_shift(0);
    return 0;
}

static void test_network(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 3, 0), CM_NETLIMIT_OK);
    }
    /* The same /24, mapped too; a /24 beside it is another. */
    assert_int_equal(one(&w, "203.0.113.200", "10.77.1.2", 3, 0), CM_NETLIMIT_NET);
    assert_int_equal(one(&w, "::ffff:203.0.113.9", "10.77.2.2", 3, 0), CM_NETLIMIT_NET);
    assert_int_equal(one(&w, "203.0.112.200", "10.77.1.2", 3, 0), CM_NETLIMIT_OK);
    /* A /48, and the one beside it. */
    assert_int_equal(one(&w, "2001:db8:7:1::1", NULL, 1, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "2001:db8:7:ffff::2", NULL, 1, 0), CM_NETLIMIT_NET);
    assert_int_equal(one(&w, "2001:db8:8::1", NULL, 1, 0), CM_NETLIMIT_OK);
    world_close(&w);
}

static void test_gateway(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    assert_int_equal(one(&w, "203.0.113.7", "10.77.12.2", 0, 2), CM_NETLIMIT_OK);
    /* The other family of the same tunnel is the same gateway. */
    assert_int_equal(one(&w, "2001:db8::1", "fd77:12::2", 0, 2), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "198.51.100.1", "10.77.12.2", 0, 2), CM_NETLIMIT_GATEWAY);
    assert_int_equal(one(&w, "2001:db8:5::1", "fd77:12::2", 0, 2), CM_NETLIMIT_GATEWAY);
    assert_int_equal(one(&w, "2001:db8:5::1", "fd77:18::2", 0, 2), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "198.51.100.1", "10.77.1.2", 0, 2), CM_NETLIMIT_OK);
    /* A store without gateways has public addresses. */
    assert_int_equal(one(&w, "198.51.100.1", "203.0.113.1", 0, 1), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "198.51.100.1", "203.0.113.2", 0, 1), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "198.51.100.1", "203.0.113.1", 0, 1), CM_NETLIMIT_GATEWAY);
    world_close(&w);
}

static void test_refused_does_not_count(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 2), CM_NETLIMIT_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 2), CM_NETLIMIT_NET);
    }
    assert_int_equal(one(&w, "203.0.110.7", "10.77.1.2", 1, 2), CM_NETLIMIT_OK);
    /* Refused by the gateway: the network has not lost its share either. */
    assert_int_equal(one(&w, "203.0.109.7", "10.77.1.2", 1, 2), CM_NETLIMIT_GATEWAY);
    assert_int_equal(one(&w, "203.0.109.7", "10.77.2.2", 1, 2), CM_NETLIMIT_OK);
    world_close(&w);
}

static void test_counts_nowhere(void **state)
{
    (void)state;
    static const char *const nobody[] = {
        NULL,    "",      "127.0.0.1",   "127.9.9.9",       "::1",
        "unix:", "1.2.3", "example.org", "::ffff:127.0.0.1"};
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
        for (int n = 0; n < 3; n++) {
            assert_int_equal(one(&w, nobody[i], nobody[i], 1, 1), CM_NETLIMIT_OK);
        }
    }
    for (int n = 0; n < 3; n++) { /* no limit */
        assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 0, 0), CM_NETLIMIT_OK);
    }
    assert_string_equal(redisfixture_ask(fx, "KEYS", "netlimit:create:*", NULL), "");
    world_close(&w);
}

/* The window slides: of events half an hour apart, the first makes room first. */
static void check_window(struct world *w)
{
    struct cm_netlimit_max max = {2, 0};
    struct tally t = {0};
    int64_t from = cm_now_wall_ms();
    int64_t to_minute = 60000 - from % 60000;
    cm_clock_shift(to_minute);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_OK);
    cm_clock_shift(to_minute + 1800 * 1000);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_OK);
    cm_netlimit_count(w->limit, "203.0.113.7", NULL, &max, on_verdict, &t);
    wait_calls(w, &t, 1);
    assert_int_equal(t.net, 1);
    assert_in_range(t.retry_after_s, 1700, 1800);
    cm_clock_shift(to_minute + (1800 + t.retry_after_s) * 1000);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_NET);
    cm_clock_shift(to_minute + 2 * 3600 * 1000 + 3600 * 1000);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_NET);
    /* A clock put back by hours does not lock anybody out. */
    cm_clock_shift(to_minute);
    assert_int_equal(one(w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_OK);
    cm_clock_shift(0);
}

static void test_window(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    check_window(&w);
    world_close(&w);
}

static void test_lower_limit(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(one(&w, "203.0.113.7", NULL, 5, 0), CM_NETLIMIT_OK);
    }
    assert_int_equal(one(&w, "203.0.113.7", NULL, 2, 0), CM_NETLIMIT_NET);
    assert_int_equal(one(&w, "203.0.113.7", NULL, 6, 0), CM_NETLIMIT_OK);
    world_close(&w);
}

static void test_keys_hold_no_address(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    one(&w, "203.0.113.7", "10.77.1.2", 5, 5);
    one(&w, "2001:db8:7::1", "fd77:2::2", 5, 5);
    const char *keys = redisfixture_ask(fx, "KEYS", "netlimit:create:*", NULL);
    int count = 0;
    for (const char *p = keys; (p = strstr(p, "netlimit:create:")) != NULL; p++) {
        count++;
        assert_int_equal(strspn(p + 16, "0123456789abcdef"), 32);
    }
    assert_int_equal(count, 4);
    char first[64];
    snprintf(first, sizeof(first), "%.48s", keys);
    int ttl = atoi(redisfixture_ask(fx, "TTL", first, NULL));
    assert_in_range(ttl, 3600, 3700);
    ttl = atoi(redisfixture_ask(fx, "TTL", "netlimit:secret", NULL));
    assert_in_range(ttl, 86000, 86400);
    world_close(&w);
}

/* When the day is over the secret is gone; the next event makes another, and counts
 * begin anew under names that nobody can match to the old ones. */
static void test_secret_changes(void **state)
{
    (void)state;
    struct world w, other;
    char before[128], after[128];
    world_open(&w);
    world_open(&other);
    assert_int_equal(one(&w, "203.0.113.7", NULL, 1, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(&other, "203.0.113.7", NULL, 1, 0), CM_NETLIMIT_NET);
    snprintf(before, sizeof(before), "%s",
             redisfixture_ask(fx, "KEYS", "netlimit:create:*", NULL));
    redisfixture_ask(fx, "PEXPIRE", "netlimit:secret", "0", NULL);
    assert_int_equal(one(&other, "203.0.113.7", NULL, 1, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "203.0.113.7", NULL, 1, 0), CM_NETLIMIT_NET);
    redisfixture_ask(fx, "DEL", before, NULL);
    snprintf(after, sizeof(after), "%s",
             redisfixture_ask(fx, "KEYS", "netlimit:create:*", NULL));
    assert_string_not_equal(before, after);
    world_close(&other);
    world_close(&w);
}

/* Two programs at once, many events in flight: exactly as many as allowed. */
static void test_concurrency(void **state)
{
    (void)state;
    struct world a, b;
    struct tally t = {0};
    struct cm_netlimit_max max = {50, 0};
    world_open(&a);
    world_open(&b);
    for (int i = 0; i < 100; i++) {
        cm_netlimit_count(a.limit, "203.0.113.7", NULL, &max, on_verdict, &t);
        cm_netlimit_count(b.limit, "203.0.113.8", NULL, &max, on_verdict, &t);
    }
    int64_t end = cm_now_mono_ms() + 5000;
    while (t.calls < 200 && cm_now_mono_ms() < end) {
        cm_loop_once(a.loop, 1);
        cm_loop_once(b.loop, 1);
    }
    assert_int_equal(t.calls, 200);
    assert_int_equal(t.ok, 50);
    assert_int_equal(t.net, 150);
    world_close(&b);
    world_close(&a);
}

static void test_redis_away(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 0), CM_NETLIMIT_OK);
    redisfixture_stop(fx);
    assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 3), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 3), CM_NETLIMIT_NET);
    assert_int_equal(one(&w, "2001:db8::1", "fd77:1::2", 1, 3), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "2001:db8:1::1", "fd77:1::2", 1, 3), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "2001:db8:2::1", "10.77.1.2", 1, 3), CM_NETLIMIT_GATEWAY);
    redisfixture_start(fx);
    int64_t end = cm_now_mono_ms() + 5000;
    while (!cm_redis_up(w.redis) && cm_now_mono_ms() < end) {
        cm_loop_once(w.loop, 20);
    }
    /* Counts are in its memory only. */
    assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "203.0.113.7", "10.77.1.2", 1, 0), CM_NETLIMIT_NET);
    redisfixture_freeze(fx);
    assert_int_equal(one(&w, "198.51.100.7", NULL, 1, 0), CM_NETLIMIT_OK);
    assert_int_equal(one(&w, "198.51.100.7", NULL, 1, 0), CM_NETLIMIT_NET);
    redisfixture_unfreeze(fx);
    world_close(&w);
}

static void test_window_without_redis(void **state)
{
    (void)state;
    struct world w;
    redisfixture_stop(fx);
    world_open(&w);
    check_window(&w);
    world_close(&w);
    redisfixture_start(fx);
}

/* More networks than it remembers: the gateway's count is not among what goes. */
static void test_local_is_bounded(void **state)
{
    (void)state;
    struct netlimit_local *local = netlimit_local_new();
    int64_t retry = 0;
    netlimit_local_add(local, 7, 1000000);
    for (uint64_t i = 0; i < 4 * NETLIMIT_LOCAL_MAX; i++) {
        assert_true(netlimit_local_room(local, 1000 + i, 1, 1000000, &retry));
        netlimit_local_add(local, 1000 + i, 1000000);
        netlimit_local_add(local, 7, 1000000);
    }
    assert_false(
        netlimit_local_room(local, 7, 4 * NETLIMIT_LOCAL_MAX, 1000000, &retry));
    assert_false(netlimit_local_room(local, 1000 + 4 * NETLIMIT_LOCAL_MAX - 1, 1,
                                     1000000, &retry));
    assert_true(netlimit_local_room(local, 1000, 1, 1000000, &retry)); /* forgotten */
    netlimit_local_free(&local);
    assert_null(local);
}

static void test_free_with_events_under_way(void **state)
{
    (void)state;
    struct world w;
    struct tally t = {0};
    struct cm_netlimit_max max = {1, 1};
    world_open(&w);
    for (int i = 0; i < 10; i++) {
        cm_netlimit_count(w.limit, "203.0.113.7", "10.77.1.2", &max, on_verdict, &t);
    }
    cm_netlimit_free(&w.limit);
    assert_int_equal(t.calls, 10);
    assert_int_equal(t.ok, 10);
    cm_loop_once(w.loop, 50); /* answers for nobody */
    world_close(&w);
}

int main(void)
{
    fx = redisfixture_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_network, setup),
        cmocka_unit_test_setup(test_gateway, setup),
        cmocka_unit_test_setup(test_refused_does_not_count, setup),
        cmocka_unit_test_setup(test_counts_nowhere, setup),
        cmocka_unit_test_setup(test_window, setup),
        cmocka_unit_test_setup(test_lower_limit, setup),
        cmocka_unit_test_setup(test_keys_hold_no_address, setup),
        cmocka_unit_test_setup(test_secret_changes, setup),
        cmocka_unit_test_setup(test_concurrency, setup),
        cmocka_unit_test_setup(test_redis_away, setup),
        cmocka_unit_test_setup(test_window_without_redis, setup),
        cmocka_unit_test_setup(test_local_is_bounded, setup),
        cmocka_unit_test_setup(test_free_with_events_under_way, setup),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    redisfixture_free(&fx);
    return rc;
}
