/* /new as nginx passes it on: accounts, limits, refusals, and a discreet log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/invite.h"
#include "pgfixture/pgfixture.h"

#include "testsite.h"

static void check_account(const char *behind_at, const char *password_begin,
                          size_t password_len, bool url)
{
    char *email = testsite_json("email"), *password = testsite_json("password"),
         *dclogin = testsite_json("dclogin_url");
    assert_string_equal(testsite_field("Content-Type"), "application/json");
    assert_string_equal(testsite_field("Cache-Control"), "no-store");
    assert_non_null(email);
    assert_string_equal(strchr(email, '@'), behind_at);
    assert_int_equal(strlen(password), password_len);
    assert_memory_equal(password, password_begin, strlen(password_begin));
    assert_int_equal(dclogin != NULL, url);
    free(email);
    free(password);
    free(dclogin);
}

static void test_new(void **state)
{
    (void)state;
    static const char *const paths[] = {"/new", "/cgi-bin/newemail.py", "/new?x=y"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            testsite_ask_from("POST", paths[i], "203.0.113.7", "10.77.1.2"), 200);
        check_account("@" TESTSITE_DOMAIN, "", 12, false);
    }
    assert_int_equal(testsite_ask_from("GET", "/new", "203.0.113.7", "10.77.1.2"), 301);
    assert_string_equal(testsite_field("Location"),
                        "dcaccount:https://" TESTSITE_DOMAIN "/new");
    assert_int_equal(testsite_ask_from("HEAD", "/new", "203.0.113.7", "10.77.1.2"),
                     301);
    assert_string_equal(testsite_body(), "");
    assert_int_equal(testsite_ask_from("PUT", "/new", "203.0.113.7", "10.77.1.2"), 405);
    assert_string_equal(testsite_field("Allow"), "GET, HEAD, POST");
    assert_int_equal(testsite_ask_from("POST", "/newx", "203.0.113.7", "10.77.1.2"),
                     404);
    assert_int_equal(
        testsite_ask("POST /new HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
                     "ignored!!"),
        200);
    assert_int_equal(testsite_ask("nonsense\r\n\r\n"), 400);
}

static void test_new_self_signed(void **state)
{
    (void)state;
    testsite_reconfigure("_chat.example.org", "");
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.7", "10.77.1.2"),
                     200);
    check_account("@_chat.example.org", "", 12, true);
    assert_int_equal(testsite_ask_from("GET", "/new", "203.0.113.7", "10.77.1.2"), 200);
    check_account("@_chat.example.org", "", 12, true);
    testsite_reconfigure("1.3.3.7", "");
    assert_int_equal(testsite_ask_from("GET", "/new", "203.0.113.7", "10.77.1.2"), 200);
    check_account("@[1.3.3.7]", "", 12, true);
    testsite_reconfigure(TESTSITE_DOMAIN, "");
}

static void refused(const char *words)
{
    char *reason = testsite_json("reason");
    assert_string_equal(testsite_field("Content-Type"), "application/json");
    assert_non_null(reason);
    if (strstr(reason, words) == NULL) {
        fail_msg("'%s', not '%s'", reason, words);
    }
    free(reason);
}

static void test_limits(void **state)
{
    (void)state;
    redisfixture_ask(testsite.redis, "FLUSHALL", NULL);
    testsite_reconfigure(TESTSITE_DOMAIN,
                         "creations_per_net = 2\ncreations_per_gateway = 3\n");
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.7", "10.77.1.2"),
                     200);
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.8", "fd77:1::2"),
                     200);
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.9", "10.77.2.2"),
                     429);
    refused("from your network within the last hour. Try again in ");
    int wait = atoi(testsite_field("Retry-After"));
    assert_in_range(wait, 3400, 3600);
    assert_int_equal(testsite_ask_from("GET", "/new", "203.0.113.9", "10.77.2.2"), 301);
    assert_int_equal(testsite_ask_from("POST", "/new", "2001:db8::1", "fd77:1::2"),
                     200);
    assert_int_equal(testsite_ask_from("POST", "/new", "2001:db8:1::1", "10.77.1.2"),
                     429);
    refused("on this server within the last hour.");
    assert_int_equal(testsite_ask_from("POST", "/new", "2001:db8:1::1", "10.77.2.2"),
                     200);
    testsite_stop(); /* a restart forgets nothing */
    testsite_start();
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.9", "10.77.2.2"),
                     429);
    redisfixture_stop(testsite.redis); /* and without Redis the limit holds too */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(testsite_ask_from("POST", "/new", "198.51.100.7", "10.77.3.2"),
                         200);
    }
    assert_int_equal(testsite_ask_from("POST", "/new", "198.51.100.7", "10.77.3.2"),
                     429);
    redisfixture_start(testsite.redis);
    testsite_reconfigure(TESTSITE_DOMAIN, "");
}

static void test_closed(void **state)
{
    (void)state;
    testsite_reconfigure(TESTSITE_DOMAIN, "registrations = closed\n");
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.7", "10.77.1.2"),
                     403);
    refused(TESTSITE_DOMAIN " does not take new accounts");
    testsite_reconfigure(TESTSITE_DOMAIN, "");
    testsite_write(testsite.nocreate_path, "");
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.7", "10.77.1.2"),
                     403);
    refused(TESTSITE_DOMAIN " does not take new accounts");
    unlink(testsite.nocreate_path);
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.7", "10.77.1.2"),
                     200);
}

#define TOKEN   "abcdefghjkmn"
#define EXPIRED "abcdefghjkmp"
#define USED_UP "abcdefghjkmq"
#define STRANGE "abcdefghjkmr" /* never given out */

static struct pgfixture *pg;

static void make_invite(const char *token, int used, const char *expires)
{
    char hash[CM_INVITE_HASH], sql[512];
    assert_true(cm_invite_hash(token, hash));
    snprintf(sql, sizeof(sql),
             "insert into invite (token_sha256, uses, used, expires) values "
             "(decode('%s', 'hex'), 2, %d, now() + interval '%s')",
             hash, used, expires);
    pgfixture_sql(pg, "chatmail", sql);
}

static int setup(void **state)
{
    static const char *const files[] = {"001-account", "007-invite", "013-web"};
    pg = pgfixture_new();
    if (pg == NULL) {
        return 0;
    }
    pgfixture_sql(pg, "postgres", "create database chatmail");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s.sql", SCHEMA_DIR, files[i]);
        pgfixture_sql_file(pg, "chatmail", path);
    }
    make_invite(TOKEN, 1, "1 day");
    make_invite(EXPIRED, 0, "-1 second");
    make_invite(USED_UP, 2, "1 day");
    snprintf(testsite.conninfo, sizeof(testsite.conninfo), "%s",
             pgfixture_conninfo(pg, "chatmail", "chatmail_web"));
    return testsite_setup(state);
}

static int teardown(void **state)
{
    int rc = testsite_teardown(state);
    pgfixture_free(&pg);
    return rc;
}

static void test_invite(void **state)
{
    (void)state;
    static const char *const not_invited[] = {"/new",
                                              "/new?invite=",
                                              "/new?invite=abc",
                                              "/new?invite=" TOKEN "x",
                                              "/new?xinvite=" TOKEN,
                                              "/new?invite=abcdefgh%40mn"};
    redisfixture_ask(testsite.redis, "FLUSHALL", NULL);
    testsite_reconfigure(TESTSITE_DOMAIN, "registrations = invite\n");
    for (size_t i = 0; i < sizeof(not_invited) / sizeof(not_invited[0]); i++) {
        assert_int_equal(
            testsite_ask_from("POST", not_invited[i], "203.0.113.7", "10.77.1.2"), 403);
        refused("by invitation only");
    }
    assert_int_equal(
        testsite_ask_from("POST", "/new?invite=" TOKEN, "203.0.113.7", "10.77.1.2"),
        200);
    check_account("@" TESTSITE_DOMAIN, TOKEN ".", 12 + 13, false);
    assert_int_equal(
        testsite_ask_from("GET", "/new?a=b&invite=" TOKEN, "203.0.113.7", "10.77.1.2"),
        301);
    assert_string_equal(testsite_field("Location"),
                        "dcaccount:https://" TESTSITE_DOMAIN "/new?invite=" TOKEN);
    testsite_reconfigure(TESTSITE_DOMAIN, "");
    assert_int_equal(
        testsite_ask_from("POST", "/new?invite=" TOKEN, "203.0.113.7", "10.77.1.2"),
        200);
    check_account("@" TESTSITE_DOMAIN, "", 12, false);
}

static int ask_invited(const char *token)
{
    char target[64];
    snprintf(target, sizeof(target), "/new?invite=%s", token);
    return testsite_ask_from("POST", target, "192.0.2.7", "10.77.4.2");
}

/* A token that no login would take is refused at once, and costs the network nothing.
 */
static void test_dead_invite(void **state)
{
    (void)state;
    static const char *const dead[] = {EXPIRED, USED_UP, STRANGE};
    redisfixture_ask(testsite.redis, "FLUSHALL", NULL);
    testsite_reconfigure(TESTSITE_DOMAIN,
                         "registrations = invite\ncreations_per_net = 1\n");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask_invited(dead[i]), 403);
        refused("This invite for " TESTSITE_DOMAIN " is not valid");
    }
    assert_int_equal(ask_invited("ABCDEFGHJKMN"), 200); /* as people may type it */
    assert_int_equal(ask_invited(TOKEN), 429);
    assert_string_equal(pgfixture_sql(pg, "chatmail", "select sum(used) from invite"),
                        "3"); /* asking takes none */
    testsite_reconfigure(TESTSITE_DOMAIN, "");
    assert_int_equal(ask_invited(EXPIRED), 200); /* nobody asks for one */
}

static void passes(const char *token)
{
    int status = ask_invited(token);
    if (status != 200) {
        fail_msg("%d for %s: %s", status, token, testsite_body());
    }
}

/* The first login knows, or says that it cannot tell. */
static void test_database_away(void **state)
{
    (void)state;
    redisfixture_ask(testsite.redis, "FLUSHALL", NULL);
    testsite_reconfigure(TESTSITE_DOMAIN, "registrations = invite\n");
    assert_int_equal(ask_invited(STRANGE), 403);
    pgfixture_stop(pg);
    passes(TOKEN);
    passes(STRANGE);
    testsite_stop(); /* nor does a start wait for it */
    testsite_start();
    passes(STRANGE);
    pgfixture_start(pg);
    int status = 200;
    for (int i = 0; i < 100 && status == 200; i++) {
        usleep(100000);
        status = ask_invited(STRANGE);
    }
    assert_int_equal(status, 403);
    pgfixture_freeze(pg);
    passes(TOKEN);
    pgfixture_unfreeze(pg);
    testsite_reconfigure(TESTSITE_DOMAIN, "");
}

/* Its role may ask that, and read nothing. */
static void test_role(void **state)
{
    (void)state;
    assert_string_equal(
        pgfixture_sql(pg, "chatmail",
                      "select count(*) from information_schema.role_table_grants "
                      "where grantee = 'chatmail_web'"),
        "0");
}

/* No password and no address in the log,
 whatever happened above. */
static void test_log_is_discreet(void **state)
{
    (void)state;
    assert_int_equal(testsite_ask_from("POST", "/new", "203.0.113.77", "10.77.1.2"),
                     200);
    char *password = testsite_json("password"), *log = NULL;
    struct cm_err err;
    assert_int_equal(cm_file_read(testsite.log_path, 1u << 20, &log, NULL, &err), 1);
    assert_null(strstr(log, "203.0.113.77"));
    assert_null(strstr(log, password));
    assert_null(strstr(log, "d.example"));
    free(log);
    free(password);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTSITE_TEST(test_new),
        TESTSITE_TEST(test_new_self_signed),
        TESTSITE_TEST(test_limits),
        TESTSITE_TEST(test_closed),
        TESTSITE_TEST(test_invite),
        TESTSITE_TEST(test_dead_invite),
        TESTSITE_TEST(test_database_away),
        TESTSITE_TEST(test_role),
        TESTSITE_TEST(test_log_is_discreet),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
