/* The real program over a real PostgreSQL, spoken to in raw dict and SASL lines.
 * Numbers in comments are the cases of relay-spec.md 6.2. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/run.h"
#include "daemonkit/daemonkit.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

#include "hash.h"
#include "lookup.h"

#define DOMAIN "@chat.example.org"
#define HELLO  "H3\t2\t0\t\tauth\n"

static struct pgfixture *fx;
static char dir[64], dict_path[96], sasl_path[96], upstream_path[96], ini_path[96],
    nocreate_path[96], log_path[96], metrics_path[96];
static int listeners[3]; /* dict, sasl, metrics */
static pid_t daemon_pid;

/* What Dovecot does to both texts before they go into the key (%E). */
static void escape(char *out, const char *s)
{
    for (; *s != '\0'; s++) {
        if (strchr("\"'\\", *s) != NULL) {
            *out++ = '\\';
        }
        *out++ = *s;
    }
    *out = '\0';
}

static int ask_passdb(const char *user, const char *password)
{
    char u[512], p[512], text[1200];
    escape(u, user);
    escape(p, password);
    snprintf(text, sizeof(text), HELLO "Lshared/passdb/%s\"%s\t\n", p, u);
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, text);
    return fd;
}

static char reply[4096];

static const char *passdb(const char *user, const char *password)
{
    int fd = ask_passdb(user, password);
    daemonkit_hear(fd, reply, sizeof(reply));
    close(fd);
    return reply;
}

static const char *userdb(const char *user)
{
    char text[600];
    snprintf(text, sizeof(text), HELLO "Lshared/userdb/%s\t\n", user);
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, text);
    daemonkit_hear(fd, reply, sizeof(reply));
    close(fd);
    return reply;
}

/* The program */

static void write_ini(const char *more)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\nmailboxes_dir = %s\n"
             "max_load_1m = 1000\nmin_available_memory = 1M\n%s",
             dir, more);
    struct cm_err err;
    assert_int_equal(cm_file_replace(ini_path, text, strlen(text), 0644, &err), 0);
}

static void spawn_daemon(void)
{
    char db[256];
    snprintf(db, sizeof(db), "%s", pgfixture_conninfo(fx, "chatmail", "chatmail_auth"));
    const char *const argv[] = {
        AUTH_PROGRAM,         "--config",    ini_path,     "--db",        db,
        "--sasl-upstream",    upstream_path, "--nocreate", nocreate_path, "--redis",
        "/nonexistent/redis", NULL};
    daemon_pid = daemonkit_start_with(argv, listeners, "dict:sasl:metrics", log_path);
}

static void start_daemon(void)
{
    spawn_daemon();
    for (int i = 0; i < 200 && strcmp(userdb("x" DOMAIN), "N\n") != 0; i++) {
        usleep(20000);
    }
    assert_string_equal(reply, "N\n");
}

static int stop_daemon(void)
{
    return daemonkit_stop(daemon_pid, SIGTERM);
}

static void restart_daemon(const char *more)
{
    assert_int_equal(stop_daemon(), 0);
    write_ini(more);
    start_daemon();
}

/* The program's log since the last call. */
static char *read_log(void)
{
    char *text = NULL;
    size_t len;
    struct cm_err err;
    usleep(20000);
    assert_int_equal(cm_file_read(log_path, 1u << 20, &text, &len, &err), 1);
    assert_int_equal(truncate(log_path, 0), 0);
    return text;
}

static bool log_has(const char *what)
{
    char *text = read_log();
    bool found = strstr(text, what) != NULL;
    free(text);
    return found;
}

/* Tests */

static void test_create_then_find(void **state) /* 1, 4, 6, 8 */
{
    (void)state;
    assert_string_equal(userdb("firstuser" DOMAIN), "N\n");
    char first[4096];
    snprintf(first, sizeof(first), "%s",
             passdb("firstuser" DOMAIN, "pass\"word'with\\all/of it"));
    char start[256];
    snprintf(start, sizeof(start),
             "O{\"addr\":\"firstuser" DOMAIN "\",\"home\":\"%s/firstuser" DOMAIN "\","
             "\"uid\":\"vmail\",\"gid\":\"vmail\",\"password\":\"{SHA512-CRYPT}$6$",
             dir);
    assert_memory_equal(first, start, strlen(start));
    assert_string_equal(userdb("firstuser" DOMAIN), first);
    assert_string_equal(passdb("firstuser" DOMAIN, "pass\"word'with\\all/of it"),
                        first);
    assert_string_equal(passdb("firstuser" DOMAIN, "another password"), first);
    assert_string_equal(passdb("firstuser" DOMAIN, ""), first);
    char *log = read_log();
    assert_non_null(strstr(log, "Created address: firstuser" DOMAIN "\n"));
    assert_null(strstr(log, "with"));
    assert_null(strstr(log, "$6$"));
    free(log);
}

static void test_names_and_passwords(void **state) /* 3, 10, 15, 16 */
{
    (void)state;
    restart_daemon("username_min_length = 6\nusername_max_length = 10\n");
    static const char *const yes[] = {"abcdef", "abcdefg", "abcdefghij",
                                      "abc123", "a.b-c_d", "user.name"};
    static const char *const no[] = {"abcde",   "abcdefghijk", "Abc1234", "ABCDEFG",
                                     "abc def", "abc+def",     "abc!def", "abc@def",
                                     "abc/def", "abc\\def"};
    char addr[128];
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        snprintf(addr, sizeof(addr), "%s" DOMAIN, yes[i]);
        assert_int_equal(passdb(addr, "password9")[0], 'O');
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        snprintf(addr, sizeof(addr), "%s" DOMAIN, no[i]);
        assert_string_equal(passdb(addr, "password9"), "N\n");
    }
    assert_string_equal(passdb("shortpw" DOMAIN, "12345678"), "N\n");
    assert_string_equal(passdb("invalid" DOMAIN ".invalid", "password9"), "N\n");
    assert_string_equal(passdb("", "password9"), "N\n");
    assert_string_equal(passdb("a\001'@chat.example.org", "password9"), "N\n");
    char *log = read_log();
    assert_null(strstr(log, "password9"));
    assert_non_null(
        strstr(log, "registration rejected: name of 5 characters; 6 to 10"));
    assert_non_null(strstr(log, "registration rejected: name has other characters"));
    assert_non_null(strstr(log, "registration rejected: password shorter than 9"));
    free(log);
    restart_daemon("");
}

static void test_broken_keys(void **state)
{
    (void)state;
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"Lshared/otherdb/x\t\n", "Funknown kind of key\n"},
        {"Lpriv/passdb/secret1\"x\t\n", "Funknown kind of key\n"},
        {"Lshared/userdb/x\\\t\n", "Fkey ends in a lone backslash\n"},
        /* no F where Dovecot would log the key with the password */
        {"Lshared/passdb/secret1\\\t\n", "O" LOOKUP_TEMPFAIL "\n"},
        {"Lshared/passdb/secret1\t\n", "O" LOOKUP_TEMPFAIL "\n"},
        {"B1\t\nS1\tk\tv\nC1\n", "F1\tnot writable\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = daemonkit_dial(dict_path);
        daemonkit_say_text(fd, HELLO);
        daemonkit_say_text(fd, cases[i].line);
        daemonkit_hear(fd, reply, sizeof(reply));
        assert_string_equal(reply, cases[i].answer);
        close(fd);
    }
    assert_false(log_has("secret1"));
}

static void test_nocreate(void **state) /* 5 */
{
    (void)state;
    assert_int_equal(passdb("nocreate1" DOMAIN, "password9")[0], 'O');
    close(open(nocreate_path, O_CREAT | O_WRONLY, 0644));
    assert_string_equal(passdb("nocreate2" DOMAIN, "password9"), "N\n");
    assert_string_equal(userdb("nocreate2" DOMAIN), "N\n");
    assert_int_equal(passdb("nocreate1" DOMAIN, "password9")[0], 'O');
    unlink(nocreate_path);
    assert_int_equal(passdb("nocreate2" DOMAIN, "password9")[0], 'O');
}

static void test_resources(void **state) /* 13 */
{
    (void)state;
    assert_int_equal(passdb("resource1" DOMAIN, "password9")[0], 'O');
    restart_daemon("min_free_disk_space = 99999999G\n");
    free(read_log());
    assert_string_equal(passdb("resource2" DOMAIN, "password9"), "N\n");
    assert_true(log_has("registration rejected: "));
    assert_int_equal(passdb("resource1" DOMAIN, "password9")[0], 'O');
    write_ini("");
    kill(daemon_pid, SIGHUP); /* settings are read again without a restart */
    usleep(200000);
    assert_int_equal(passdb("resource2" DOMAIN, "password9")[0], 'O');
    write_ini("max_load_1m = many\n");
    kill(daemon_pid, SIGHUP);
    usleep(200000);
    assert_true(log_has("max_load_1m"));
    assert_int_equal(passdb("resource3" DOMAIN, "password9")[0], 'O');
    write_ini("");
}

/* The figure behind that name and label, as text. */
static const char *figure(const char *name)
{
    static char text[16384];
    int fd = daemonkit_dial(metrics_path);
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    close(fd);
    text[len] = '\0';
    char want[96];
    int want_len = snprintf(want, sizeof(want), "\nchatmail_auth_%s", name);
    char *at = strstr(text, want);
    if (at == NULL) {
        fail_msg("no %s in: %s", name, text);
    }
    at += want_len;
    at[strcspn(at, "\n")] = '\0';
    return at;
}

static void test_figures(void **state)
{
    (void)state;
    restart_daemon("min_free_disk_space = 99999999G\n");
    long lookups = strtol(figure("lookups_total{kind=\"userdb\"} "), NULL, 10);
    userdb("figure001" DOMAIN);
    passdb("figure001" DOMAIN, "password9");
    passdb("figure001" DOMAIN, "short");
    assert_int_equal(strtol(figure("lookups_total{kind=\"userdb\"} "), NULL, 10),
                     lookups + 1);
    assert_string_equal(figure("lookups_total{kind=\"passdb\"} "), "2");
    assert_string_equal(figure("rejected_total{reason=\"limits\"} "), "1");
    assert_string_equal(figure("rejected_total{reason=\"rules\"} "), "1");
    assert_string_equal(figure("rejected_total{reason=\"nocreate\"} "), "0");
    assert_string_equal(figure("created_total "), "0");
    restart_daemon("");
    close(open(nocreate_path, O_CREAT | O_WRONLY, 0644));
    passdb("figure001" DOMAIN, "password9");
    unlink(nocreate_path);
    passdb("figure001" DOMAIN, "password9");
    passdb("figure001" DOMAIN, "password9");
    assert_string_equal(figure("rejected_total{reason=\"nocreate\"} "), "1");
    assert_string_equal(figure("created_total "), "1");
    assert_string_equal(figure("failures_total "), "0");
}

static void test_iterate(void **state) /* 2, 9 */
{
    (void)state;
    pgfixture_sql(fx, "chatmail", "delete from account");
    for (int i = 0; i < 10; i++) {
        char addr[64];
        snprintf(addr, sizeof(addr), "iterate%02d" DOMAIN, i);
        assert_int_equal(passdb(addr, "password9")[0], 'O');
    }
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO "I0\t0\tshared/userdb/"); /* no LF */
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 10; i++) {
        char row[128];
        snprintf(row, sizeof(row), "Oshared/userdb/iterate%02d" DOMAIN "\t\n", i);
        daemonkit_hear(fd, reply, sizeof(reply));
        assert_string_equal(reply, row);
    }
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "");
    close(fd);
    fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO "I0\t0\tshared/other/\t\nI9\t0\tpriv/x\tu\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "\n");
    close(fd);
}

static size_t count_rows(int fd)
{
    static char chunk[65536];
    size_t rows = 0;
    char last = 0;
    for (;;) {
        ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\n' && last == '\n') {
                return rows;
            }
            rows += chunk[i] == '\n';
            last = chunk[i];
        }
    }
}

static long daemon_rss_kib(void)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon_pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    long kib = -1;
    while (fgets(line, sizeof(line), f) != NULL &&
           sscanf(line, "VmRSS: %ld", &kib) != 1) {
    }
    fclose(f);
    return kib;
}

/* ASan keeps what was freed, so under it memory says nothing about the list. */
#ifdef __SANITIZE_ADDRESS__
#define LIST_KIB (1L << 20)
#else
#define LIST_KIB 1024L
#endif

static void test_long_list(void **state)
{
    (void)state;
    pgfixture_sql(fx, "chatmail",
                  "insert into account(addr, password) select 'many' || "
                  "lpad(i::text, 6, '0') || '" DOMAIN "', 'x' "
                  "from generate_series(1, 50000) i on conflict do nothing");
    long before = daemon_rss_kib();
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO "I0\t0\tshared/userdb/\t\n");
    usleep(300000); /* a reader that is slow to begin */
    assert_string_equal(userdb("nobody000" DOMAIN), "N\n");
    assert_true(daemon_rss_kib() - before <
                LIST_KIB); /* the list waits in PostgreSQL */
    assert_true(count_rows(fd) >= 50000);
    close(fd);
    fd = daemonkit_dial(dict_path); /* and one that leaves in the middle */
    daemonkit_say_text(fd, HELLO "I0\t0\tshared/userdb/\t\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    close(fd);
    assert_string_equal(userdb("nobody000" DOMAIN), "N\n");
    pgfixture_sql(fx, "chatmail", "delete from account where password = 'x'");
}

#define RACERS 200

static void test_race(void **state) /* 11 */
{
    (void)state;
    int fds[RACERS];
    for (int i = 0; i < RACERS; i++) {
        char password[32];
        snprintf(password, sizeof(password), "password-%d", i);
        fds[i] = ask_passdb("raceruser" DOMAIN, password);
    }
    char first[4096];
    for (int i = 0; i < RACERS; i++) {
        daemonkit_hear(fds[i], reply, sizeof(reply));
        close(fds[i]);
        if (i == 0) {
            snprintf(first, sizeof(first), "%s", reply);
            assert_int_equal(first[0], 'O');
            assert_non_null(strstr(first, "{SHA512-CRYPT}"));
        }
        assert_string_equal(reply, first);
    }
    assert_string_equal(pgfixture_sql(fx, "chatmail",
                                      "select count(*) from account where addr = "
                                      "'raceruser" DOMAIN "'"),
                        "1");
    char *log = read_log();
    char *hit = strstr(log, "Created address: raceruser" DOMAIN);
    assert_non_null(hit);
    assert_null(strstr(hit + 1, "Created address: raceruser" DOMAIN));
    free(log);
}

static void test_many_creations(void **state) /* 12 */
{
    (void)state;
    enum { CLIENTS = 50, EACH = 5 };
    int fds[CLIENTS];
    char text[1024];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = daemonkit_dial(dict_path);
        daemonkit_say_text(fds[i], HELLO);
    }
    for (int k = 0; k < EACH; k++) {
        for (int i = 0; i < CLIENTS; i++) {
            snprintf(text, sizeof(text),
                     "Lshared/passdb/password9\"many%02d-%02d" DOMAIN "\t\n", i, k);
            daemonkit_say_text(fds[i], text);
        }
        for (int i = 0; i < CLIENTS; i++) {
            daemonkit_hear(fds[i], reply, sizeof(reply));
            snprintf(text, sizeof(text), "O{\"addr\":\"many%02d-%02d" DOMAIN "\"", i,
                     k);
            assert_memory_equal(reply, text, strlen(text));
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
}

static void test_hello_only(void **state) /* 7 */
{
    (void)state;
    free(read_log());
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 200), 0);
    close(fd);
    char *log = read_log();
    assert_string_equal(log, "");
    free(log);
}

static int64_t timed(const char *(*ask)(void))
{
    int64_t start = cm_now_mono_ms();
    ask();
    return cm_now_mono_ms() - start;
}

static const char *ask_known(void)
{
    return passdb("outage001" DOMAIN, "sEcReT-known");
}

static const char *ask_new(void)
{
    return passdb("outage002" DOMAIN, "sEcReT-new");
}

static const char *ask_user(void)
{
    return userdb("outage001" DOMAIN);
}

static void test_postgresql_away(void **state)
{
    (void)state;
    assert_int_equal(ask_known()[0], 'O');
    pgfixture_stop(fx);
    for (int i = 0; i < 50; i++) {
        assert_true(timed(ask_known) < 100);
        assert_string_equal(reply, "O" LOOKUP_TEMPFAIL "\n");
        assert_true(timed(ask_new) < 100);
        assert_string_equal(reply, "O" LOOKUP_TEMPFAIL "\n");
        assert_true(timed(ask_user) < 100);
        assert_int_equal(reply[0], 'F');
    }
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO "I0\t0\tshared/userdb/\t\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_int_equal(reply[0], 'F');
    close(fd);
    pgfixture_start(fx);
    for (int i = 0; i < 100 && ask_known()[0] == 'O' && reply[1] != '{'; i++) {
        usleep(50000);
    }
    assert_memory_equal(reply, "O{", 2);
    assert_memory_equal(ask_new(), "O{", 2);
    char *log = read_log();
    assert_non_null(strstr(log, "postgresql_down"));
    assert_non_null(strstr(log, "postgresql_up"));
    assert_null(strstr(log, "sEcReT"));
    free(log);
}

/* A server that hangs: still an answer before Dovecot's 5 s, after which it logs the
 * key. */
static void test_postgresql_hangs(void **state)
{
    (void)state;
    assert_int_equal(ask_known()[0], 'O');
    pgfixture_freeze(fx);
    int64_t took = timed(ask_known);
    pgfixture_unfreeze(fx);
    assert_string_equal(reply, "O" LOOKUP_TEMPFAIL "\n");
    assert_true(took < 4800);
    for (int i = 0; i < 100 && ask_known()[1] != '{'; i++) {
        usleep(50000);
    }
    assert_memory_equal(reply, "O{", 2);
}

/* It starts all the same: a held socket that nobody answers would be worse. */
static void test_broken_settings(void **state)
{
    (void)state;
    assert_int_equal(ask_known()[0], 'O');
    assert_int_equal(stop_daemon(), 0);
    write_ini("username_min_length = nine\n");
    assert_int_equal(access(dict_path, F_OK), 0);
    spawn_daemon();
    assert_string_equal(ask_known(), "O" LOOKUP_TEMPFAIL "\n");
    assert_int_equal(ask_user()[0], 'F');
    write_ini("");
    kill(daemon_pid, SIGHUP);
    for (int i = 0; i < 100 && ask_known()[1] != '{'; i++) {
        usleep(20000);
    }
    assert_memory_equal(reply, "O{", 2);
    char *log = read_log();
    assert_non_null(strstr(log, "settings_broken"));
    assert_null(strstr(log, "sEcReT"));
    free(log);
}

static void test_daemon_killed(void **state)
{
    (void)state;
    assert_int_equal(ask_known()[0], 'O');
    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, NULL, 0);
    int fd = ask_passdb("outage001" DOMAIN, "sEcReT-known"); /* waits in the backlog */
    start_daemon();
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_int_equal(reply[0], 'O');
    close(fd);
}

static void test_sigterm_answers_what_is_under_way(void **state)
{
    (void)state;
    int fds[100];
    for (int i = 0; i < 100; i++) {
        char addr[64];
        snprintf(addr, sizeof(addr), "drain%04d" DOMAIN, i);
        fds[i] = ask_passdb(addr, "password9");
    }
    usleep(30000);
    kill(daemon_pid, SIGTERM);
    int status = -1;
    waitpid(daemon_pid, &status, 0);
    assert_int_equal(status, 0);
    start_daemon(); /* takes those that were still in the backlog */
    for (int i = 0; i < 100; i++) {
        daemonkit_hear(fds[i], reply, sizeof(reply));
        assert_memory_equal(reply, "O{", 2);
        close(fds[i]);
    }
}

static void test_sasl(void **state)
{
    (void)state;
    int upstream = daemonkit_listen(upstream_path);
    int postfix = daemonkit_dial(sasl_path);
    int dovecot = accept(upstream, NULL, NULL);
    assert_true(dovecot >= 0);
    daemonkit_say_text(postfix, "VERSION\t1\t1\nCPID\t77\n");
    daemonkit_hear(dovecot, reply, sizeof(reply));
    daemonkit_hear(dovecot, reply, sizeof(reply));
    assert_string_equal(reply, "CPID\t77\n");
    daemonkit_say_text(dovecot, "MECH\tPLAIN\nDONE\n");
    daemonkit_hear(postfix, reply, sizeof(reply));
    daemonkit_hear(postfix, reply, sizeof(reply));
    assert_string_equal(reply, "DONE\n");
    daemonkit_say_text(postfix, "AUTH\t1\tPLAIN\tservice=smtp\tresp=sEcReT\n");
    daemonkit_hear(dovecot, reply, sizeof(reply));
    assert_string_equal(reply, "AUTH\t1\tPLAIN\tservice=smtp\tresp=sEcReT\n");
    daemonkit_say_text(dovecot, "FAIL\t1\tuser=x\n");
    daemonkit_hear(postfix, reply, sizeof(reply));
    assert_string_equal(reply, "FAIL\t1\tuser=x\n");
    daemonkit_say_text(postfix, "AUTH\t2\tPLAIN\tservice=smtp\tresp=sEcReT\n");
    daemonkit_hear(dovecot, reply, sizeof(reply));
    daemonkit_say_text(dovecot, "FAIL\t2\tuser=x\tcode=temp_fail\ttemp\n");
    daemonkit_hear(postfix, reply, sizeof(reply));
    assert_string_equal(reply, ""); /* closed, not told */
    close(postfix);
    close(dovecot);
    close(upstream);
    assert_false(log_has("sEcReT"));
}

static void test_grants(void **state)
{
    (void)state;
    assert_string_equal(
        pgfixture_sql(
            fx, "chatmail",
            "select string_agg(has_table_privilege('chatmail_auth', 'account', "
            "p)::text, ',' order by p) from unnest(array['delete', 'insert', "
            "'truncate', 'update']) p"),
        "false,false,false,false"); /* whole-table rights: none; columns only */
    assert_string_equal(
        pgfixture_sql(fx, "chatmail",
                      "select rolcanlogin and not rolsuper from pg_roles "
                      "where rolname = 'chatmail_cluster'"),
        "t");
}

/* Fixture */

static void apply_schema(void)
{
    const char *argv[] = {SCHEMA_DIR "/schema-apply", SCHEMA_DIR, NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err = {0};
    char *out = NULL;
    setenv("PGHOST", pgfixture_dir(fx), 1);
    if (geteuid() != 0) { /* the script needs runuser */
        pgfixture_sql(fx, "postgres", "create database chatmail");
        pgfixture_sql_file(fx, "chatmail", SCHEMA_DIR "/001-account.sql");
        pgfixture_sql_file(fx, "chatmail", SCHEMA_DIR "/007-invite.sql");
        return;
    }
    if (cm_run_ok(&run, &out, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_memory_equal(out, "applied 001-account\n", 20);
    free(out);
    assert_int_equal(cm_run_ok(&run, &out, &err), 0);
    assert_string_equal(out, ""); /* up to date: silent */
    free(out);
    assert_string_equal(
        pgfixture_sql(fx, "chatmail",
                      "select count(*) from schema_version where name = "
                      "'001-account'"),
        "1");
}

static int group_setup(void **state)
{
    fx = pgfixture_new();
    *state = fx;
    if (fx == NULL) {
        return 0;
    }
    apply_schema();
    daemonkit_dir(dir, "auth");
    daemonkit_path(dict_path, dir, "dict");
    daemonkit_path(sasl_path, dir, "sasl");
    daemonkit_path(upstream_path, dir, "dovecot");
    daemonkit_path(ini_path, dir, "chatmail.ini");
    daemonkit_path(nocreate_path, dir, "nocreate");
    daemonkit_path(log_path, dir, "log");
    daemonkit_path(metrics_path, dir, "metrics");
    listeners[0] = daemonkit_listen(dict_path);
    listeners[1] = daemonkit_listen(sasl_path);
    listeners[2] = daemonkit_listen(metrics_path);
    write_ini("");
    start_daemon();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (fx == NULL) {
        return 0;
    }
    int status = stop_daemon();
    daemonkit_dir_remove(dir);
    pgfixture_free(&fx);
    return status == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_create_then_find, need),
        cmocka_unit_test_setup(test_names_and_passwords, need),
        cmocka_unit_test_setup(test_broken_keys, need),
        cmocka_unit_test_setup(test_nocreate, need),
        cmocka_unit_test_setup(test_resources, need),
        cmocka_unit_test_setup(test_figures, need),
        cmocka_unit_test_setup(test_iterate, need),
        cmocka_unit_test_setup(test_long_list, need),
        cmocka_unit_test_setup(test_race, need),
        cmocka_unit_test_setup(test_many_creations, need),
        cmocka_unit_test_setup(test_hello_only, need),
        cmocka_unit_test_setup(test_postgresql_away, need),
        cmocka_unit_test_setup(test_postgresql_hangs, need),
        cmocka_unit_test_setup(test_broken_settings, need),
        cmocka_unit_test_setup(test_daemon_killed, need),
        cmocka_unit_test_setup(test_sigterm_answers_what_is_under_way, need),
        cmocka_unit_test_setup(test_sasl, need),
        cmocka_unit_test_setup(test_grants, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
