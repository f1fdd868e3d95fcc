/* The real program over a real PostgreSQL and a temporary tree. Numbers in comments are
 * the cases of relay-spec.md 6.11. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "daemonkit/daemonkit.h"
#include "pgfixture/pgfixture.h"

#include "expire.h"
#include "removal.h"
#include "tree.h"

#define DOMAIN "@chat.example.org"
#define DAY    INT64_C(86400)
#define WORDS  12

static struct pgfixture *fx;
static char dir[64], boxes[80], ini[80], db[256];

/* The program */

static struct cm_run_result said;

static int expire_argv(const char *const *argv)
{
    struct cm_err err;
    struct cm_run run = {.argv = argv};
    if (said.out.data != NULL) {
        cm_run_result_clear(&said);
    }
    if (cm_run(&run, &said, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return said.exit_code;
}

/* Options apart from --config and --db; ended by NULL. */
static int expire(const char *first, ...)
{
    const char *argv[WORDS + 8] = {EXPIRE_PROGRAM};
    int n = 1;
    va_list ap;
    va_start(ap, first);
    for (const char *a = first; a != NULL; a = va_arg(ap, const char *)) {
        argv[n++] = a;
    }
    va_end(ap);
    argv[n++] = "--config";
    argv[n++] = ini;
    argv[n++] = "--db";
    argv[n++] = db;
    return expire_argv(argv);
}

#define assert_said(stream, what)                                                      \
    do {                                                                               \
        if (strstr(said.stream.data, what) == NULL) {                                  \
            fail_msg("\"%s\" is not in: %s%s", what, said.out.data, said.err.data);    \
        }                                                                              \
    } while (0)

/* The world */

static const char *sql(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return pgfixture_sql(fx, "chatmail", text);
}

static char *box(const char *name, const char *rest)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/%s%s%s%s", boxes, name,
             strchr(name, '@') != NULL ? "" : DOMAIN, rest[0] != '\0' ? "/" : "", rest);
    return path;
}

static bool there(const char *name, const char *rest)
{
    return access(box(name, rest), F_OK) == 0;
}

static void put(const char *name, const char *rest, size_t size, int64_t days)
{
    char parent[300];
    struct cm_err err;
    struct timespec times[2] = {{.tv_sec = time(NULL) - days * DAY}};
    times[1] = times[0];
    snprintf(parent, sizeof(parent), "%s", box(name, rest));
    *strrchr(parent, '/') = '\0';
    assert_int_equal(cm_file_mkdirs(parent, 0700, &err), 0);
    int fd = open(box(name, rest), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

/* Nobody has fetched mail there for so long. */
static void unused_for(const char *name, int days)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - days * DAY}};
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, box(name, "cur"), times, 0), 0);
}

/* login_days, created_days: ago; login -1: never. */
static void account(const char *name, int login_days, int created_days)
{
    char login[64] = "null";
    if (login_days >= 0) {
        snprintf(login, sizeof(login), "(now() at time zone 'UTC')::date - %d",
                 login_days);
    }
    sql("insert into account (addr, password, last_login, created_at) values "
        "('%s" DOMAIN "', 'x', %s, now() - interval '%d days')",
        name, login, created_days);
    put(name, "cur/1", 10, 0);
    unused_for(name, created_days);
}

static bool known(const char *name)
{
    return sql("select addr from account where addr = '%s" DOMAIN "'", name)[0] != '\0';
}

static void many(const char *prefix, int n, int login_days)
{
    char name[32];
    sql("insert into account (addr, password, last_login, created_at) "
        "select '%s' || to_char(i, 'FM0000') || '" DOMAIN "', 'x', "
        "(now() at time zone 'UTC')::date - %d, now() - interval '200 days' "
        "from generate_series(0, %d) i",
        prefix, login_days, n - 1);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s%04d", prefix, i);
        put(name, "cur/1", 10, 0);
        unused_for(name, 200);
    }
}

static int count_boxes(void)
{
    char command[200];
    const char *argv[] = {"sh", "-c", command, NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err;
    char *out;
    snprintf(command, sizeof(command), "find %s -name cur -type d | wc -l", boxes);
    assert_int_equal(cm_run_ok(&run, &out, &err), 0);
    int n = (int)strtol(out, NULL, 10);
    free(out);
    return n;
}

/* Tests */

static void test_mail(void **state) /* 5 */
{
    (void)state;
    account("mail", 1, 10);
    put("mail", "cur/old", 10, 21);
    put("mail", "cur/young", 10, 19);
    put("mail", "cur/large", 300000, 8);
    put("mail", "cur/largeyoung", 300000, 6);
    put("mail", "new/large", 300000, 8);
    put("mail", ".Sub/new/old", 10, 21);
    put("mail", "maildirsize", 10, 21);
    assert_int_equal(expire("-v", NULL), 0);
    assert_said(out, "would remove 0 of 1 mailboxes, 3 of 8 files");
    assert_said(err, "would remove ");
    assert_true(there("mail", "cur/old"));
    assert_int_equal(expire("--remove", "-v", NULL), 0);
    assert_said(out, "removed 0 of 1 mailboxes, 3 of 8 files");
    assert_said(err, "removing ");
    assert_false(there("mail", "cur/old"));
    assert_false(there("mail", "cur/large"));
    assert_false(there("mail", ".Sub/new/old"));
    assert_false(there("mail", "maildirsize"));
    assert_true(there("mail", "cur/young"));
    assert_true(there("mail", "cur/largeyoung"));
    assert_true(there("mail", "new/large"));
}

static void test_no_base(void **state) /* 3 */
{
    (void)state;
    account("kept", 100, 200);
    rename(boxes, "/tmp/test-expire-away");
    assert_int_equal(expire("--remove", "--force", NULL), 0);
    assert_said(err, "no mailboxes found at ");
    rename("/tmp/test-expire-away", boxes);
    assert_true(known("kept"));
}

static void test_stray(void **state) /* 4 */
{
    (void)state;
    put("stray", "extra", 10, 0);
    assert_int_equal(expire("--remove", NULL), 0);
    assert_said(err, "stray" DOMAIN " doesn't have last_login but isn't empty");
    assert_true(there("stray", "extra"));
    unlink(box("stray", "extra"));
    assert_int_equal(expire("--remove", NULL), 0);
    assert_null(strstr(said.err.data, "last_login"));
    assert_false(there("stray", ""));
}

static void test_inactive(void **state) /* 6 */
{
    (void)state;
    many("old", 150, 91);
    many("new", 5, 0);
    account("edge", 90, 200);
    account("neverold", -1, 91);
    account("nevernew", -1, 89);
    sql("insert into push_token (addr, token) values ('old0007" DOMAIN
        "', 'a'), ('new0001" DOMAIN "', 'b')");
    assert_int_equal(expire(NULL, NULL), 0);
    assert_int_equal(count_boxes(), 158);
    assert_int_equal(expire("--remove", NULL), 0);
    assert_said(out, "removed 15");
    assert_string_equal(sql("select count(*) from account where addr like 'old%%'"),
                        "0");
    assert_string_equal(sql("select count(*) from account_removal"), "0");
    assert_string_equal(sql("select string_agg(addr, ',') from push_token"),
                        "new0001" DOMAIN);
    assert_false(known("neverold"));
    assert_true(known("nevernew"));
    assert_true(known("new0004"));
    assert_false(there("old0000", ""));
    assert_false(there("neverold", ""));
    assert_true(there("new0000", "cur/1"));
    /* Midnight 90 days ago is over 90 days ago, as upstream counts. */
    assert_false(known("edge"));
    assert_int_equal(count_boxes(), 6);
}

/* No login for long, but a client that stays connected fetches mail. */
static void test_used_without_login(void **state)
{
    (void)state;
    account("login", 0, 200);
    account("fetched", 95, 200);
    account("never", -1, 95);
    account("mailonly", 95, 200);
    unused_for("fetched", 3);
    unused_for("never", -5); /* a clock was wrong: today */
    put("mailonly", "new/1", 10, 0);
    assert_int_equal(expire("-v", NULL), 0);
    assert_said(out, "would remove 1 of ");
    assert_said(err, "2 account(s) without a login for 90 days kept");
    assert_string_equal(sql("select count(*) from account where last_login > now() - "
                            "interval '10 days'"),
                        "1"); /* looking changes nothing */
    assert_int_equal(expire("--remove", NULL), 0);
    assert_said(out, "removed 1 of ");
    assert_false(known("mailonly"));
    assert_false(there("mailonly", ""));
    assert_true(there("fetched", "cur/1"));
    assert_string_equal(
        sql("select (now() at time zone 'UTC')::date - last_login from account "
            "where addr = 'fetched" DOMAIN "'"),
        "3");
    assert_string_equal(
        sql("select (now() at time zone 'UTC')::date - last_login from account "
            "where addr = 'never" DOMAIN "'"),
        "0");
}

static void test_share(void **state)
{
    (void)state;
    many("old", 201, 95);
    many("new", 100, 1);
    put("new0000", "cur/stale", 1, 30);
    assert_int_equal(expire("--remove", NULL), EXPIRE_REFUSED);
    assert_said(err, "201 of 301 accounts are inactive");
    assert_int_equal(count_boxes(), 301);
    assert_false(there("new0000", "cur/stale")); /* mail goes all the same */
    assert_int_equal(expire("--remove", "--max-share", "70", NULL), 0);
    assert_int_equal(count_boxes(), 100);
}

static void test_clock(void **state)
{
    (void)state;
    many("user", 10, 1);
    account("old", 89, 200);
    put("user0000", "cur/young", 10, 1);
    assert_int_equal(expire("--remove", "--days", "-60", NULL), EXPIRE_REFUSED);
    assert_said(err, "days ahead of the newest login");
    assert_true(there("user0000", "cur/young"));
    assert_int_equal(count_boxes(), 11);
    assert_int_equal(expire("--remove", "--days", "-2", NULL), 0);
    assert_int_equal(count_boxes(), 10); /* the one that was nearly due */
    assert_true(there("user0000", "cur/young"));
}

static void test_logins_not_recorded(void **state)
{
    (void)state;
    account("one", -1, 95);
    account("two", -1, 0);
    assert_int_equal(expire("--remove", NULL), EXPIRE_REFUSED);
    assert_said(err, "chatmail-lastlogin");
    assert_true(known("one"));
    assert_int_equal(expire("--remove", "--force", NULL), 0);
    assert_false(known("one"));
    assert_true(known("two"));
}

static void test_postgres_away(void **state)
{
    (void)state;
    account("old", 95, 200);
    account("new", 0, 200);
    put("new", "cur/stale", 10, 30);
    pgfixture_stop(fx);
    int status = expire("--remove", NULL);
    pgfixture_start(fx);
    assert_int_equal(status, EXPIRE_AWAY);
    assert_said(err, "PostgreSQL is away");
    assert_true(there("old", "cur/1"));
    assert_false(there("new", "cur/stale"));
    assert_true(known("old"));
}

/* Every step at which a run can die, made by hand. */
static void test_resumes(void **state)
{
    (void)state;
    account("new", 0, 200);
    account("marked", 95, 200);
    account("moved", 95, 200);
    account("twice", 95, 200);
    put("../" ASIDE_DIR "/1-2-3/cur/" DOMAIN, "f", 10, 0);
    sql("delete from account where addr = 'moved" DOMAIN "'");
    sql("insert into account_removal values ('moved" DOMAIN "'), ('gone" DOMAIN "')");
    sql("select expire_mark('marke', now() - interval '90 days', 1)");
    assert_false(known("marked"));
    assert_int_equal(expire("--remove", NULL), 0);
    assert_string_equal(sql("select count(*) from account_removal"), "0");
    assert_int_equal(count_boxes(), 1);
    assert_true(known("new"));
    char aside[120];
    snprintf(aside, sizeof(aside), "%s/" ASIDE_DIR, boxes);
    assert_int_equal(rmdir(aside), 0); /* nothing is left in it */
}

/* Plays chatmail-push: writes each line it hears into the file, and says yes. */
static pid_t hear_bell(const char *bell, const char *heard)
{
    int listener = daemonkit_listen(bell);
    pid_t pid = fork();
    if (pid != 0) {
        close(listener);
        return pid;
    }
    for (;;) {
        char line[300];
        int fd = accept(listener, NULL, NULL);
        daemonkit_hear(fd, line, sizeof(line));
        FILE *f = fopen(heard, "a");
        fputs(line, f);
        fclose(f);
        daemonkit_say_text(fd, "+\n");
        close(fd);
    }
}

static void test_push_forgets_or_the_mark_stays(void **state)
{
    (void)state;
    char bell[120], spool[120], heard[120];
    snprintf(bell, sizeof(bell), "%s/bell", dir);
    snprintf(spool, sizeof(spool), "%s/spool", dir);
    snprintf(heard, sizeof(heard), "%s/heard", dir);
    assert_int_equal(mkdir(spool, 0700), 0);
    account("one", 95, 200);
    account("two", 95, 200);
    account("new", 0, 200);
    assert_int_equal(expire("--remove", "--bell", bell, "--bell-dir", spool, NULL), 1);
    assert_said(err, "chatmail-push does not answer");
    assert_string_equal(sql("select count(*) from account_removal"), "2");
    assert_false(there("one", ""));
    pid_t push = hear_bell(bell, heard);
    assert_int_equal(expire("--remove", "--bell", bell, "--bell-dir", spool, NULL), 0);
    kill(push, SIGKILL);
    waitpid(push, NULL, 0);
    assert_string_equal(sql("select count(*) from account_removal"), "0");
    struct cm_err err;
    char *text;
    size_t len;
    assert_int_equal(cm_file_read(heard, 4096, &text, &len, &err), 1);
    assert_string_equal(text, "-one" DOMAIN "\n-two" DOMAIN "\n");
    free(text);
    assert_true(known("new"));
}

static void test_marked_cannot_be_made_anew(void **state)
{
    (void)state;
    account("victim", 95, 200);
    sql("select expire_mark('', now() - interval '90 days', 9)");
    assert_false(known("victim"));
    char out[200];
    snprintf(out, sizeof(out), "%s",
             sql("create or replace function try() returns text language plpgsql as $$ "
                 "begin insert into account (addr, password) values ('victim" DOMAIN
                 "', 'y') on conflict do nothing; return 'made'; "
                 "exception when others then return sqlstate; end $$; "
                 "select try()"));
    assert_string_equal(out, "40001");
    assert_int_equal(expire("--remove", NULL), 0);
    assert_false(there("victim", ""));
    assert_string_equal(sql("select try()"), "made");
}

/* Killed at any moment, again and again: at the end each account is either whole or
 * gone, and nothing is left over. */
static void test_killed(void **state)
{
    (void)state;
    many("old", 150, 95);
    many("new", 20, 1);
    for (int i = 0; i < 25; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, STDOUT_FILENO);
            dup2(null, STDERR_FILENO);
            execl(EXPIRE_PROGRAM, "chatmail-expire", "--remove", "--config", ini,
                  "--db", db, NULL);
            _exit(127);
        }
        usleep((useconds_t)(i < 20 ? 5000 + i * 4000 : 900000 + i * 12000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        /* Whoever may log in has a mailbox. */
        char *in = cm_strdup(sql("select coalesce(string_agg(addr, ' '), '') "
                                 "from account where addr like 'old%%'"));
        char *rest = NULL;
        for (char *addr = strtok_r(in, " ", &rest); addr != NULL;
             addr = strtok_r(NULL, " ", &rest)) {
            assert_true(there(addr, "cur/1"));
        }
        free(in);
    }
    assert_int_equal(expire("--remove", NULL), 0);
    assert_int_equal(count_boxes(), 20);
    assert_string_equal(sql("select count(*) from account"), "20");
    assert_string_equal(sql("select count(*) from account_removal"), "0");
}

static void test_quota(void **state) /* 10, 11 */
{
    (void)state;
    char name[320];
    int64_t now = time(NULL);
    account("full", 0, 10);
    put("full", "maildirsize", 10, 0);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "cur/%lld.M%d.h,S=%d,W=5:2,",
                 (long long)(now - (20 - i) * DAY / 2 - 2 * DAY), i, 1 << 20);
        put("full", name, 1000, 1);
    }
    snprintf(name, sizeof(name), "%s", box("full", ""));
    const char *argv[] = {EXPIRE_PROGRAM, "quota", "9", name, NULL};
    assert_int_equal(expire_argv(argv), 0);
    assert_string_equal(said.err.data,
                        "quota-expire: removed 3 message(s) from full" DOMAIN "\n");
    assert_false(there("full", "maildirsize"));
    assert_int_equal(expire_argv(argv), 0);
    assert_string_equal(said.err.data, "");
    /* The daily pass: max_mailbox_size is 10 MiB here, 70 % of that is 7. */
    put("full", "maildirsize", 10, 0);
    assert_int_equal(expire(NULL, NULL), 0);
    assert_said(out, "1 mailboxes over quota, 0 messages trimmed");
    assert_int_equal(expire("--remove", NULL), 0);
    assert_said(out, "1 mailboxes over quota, 2 messages trimmed");
    assert_false(there("full", "maildirsize"));
    const char *bad[] = {EXPIRE_PROGRAM, "quota", "many", name, NULL};
    assert_int_equal(expire_argv(bad), EXPIRE_USAGE);
    const char *none[] = {EXPIRE_PROGRAM, "quota", "1", "/nonexistent/u@x", NULL};
    assert_int_equal(expire_argv(none), EXPIRE_TROUBLE);
}

static void test_report(void **state) /* 7 */
{
    (void)state;
    char path[200];
    struct cm_err err;
    char *text;
    assert_int_equal(expire("report", NULL), 0);
    account("one", 0, 10);
    account("two", 35, 100);
    account("ci-three", 0, 1);
    put("two", "new/b", 600, 3);
    put("two", "dovecot.index", 77, 0);
    assert_int_equal(expire("report", "--min-login-age", "30", "--mdir", "new", NULL),
                     0);
    assert_said(out, "[new] larger than  0.00K");
    assert_said(out, " 0.60K");
    assert_said(out, "last  30 days:      1 (50.00%)");
    assert_int_equal(expire("report", "--days", "30", NULL), 0);
    assert_int_equal(expire("report", "--mdir", "foo", NULL), EXPIRE_USAGE);
    assert_int_equal(expire("report", "--textfile", dir, NULL), 0);
    assert_string_equal(said.out.data, "");
    snprintf(path, sizeof(path), "%s/fsreport.prom", dir);
    assert_int_equal(cm_file_read(path, 100000, &text, NULL, &err), 1);
    assert_non_null(strstr(text, "\nchatmail_storage_bytes{kind=\"messages\"} 630\n"));
    assert_non_null(strstr(text, "\nchatmail_storage_bytes{kind=\"extra\"} 77\n"));
    assert_non_null(strstr(text, "\nchatmail_accounts{kind=\"ci\"} 1\n"));
    assert_non_null(strstr(text, "\nchatmail_accounts_active{days=\"40\"} 2\n"));
    free(text);
    unlink(path);
    char option[300];
    snprintf(option, sizeof(option), "--legacy-metrics=%s/metrics", dir);
    assert_int_equal(expire("report", option, NULL), 0);
    snprintf(path, sizeof(path), "%s/metrics", dir);
    assert_int_equal(cm_file_read(path, 100000, &text, NULL, &err), 1);
    assert_non_null(strstr(text, "\nnonci_accounts 2\n"));
    free(text);
    unlink(path);
}

static void test_maxnum_and_usage(void **state)
{
    (void)state;
    many("user", 5, 0);
    assert_int_equal(expire("--maxnum", "2", NULL), 0);
    assert_said(out, "of 2 mailboxes");
    assert_int_equal(expire("--maxnum", "x", NULL), EXPIRE_USAGE);
    assert_int_equal(expire("--mdir", "cur", NULL), EXPIRE_USAGE);
    assert_int_equal(expire("one", "two", NULL), EXPIRE_USAGE);
    assert_int_equal(expire("--unknown", NULL), EXPIRE_USAGE);
    assert_int_equal(expire("--help", NULL), 0);
    assert_said(out, "--max-share");
}

static void test_grants(void **state)
{
    (void)state;
    assert_string_equal(
        sql("select string_agg(has_table_privilege('chatmail_expire', 'account', "
            "p)::text, ',') from unnest(array['select', 'insert', 'update', 'delete']) "
            "p"),
        "false,false,false,false"); /* columns only, and expire_mark() */
    assert_string_equal(sql("select has_column_privilege('chatmail_expire', 'account', "
                            "'password', 'select')"),
                        "f");
    assert_string_equal(sql("select has_function_privilege('chatmail_auth', "
                            "'expire_mark(text, timestamptz, int)', 'execute')"),
                        "f");
    account("today", 0, 0);
    sql("select expire_mark('', now() + interval '9 days', 100)");
    assert_true(known("today"));
}

/* Fixture */

static void write_ini(void)
{
    char text[400];
    struct cm_err err;
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\nmailboxes_dir = %s\n"
             "max_mailbox_size = 10M\n",
             boxes);
    assert_int_equal(cm_file_replace(ini, text, strlen(text), 0644, &err), 0);
}

static int group_setup(void **state)
{
    (void)state;
    fx = pgfixture_chatmail(SCHEMA_DIR, "001-account", "003-token", "004-expire",
                            "010-used", NULL);
    if (fx == NULL) {
        return 0;
    }
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(fx, "chatmail", "chatmail_expire"));
    snprintf(dir, sizeof(dir), "/tmp/test-expire-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(boxes, sizeof(boxes), "%s/mail", dir);
    snprintf(ini, sizeof(ini), "%s/chatmail.ini", dir);
    write_ini();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (fx == NULL) {
        return 0;
    }
    int64_t files;
    struct cm_err err;
    if (said.out.data != NULL) {
        cm_run_result_clear(&said);
    }
    pgfixture_free(&fx);
    return tree_remove(AT_FDCWD, dir, &files, &err);
}

static int fresh(void **state)
{
    (void)state;
    int64_t files;
    struct cm_err err;
    if (fx == NULL) {
        skip();
    }
    sql("truncate account, account_removal, push_token");
    assert_int_equal(tree_remove(AT_FDCWD, boxes, &files, &err), 0);
    return mkdir(boxes, 0700);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mail),
        TEST(test_no_base),
        TEST(test_stray),
        TEST(test_inactive),
        TEST(test_used_without_login),
        TEST(test_share),
        TEST(test_clock),
        TEST(test_logins_not_recorded),
        TEST(test_postgres_away),
        TEST(test_resumes),
        TEST(test_push_forgets_or_the_mark_stays),
        TEST(test_marked_cannot_be_made_anew),
        TEST(test_killed),
        TEST(test_quota),
        TEST(test_report),
        TEST(test_maxnum_and_usage),
        TEST(test_grants),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
