/* What was answered at the bell survives the death of push, of Redis and of PostgreSQL:
 * it is counted at the notification service. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "daemonkit/daemonkit.h"
#include "pushtest.h"

#define MANY  300
#define QUICK "50"

static const char *count_waiting(void)
{
    return redis("GET", "push:count");
}

static bool is_empty(void *ctx)
{
    (void)ctx;
    return strcmp(count_waiting(), "0") == 0;
}

static bool has_redis(void *ctx)
{
    (void)ctx;
    return pushkit_metric(&kit, "chatmail_push_redis_up") == 1;
}

static bool has_postgres(void *ctx)
{
    (void)ctx;
    return pushkit_metric(&kit, "chatmail_push_postgres_up") == 1;
}

static bool lacks_postgres(void *ctx)
{
    (void)ctx;
    return pushkit_metric(&kit, "chatmail_push_postgres_up") == 0;
}

static void ring_number(int i)
{
    char addr[32];
    snprintf(addr, sizeof(addr), "n%d@x", i);
    ring(addr);
}

static bool all_seen(void *ctx)
{
    (void)ctx;
    const char *list = pushkit_ask(&kit, "list");
    static bool seen[MANY];
    size_t count = 0;
    memset(seen, 0, sizeof(seen));
    for (size_t from = 0; *list != '\0'; list = pushkit_ask(&kit, "list %zu", from)) {
        for (const char *l = list; (l = strstr(l, " number")) != NULL; l++) {
            seen[strtol(l + 7, NULL, 10) % MANY] = true;
        }
        for (const char *c = list; (c = strchr(c, '\n')) != NULL; c++) {
            from++;
        }
    }
    for (int i = 0; i < MANY; i++) {
        count += seen[i];
    }
    return count == MANY;
}

/* Each of the MANY tokens was posted, and nothing waits any more. */
static void assert_all_seen(void)
{
    if (!pushkit_until(all_seen, NULL, 30000)) {
        fail_msg("%ld posts, %s wait", pushkit_count(&kit, ""), count_waiting());
    }
    assert_true(pushkit_until(is_empty, NULL, 20000));
}

static int fresh(void **state)
{
    (void)state;
    pushtest_clear();
    if (kit.pg != NULL) {
        sql("insert into push_token (addr, token) select 'n' || i || '@x', "
            "convert_to('number' || i, 'utf8') from generate_series(0, 299) i");
    }
    pushtest_start(QUICK);
    return 0;
}

static void test_push_killed(void **state)
{
    (void)state;
    need();
    pushkit_ask(&kit, "mood silent");
    for (int i = 0; i < MANY; i++) {
        ring_number(i);
    }
    pushkit_stop(&kit, SIGKILL);
    pushkit_ask(&kit, "calm");
    pushkit_ask(&kit, "forget");
    pushkit_start(&kit, QUICK);
    assert_all_seen();
    assert_int_equal(pushkit_count(&kit, ""), MANY);
}

/* Killed again and again while it posts; who rings meanwhile waits in the backlog. */
static void test_push_killed_at_work(void **state)
{
    (void)state;
    need();
    int backlog[5];
    char addr[32], reply[8];
    pushkit_ask(&kit, "mood slow:20");
    for (int i = 0; i < MANY - 5; i++) {
        ring_number(i);
        if (i % 60 == 59) {
            pushkit_stop(&kit, SIGKILL);
            backlog[i / 60] = daemonkit_dial(kit.bell);
            snprintf(addr, sizeof(addr), "n%d@x\n", MANY - 5 + i / 60);
            daemonkit_say_text(backlog[i / 60], addr);
            pushkit_start(&kit, QUICK);
        }
    }
    pushkit_stop(&kit, SIGKILL);
    backlog[4] = daemonkit_dial(kit.bell);
    snprintf(addr, sizeof(addr), "n%d@x\n", MANY - 1);
    daemonkit_say_text(backlog[4], addr);
    pushkit_start(&kit, QUICK);
    for (int i = 0; i < 5; i++) {
        daemonkit_hear(backlog[i], reply, sizeof(reply));
        assert_string_equal(reply, "+\n");
        close(backlog[i]);
    }
    assert_all_seen();
}

static void test_redis_killed(void **state)
{
    (void)state;
    need();
    pushkit_ask(&kit, "mood silent");
    for (int i = 0; i < MANY; i++) {
        ring_number(i);
    }
    redisfixture_kill(kit.redis); /* with the last answer hardly out */
    pushkit_stop(&kit, SIGKILL);
    pushkit_ask(&kit, "calm");
    redisfixture_start(kit.redis);
    assert_string_equal(count_waiting(), "300");
    pushkit_start(&kit, QUICK);
    assert_all_seen();
}

/* An outcome that Redis was not there to hear is told when it is back. */
static void test_redis_killed_before_the_outcome(void **state)
{
    (void)state;
    need();
    pushkit_ask(&kit, "mood slow:500");
    for (int i = 0; i < MANY; i++) {
        ring_number(i);
    }
    assert_come("number", MANY, 10000);
    redisfixture_kill(kit.redis);
    usleep(700000);
    redisfixture_start(kit.redis);
    assert_all_seen();
    assert_int_equal(pushkit_count(&kit, ""), MANY); /* and so none was posted twice */
}

static void test_redis_away_spools(void **state)
{
    (void)state;
    need();
    char addr[32];
    for (int i = 0; i < MANY; i++) {
        if (i == 50) {
            redisfixture_kill(kit.redis);
        }
        if (i == 150) { /* push dies with the spool half full */
            pushkit_stop(&kit, SIGKILL);
            snprintf(addr, sizeof(addr), "n%d@x", i); /* and somebody leaves a file */
            assert_int_equal(cm_doorbell_ring(kit.bell, kit.spool, addr, 0),
                             CM_DOORBELL_LEFT);
            pushkit_start(&kit, QUICK);
            continue;
        }
        if (i == 250) {
            redisfixture_start(kit.redis);
        }
        int64_t start = cm_now_mono_ms();
        ring_number(i);
        assert_true(cm_now_mono_ms() - start < 1500);
    }
    assert_all_seen();
    assert_true(pushkit_metric(&kit, "chatmail_push_spooled_total") > 0);
    /* Only push may be killed now: nothing of the spool is lost or left. */
    pushkit_stop(&kit, SIGKILL);
    pushkit_ask(&kit, "forget");
    pushkit_start(&kit, QUICK);
    usleep(500000);
    assert_int_equal(pushkit_count(&kit, ""), 0);
}

/* Full is no loss either: what Redis has no memory for waits in the spool. */
static void test_redis_full(void **state)
{
    (void)state;
    need();
    pushkit_ask(&kit, "mood 500");
    for (int i = 0; i < MANY; i++) {
        if (i == 100) {
            redisfixture_ask(kit.redis, "CONFIG", "SET", "maxmemory", "1", NULL);
        }
        ring_number(i);
    }
    assert_true(pushkit_metric(&kit, "chatmail_push_spooled_total") == MANY - 100);
    pushkit_ask(&kit, "calm");
    assert_come("number", 200, 10000); /* the first hundred twice */
    redisfixture_ask(kit.redis, "CONFIG", "SET", "maxmemory", "0", NULL);
    assert_all_seen();
}

static void test_redis_silent(void **state)
{
    (void)state;
    need();
    redisfixture_freeze(kit.redis);
    int64_t start = cm_now_mono_ms();
    ring_number(0); /* after Redis' deadline, by the spool */
    ring_number(1); /* at once */
    assert_true(cm_now_mono_ms() - start < 4000);
    redisfixture_unfreeze(kit.redis);
    assert_come("number0", 1, 15000);
    assert_come("number1", 1, 15000);
    assert_true(pushkit_until(is_empty, NULL, 10000));
}

static void test_postgres_away(void **state)
{
    (void)state;
    need();
    ring_number(0);
    assert_come("number", 1, 5000);
    pushkit_token(&kit, "n0@x", "second"); /* which push has not heard of */
    pgfixture_stop(kit.pg);
    assert_true(pushkit_until(lacks_postgres, NULL, 5000));
    ring_number(0);
    assert_come("number0", 2, 2000);
    for (int i = 1; i < MANY; i++) {
        ring_number(i);
    }
    usleep(300000);
    assert_int_equal(pushkit_count(&kit, ""), 2);
    pgfixture_start(kit.pg);
    assert_all_seen();
    assert_come("second", 1, 5000);
    assert_int_equal(pushkit_count(&kit, "number0"), 2);
    assert_int_equal(pushkit_count(&kit, ""), MANY + 2);
    assert_string_equal(redisfixture_ask(kit.redis, "ZCARD", "push:lookup", NULL), "0");
}

/* All three at once, one after the other. */
static void test_everything_dies(void **state)
{
    (void)state;
    need();
    pgfixture_stop(kit.pg);
    assert_true(pushkit_until(lacks_postgres, NULL, 5000));
    for (int i = 0; i < MANY / 2; i++) {
        ring_number(i); /* on record as addresses */
    }
    redisfixture_kill(kit.redis);
    for (int i = MANY / 2; i < MANY; i++) {
        ring_number(i); /* in the spool */
    }
    pushkit_stop(&kit, SIGKILL);
    redisfixture_start(kit.redis);
    pushkit_start(&kit, QUICK);
    assert_true(pushkit_until(has_redis, NULL, 5000));
    usleep(300000);
    assert_int_equal(pushkit_count(&kit, ""), 0);
    pgfixture_start(kit.pg);
    assert_true(pushkit_until(has_postgres, NULL, 10000));
    assert_all_seen();
}

static void test_postgres_silent(void **state)
{
    (void)state;
    need();
    ring_number(0);
    assert_come("number", 1, 5000);
    pgfixture_freeze(kit.pg);
    int64_t start = cm_now_mono_ms();
    ring_number(0);
    ring_number(1);
    assert_true(cm_now_mono_ms() - start < 9000);
    assert_come("number0", 2, 2000);
    pgfixture_unfreeze(kit.pg);
    assert_come("number1", 1, 15000);
}

/* A dead token that PostgreSQL could not be told of is told again. */
static void test_gone_while_postgres_is_away(void **state)
{
    (void)state;
    need();
    pushkit_token(&kit, "gone@x", "dead");
    pushkit_ask(&kit, "mood slow:1000:410 dead");
    ring("gone@x");
    assert_come("dead", 1, 5000);
    pgfixture_stop(kit.pg);
    usleep(1200000);
    pgfixture_start(kit.pg);
    assert_true(pushkit_until(is_empty, NULL, 20000));
    assert_true(pushkit_count(&kit, "dead") >= 2);
    assert_string_equal(sql("select count(*) from push_token where addr = 'gone@x'"),
                        "0");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, fresh, pushtest_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_push_killed),
        EACH(test_push_killed_at_work),
        EACH(test_redis_killed),
        EACH(test_redis_killed_before_the_outcome),
        EACH(test_redis_away_spools),
        EACH(test_redis_full),
        EACH(test_redis_silent),
        EACH(test_postgres_away),
        EACH(test_everything_dies),
        EACH(test_postgres_silent),
        EACH(test_gone_while_postgres_is_away),
    };
    return cmocka_run_group_tests(tests, pushtest_open, pushtest_close);
}
