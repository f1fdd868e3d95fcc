/* Invites of gateways: the program itself over a real PostgreSQL, asked as nginx would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/enrol.h"
#include "common/file.h"
#include "common/mem.h"
#include "pgfixture/pgfixture.h"

#include "enrol.h"
#include "testsite.h"

#define TOKEN "abcdefghjkmnabcdefghjkmn"
#define OTHER "bbcdefghjkmnabcdefghjkmn"
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SHA   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct pgfixture *pg;

static const char *sql(const char *text)
{
    return pgfixture_sql(pg, "chatmail", text);
}

static void invite(const char *name, const char *token, const char *expires)
{
    static int number;
    char hash[CM_ENROL_HASH];
    assert_true(cm_enrol_hash(token, hash));
    char *text = cm_asprintf("insert into gateway_invite (name, number, token_sha256, "
                             "expires, script) values ('%s', %d, decode('%s', 'hex'), "
                             "now() + interval '%s', E'#!/bin/sh\\necho %s\\n')",
                             name, ++number, hash, expires, name);
    sql(text);
    free(text);
}

static int ask(const char *method, const char *path, const char *token,
               const char *body)
{
    char *text = cm_asprintf(
        "%s %s HTTP/1.1\r\nHost: x\r\nX-Real-IP: 203.0.113.77\r\n"
        "X-Portico-Local: 10.77.1.2\r\n%s%s%sContent-Length: %zu\r\n\r\n%s",
        method, path, token != NULL ? CM_ENROL_HEADER ": " : "",
        token != NULL ? token : "", token != NULL ? "\r\n" : "", strlen(body), body);
    int status = testsite_ask(text);
    free(text);
    return status;
}

static void test_script(void **state)
{
    (void)state;
    sql("delete from gateway_invite");
    invite("edge3", TOKEN, "1 hour");
    invite("edge4", OTHER, "-1 second");
    assert_int_equal(ask("GET", "/enrol/script", TOKEN, ""), 200);
    assert_string_equal(testsite_body(), "#!/bin/sh\necho edge3\n");
    assert_string_equal(testsite_field("Cache-Control"), "no-store");
    assert_int_equal(ask("GET", "/enrol/script", TOKEN, ""), 200);
    assert_string_equal(sql("select fetched from gateway_invite where name = 'edge3'"),
                        "2");
    assert_int_equal(ask("GET", "/enrol/script", OTHER, ""), 404); /* expired */
    assert_int_equal(ask("GET", "/enrol/script", NULL, ""), 404);
    assert_int_equal(ask("GET", "/enrol/script", "x'; drop table account", ""), 404);
    assert_int_equal(ask("GET", "/enrol/script", "cccdefghjkmnabcdefghjkmn", ""), 404);
    assert_int_equal(ask("POST", "/enrol/script", TOKEN, ""), 405);
    sql("update gateway_invite set fetched = 100");
    assert_int_equal(ask("GET", "/enrol/script", TOKEN, ""), 404);
}

static void test_package(void **state)
{
    (void)state;
    sql("delete from gateway_invite");
    invite("edge3", TOKEN, "1 hour");
    assert_int_equal(ask("GET", "/enrol/package?" SHA, TOKEN, ""), 200);
    assert_string_equal(testsite_field("X-Accel-Redirect"), ENROL_INSIDE SHA ".deb");
    assert_int_equal(ask("GET", "/enrol/package?" SHA, OTHER, ""), 404);
    assert_string_equal(testsite_field("X-Accel-Redirect"), "");
    assert_int_equal(ask("GET", "/enrol/package?" SHA "0", TOKEN, ""), 400);
    assert_int_equal(ask("GET", "/enrol/package?../../../../etc/passwd", TOKEN, ""),
                     400);
    assert_int_equal(ask("GET", "/enrol/package", TOKEN, ""), 400);
}

static void test_join(void **state)
{
    static const char body[] = KEY_A "\n2: eth0    inet 203.0.113.77/24 scope global\n";
    (void)state;
    sql("delete from gateway_invite");
    invite("edge3", TOKEN, "1 hour");
    invite("edge4", OTHER, "-1 second");
    assert_int_equal(ask("POST", "/enrol/join", OTHER, body), 404);
    assert_int_equal(ask("POST", "/enrol/join", NULL, body), 404);
    assert_int_equal(ask("POST", "/enrol/join", TOKEN, body), 200);
    assert_string_equal(sql("select wg_public_key || ' ' || seen_from || ' ' ||"
                            " interfaces from gateway_invite where joined is not null"),
                        KEY_A " 203.0.113.77 2: eth0    inet 203.0.113.77/24 scope "
                              "global\n");
    /* its answer was lost: once more, even when the time is over meanwhile */
    sql("update gateway_invite set expires = now() where name = 'edge3'");
    assert_int_equal(ask("POST", "/enrol/join", TOKEN, body), 200);
    /* somebody else found the token */
    assert_int_equal(ask("POST", "/enrol/join", TOKEN, KEY_B "\n"), 409);
    assert_non_null(strstr(testsite_body(), "Another machine has used this invite"));
    assert_string_equal(sql("select wg_public_key from gateway_invite where "
                            "name = 'edge3'"),
                        KEY_A);
    assert_string_equal(
        sql("select count(*) from gateway_invite where joined is not null"), "1");
}

static void test_bad_bodies(void **state)
{
    (void)state;
    sql("delete from gateway_invite");
    invite("edge3", TOKEN, "1 hour");
    static const char *const bodies[] = {
        "",           KEY_A,          "short\n",       KEY_A "\nx\033[2J\n",
        "key " KEY_A, KEY_A "\n\x80", "\n" KEY_A "\n",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(ask("POST", "/enrol/join", TOKEN, bodies[i]), 400);
    }
    char *large = cm_calloc(1, ENROL_BODY_MAX + 2);
    memset(large, ' ', ENROL_BODY_MAX + 1);
    memcpy(large, KEY_A "\n", 45);
    assert_int_equal(ask("POST", "/enrol/join", TOKEN, large), 400);
    free(large);
    assert_string_equal(
        sql("select count(*) from gateway_invite where joined is not null"), "0");
}

/* The role may do these two things and read nothing. */
static void test_role(void **state)
{
    (void)state;
    assert_string_equal(
        sql("select count(*) from pg_class c join pg_namespace n on n.oid = "
            "c.relnamespace where n.nspname = 'public' and c.relkind in ('r', 'v') and "
            "has_table_privilege('chatmail_web', c.oid, 'select, insert, update, "
            "delete')"),
        "0");
    assert_string_equal(
        sql("select string_agg(p.proname, ' ' order by p.proname) from pg_proc p join "
            "pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' and "
            "has_function_privilege('chatmail_web', p.oid, 'execute')"),
        "gateway_enrol_join gateway_enrol_script");
}

static void test_database_away(void **state)
{
    (void)state;
    sql("delete from gateway_invite");
    invite("edge3", TOKEN, "1 hour");
    pgfixture_stop(pg);
    assert_int_equal(ask("GET", "/enrol/script", TOKEN, ""), 503);
    assert_int_equal(ask("POST", "/enrol/join", TOKEN, KEY_A "\n"), 503);
    assert_int_equal(ask("POST", "/new", NULL, ""), 200); /* what needs none goes on */
    pgfixture_start(pg);
    int status = 0;
    for (int i = 0; i < 50 && status != 200; i++) {
        struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
        status = ask("GET", "/enrol/script", TOKEN, "");
        nanosleep(&pause, NULL);
    }
    assert_int_equal(status, 200);
    char *log = NULL;
    struct cm_err err;
    assert_int_equal(cm_file_read(testsite.log_path, 1u << 20, &log, NULL, &err), 1);
    assert_null(strstr(log, TOKEN));
    assert_null(strstr(log, "203.0.113.77"));
    free(log);
}

static int setup(void **state)
{
    pg = pgfixture_chatmail(SCHEMA_DIR, "001-account", "002-cluster", "015-enrol",
                            (char *)NULL);
    if (pg == NULL) {
        return 0;
    }
    snprintf(testsite.conninfo, sizeof(testsite.conninfo), "%s",
             pgfixture_conninfo(pg, "chatmail", "chatmail_web"));
    return testsite_setup(state);
}

static int teardown(void **state)
{
    int rc = pg != NULL ? testsite_teardown(state) : 0;
    pgfixture_free(&pg);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTSITE_TEST(test_script), TESTSITE_TEST(test_package),
        TESTSITE_TEST(test_join),   TESTSITE_TEST(test_bad_bodies),
        TESTSITE_TEST(test_role),   TESTSITE_TEST(test_database_away),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
