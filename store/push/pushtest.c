#include "pushtest.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemonkit/daemonkit.h"

struct pushkit kit;

int pushtest_open(void **state)
{
    (void)state;
    (void)pushkit_open(&kit);
    return 0;
}

int pushtest_close(void **state)
{
    (void)state;
    pushkit_close(&kit);
    return 0;
}

void pushtest_clear(void)
{
    if (kit.pg == NULL) {
        return;
    }
    pushkit_ask(&kit, "calm");
    pushkit_ask(&kit, "forget");
    sql("delete from push_token");
    redisfixture_ask(kit.redis, "FLUSHALL", NULL);
}

void pushtest_start(const char *retry_ms)
{
    if (kit.pg == NULL) {
        return;
    }
    pushkit_start(&kit, retry_ms);
    (void)daemonkit_log_has(kit.log, "");
}

int pushtest_stop(void **state)
{
    (void)state;
    return kit.push == 0 ? 0 : pushkit_stop(&kit, SIGTERM);
}

void need(void)
{
    if (kit.pg == NULL) {
        skip();
    }
}

const char *sql(const char *text)
{
    return pgfixture_sql(kit.pg, "chatmail", text);
}

const char *redis(const char *command, const char *key)
{
    return redisfixture_ask(kit.redis, command, key, NULL);
}

void ring(const char *addr)
{
    assert_int_equal(pushkit_ring(&kit, addr), 0);
}

struct want {
    const char *prefix;
    long count;
};

static bool has_come(void *ctx)
{
    const struct want *want = ctx;
    return pushkit_count(&kit, want->prefix) >= want->count;
}

void assert_come(const char *prefix, long count, int64_t limit_ms)
{
    struct want want = {prefix, count};
    if (!pushkit_until(has_come, &want, limit_ms)) {
        fail_msg("%ld of %ld for %s", pushkit_count(&kit, prefix), count, prefix);
    }
}
