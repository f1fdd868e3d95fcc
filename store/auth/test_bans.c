/* Whom chatmail-auth hands to the gateways: the real program over a real PostgreSQL and
 * a real Redis, asked as Dovecot asks. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"
#include "redisfixture/redisfixture.h"

#include "bans.h"
#include "bans_keep.h"

#define DOMAIN  "@chat.example.org"
#define HELLO   "H3\t2\t0\t\tauth\n"
#define EDGE1   "10.77.1.2"
#define PER_NET 4 /* creations_per_net */
#define SECRET  "wrong-secret"

static struct pgfixture *pg;
static struct redisfixture *redis;
static char dir[64], dict_path[96], ini_path[96], log_path[96];
static int listener;
static pid_t daemon_pid;
static char reply[4096];
static const char *argv[] = {AUTH_PROGRAM, "--config", ini_path, "--db",
                             NULL,         "--redis",  NULL,     NULL};

/* What Dovecot asks, over one connection that stays. */
static int dovecot = -1;

static const char *ask(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static const char *ask(const char *fmt, ...)
{
    char text[1024], line[1100];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(line, sizeof(line), "Lshared/%s\t\n", text);
    if (dovecot < 0) {
        dovecot = daemonkit_dial(dict_path);
        daemonkit_say_text(dovecot, HELLO);
    }
    daemonkit_say_text(dovecot, line);
    daemonkit_hear(dovecot, reply, sizeof(reply));
    return reply;
}

/* The second question, which only a wrong password brings. */
static void fails(const char *client, const char *user, const char *fmt, int number)
{
    char password[64];
    snprintf(password, sizeof(password), "%s%d", fmt, number);
    assert_string_equal(ask("failed-from/%s/%s\"%s" DOMAIN, client, password, user),
                        "N\n");
}

static const char *sql(const char *text)
{
    return pgfixture_sql(pg, "chatmail", text);
}

/* The answer of ban_add comes behind our own. */
static const char *ban_of(const char *source)
{
    char text[200];
    snprintf(
        text, sizeof(text),
        "select reason from ban where source = '%s'::inet and until between now() + "
        "interval '59 minutes' and now() + interval '60 minutes'",
        source);
    for (int i = 0; i < 50 && *sql(text) == '\0'; i++) {
        usleep(20000);
    }
    return sql(text);
}

static void many_guesses(void **state)
{
    (void)state;
    for (int i = 1; i < BANS_GUESSES; i++) {
        fails("203.0.113.66", "someone01", SECRET, i);
        fails("203.0.113.66", "someone01", SECRET, 1); /* one more of the same */
    }
    assert_string_equal(sql("select count(*) from ban"), "0");
    fails("203.0.113.66", "another01", SECRET, 1); /* the same word, another name */
    assert_string_equal(ban_of("203.0.113.66"), "wrong passwords");
    /* A /64 is one source. */
    for (int i = 0; i < BANS_GUESSES; i++) {
        char client[48];
        snprintf(client, sizeof(client), "2001:db8:1:2::%x", i + 1);
        fails(client, "someone01", SECRET, i);
    }
    assert_string_equal(ban_of("2001:db8:1:2::/64"), "wrong passwords");
}

static void one_old_password(void **state)
{
    (void)state;
    for (int i = 0; i < 5 * BANS_GUESSES; i++) {
        fails("203.0.113.67", "oldphone1", SECRET, 1);
    }
    assert_string_equal(sql("select count(*) from ban where source = '203.0.113.67'"),
                        "0");
}

static void who_has_logged_in(void **state)
{
    (void)state;
    const char *user = "insider01" DOMAIN;
    assert_int_equal(
        strncmp(ask("passdb-from/203.0.113.68/" EDGE1 "/password9\"%s", user), "O{", 2),
        0);
    assert_int_equal(strncmp(ask("userdb-from/203.0.113.68/%s", user), "O{", 2), 0);
    for (int i = 0; i < 3 * BANS_GUESSES; i++) {
        fails("203.0.113.68", "insider01", SECRET, i);
    }
    assert_string_equal(sql("select count(*) from ban where source = '203.0.113.68'"),
                        "0");
    /* Who is known to have no account, or comes from elsewhere, is not welcome. */
    assert_string_equal(ask("userdb-from/203.0.113.69/nobody001" DOMAIN), "N\n");
    for (int i = 0; i < BANS_GUESSES; i++) {
        fails("203.0.113.69", "insider01", SECRET, i);
    }
    assert_string_equal(ban_of("203.0.113.69"), "wrong passwords");
}

static void nobody_of_the_internet(void **state)
{
    (void)state;
    static const char *const clients[] = {
        "", "127.0.0.1", "::1", "10.77.1.1", "fd77:1::1", "192.168.1.5", "localhost"};
    const char *before = cm_strdup(sql("select count(*) from ban"));
    for (size_t c = 0; c < sizeof(clients) / sizeof(clients[0]); c++) {
        for (int i = 0; i < BANS_GUESSES + 1; i++) {
            fails(clients[c], "someone01", SECRET, i);
        }
    }
    usleep(200000);
    assert_string_equal(sql("select count(*) from ban"), before);
    free((void *)(uintptr_t)before);
}

static bool creates(const char *client, int i)
{
    return strncmp(ask("passdb-from/%s/" EDGE1 "/password9\"f%08d" DOMAIN, client, i),
                   "O{", 2) == 0;
}

/* insider01 was the first of this /24. That it logs in to what it has made does not
 * help. */
static void flood_of_accounts(void **state)
{
    (void)state;
    for (int i = 0; i < BANS_REFUSED + PER_NET - 2; i++) {
        assert_int_equal(creates("203.0.113.70", i), i < PER_NET - 1);
        if (i < PER_NET - 1) {
            assert_int_equal(
                strncmp(ask("userdb-from/203.0.113.70/f%08d" DOMAIN, i), "O{", 2), 0);
        }
    }
    usleep(200000);
    assert_string_equal(sql("select count(*) from ban where source = '203.0.113.70'"),
                        "0");
    assert_false(creates("203.0.113.70", 99999));
    assert_string_equal(ban_of("203.0.113.70"), "too many new accounts");
}

/* Killed, or stopped as for an upgrade, when Redis has had time to take what was
 * written behind. */
static void restart(int signo)
{
    for (int i = 0; i < 3; i++) {
        fails("127.0.0.1", "someone01", SECRET, i);
    }
    usleep(500000);
    close(dovecot);
    dovecot = -1;
    daemonkit_stop(daemon_pid, signo);
    daemon_pid = daemonkit_start(argv, listener, "dict", log_path);
}

static bool is_banned(const char *source)
{
    char text[100];
    usleep(200000);
    snprintf(text, sizeof(text), "select count(*) from ban where source = '%s'::inet",
             source);
    return strcmp(sql(text), "1") == 0;
}

static void guesses_outlive_a_restart(void **state)
{
    (void)state;
    static const int signals[] = {SIGKILL, SIGTERM};
    for (int i = 1; i < BANS_GUESSES; i++) {
        if (i % 40 == 0) {
            restart(signals[i / 40 - 1]);
        }
        fails("203.0.113.71", "someone01", SECRET, i);
    }
    for (int i = 1; i < BANS_GUESSES; i++) { /* what it has said already */
        fails("203.0.113.71", "someone01", SECRET, i);
    }
    assert_false(is_banned("203.0.113.71"));
    fails("203.0.113.71", "someone01", SECRET, BANS_GUESSES);
    assert_string_equal(ban_of("203.0.113.71"), "wrong passwords");
}

static void welcome_outlives_a_restart(void **state)
{
    (void)state;
    const char *user = "insider02" DOMAIN;
    assert_int_equal(
        strncmp(ask("passdb-from/198.51.100.7/" EDGE1 "/password9\"%s", user), "O{", 2),
        0);
    assert_int_equal(strncmp(ask("userdb-from/198.51.100.7/%s", user), "O{", 2), 0);
    restart(SIGKILL);
    for (int i = 0; i < 2 * BANS_GUESSES; i++) {
        fails("198.51.100.7", "insider02", SECRET, i);
    }
    assert_false(is_banned("198.51.100.7"));
}

static void flood_outlives_a_restart(void **state)
{
    (void)state;
    for (int i = 0; i < BANS_REFUSED + PER_NET - 1; i++) {
        assert_int_equal(creates("192.0.2.70", 200000 + i), i < PER_NET);
        if (i == BANS_REFUSED / 2) {
            restart(SIGKILL);
        }
    }
    assert_false(is_banned("192.0.2.70"));
    assert_false(creates("192.0.2.70", 299999));
    assert_string_equal(ban_of("192.0.2.70"), "too many new accounts");
}

/* Redis away: counted all the same, from nothing. */
static void redis_away(void **state)
{
    (void)state;
    redisfixture_stop(redis);
    restart(SIGTERM);
    for (int i = 1; i < BANS_GUESSES; i++) {
        fails("203.0.113.72", "someone01", SECRET, i);
    }
    assert_false(is_banned("203.0.113.72"));
    fails("203.0.113.72", "someone01", SECRET, BANS_GUESSES);
    assert_string_equal(ban_of("203.0.113.72"), "wrong passwords");
    redisfixture_start(redis);
}

/* No address and no name in Redis, nor anything without an end. */
static void nothing_to_read_in_redis(void **state)
{
    (void)state;
    const char *found = "";
    for (int i = 1; i < BANS_GUESSES && *found == '\0'; i++) {
        fails("203.0.113.73", "someone01", SECRET, i);
        usleep(50000); /* until it has found Redis again */
        found = redisfixture_ask(redis, "KEYS", "bans:*", NULL);
    }
    assert_int_equal(strlen(found), strlen("bans:") + 32);
    char *key = cm_strdup(found);
    long life = strtol(redisfixture_ask(redis, "PTTL", key, NULL), NULL, 10);
    assert_in_range(life, 1, BANS_WINDOW_MS);
    free(key);
}

static void records(void **state)
{
    (void)state;
    struct bans_record r = {.window_ms = 1000, .welcome_ms = BANS_NEVER, .refused = 7};
    struct bans_record back = {0}, none = {.refused = 1};
    unsigned char data[sizeof(r) + 1];
    r.guess_count = 2;
    r.guesses[1] = 0xdeadbeef;
    size_t len = bans_record_dump(&r, data);
    assert_true(bans_record_parse(data, len, 1000, &back));
    assert_memory_equal(&r, &back, sizeof(r));
    assert_false(bans_record_parse(data, len, 999, &none)); /* of the future */
    for (size_t cut = 0; cut < len; cut++) {
        assert_false(bans_record_parse(data, cut, 1000, &none));
    }
    data[0]++;
    assert_false(bans_record_parse(data, len, 1000, &none));
    r.guess_count = BANS_GUESSES;
    r.refused = BANS_REFUSED;
    len = bans_record_dump(&r, data);
    assert_false(bans_record_parse(data, len, 1000, &none));
    assert_int_equal(none.refused, 1);
}

static void log_says_no_address(void **state)
{
    (void)state;
    char *text = NULL;
    struct cm_err err;
    assert_int_equal(cm_file_read(log_path, 4u << 20, &text, NULL, &err), 1);
    assert_non_null(strstr(text, "event=source_banned reason=\"wrong passwords\""));
    assert_null(strstr(text, "203.0.113."));
    assert_null(strstr(text, SECRET));
    free(text);
}

static void bounded_table(void **state)
{
    (void)state;
    assert_string_equal(
        sql("delete from ban; select string_agg(distinct ban_add("
            "'203.0.' || i / 256 || '.' || i % 256, 60, 'test', false), ',')"
            " from generate_series(1, 4096) i"),
        "banned");
    assert_string_equal(sql("select ban_add('192.0.2.1', 60, 'test', false)"), "full");
    assert_string_equal(sql("select ban_add('203.0.0.1', 90, 'test', false)"),
                        "banned");
    assert_string_equal(sql("select ban_add('203.0.0.1', 30, 'test', false);"
                            "select until > now() + interval '80 s' from ban"
                            " where source = '203.0.0.1'"),
                        "t");
    assert_string_equal(sql("select ban_add('203.0.0.1', 30, 'test', true);"
                            "select until > now() + interval '40 s' from ban"
                            " where source = '203.0.0.1'"),
                        "f");
    assert_string_equal(sql("update ban set until = now() - interval '1 s';"
                            "select ban_add('192.0.2.1', 60, 'test', false)"),
                        "banned");
    assert_string_equal(sql("select count(*) from ban"), "1");
}

/* Fixture */

static int group_setup(void **state)
{
    struct cm_err err;
    static char db[256];
    char text[512];
    pg = pgfixture_chatmail(SCHEMA_DIR, "001-account", "007-invite", "030-bans", NULL);
    redis = redisfixture_new();
    *state = redis != NULL ? pg : NULL;
    if (pg == NULL || redis == NULL) {
        return 0;
    }
    daemonkit_dir(dir, "bans");
    daemonkit_path(dict_path, dir, "dict");
    daemonkit_path(ini_path, dir, "chatmail.ini");
    daemonkit_path(log_path, dir, "log");
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\nmailboxes_dir = %s\n"
             "max_load_1m = 1000\nmin_available_memory = 1M\n[store]\n"
             "creations_per_net = 4\n",
             dir);
    assert_int_equal(cm_file_replace(ini_path, text, strlen(text), 0644, &err), 0);
    listener = daemonkit_listen(dict_path);
    snprintf(db, sizeof(db), "%s", pgfixture_conninfo(pg, "chatmail", "chatmail_auth"));
    argv[4] = db;
    argv[6] = redisfixture_path(redis);
    daemon_pid = daemonkit_start(argv, listener, "dict", log_path);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (pg == NULL || redis == NULL) {
        return 0;
    }
    close(dovecot);
    int status = daemonkit_stop(daemon_pid, SIGTERM);
    daemonkit_dir_remove(dir);
    redisfixture_free(&redis);
    pgfixture_free(&pg);
    return status == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(many_guesses, need),
        cmocka_unit_test_setup(one_old_password, need),
        cmocka_unit_test_setup(who_has_logged_in, need),
        cmocka_unit_test_setup(nobody_of_the_internet, need),
        cmocka_unit_test_setup(flood_of_accounts, need),
        cmocka_unit_test_setup(guesses_outlive_a_restart, need),
        cmocka_unit_test_setup(welcome_outlives_a_restart, need),
        cmocka_unit_test_setup(flood_outlives_a_restart, need),
        cmocka_unit_test_setup(redis_away, need),
        cmocka_unit_test_setup(nothing_to_read_in_redis, need),
        cmocka_unit_test(records),
        cmocka_unit_test_setup(log_says_no_address, need),
        cmocka_unit_test_setup(bounded_table, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
