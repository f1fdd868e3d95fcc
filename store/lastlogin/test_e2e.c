/* The real program over a real PostgreSQL, spoken to in raw dict lines. Numbers in
 * comments are the cases of relay-spec.md 6.4. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "daemonkit/daemonkit.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

#define DOMAIN "@chat.example.org"
#define HELLO  "H3\t2\t0\t\tlastlogin\n"

static struct pgfixture *fx;
static char dir[64], dict_path[96], log_path[96];
static int listener;
static pid_t daemon_pid;
static char reply[4096];

static void start_daemon(void)
{
    char db[256];
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(fx, "chatmail", "chatmail_lastlogin"));
    const char *argv[] = {LASTLOGIN_PROGRAM, "--db", db, NULL};
    daemon_pid = daemonkit_start(argv, listener, "dict", log_path);
}

/* One login, as Dovecot tells it. Returns the answer. */
static const char *set(const char *user, const char *value)
{
    char text[1024];
    snprintf(text, sizeof(text),
             HELLO "B1\t%s" DOMAIN "\nS1\tshared/last-login/%s" DOMAIN
                   "\t%s\nT1\t0\t0\nC1\n",
             user, user, value);
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, text);
    daemonkit_hear(fd, reply, sizeof(reply));
    close(fd);
    return reply;
}

static const char *day_of(const char *user)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "select last_login from account where addr = '%s" DOMAIN "'", user);
    return pgfixture_sql(fx, "chatmail", sql);
}

static void wait_for_day(const char *user, const char *day)
{
    for (int i = 0; i < 100 && strcmp(day_of(user), day) != 0; i++) {
        usleep(100000);
    }
    assert_string_equal(day_of(user), day);
}

static void make(const char *user)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "insert into account(addr, password) values ('%s" DOMAIN "', 'x')", user);
    pgfixture_sql(fx, "chatmail", sql);
}

static void test_day(void **state) /* 1, 2, 3 */
{
    (void)state;
    make("day1");
    assert_string_equal(day_of("day1"), "");
    assert_string_equal(set("day1", "100000"), "O1\n");
    wait_for_day("day1", "1970-01-02");
    assert_string_equal(set("day1", "200000"), "O1\n");
    wait_for_day("day1", "1970-01-03");
    for (int i = 0; i < 10; i++) {
        char value[32];
        snprintf(value, sizeof(value), "%d", 86400 * 4 + i);
        assert_string_equal(set("day1", value), "O1\n");
    }
    wait_for_day("day1", "1970-01-05");
    assert_string_equal(set("nobody", "100000"), "O1\n"); /* no account: still fine */
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(set("day1", "yesterday")[0], 'F');
    assert_int_equal(set("day1/x", "100000")[0], 'F');
    static const char *const lines[] = {
        "B1\tu\nS1\tshared/other/u" DOMAIN "\t1\nC1\n",
        "B1\tu\nU1\tshared/last-login/u" DOMAIN "\nC1\n",
        /* all or nothing */
        "B1\tu\nS1\tshared/last-login/day1" DOMAIN "\t900000\nS1\tx\t1\nC1\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int fd = daemonkit_dial(dict_path);
        daemonkit_say_text(fd, HELLO);
        daemonkit_say_text(fd, lines[i]);
        daemonkit_hear(fd, reply, sizeof(reply));
        assert_int_equal(reply[0], 'F');
        close(fd);
    }
    int fd = daemonkit_dial(dict_path); /* rolled back: nothing happens */
    daemonkit_say_text(fd, HELLO "B1\tu\nS1\tshared/last-login/day1" DOMAIN
                                 "\t900000\nR1\nLx\tu\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "N\n");
    close(fd);
    make("after");
    set("after", "100000");
    wait_for_day("after", "1970-01-02");
    assert_string_equal(day_of("day1"), "1970-01-05");
}

static void test_postgresql_away(void **state)
{
    (void)state;
    make("away0");
    make("away1");
    pgfixture_stop(fx);
    int64_t start = cm_now_mono_ms();
    for (int i = 0; i < 200; i++) {
        assert_string_equal(set(i % 2 == 0 ? "away0" : "away1", "100000"), "O1\n");
    }
    assert_true(cm_now_mono_ms() - start < 2000);
    usleep(2500000); /* at least one try in vain */
    pgfixture_start(fx);
    wait_for_day("away0", "1970-01-02");
    wait_for_day("away1", "1970-01-02");
    assert_true(daemonkit_log_has(log_path, "flush_failed"));
}

static void test_hanging_server(void **state)
{
    (void)state;
    make("hang");
    pgfixture_freeze(fx);
    set("hang", "100000");
    usleep(2200000); /* the statement is under way */
    int64_t start = cm_now_mono_ms();
    assert_string_equal(set("hang", "200000"), "O1\n");
    assert_true(cm_now_mono_ms() - start < 500);
    pgfixture_unfreeze(fx);
    wait_for_day("hang", "1970-01-03");
}

static void test_sigterm_writes(void **state)
{
    (void)state;
    pgfixture_sql(fx, "chatmail",
                  "insert into account(addr, password) select 'many' || i || '" DOMAIN
                  "', 'x' from generate_series(0, 1999) i");
    char user[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(user, sizeof(user), "many%d", i);
        assert_string_equal(set(user, "86400000"), "O1\n");
    }
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
    assert_string_equal(pgfixture_sql(fx, "chatmail",
                                      "select count(*) from account where addr like "
                                      "'many%' and last_login = '1972-09-27'"),
                        "2000");
    start_daemon();
}

static void test_killed(void **state)
{
    (void)state;
    make("killed");
    daemonkit_stop(daemon_pid, SIGKILL);
    int fd = daemonkit_dial(dict_path); /* waits in the backlog */
    daemonkit_say_text(fd, HELLO "B7\tu\nS7\tshared/last-login/killed" DOMAIN
                                 "\t100000\nC7\n");
    start_daemon();
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "O7\n");
    close(fd);
    wait_for_day("killed", "1970-01-02");
}

static void test_no_needless_writes(void **state)
{
    (void)state;
    make("calm");
    set("calm", "100000");
    wait_for_day("calm", "1970-01-02");
    char before[32];
    const char *sql = "select xmin from account where addr = 'calm" DOMAIN "'";
    snprintf(before, sizeof(before), "%s", pgfixture_sql(fx, "chatmail", sql));
    set("calm", "100001");
    make("calm2");
    set("calm2", "100000");
    wait_for_day("calm2", "1970-01-02");
    assert_string_equal(pgfixture_sql(fx, "chatmail", sql), before);
}

static int group_setup(void **state)
{
    fx = pgfixture_chatmail(SCHEMA_DIR, "001-account", "003-token", NULL);
    *state = fx;
    if (fx == NULL) {
        return 0;
    }
    daemonkit_dir(dir, "lastlogin");
    daemonkit_path(dict_path, dir, "dict");
    daemonkit_path(log_path, dir, "log");
    listener = daemonkit_listen(dict_path);
    start_daemon();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (fx == NULL) {
        return 0;
    }
    int status = daemonkit_stop(daemon_pid, SIGTERM);
    daemonkit_dir_remove(dir);
    pgfixture_free(&fx);
    return status == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_day, need),
        cmocka_unit_test_setup(test_refused, need),
        cmocka_unit_test_setup(test_postgresql_away, need),
        cmocka_unit_test_setup(test_hanging_server, need),
        cmocka_unit_test_setup(test_sigterm_writes, need),
        cmocka_unit_test_setup(test_killed, need),
        cmocka_unit_test_setup(test_no_needless_writes, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
