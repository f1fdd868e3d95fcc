/* The whole program with a real PostgreSQL and the stand-in core of fake_core.c. */
#include <crypt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "claim.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

#define LINK "https://i.delta.chat/#FAKE\n"

static struct pgfixture *fx;
static char dir[64];
static char log_path[96], ini_path[96], metrics_path[96];
static int listener;
static pid_t daemon_pid;
static int last_message;

/* ---- the program and its files ---- */

static char *read_file(const char *name)
{
    char path[160];
    char *text = NULL;
    struct cm_err err;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return cm_file_read(path, 1 << 20, &text, NULL, &err) == 1 ? text : cm_strdup("");
}

static bool file_has(const char *name, const char *text)
{
    char *all = read_file(name);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

static void wait_for(const char *name, const char *text)
{
    int64_t end = cm_now_mono_ms() + 20000;
    while (!file_has(name, text)) {
        if (cm_now_mono_ms() > end) {
            char *all = read_file(name);
            fail_msg("%s has no %s: %s", name, text, all);
        }
        usleep(20000);
    }
}

static unsigned count(const char *name, const char *text)
{
    char *all = read_file(name);
    unsigned n = 0;
    for (const char *p = all; (p = strstr(p, text)) != NULL; p++) {
        n++;
    }
    free(all);
    return n;
}

static void start_daemon(void)
{
    char db[256];
    snprintf(db, sizeof(db), "%s", pgfixture_conninfo(fx, "chatmail", "chatmail_echo"));
    const char *argv[] = {ECHO_PROGRAM, "--config", ini_path, "--db", db,
                          "--core",     FAKE_CORE,  "--dir",  dir,    NULL};
    daemon_pid = daemonkit_start(argv, listener, "metrics", log_path);
}

static void arrive(const char *more)
{
    char path[160], text[600];
    struct cm_err err;
    snprintf(path, sizeof(path), "%s/accounts/in/%d", dir, ++last_message);
    snprintf(text, sizeof(text),
             "{\"id\":%d,\"chatId\":12,\"fromId\":10,\"showPadlock\":true,"
             "\"isInfo\":false,\"isBot\":false,\"downloadState\":\"Done\","
             "\"viewType\":\"Text\",%s}",
             last_message, more);
    /* By a rename, so that it never arrives in halves. */
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0600, &err), 0);
}

static void wait_seen(int message)
{
    char path[160];
    int64_t end = cm_now_mono_ms() + 20000;
    snprintf(path, sizeof(path), "%s/accounts/seen/%d", dir, message);
    while (access(path, F_OK) != 0) {
        if (cm_now_mono_ms() > end) {
            fail_msg("message %d was not seen to", message);
        }
        usleep(20000);
    }
}

static double metric(const char *name)
{
    char line[300], want[80];
    double value = -1;
    int fd = daemonkit_dial(metrics_path);
    snprintf(want, sizeof(want), "%s ", name);
    do {
        daemonkit_hear(fd, line, sizeof(line));
        if (strncmp(line, want, strlen(want)) == 0) {
            value = strtod(line + strlen(want), NULL);
        }
    } while (line[0] != '\0');
    close(fd);
    return value;
}

static pid_t core_pid(void)
{
    char command[64], text[32] = "";
    snprintf(command, sizeof(command), "pgrep -P %d", (int)daemon_pid);
    FILE *f = popen(command, "re");
    assert_non_null(f);
    (void)!fgets(text, sizeof(text), f);
    pclose(f);
    return (pid_t)strtol(text, NULL, 10);
}

static const char *sql(const char *text)
{
    return pgfixture_sql(fx, "chatmail", text);
}

/* ---- what must hold ---- */

static void test_account(void **state)
{
    (void)state;
    struct stat st;
    char path[160];
    wait_for("invite-link.txt", LINK);
    snprintf(path, sizeof(path), "%s/invite-link.txt", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    snprintf(path, sizeof(path), "%s/password", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    char *password = read_file("password");
    assert_int_equal(strlen(password), 12); /* password_min_length and three */
    const char *hash =
        sql("select password from account where addr = 'echo@chat.example.org'");
    assert_true(strncmp(hash, "{SHA512-CRYPT}$6$", 17) == 0);
    hash += strlen("{SHA512-CRYPT}");
    assert_string_equal(crypt(password, hash), hash);
    char *uri = claim_login_uri("chat.example.org", password);
    wait_for("accounts/config", uri);
    assert_non_null(strstr(uri, "dclogin:echo@chat.example.org?p="));
    assert_false(daemonkit_log_has(log_path, password));
    free(uri);
    free(password);
    assert_string_equal(sql("select count(*) from echo_claim"
                            " where addr = 'echo@chat.example.org'"),
                        "1");
}

static void test_answers(void **state)
{
    (void)state;
    arrive("\"text\":\"hello\"");
    wait_for("accounts/sent", "[1,12,{\"text\":\"hello\"}]\n");
    arrive("\"text\":\"\",\"file\":\"/a/b.png\",\"fileName\":\"b.png\"");
    wait_for("accounts/sent", "{\"file\":\"/a/b.png\",\"filename\":\"b.png\",");
    arrive("\"text\":\"/help\"");
    wait_for("accounts/sent", "{\"text\":\"Everything you send here comes back");
    double before = metric("chatmail_echo_answered_total");
    arrive("\"text\":\"info\",\"isInfo\":true");
    arrive("\"text\":\"bot\",\"isBot\":true");
    arrive("\"text\":\"open\",\"showPadlock\":false");
    arrive("\"text\":\"refuse\"");
    arrive("\"text\":\"after\"");
    wait_seen(last_message);
    wait_for("accounts/sent", "after");
    assert_false(file_has("accounts/sent", "\"info\""));
    assert_false(file_has("accounts/sent", "\"bot\""));
    assert_false(file_has("accounts/sent", "\"open\""));
    assert_true(metric("chatmail_echo_answered_total") == before + 1);
    assert_true(metric("chatmail_echo_up") == 1);
    assert_false(daemonkit_log_has(log_path, "after")); /* nothing said is logged */
}

/* It waits for the rest, and others do not wait for it. */
static void test_partial(void **state)
{
    (void)state;
    arrive("\"text\":\"half\",\"downloadState\":\"InProgress\"");
    int half = last_message;
    arrive("\"text\":\"whole\"");
    wait_for("accounts/sent", "\"whole\"");
    assert_false(file_has("accounts/sent", "\"half\""));
    last_message = half - 1;
    arrive("\"text\":\"half\"");
    last_message++;
    arrive("\"text\":\"next\""); /* its event makes the bot look */
    wait_for("accounts/sent", "\"half\"");
}

static void test_garbage(void **state)
{
    (void)state;
    double before = metric("chatmail_echo_core_restarts_total");
    arrive("\"text\":\"garbage\"");
    wait_for("accounts/sent", "\"garbage\"");
    wait_seen(last_message);
    assert_true(metric("chatmail_echo_core_restarts_total") == before);
}

/* A message that kills the core is tried twice; the next one is answered. */
static void test_poison(void **state)
{
    (void)state;
    double before = metric("chatmail_echo_core_restarts_total");
    arrive("\"text\":\"crash\"");
    int poison = last_message;
    arrive("\"text\":\"survivor\"");
    wait_for("accounts/sent", "\"survivor\"");
    wait_seen(poison);
    assert_true(metric("chatmail_echo_core_restarts_total") == before + 2);
}

static void test_core_killed(void **state)
{
    (void)state;
    pid_t core = core_pid();
    assert_true(core > 0);
    assert_int_equal(kill(core, SIGKILL), 0);
    arrive("\"text\":\"while it was away\"");
    wait_for("accounts/sent", "while it was away");
    assert_int_equal(count("accounts/sent", "while it was away"), 1);
}

static void test_killed(void **state)
{
    (void)state;
    pid_t core = core_pid();
    (void)daemonkit_stop(daemon_pid, SIGKILL);
    for (int i = 0; i < 100 && kill(core, 0) == 0; i++) {
        usleep(20000); /* its stdin is at an end */
    }
    char *password = read_file("password");
    arrive("\"text\":\"left behind\"");
    start_daemon();
    wait_for("accounts/sent", "left behind");
    char *again = read_file("password");
    assert_string_equal(password, again);
    assert_int_equal(count("accounts/calls", "add_account\n"), 1);
    assert_int_equal(count("accounts/calls", "add_transport_from_qr\n"), 1);
    free(password);
    free(again);
}

/* Mail is away: it tries until it can log in. */
/* The mail service was restarted: the core is told to look, not left to its patience.
 */
static void test_offline(void **state)
{
    (void)state;
    char path[160];
    struct cm_err err;
    unsigned before = count("accounts/calls", "maybe_network");
    snprintf(path, sizeof(path), "%s/accounts/offline", dir);
    assert_int_equal(cm_file_replace(path, "", 0, 0600, &err), 0);
    int64_t end = cm_now_mono_ms() + 20000;
    while (access(path, F_OK) == 0 && cm_now_mono_ms() < end) {
        usleep(20000);
    }
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(count("accounts/calls", "maybe_network"), before + 1);
}

static void test_login_later(void **state)
{
    (void)state;
    char path[160];
    struct cm_err err;
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
    snprintf(path, sizeof(path), "%s/password", dir);
    unlink(path); /* another password: the account is configured again */
    snprintf(path, sizeof(path), "%s/accounts/refuse-login", dir);
    assert_int_equal(cm_file_replace(path, "", 0, 0600, &err), 0);
    start_daemon();
    wait_for("log", "event=setup_failed step=add_transport_from_qr");
    unlink(path);
    arrive("\"text\":\"at last\"");
    wait_for("accounts/sent", "at last");
    assert_int_equal(count("accounts/config", "dclogin:"), 2);
}

/* ---- the row ---- */

static void test_row(void **state)
{
    (void)state;
    /* Nobody else's account, whether it was there before the bot or came later. */
    sql("insert into account (addr, password) values ('echo@other.example', 'x')");
    assert_string_equal(sql("select echo_account('other.example', 'y')"), "f");
    assert_string_equal(
        sql("select password from account where addr = 'echo@other.example'"), "x");
    assert_string_equal(sql("select echo_account('third.example', 'a')"), "t");
    assert_string_equal(sql("select echo_account('third.example', 'b')"), "t");
    assert_string_equal(
        sql("select password from account where addr = 'echo@third.example'"), "b");
    sql("delete from account where addr = 'echo@third.example'");
    sql("insert into account (addr, password, created_at)"
        " values ('echo@third.example', 'z', now() + interval '1 second')");
    assert_string_equal(sql("select echo_account('third.example', 'c')"), "f");
    sql("delete from account where addr = 'echo@third.example'");
    assert_string_equal(sql("select echo_account('third.example', 'd')"), "t");
    assert_string_equal(
        sql("select has_table_privilege('chatmail_echo', 'account', 'select') or"
            " has_table_privilege('chatmail_echo', 'account', 'update') or"
            " has_table_privilege('chatmail_echo', 'echo_claim', 'insert')"),
        "f");
    assert_string_equal(sql("select has_function_privilege('chatmail_auth',"
                            " 'echo_account(text,text)', 'execute')"),
                        "f");
}

static void test_name_taken(void **state)
{
    (void)state;
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
    sql("update account set created_at = created_at + interval '1 second'"
        " where addr = 'echo@chat.example.org'");
    start_daemon();
    wait_for("log", "event=account_taken");
    assert_true(metric("chatmail_echo_up") == 0);
    assert_int_equal(core_pid(), 0);
}

static void test_password(void **state)
{
    (void)state;
    char a[65], b[65];
    assert_int_equal(claim_password(a, 64), 0);
    assert_int_equal(claim_password(b, 64), 0);
    assert_int_equal(strlen(a), 64);
    assert_string_not_equal(a, b);
    for (size_t i = 0; i < 64; i++) {
        assert_in_range(a[i], '!', '~');
    }
    char *uri = claim_login_uri("[1.2.3.4]", "a&b=c%d");
    assert_non_null(strstr(uri, "dclogin:echo@[1.2.3.4]?p=a%26b%3Dc%25d&v=1&ih="));
    free(uri);
}

/* ---- fixture ---- */

static int group_setup(void **state)
{
    fx = pgfixture_chatmail(SCHEMA_DIR, "001-account", "008-echo", NULL);
    *state = fx;
    if (fx == NULL) {
        return 0;
    }
    daemonkit_dir(dir, "echo");
    struct cm_err err;
    static const char ini[] = "[params]\nmail_domain = chat.example.org\n";
    daemonkit_path(log_path, dir, "log");
    daemonkit_path(ini_path, dir, "chatmail.ini");
    daemonkit_path(metrics_path, dir, "metrics");
    listener = daemonkit_listen(metrics_path);
    if (cm_file_replace(ini_path, ini, strlen(ini), 0644, &err) != 0) {
        return -1;
    }
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
        cmocka_unit_test(test_password),
        cmocka_unit_test_setup(test_row, need),
        cmocka_unit_test_setup(test_account, need),
        cmocka_unit_test_setup(test_answers, need),
        cmocka_unit_test_setup(test_partial, need),
        cmocka_unit_test_setup(test_garbage, need),
        cmocka_unit_test_setup(test_poison, need),
        cmocka_unit_test_setup(test_core_killed, need),
        cmocka_unit_test_setup(test_killed, need),
        cmocka_unit_test(test_offline),
        cmocka_unit_test_setup(test_login_later, need),
        cmocka_unit_test_setup(test_name_taken, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
