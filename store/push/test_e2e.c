/* The real program over real databases, with the notification service in every mood.
 * Numbers in comments are the cases of relay-spec.md 6.5. */
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
#include "courier.h"
#include "daemonkit/daemonkit.h"
#include "pushtest.h"

#define QUICK "10" /* ms before the second try: 10, 80, 640, 5120 */

static bool is_empty(void *ctx)
{
    (void)ctx;
    const char *count = redis("GET", "push:count");
    return strcmp(count, "0") == 0 || strcmp(count, "") == 0;
}

/* Nothing waits, and nothing of it is left. */
static void assert_empty(void)
{
    assert_true(pushkit_until(is_empty, NULL, 20000));
    assert_string_equal(redis("KEYS", "push:t:*"), "");
    assert_string_equal(redis("KEYS", "push:a:*"), "");
    assert_string_equal(redis("EXISTS", "push:first"), "0");
    assert_string_equal(redis("EXISTS", "push:again"), "0");
    assert_string_equal(redis("EXISTS", "push:age"), "0");
}

/* So many, and no more. */
static void assert_comes(const char *prefix, long count, int64_t limit_ms)
{
    assert_come(prefix, count, limit_ms);
    assert_int_equal(pushkit_count(&kit, prefix), count);
}

static int fresh(void **state)
{
    (void)state;
    pushtest_clear();
    pushtest_start(NULL);
    return 0;
}

static int fresh_quick(void **state)
{
    (void)state;
    pushtest_clear();
    pushtest_start(QUICK);
    return 0;
}

static void test_body_is_the_token(void **state) /* 9 */
{
    (void)state;
    need();
    sql("insert into push_token (addr, token) values ('bytes@x', '\\x000a0d22ff5c20')");
    pushkit_token(&kit, "one@x", "openpgp:abc+/=");
    int64_t start = cm_now_mono_ms();
    ring("one@x");
    assert_comes("openpgp:abc+/=", 1, 5000);
    assert_true(cm_now_mono_ms() - start < 1000);
    ring("bytes@x");
    assert_comes("", 2, 5000);
    const char *list = pushkit_ask(&kit, "list 1");
    assert_non_null(strstr(list, " h2 200 \\x00\\x0a\\x0d\"\\xff\\x5c \n"));
    assert_empty();
    assert_string_equal(sql("select count(*) from push_token"), "2");
    ring("nobody@x");
    assert_non_null(strstr(pushkit_ask(&kit, "stats"), "strange 0\n"));
}

static void test_long_token(void **state)
{
    (void)state;
    need();
    sql("insert into push_token (addr, token) values ('long@x', "
        "convert_to('long' || repeat('x', 29996), 'utf8'))");
    ring("long@x");
    assert_comes("long", 1, 5000);
    const char *list = pushkit_ask(&kit, "list");
    assert_int_equal(strlen(strstr(list, " long") + 1), 30000 + 1);
    assert_empty();
}

static void test_order_of_tokens(void **state) /* 14 */
{
    (void)state;
    need();
    pushkit_token(&kit, "order@x", "z-first");
    pushkit_token(&kit, "order@x", "a-second");
    for (int i = 1; i <= 20; i++) {
        ring("order@x");
        assert_comes("", 2 * i, 5000);
    }
    char *list = strdup(pushkit_ask(&kit, "list")), *save = NULL;
    int n = 0;
    for (char *l = strtok_r(list, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save), n++) {
        assert_string_equal(strrchr(l, ' ') + 1, n % 2 == 0 ? "z-first" : "a-second");
    }
    assert_int_equal(n, 40);
    free(list);
    assert_empty();
    assert_string_equal(sql("select count(*) from push_token"), "2");
}

static void test_only_valid_tokens(void **state)
{
    (void)state;
    need();
    pushkit_token(&kit, "valid@x", "old");
    pushkit_token(&kit, "valid@x", "young");
    pushkit_token(&kit, "valid@x", "soon");
    pushkit_token(&kit, "valid@x", "future");
    sql("update push_token set seen = now() - case convert_from(token, 'utf8')"
        " when 'old' then interval '90 days'"
        " when 'young' then interval '89 days 23 hours'"
        " when 'soon' then interval '-50 s' else interval '-80 s' end");
    ring("valid@x");
    assert_comes("young", 1, 5000);
    assert_comes("soon", 1, 5000);
    assert_empty();
    assert_int_equal(pushkit_count(&kit, ""), 2);
}

static void test_gone(void **state) /* 15 */
{
    (void)state;
    need();
    pushkit_token(&kit, "gone@x", "dead");
    pushkit_token(&kit, "gone@x", "alive");
    pushkit_ask(&kit, "mood 410 dead");
    ring("gone@x");
    assert_comes("dead", 1, 5000);
    assert_comes("alive", 1, 5000);
    assert_empty();
    assert_string_equal(sql("select convert_from(token, 'utf8') from push_token"),
                        "alive");
    ring("gone@x");
    assert_comes("alive", 2, 5000);
    assert_int_equal(pushkit_count(&kit, "dead"), 1);
    assert_true(pushkit_metric(&kit, "chatmail_push_requests_total{result=\"410\"}") ==
                1);
}

static bool is_dropped(void *ctx)
{
    (void)ctx;
    return pushkit_metric(&kit, "chatmail_push_dropped_total") == 1;
}

static int times_of(const char *prefix, int64_t at_ms[8])
{
    char *list = strdup(pushkit_ask(&kit, "list")), *save = NULL;
    int n = 0;
    for (char *l = strtok_r(list, "\n", &save); l != NULL && n < 8;
         l = strtok_r(NULL, "\n", &save)) {
        if (strncmp(strrchr(l, ' ') + 1, prefix, strlen(prefix)) == 0) {
            at_ms[n++] = strtoll(l, NULL, 10);
        }
    }
    free(list);
    return n;
}

static void test_five_tries(void **state) /* 10, with the delays an 800th */
{
    (void)state;
    need();
    static const int64_t delays[] = {10, 80, 640, 5120};
    int64_t at_ms[8];
    pushkit_token(&kit, "tries@x", "SeCrEt");
    pushkit_ask(&kit, "mood 500");
    ring("tries@x");
    assert_comes("", 4, 10000);
    pushkit_ask(&kit, "mood 404");
    assert_comes("", 5, 20000);
    assert_true(pushkit_until(is_dropped, NULL, 5000));
    assert_int_equal(times_of("SeCrEt", at_ms), 5);
    for (int i = 0; i < 4; i++) {
        assert_in_range(at_ms[i + 1] - at_ms[i], delays[i] - 1,
                        delays[i] + delays[i] / 32 + 300);
    }
    assert_empty();
    char *log = NULL;
    FILE *file = fopen(kit.log, "r");
    size_t size = 0;
    ssize_t len = getdelim(&log, &size, '\0', file);
    fclose(file);
    assert_true(len > 0);
    int failed = 0;
    for (const char *at = log; (at = strstr(at, "request failed")) != NULL; at++) {
        failed++;
    }
    assert_int_equal(failed, 5);
    assert_non_null(strstr(log, "deadline"));
    assert_null(strstr(log, "SeCrEt"));
    assert_null(strstr(log, "tries@x"));
    free(log);
    assert_string_equal(sql("select count(*) from push_token"), "1");
}

static void test_first_retry_after_8_s(void **state)
{
    (void)state;
    need();
    int64_t at_ms[8];
    pushkit_token(&kit, "eight@x", "eight");
    pushkit_ask(&kit, "mood 500");
    ring("eight@x");
    assert_comes("eight", 1, 5000);
    pushkit_ask(&kit, "calm");
    pushkit_token(&kit, "other@x", "other"); /* nobody else waits */
    ring("other@x");
    assert_comes("other", 1, 1000);
    assert_comes("eight", 2, 12000);
    assert_int_equal(times_of("eight", at_ms), 2);
    assert_in_range(at_ms[1] - at_ms[0], 7995, 8250 + 300);
    assert_empty();
}

/* A message that comes while an older one waits for a retry is tried at once. */
static void test_new_before_retry(void **state)
{
    (void)state;
    need();
    pushkit_token(&kit, "new@x", "new");
    pushkit_ask(&kit, "mood 500");
    ring("new@x");
    assert_comes("new", 1, 5000);
    pushkit_ask(&kit, "calm");
    ring("new@x");
    assert_comes("new", 3, 2000); /* both, one after the other, before the 8 s */
    assert_empty();
}

static void test_refused_and_back(void **state)
{
    (void)state;
    need();
    pushkit_token(&kit, "refuse@x", "refuse");
    pushkit_ask(&kit, "mood refuse");
    ring("refuse@x");
    usleep(500000);
    assert_int_equal(pushkit_count(&kit, ""), 0);
    assert_true(pushkit_metric(
                    &kit, "chatmail_push_requests_total{result=\"transport\"}") >= 2);
    pushkit_ask(&kit, "mood 200");
    assert_comes("refuse", 1, 15000);
    assert_empty();
    pushkit_ask(&kit, "drop"); /* the kept connection is dead when it is used */
    ring("refuse@x");
    assert_comes("refuse", 2, 15000);
    assert_empty();
}

/* A kept connection that breaks says nothing about the request on it. */
static void test_connection_cut(void **state)
{
    (void)state;
    need();
    pushkit_token(&kit, "warm@x", "warm");
    pushkit_token(&kit, "cut@x", "cut");
    ring("warm@x");
    assert_comes("warm", 1, 5000);
    assert_empty();
    pushkit_ask(&kit, "mood slow:500 cut");
    ring("cut@x");
    assert_comes("cut", 1, 5000);
    pushkit_ask(&kit, "drop");
    assert_comes("cut", 2, 2000); /* long before the 8 s */
    assert_empty();
    assert_false(daemonkit_log_has(kit.log, "request failed"));
}

static void test_slow_and_silent(void **state)
{
    (void)state;
    need();
    char addr[32], token[32];
    pushkit_ask(&kit, "mood silent mute");
    pushkit_ask(&kit, "mood slow:700 slow");
    for (int i = 0; i < 150; i++) { /* more than a connection has streams */
        snprintf(addr, sizeof(addr), "mute%d@x", i);
        snprintf(token, sizeof(token), "mute%d", i);
        pushkit_token(&kit, addr, token);
        ring(addr);
    }
    pushkit_token(&kit, "slow@x", "slow");
    pushkit_token(&kit, "well@x", "well");
    for (int i = 0; i < 3; i++) {
        ring("slow@x"); /* of one token never two at a time */
    }
    for (int i = 1; i <= 20; i++) {
        int64_t start = cm_now_mono_ms();
        ring("well@x");
        assert_comes("well", i, 5000);
        assert_true(cm_now_mono_ms() - start < 1000);
    }
    assert_comes("mute", 150, 5000);
    assert_comes("slow", 3, 10000);
    int64_t at_ms[8];
    assert_int_equal(times_of("slow", at_ms), 3);
    assert_true(at_ms[1] - at_ms[0] >= 695 && at_ms[2] - at_ms[1] >= 695);
    /* Stopped, it gives back what hangs, soon, and posts it again. */
    int64_t start = cm_now_mono_ms();
    assert_int_equal(pushkit_stop(&kit, SIGTERM), 0);
    assert_true(cm_now_mono_ms() - start < 5000);
    assert_string_equal(redis("GET", "push:count"), "150");
    pushkit_ask(&kit, "calm");
    pushkit_start(&kit, NULL);
    assert_comes("mute", 300, 15000);
    assert_empty();
}

static void test_one_connection_for_many(void **state)
{
    (void)state;
    need();
    sql("insert into push_token (addr, token) select 'many' || i || '@x', "
        "convert_to('many' || i || '-', 'utf8') from generate_series(1, 500) i");
    pushkit_token(&kit, "warm@x", "warm");
    ring("warm@x");
    assert_comes("warm", 1, 5000);
    const char *before = strstr(pushkit_ask(&kit, "stats"), "accepted ");
    long accepted = strtol(before + 9, NULL, 10);
    for (int i = 1; i <= 500; i++) {
        char addr[32];
        snprintf(addr, sizeof(addr), "many%d@x", i);
        ring(addr);
    }
    assert_comes("many", 500, 20000);
    const char *after = strstr(pushkit_ask(&kit, "stats"), "accepted ");
    assert_true(strtol(after + 9, NULL, 10) <= accepted + 2);
    assert_empty();
}

static long stat_of(const char *name)
{
    const char *at = strstr(pushkit_ask(&kit, "stats"), name);
    assert_non_null(at);
    return strtol(at + strlen(name) + 1, NULL, 10);
}

/* A service without HTTP/2: a request has a connection for itself, so few are under way
 * at a time; the connections are kept, and one that hangs holds up nobody. */
static void posts_by_http1(const char *offer)
{
    static const int many = 200;
    int64_t at_ms[8];
    pushkit_ask(&kit, "calm");
    pushkit_ask(&kit, "offer %s", offer);
    pushkit_ask(&kit, "forget");
    pushkit_ask(&kit, "mood slow:20 many");
    pushkit_ask(&kit, "mood silent mute");
    pushkit_ask(&kit, "mood 410 dead");
    long accepted = stat_of("accepted");
    ring("mute@x");
    assert_comes("mute", 1, 5000);
    for (int i = 1; i <= many; i++) {
        char addr[32];
        snprintf(addr, sizeof(addr), "many%d@x", i);
        ring(addr);
    }
    assert_comes("many", many, 20000);
    for (int i = 1; i <= 5; i++) {
        int64_t start = cm_now_mono_ms();
        ring("well@x");
        assert_comes("well", i, 5000);
        assert_true(cm_now_mono_ms() - start < 1000);
    }
    ring("dead@x");
    assert_comes("dead", 1, 5000);
    assert_in_range(stat_of("open"), 2, COURIER_WITHOUT_H2_MAX);
    /* One that ends on a busy machine is replaced; but they are used again and again.
     */
    assert_in_range(stat_of("accepted") - accepted, 2, 2 * COURIER_WITHOUT_H2_MAX);
    assert_int_equal(stat_of("strange"), 0);
    assert_null(strstr(pushkit_ask(&kit, "list"), " h2 "));
    /* The one that hangs is posted again when its connection breaks. */
    pushkit_ask(&kit, "mood 200 mute");
    pushkit_ask(&kit, "drop");
    assert_comes("mute", 2, 12000);
    assert_int_equal(times_of("mute", at_ms), 2);
    assert_empty();
}

static void test_without_h2(void **state)
{
    (void)state;
    need();
    static const char *const offers[] = {"http/1.1", "nothing"};
    sql("insert into push_token (addr, token) select 'many' || i || '@x', "
        "convert_to('many' || i || '-', 'utf8') from generate_series(1, 200) i");
    pushkit_token(&kit, "mute@x", "mute");
    pushkit_token(&kit, "well@x", "well");
    for (size_t i = 0; i < 2; i++) {
        pushkit_token(&kit, "dead@x", "dead");
        posts_by_http1(offers[i]);
        assert_string_equal(
            sql("select count(*) from push_token where addr = 'dead@x'"), "0");
    }
    pushkit_ask(&kit, "calm"); /* the service learns HTTP/2 */
    pushkit_ask(&kit, "forget");
    ring("well@x");
    assert_comes("well", 1, 5000);
    assert_non_null(strstr(pushkit_ask(&kit, "list"), " h2 "));
    assert_empty();
}

static void test_forget(void **state)
{
    (void)state;
    need();
    char path[160];
    pushkit_token(&kit, "leaves@x", "leaves");
    pushkit_token(&kit, "stays@x", "stays");
    pushkit_ask(&kit, "mood 500");
    ring("leaves@x");
    ring("leaves@x");
    ring("stays@x");
    assert_comes("stays", 1, 5000);
    sql("delete from push_token where addr = 'leaves@x'");
    assert_int_equal(cm_doorbell_forget(kit.bell, kit.spool, "leaves@x", 5000), 0);
    assert_string_equal(redis("GET", "push:count"), "1");
    /* Not when it cannot be done. */
    redisfixture_stop(kit.redis);
    snprintf(path, sizeof(path), "%s/stays@x", kit.spool);
    ring("stays@x");
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(cm_doorbell_forget(kit.bell, kit.spool, "stays@x", 5000), -1);
    assert_int_equal(access(path, F_OK), -1);
    redisfixture_start(kit.redis);
    for (int i = 0; i < 300 && pushkit_metric(&kit, "chatmail_push_redis_up") == 0;
         i++) {
        usleep(20000);
    }
    assert_int_equal(cm_doorbell_forget(kit.bell, kit.spool, "stays@x", 5000), 0);
    assert_empty();
    assert_int_equal(cm_doorbell_forget(kit.bell, kit.spool, "stranger@x", 5000), 0);
}

static void test_who_says_nonsense(void **state)
{
    (void)state;
    need();
    static const char *const lines[] = {
        "noaddress\n", "a@b@c\n",   "@x\n",      "x@\n",   "../x@y\n", "\n",
        "-\n",         "x@y\nmore", "x@y.tmp\n", ".x@y\n", "x\ty@z\n"};
    char reply[16];
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int fd = daemonkit_dial(kit.bell);
        daemonkit_say_text(fd, lines[i]);
        daemonkit_hear(fd, reply, sizeof(reply));
        assert_string_equal(reply, "");
        close(fd);
    }
    char big[600];
    memset(big, 'x', sizeof(big));
    int fd = daemonkit_dial(kit.bell);
    daemonkit_say(fd, big, sizeof(big));
    close(fd);
    fd = daemonkit_dial(kit.bell); /* one that says nothing is let go */
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "");
    close(fd);
    assert_string_equal(redis("KEYS", "push:t:*"), "");
}

static void touch(const char *name)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", kit.spool, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

static void test_files_left(void **state) /* 11, 12 */
{
    (void)state;
    need();
    char long_name[256];
    pushkit_token(&kit, "left@x", "left");
    pushkit_token(&kit, "-dash@x", "dash");
    touch("left@x"); /* seen at once */
    assert_comes("left", 1, 1000);
    assert_empty();
    pushkit_stop(&kit, SIGKILL);
    memset(long_name, 'a', 255);
    long_name[255] = '\0';
    touch("left@x");
    touch("-dash@x");
    touch("left@x.tmp");
    touch("spurious");
    touch(long_name);
    touch("taken/left@x"); /* as one that died in between leaves it */
    (void)daemonkit_log_has(kit.log, "");
    pushkit_start(&kit, NULL);
    assert_comes("dash", 1, 5000);
    assert_comes("left", 3, 5000);
    assert_empty();
    usleep(200000);
    assert_int_equal(rmdir(kit.spool), -1); /* taken/ */
    char path[128];
    snprintf(path, sizeof(path), "%s/taken", kit.spool);
    assert_int_equal(rmdir(path), 0); /* nothing else is there */
    assert_int_equal(rmdir(kit.spool), 0);
    assert_true(daemonkit_log_has(kit.log, "spurious"));
}

static void test_reload(void **state)
{
    (void)state;
    need();
    char url[64];
    pushkit_token(&kit, "reload@x", "reload");
    pushkit_write_ini(&kit, "https://127.0.0.1:1/notify");
    kill(kit.push, SIGHUP);
    usleep(200000);
    ring("reload@x");
    usleep(200000);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/notify", kit.port);
    pushkit_write_ini(&kit, url);
    kill(kit.push, SIGHUP);
    assert_comes("reload", 1, 15000);
    assert_empty();
}

static void test_metrics(void **state)
{
    (void)state;
    need();
    pushkit_token(&kit, "figures@x", "figures");
    pushkit_token(&kit, "figures@x", "hangs");
    pushkit_ask(&kit, "mood silent hangs");
    ring("figures@x");
    assert_comes("figures", 1, 5000);
    usleep(4200000);
    assert_true(pushkit_metric(&kit, "chatmail_push_requests_total{result=\"200\"}") ==
                1);
    assert_true(pushkit_metric(&kit, "chatmail_push_in_flight") == 1);
    assert_true(pushkit_metric(&kit, "chatmail_push_queue_length") == 1);
    assert_true(pushkit_metric(&kit, "chatmail_push_oldest_age_seconds") >= 2);
    assert_true(pushkit_metric(&kit, "chatmail_push_rings_total") == 1);
    assert_true(pushkit_metric(&kit, "chatmail_push_spool_files") == 0);
    double since = pushkit_metric(&kit, "chatmail_push_seconds_since_last_success");
    assert_true(since >= 4 && since < 10);
    pushkit_stop(&kit, SIGKILL); /* a restart does not hide it */
    pushkit_start(&kit, NULL);
    usleep(500000);
    assert_true(pushkit_metric(&kit, "chatmail_push_seconds_since_last_success") >= 4);
}

#define EACH(test)    cmocka_unit_test_setup_teardown(test, fresh, pushtest_stop)
#define QUICKLY(test) cmocka_unit_test_setup_teardown(test, fresh_quick, pushtest_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_body_is_the_token),
        EACH(test_long_token),
        EACH(test_order_of_tokens),
        EACH(test_only_valid_tokens),
        EACH(test_gone),
        QUICKLY(test_five_tries),
        EACH(test_first_retry_after_8_s),
        EACH(test_new_before_retry),
        QUICKLY(test_refused_and_back),
        EACH(test_connection_cut),
        EACH(test_slow_and_silent),
        EACH(test_one_connection_for_many),
        EACH(test_without_h2),
        EACH(test_forget),
        EACH(test_who_says_nonsense),
        EACH(test_files_left),
        EACH(test_reload),
        EACH(test_metrics),
    };
    return cmocka_run_group_tests(tests, pushtest_open, pushtest_close);
}
