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
    char text[512], db[256];
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
    const char *const argv[] = {AUTH_PROGRAM,
                                "--config",
                                ini_path,
                                "--db",
                                db,
                                "--redis",
                                redisfixture_path(redis),
                                NULL};
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
        cmocka_unit_test_setup(log_says_no_address, need),
        cmocka_unit_test_setup(bounded_table, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
