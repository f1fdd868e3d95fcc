#include "registrations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "common/invite.h"
#include "ini_edit.h"
#include "pgfixture/pgfixture.h"

static void test_wish(void **state)
{
    (void)state;
    struct op_invite_wish wish;
    struct cm_err err;
    assert_int_equal(op_invite_wish(NULL, NULL, NULL, &wish, &err), 0);
    assert_true(wish.uses == 1 && wish.days == 7 && wish.count == 1);
    assert_int_equal(op_invite_wish("1000000", "3650", "1000", &wish, &err), 0);
    assert_true(wish.uses == 1000000 && wish.days == 3650 && wish.count == 1000);
    static const struct {
        const char *uses, *days, *count, *reason;
    } bad[] = {
        {"0", NULL, NULL, "--uses"},    {NULL, "-1", NULL, "--days"},
        {NULL, "3651", NULL, "--days"}, {NULL, NULL, "many", "--count"},
        {"1", "1", "1001", "--count"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(
            op_invite_wish(bad[i].uses, bad[i].days, bad[i].count, &wish, &err), -1);
        assert_int_equal(strncmp(err.text, bad[i].reason, strlen(bad[i].reason)), 0);
    }
}

/* The largest batch fits, and no token is in it. */
static void test_sql(void **state)
{
    (void)state;
    static char hashes[OP_INVITE_COUNT_MAX][CM_INVITE_HASH];
    struct op_invite_wish wish = {OP_INVITE_USES_MAX, OP_INVITE_DAYS_MAX,
                                  OP_INVITE_COUNT_MAX};
    char token[CM_INVITE_LEN + 1];
    struct cm_err err;
    for (size_t i = 0; i < OP_INVITE_COUNT_MAX; i++) {
        assert_int_equal(cm_invite_make(token, &err), 0);
        assert_true(cm_invite_hash(token, hashes[i]));
    }
    char *sql = op_invite_sql((const char(*)[CM_INVITE_HASH])hashes, &wish);
    assert_null(strstr(sql, token));
    assert_non_null(strstr(sql, hashes[0]));
    assert_non_null(strstr(sql, hashes[OP_INVITE_COUNT_MAX - 1]));
    free(sql);
}

static void test_revoke(void **state)
{
    (void)state;
    struct cm_err err;
    char *sql = op_revoke_sql("12", &err);
    assert_string_equal(sql, "delete from invite where id = 12 returning id;");
    free(sql);
    sql = op_revoke_sql("abcdefghjk23", &err);
    assert_null(strstr(sql, "abcdefghjk23"));
    assert_non_null(strstr(sql, "decode('"));
    free(sql);
    static const char *const bad[] = {"",       "0",           "-1",
                                      "1;drop", "abcdefghjk2", "abcdefghjk2'"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(op_revoke_sql(bad[i], &err));
        assert_int_equal(err.kind, CM_ERR_REFUSE);
    }
}

static void test_url(void **state)
{
    (void)state;
    char domain[] = "chat.example.org";
    struct cm_conf conf = {.mail_domain = domain};
    char *url = op_invite_url(&conf, "abcdefghjk23");
    assert_string_equal(url, "https://chat.example.org/new?invite=abcdefghjk23");
    free(url);
}

/* What the first login sends is a name and a password that the rules allow. */
static void dclogin(const char *ini, const char *at, const char *end)
{
    struct cm_conf conf;
    struct cm_err err;
    char name[65], host[65], rest[160], hash[CM_INVITE_HASH], more[160];
    const char *behind;
    assert_int_equal(cm_conf_parse("test.ini", ini, strlen(ini), &conf, &err), 0);
    char *uri = op_invite_dclogin(&conf, "abcdefghjk23", &err);
    char *again = op_invite_dclogin(&conf, "abcdefghjk23", &err);
    assert_string_not_equal(uri, again);
    assert_int_equal(sscanf(uri, "dclogin:%64[a-z0-9]@%64[^?]?p=%159[a-z0-9.]%159s",
                            name, host, rest, more),
                     4);
    assert_string_equal(host, at);
    assert_string_equal(more, end);
    assert_int_equal(strlen(name), conf.username_max_length);
    assert_true(cm_invite_split(rest, hash, &behind));
    assert_true((int64_t)strlen(behind) >= conf.password_min_length);
    free(uri);
    free(again);
    cm_conf_clear(&conf);
}

static void test_dclogin(void **state)
{
    (void)state;
    dclogin("[params]\nmail_domain = _chat.example.org\n", "_chat.example.org",
            "&v=1&ic=3");
    dclogin("[params]\nmail_domain = 1.3.3.7\npassword_min_length = 40\n", "[1.3.3.7]",
            "&v=1&ih=1.3.3.7&sh=1.3.3.7&ic=3");
}

/* A change of the mode concerns those who read it, and nobody else. */
static void test_whom_it_concerns(void **state)
{
    (void)state;
    struct cm_err err;
    char *open = cm_conf_default_text("chat.example.org"), *closed = NULL;
    struct op_files before = {0}, after = {0};
    char a[65], b[65];
    assert_int_equal(
        op_ini_with_value(open, "store", "registrations", "closed", &closed, &err), 0);
    op_files_add_ini(&before, open);
    op_files_add_ini(&after, closed);
    size_t readers = 0;
    for (const struct op_unit *u = op_store_units; u->name != NULL; u++) {
        op_unit_files_hash(&before, u->name, a);
        op_unit_files_hash(&after, u->name, b);
        assert_int_equal(strcmp(a, b) != 0, op_unit_takes_registrations(u->name));
        readers += op_unit_takes_registrations(u->name);
    }
    assert_true(readers > 0);
    op_files_clear(&before);
    op_files_clear(&after);
    free(open);
    free(closed);
}

/* The SQL, over a real PostgreSQL with the real schema. */
static void test_over_postgres(void **state)
{
    (void)state;
    struct pgfixture *pg =
        pgfixture_chatmail(SCHEMA_DIR, "001-account", "007-invite", NULL);
    struct op_invite_wish wish = {5, 3, 2};
    char tokens[2][CM_INVITE_LEN + 1], hashes[2][CM_INVITE_HASH];
    struct cm_err err;
    if (pg == NULL) {
        skip();
    }
    pgfixture_sql(pg, "chatmail",
                  "insert into invite (token_sha256, uses, expires) values "
                  "(sha256('long ago'), 1, now() - interval '31 days'), "
                  "(sha256('not so long ago'), 1, now() - interval '29 days'); "
                  "insert into account (addr, password) values ('a@x', 'p')");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(cm_invite_make(tokens[i], &err), 0);
        assert_true(cm_invite_hash(tokens[i], hashes[i]));
    }
    char *sql = op_invite_sql((const char(*)[CM_INVITE_HASH])hashes, &wish);
    const char *row = pgfixture_sql(pg, "chatmail", sql);
    assert_int_equal(strncmp(row, "3 20", 4), 0); /* ID and a year */
    free(sql);
    assert_string_equal(pgfixture_sql(pg, "chatmail", "select count(*) from invite"),
                        "3"); /* what was over for a month is gone */
    const char *facts = pgfixture_sql(pg, "chatmail", op_registrations_sql);
    assert_non_null(strstr(facts, "\"accounts\" : 1,"));
    assert_non_null(strstr(facts, "\"state\" : \"expired\""));
    assert_non_null(strstr(facts, "\"uses\" : 5, \"used\" : 0, \"left\" : 5"));
    sql = op_revoke_sql(tokens[0], &err);
    assert_string_equal(pgfixture_sql(pg, "chatmail", sql), "3");
    assert_string_equal(pgfixture_sql(pg, "chatmail", sql), "");
    free(sql);
    sql = op_revoke_sql("4", &err);
    assert_string_equal(pgfixture_sql(pg, "chatmail", sql), "4");
    free(sql);
    pgfixture_free(&pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wish),          cmocka_unit_test(test_sql),
        cmocka_unit_test(test_revoke),        cmocka_unit_test(test_url),
        cmocka_unit_test(test_dclogin),       cmocka_unit_test(test_whom_it_concerns),
        cmocka_unit_test(test_over_postgres),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
