/* The real program on a made-up store, over a real PostgreSQL: what is sent comes back
 * on an empty one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

#define BOX "/home/vmail/mail/chat.example.org/a@chat.example.org"

static struct pgfixture *fx;
static char dir[] = "/tmp/chatmail-backup-XXXXXX";
static char *ini, *sent;
static size_t sent_len;

static char *at(const char *root, const char *path)
{
    return cm_asprintf("%s/%s%s", dir, root, path);
}

static void spill(const char *root, const char *path, const char *text, mode_t mode)
{
    char *full = at(root, path), *slash = strrchr(full, '/');
    struct cm_err err;

    *slash = '\0';
    assert_int_equal(cm_file_mkdirs(full, 0755, &err), 0);
    *slash = '/';
    assert_int_equal(cm_file_replace(full, text, strlen(text), mode, &err), 0);
    free(full);
}

/* NULL: not there. Caller frees. */
static char *slurp(const char *root, const char *path)
{
    char *full = at(root, path), *text = NULL;
    struct cm_err err;

    assert_true(cm_file_read(full, 1 << 20, &text, NULL, &err) >= 0);
    free(full);
    return text;
}

static void is(const char *root, const char *path, const char *want)
{
    char *text = slurp(root, path);

    if (want == NULL) {
        assert_null(text);
    } else {
        assert_non_null(text);
        assert_string_equal(text, want);
    }
    free(text);
}

/* words: after the program; ended by NULL. *out_r may be NULL. */
static int backup(const char *root, const char *const *words, const char *input,
                  size_t input_len, struct cm_run_result *res)
{
    char *full = at(root, ""), *db = cm_strdup(pgfixture_dir(fx));
    char *conninfo = cm_asprintf("host=%s user=postgres", db);
    const char *argv[16] = {BACKUP_PROGRAM, "--config", ini,     "--root",
                            full,           "--db",     conninfo};
    struct cm_err err;
    size_t n = 7;

    full[strlen(full) - 1] =
        full[strlen(full) - 1] == '/' ? '\0' : full[strlen(full) - 1];
    while (*words != NULL) {
        argv[n++] = *words++;
    }
    struct cm_run run = {.argv = argv, .input = input, .input_len = input_len};
    assert_int_equal(cm_run(&run, res, &err), 0);
    free(conninfo);
    free(db);
    free(full);
    return res->exit_code;
}

static void take(const char *root, const char *part, const char *made, const char *want)
{
    const char *words[] = {"take", part, made != NULL ? "--made" : NULL, made, NULL};
    struct cm_run_result res;

    if (backup(root, words, sent, sent_len, &res) != 0) {
        fail_msg("take %s: %s", part, res.err.data);
    }
    assert_string_equal(res.out.data, want);
    cm_run_result_clear(&res);
}

static void send(bool mail)
{
    const char *words[] = {"send", mail ? "--mail" : NULL, NULL};
    struct cm_run_result res;

    free(sent);
    if (backup("old", words, NULL, 0, &res) != 0) {
        fail_msg("send: %s", res.err.data);
    }
    sent_len = res.out.len;
    sent = cm_buf_steal(&res.out);
    cm_run_result_clear(&res);
}

static void make_old(void)
{
    spill("old", "/var/lib/portico/x", "", 0644);
    spill("old", "/etc/chatmail/wg.key", "wg\n", 0600);
    spill("old", "/etc/chatmail/chatmail.ini", "no\n", 0644);
    spill("old", "/etc/chatmail/turn/1.conf", "no\n", 0644);
    spill("old", "/etc/dkimkeys/opendkim.private", "dkim\n", 0640);
    spill("old", "/etc/ssl/private/mailserver.key", "tls\n", 0600);
    spill("old", "/var/lib/chatmail-tls/certs/1/privkey", "pair\n", 0600);
    spill("old", "/etc/passwd", "no\n", 0644);
    char *link = at("old", "/var/lib/chatmail-tls/live");
    assert_int_equal(symlink("certs/1", link), 0);
    free(link);
    spill("old", BOX "/dovecot-uidlist", "3 V77 N5 G1\n3 :1.M1.h\n4 :2.M2.h\n", 0600);
    spill("old", BOX "/dovecot-uidvalidity", "0000004d", 0600);
    spill("old", BOX "/dovecot.index.log", "no", 0600);
    spill("old", BOX "/cur/1.M1.h:2,S", "first\n", 0600);
    spill("old", BOX "/new/2.M2.h", "second\n", 0600);
    spill("old", BOX "/tmp/3.M3.h", "no\n", 0600);
    spill("old", BOX "/.Sent/cur/4.M4.h:2,", "folder\n", 0600);
}

static void make_database(void)
{
    pgfixture_sql(fx, "chatmail",
                  "insert into account (addr, password, created_at, last_login) values"
                  " ('a@chat.example.org', '{X}1', now() - interval '40 days', null),"
                  " ('b@chat.example.org', '{X}2', now() - interval '40 days',"
                  "  current_date - 30);"
                  "insert into push_token (addr, token, seen) values"
                  " ('a@chat.example.org', 't', now() - interval '30 days');"
                  "insert into desired_state (epoch, envelope) values"
                  " (nextval('desired_epoch'), E'c2ln\\n{\"gateways\":[]}')");
}

static const char *sql(const char *text)
{
    return pgfixture_sql(fx, "chatmail", text);
}

/* ---- tests ---- */

static void test_keys(void **state)
{
    struct stat st;

    (void)state;
    send(true);
    take("new", "store", NULL, "files 4 boxes 0 present 0\n");
    is("new", "/etc/chatmail/wg.key", "wg\n");
    is("new", "/etc/dkimkeys/opendkim.private", "dkim\n");
    is("new", "/etc/ssl/private/mailserver.key", "tls\n");
    is("new", "/var/lib/chatmail-tls/live/privkey", "pair\n");
    is("new", "/etc/chatmail/chatmail.ini", NULL);
    is("new", "/etc/chatmail/turn/1.conf", NULL);
    is("new", "/etc/passwd", NULL);
    char *key = at("new", "/etc/dkimkeys/opendkim.private");
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    free(key);
    take("new", "store", NULL, "files 4 boxes 0 present 0\n"); /* again */
}

static void test_mail(void **state)
{
    (void)state;
    send(true);
    take("new", "mail", NULL, "files 5 boxes 1 present 0\n");
    is("new", BOX "/dovecot-uidlist", "3 V77 N100005 G1\n3 :1.M1.h\n4 :2.M2.h\n");
    is("new", BOX "/dovecot-uidvalidity", "0000004d");
    is("new", BOX "/cur/1.M1.h:2,S", "first\n");
    is("new", BOX "/new/2.M2.h", "second\n");
    is("new", BOX "/.Sent/cur/4.M4.h:2,", "folder\n");
    /* Who is not root gets there. */
    struct stat st;
    char *vmail = at("new", "/home/vmail/mail");
    assert_int_equal(stat(vmail, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    free(vmail);
    is("new", BOX "/dovecot.index.log", NULL);
    is("new", BOX "/tmp/3.M3.h", NULL);
    /* What came since is not touched. */
    spill("new", BOX "/cur/9.M9.h:2,", "new\n", 0600);
    take("new", "mail", NULL, "files 5 boxes 0 present 1\n");
    is("new", BOX "/cur/9.M9.h:2,", "new\n");
    is("new", "/home/vmail/mail/chat.example.org/.restore/x", NULL);
}

static void test_marks_only(void **state)
{
    (void)state;
    send(false);
    take("third", "mail", NULL, "files 2 boxes 1 present 0\n");
    is("third", BOX "/dovecot-uidlist", "3 V77 N100005 G1\n");
    is("third", BOX "/cur/1.M1.h:2,S", NULL);
}

/* Ten days after the backup; gateways may have seen any epoch since. */
static void test_database(void **state)
{
    char made[24];

    (void)state;
    send(false);
    sql("delete from account; insert into account (addr, password) values"
        " ('c@chat.example.org', '{X}3')");
    snprintf(made, sizeof(made), "%lld", (long long)time(NULL) - 10 * 86400 - 60);
    take("old", "database", made, "files 2 boxes 0 present 0\n");
    assert_string_equal(sql("select string_agg(addr || password, ' ' order by addr)"
                            " from account"),
                        "a@chat.example.org{X}1 b@chat.example.org{X}2");
    assert_string_equal(sql("select string_agg((current_date - last_login)::text, ' '"
                            " order by addr) from account"),
                        "30 20");
    assert_string_equal(sql("select (now() - seen) between interval '19 days' and"
                            " interval '21 days' from push_token"),
                        "t");
    assert_string_equal(sql("select epoch > 1000000 from desired_state order by epoch"
                            " desc limit 1"),
                        "t");
    assert_string_equal(sql("select envelope from desired_state order by epoch desc"
                            " limit 1"),
                        "restored\n{\"gateways\":[]}");
    /* Rights are as before. */
    assert_string_equal(sql("select has_table_privilege('chatmail_cluster',"
                            " 'desired_state', 'insert')"),
                        "t");
}

/* Cut off in the middle, nothing is in place. */
static void test_cut(void **state)
{
    const char *mail[] = {"take", "mail", NULL};
    const char *database[] = {"take", "database", "--made", "1", NULL};
    struct cm_run_result res;

    (void)state;
    send(true);
    const char *message = memmem(sent, sent_len, "second\n", 7);
    assert_non_null(message);
    assert_int_equal(backup("fourth", mail, sent, (size_t)(message - sent), &res), 1);
    cm_run_result_clear(&res);
    is("fourth", BOX "/cur/1.M1.h:2,S", NULL);
    const char *before = sql("select count(*)::text from account");
    char *count = cm_strdup(before);
    assert_int_equal(backup("old", database, sent, 3000, &res), 1);
    assert_non_null(strstr(res.err.data, "only a part"));
    cm_run_result_clear(&res);
    assert_string_equal(sql("select count(*)::text from account"), count);
    free(count);
}

static void test_words(void **state)
{
    const char *wrong[] = {"take", "everything", NULL}, *help[] = {"--help", NULL};
    struct cm_run_result res;

    (void)state;
    assert_int_equal(backup("old", wrong, NULL, 0, &res), 2);
    cm_run_result_clear(&res);
    assert_int_equal(backup("old", help, NULL, 0, &res), 0);
    assert_non_null(strstr(res.out.data, "usage: chatmail-backup send"));
    cm_run_result_clear(&res);
}

static int setup(void **state)
{
    static const char text[] = "[params]\nmail_domain = chat.example.org\n"
                               "tls_external_cert_and_key = "
                               "/etc/ssl/certs/mailserver.pem "
                               "/etc/ssl/private/mailserver.key\n";
    struct cm_err err;

    (void)state;
    fx =
        pgfixture_chatmail(SCHEMA_DIR, "001-account", "002-cluster", "003-token", NULL);
    if (fx == NULL || mkdtemp(dir) == NULL) {
        return -1;
    }
    ini = at("chatmail.ini", "");
    assert_int_equal(cm_file_replace(ini, text, strlen(text), 0644, &err), 0);
    make_old();
    make_database();
    return 0;
}

static int teardown(void **state)
{
    const char *argv[] = {"rm", "-rf", dir, NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err;

    (void)state;
    pgfixture_free(&fx);
    free(ini);
    free(sent);
    return cm_run_ok(&run, NULL, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),       cmocka_unit_test(test_mail),
        cmocka_unit_test(test_marks_only), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_database),   cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
