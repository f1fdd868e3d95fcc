/* The real program over a real PostgreSQL, spoken to in raw dict lines. Numbers in
 * comments are the cases of relay-spec.md 6.5. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "common/file.h"
#include "daemonkit/daemonkit.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"

#include "change.h"
#include "credential.h"

#define HELLO  "H3\t2\t0\t\tmetadata\n"
#define SERVER "vendor/vendor.dovecot/pvt/server/vendor/deltachat/"
#define BIG    (256u << 10)

static struct pgfixture *fx;
static char dir[64], dict_path[96], log_path[96], ini_path[96], turn_path[96],
    bell_path[96], bell_dir[96], versions_path[96], secret_path[96];
static int listener;
static pid_t daemon_pid;
static char reply[BIG];

/* The program */

static void write_ini(const char *more)
{
    char text[512];
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\nturn_socket_path = %s\n%s",
             turn_path, more);
    struct cm_err err;
    assert_int_equal(cm_file_replace(ini_path, text, strlen(text), 0644, &err), 0);
}

/* Says what to a new connection and returns the first line that comes back. */
static const char *ask_bytes(const char *text, size_t len)
{
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO);
    daemonkit_say(fd, text, len);
    daemonkit_hear(fd, reply, sizeof(reply));
    close(fd);
    return reply;
}

static const char *ask(const char *text)
{
    return ask_bytes(text, strlen(text));
}

static const char *tokens_of(const char *user)
{
    char text[128];
    snprintf(text, sizeof(text), "Lpriv/0123/devicetoken\t%s\n", user);
    return ask(text);
}

static const char *set_token(const char *user, const char *token)
{
    static char text[BIG];
    snprintf(text, sizeof(text), "B1\t%s\nS1\tpriv/guid00/devicetoken\t%s\nC1\n", user,
             token);
    return ask(text);
}

static pid_t spawn(int at)
{
    char db[256];
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(fx, "chatmail", "chatmail_metadata"));
    const char *argv[] = {
        METADATA_PROGRAM, "--config",      ini_path,     "--db",   db,
        "--bell",         bell_path,       "--bell-dir", bell_dir, "--app-versions",
        versions_path,    "--turn-secret", secret_path,  NULL};
    return daemonkit_start(argv, at, "dict", log_path);
}

static void start_daemon(void)
{
    daemon_pid = spawn(listener);
    for (int i = 0; i < 200 && tokens_of("nobody")[0] != 'O'; i++) {
        usleep(20000);
    }
    assert_string_equal(reply, "O\n");
}

static const char *sql(const char *text)
{
    return pgfixture_sql(fx, "chatmail", text);
}

/* Tokens */

static void test_append_and_refresh(void **state) /* 1, 4, 7, 27 */
{
    (void)state;
    assert_string_equal(tokens_of("append@x"), "O\n");
    assert_string_equal(set_token("append@x", "1111"), "O1\n");
    assert_string_equal(tokens_of("append@x"), "O1111\n");
    assert_string_equal(set_token("append@x", "2222"), "O1\n");
    assert_string_equal(tokens_of("append@x"), "O1111 2222\n");
    sql("update push_token set seen = now() - interval '80 days', added = now() - "
        "interval '80 days' where addr = 'append@x'");
    assert_string_equal(set_token("append@x", "1111"), "O1\n");
    assert_string_equal(tokens_of("append@x"), "O1111 2222\n"); /* order is kept */
    assert_string_equal(sql("select string_agg(convert_from(token, 'utf8') || "
                            "(seen > now() - interval '1 min')::text || (added > now() "
                            "- interval '1 min')::text, ' ' order by id) "
                            "from push_token where addr = 'append@x'"),
                        "1111truefalse 2222falsefalse");
    assert_string_equal(tokens_of("append@y"), "O\n");
}

static void test_expiry(void **state)
{
    (void)state;
    set_token("expiry@x", "old");
    set_token("expiry@x", "young");
    set_token("expiry@x", "soon");
    set_token("expiry@x", "future");
    sql("update push_token set seen = now() - case token when 'old' then interval "
        "'90 days' when 'young' then interval '89 days 23 hours' when 'soon' then "
        "interval '-50 s' else interval '-80 s' end where addr = 'expiry@x'");
    assert_string_equal(tokens_of("expiry@x"), "Oyoung soon\n");
    assert_string_equal(set_token("expiry@x", "new"), "O1\n");
    assert_string_equal(tokens_of("expiry@x"), "Oyoung soon new\n");
    assert_string_equal(sql("select count(*) from push_token where addr = 'expiry@x'"),
                        "4"); /* the clock may be put right again */
    sql("update push_token set seen = now() - interval '1 year' where addr = "
        "'expiry@x'");
    assert_string_equal(set_token("expiry@x", "young"), "O1\n"); /* comes back */
    assert_string_equal(tokens_of("expiry@x"), "Oyoung\n");
}

static void test_unset_and_rollback(void **state) /* 2 */
{
    (void)state;
    assert_string_equal(ask("B1\tunset@x\nU1\tpriv/1/devicetoken\nC1\n"), "O1\n");
    set_token("unset@x", "a");
    set_token("unset@x", "b");
    set_token("other@x", "c");
    assert_string_equal(ask("B1\tunset@x\nU1\tpriv/1/devicetoken\nS1\tpriv/1/"
                            "devicetoken\tz\nR1\nLpriv/1/devicetoken\tunset@x\n"),
                        "Oa b\n");
    assert_string_equal(ask("B1\tunset@x\nU1\tpriv/1/messagenew\nU1\tpriv/1/foo\nC1\n"),
                        "O1\n");
    assert_string_equal(tokens_of("unset@x"), "Oa b\n");
    assert_string_equal(ask("B1\tunset@x\nU1\tpriv/1/devicetoken\nC1\n"), "O1\n");
    assert_string_equal(tokens_of("unset@x"), "O\n");
    assert_string_equal(tokens_of("other@x"), "Oc\n");
    set_token("unset@x", "d");
    assert_string_equal(
        ask("B1\tunset@x\nS1\tpriv/1/devicetoken\tlost\nU1\tpriv/1/devicetoken\n"
            "S1\tpriv/1/devicetoken\te\nS1\tpriv/1/devicetoken\tf\nC1\n"),
        "O1\n");
    assert_string_equal(tokens_of("unset@x"), "Oe f\n");
    int fd = daemonkit_dial(dict_path); /* a lost connection is a rollback */
    daemonkit_say_text(fd, HELLO "B1\tunset@x\nS1\tpriv/1/devicetoken\tg\n");
    close(fd);
    assert_string_equal(tokens_of("unset@x"), "Oe f\n");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "B1\trefuse@x\nS1\tpriv/1/other\tsEcReT\nC1\n",
        "B1\trefuse@x\nS1\tshared/1/" SERVER "turn\tsEcReT\nC1\n",
        "B1\trefuse@x\nS1\tpriv/1/devicetoken\t\nC1\n",
        "B1\trefuse@x\nS1\tpriv/1/devicetoken\tsEcReT\nS1\tx\ty\nC1\n",
        "B1\t\nS1\tpriv/1/devicetoken\tsEcReT\nC1\n",
        "B1\trefuse@x\nA1\tpriv/1/devicetoken\t1\nC1\n",
        "B1\tbad\xff@x\nS1\tpriv/1/devicetoken\tsEcReT\nC1\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_memory_equal(ask(lines[i]), "F1\t", 3);
    }
    assert_string_equal(tokens_of("refuse@x"), "O\n"); /* all or nothing */
    assert_false(daemonkit_log_has(log_path, "sEcReT"));
}

/* Every byte there is, in values that PostgreSQL, the dict and the join carry. */
static void test_every_byte(void **state)
{
    (void)state;
    char text[2048] = "B1\tbytes@x\nS1\tpriv/1/devicetoken\t", want[1024] = "O";
    size_t len = strlen(text), want_len = 1;
    for (int c = 0; c < 256; c++) {
        const char *hit = memchr("\0\1\t\r\n", c, 5);
        char two[2] = {hit == NULL ? (char)c : 1, '0'};
        if (hit != NULL) {
            two[1] = "01trn"[(c == 0)   ? 0
                             : (c == 1) ? 1
                             : c == 9   ? 2
                             : c == 13  ? 3
                                        : 4];
        }
        size_t n = hit == NULL ? 1 : 2;
        memcpy(text + len, two, n);
        memcpy(want + want_len, two, n);
        len += n;
        want_len += n;
    }
    memcpy(text + len, "\nC1\n", 4);
    assert_string_equal(ask_bytes(text, len + 4), "O1\n");
    assert_string_equal(set_token("bytes@x", " {\"\\x\",NULL} "), "O1\n");
    tokens_of("bytes@x");
    assert_memory_equal(reply, want, want_len);
    assert_string_equal(reply + want_len, "  {\"\\x\",NULL} \n");
}

static void test_limits(void **state)
{
    (void)state;
    char text[64], *want = calloc(1, BIG), *big = calloc(1, BIG);
    for (int i = 0; i < TOKENS_MAX + 3; i++) {
        snprintf(text, sizeof(text), "t%d", i);
        assert_string_equal(set_token("many@x", text), "O1\n");
        if (i == 5) { /* the oldest two are seen again, so others go */
            set_token("many@x", "t0");
            set_token("many@x", "t1");
        }
    }
    assert_string_equal(sql("select count(*) from push_token where addr = 'many@x'"),
                        "32");
    assert_memory_equal(tokens_of("many@x"), "Ot0 t1 t5 t6 ", 13);
    for (int i = 0; i < 4; i++) { /* bytes that take two on the wire */
        memset(want, 0, BIG);
        for (int k = 0; k < 9990; k++) {
            memcpy(want + 2 * k, "\1n", 2);
        }
        snprintf(want + 2 * 9990, 16, "%d", i);
        assert_string_equal(set_token("big@x", want), "O1\n");
    }
    assert_true(strlen(tokens_of("big@x")) < 65536);
    assert_true(strlen(reply) > 59000);
    assert_string_equal(sql("select count(*) from push_token where addr = 'big@x'"),
                        "3");
    memset(big, 'x', TOKENS_BYTES_MAX + 1);
    assert_memory_equal(set_token("big2@x", big), "F1\t", 3);
    big[TOKENS_BYTES_MAX] = '\0';
    assert_string_equal(set_token("big2@x", big), "O1\n");
    assert_string_equal(set_token("big2@x", "small"), "O1\n");
    assert_string_equal(tokens_of("big2@x"), "Osmall\n");
    free(want);
    free(big);
}

/* What is asked behind a set on the same or another connection sees it. */
static void test_pipelined(void **state)
{
    (void)state;
    char line[256], want[256] = "O";
    for (int i = 0; i < 20; i++) {
        char token[16];
        snprintf(token, sizeof(token), "%sp%d", i == 0 ? "" : " ", i);
        strncat(want, token, sizeof(want) - strlen(want) - 2);
        snprintf(line, sizeof(line),
                 HELLO "B1\tpipe@x\nS1\tpriv/1/devicetoken\tp%d\nC1\n"
                       "Lpriv/1/devicetoken\tpipe@x\n",
                 i);
        int fd = daemonkit_dial(dict_path);
        daemonkit_say_text(fd, line);
        daemonkit_hear(fd, reply, sizeof(reply));
        assert_string_equal(reply, "O1\n");
        daemonkit_hear(fd, reply, sizeof(reply));
        reply[strcspn(reply, "\n")] = '\0';
        assert_string_equal(reply, want);
        close(fd);
    }
}

static void test_hello(void **state) /* 6, without its odd hello and ids; 8; 3 */
{
    (void)state;
    assert_string_equal(ask("I9\t0\tpriv/guid/\tappend@x\n"), "\n");
    assert_string_equal(ask("I9\t0\tpriv/guid/vendor/\tappend@x\nLx\tu\n"), "\n");
    assert_string_equal(ask("Lpriv/123/chatmail\tappend@x\n"), "N\n");
}

/* New messages */

#define NEW_MESSAGE(user) "B1\t" user "\nS1\tpriv/guid00/messagenew\nC1\n"

/* Says it, and returns the connection without waiting for the answer. */
static int say_new_message(const char *text)
{
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, HELLO);
    daemonkit_say_text(fd, text);
    return fd;
}

static bool is_left(const char *addr)
{
    char path[sizeof(bell_dir) + 256];
    snprintf(path, sizeof(path), "%s/%s", bell_dir, addr);
    return unlink(path) == 0;
}

static void test_new_message_rings(void **state) /* 5, as far as the doorbell */
{
    (void)state;
    int push = daemonkit_listen(bell_path);
    static const char *const texts[] = {
        NEW_MESSAGE("msg@x"),
        "B1\tmsg@x\nS1\tpriv/1/messagenew\t\nS1\tpriv/1/devicetoken\tq\nC1\n"};
    for (int i = 0; i < 2; i++) {
        int fd = say_new_message(texts[i]);
        int heard = accept(push, NULL, NULL);
        daemonkit_hear(heard, reply, sizeof(reply));
        assert_string_equal(reply, "msg@x\n");
        assert_string_equal(tokens_of("nobody"), "O\n"); /* others do not wait */
        daemonkit_say_text(heard, "+\n");
        close(heard);
        daemonkit_hear(fd, reply, sizeof(reply));
        assert_string_equal(reply, "O1\n");
        close(fd);
    }
    ask("B1\tmsg@x\nS1\tpriv/guid00/messagenew\nR1\nLx\tu\n");
    ask("B1\tmsg@x\nS1\tpriv/1/messagenew\nS1\tpriv/1/devicetoken\t\nC1\n");
    int fd = say_new_message(NEW_MESSAGE("last@x")); /* the next to ring */
    int heard = accept(push, NULL, NULL);
    daemonkit_hear(heard, reply, sizeof(reply));
    assert_string_equal(reply, "last@x\n");
    close(fd); /* gone before the answer */
    close(heard);
    close(push);
    unlink(bell_path);
    assert_string_equal(tokens_of("nobody"), "O\n");
}

static void test_new_message_is_left(void **state)
{
    (void)state;
    (void)daemonkit_log_has(log_path, "");                   /* empties it */
    assert_string_equal(ask(NEW_MESSAGE("left@x")), "O1\n"); /* no push service */
    assert_false(daemonkit_log_has(log_path, "push_not_told"));
    assert_int_equal(mkdir(bell_dir, 0700), 0);
    assert_string_equal(ask(NEW_MESSAGE("left@x")), "O1\n"); /* it is away */
    assert_true(is_left("left@x"));
    assert_string_equal(ask(NEW_MESSAGE("../left@x")), "O1\n");
    assert_true(daemonkit_log_has(log_path, "push_not_told"));
    assert_int_equal(rmdir(bell_dir), 0);
}

/* Push is stopped with its socket open. The answers come in one piece, not one limit
 * after the other, and every address has its file. */
static void test_silent_push_delays_nobody(void **state)
{
    (void)state;
    enum { MANY = 600 };
    int push = daemonkit_listen(bell_path);
    int fds[MANY];
    char text[128];
    assert_int_equal(mkdir(bell_dir, 0700), 0);
    int64_t start = cm_now_mono_ms();
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "B1\tmany%d@x\nS1\tpriv/guid00/messagenew\nC1\n",
                 i);
        fds[i] = say_new_message(text);
    }
    assert_string_equal(tokens_of("nobody"), "O\n");
    for (int i = 0; i < MANY; i++) {
        daemonkit_hear(fds[i], reply, sizeof(reply));
        assert_string_equal(reply, "O1\n");
        close(fds[i]);
        snprintf(text, sizeof(text), "many%d@x", i);
        assert_true(is_left(text));
    }
    /* One by one it would be MANY * 200 ms, with the threads alone a quarter of it. */
    assert_true(cm_now_mono_ms() - start < MANY * CM_DOORBELL_LIMIT_MS / 4 / 4);
    close(push);
    unlink(bell_path);
    assert_int_equal(rmdir(bell_dir), 0);
}

/* What the server says about itself */

static void test_server_keys(void **state) /* 17 to 22 */
{
    (void)state;
    assert_string_equal(ask("Lshared/0/" SERVER "maxsmtprecipients\tu@x\n"), "O1000\n");
    assert_string_equal(ask("Lshared/0/" SERVER "unknown\tu@x\n"), "N\n");
    assert_string_equal(ask("Lshared/0/vendor/deltachat/maxsmtprecipients\tu@x\n"),
                        "N\n");
    assert_string_equal(ask("Lshared/0/" SERVER "irohrelay\tu@x\n"), "N\n");
    write_ini("iroh_relay = https://iroh.example.org/\n");
    kill(daemon_pid, SIGHUP);
    usleep(200000);
    assert_string_equal(ask("Lshared/0/" SERVER "irohrelay\tu@x\n"),
                        "Ohttps://iroh.example.org/\n");
    write_ini("iroh_relay =\n");
    kill(daemon_pid, SIGHUP);
    usleep(200000);
    assert_string_equal(ask("Lshared/0/" SERVER "irohrelay\tu@x\n"), "N\n");
    assert_string_equal(ask("Lshared/0/" SERVER "appversions\tu@x\n"), "N\n");
    struct cm_err err;
    const char *json = "{\n \"clients\": [ 1 ]\n}\n";
    assert_int_equal(cm_file_replace(versions_path, json, strlen(json), 0644, &err), 0);
    assert_string_equal(ask("Lshared/0/" SERVER "appversions\tu@x\n"),
                        "O{\"clients\":[1]}\n");
    assert_int_equal(cm_file_replace(versions_path, "{", 1, 0644, &err), 0);
    assert_string_equal(ask("Lshared/0/" SERVER "appversions\tu@x\n"), "N\n");
    unlink(versions_path);
}

static void test_turn(void **state) /* 17, 25 */
{
    (void)state;
    const char *key = HELLO "Lshared/0/" SERVER "turn\tu@x\nLshared/0/" SERVER
                            "maxsmtprecipients\tu@x\n";
    (void)daemonkit_log_has(log_path, ""); /* empties it */
    assert_string_equal(ask(key + strlen(HELLO)), "N\n");
    assert_false(daemonkit_log_has(log_path, "turn_failed")); /* there is none here */
    int turn = daemonkit_listen(turn_path);
    int fd = daemonkit_dial(dict_path);
    daemonkit_say_text(fd, key);
    int asked = accept(turn, NULL, NULL);
    assert_string_equal(tokens_of("nobody"), "O\n"); /* others do not wait */
    daemonkit_say_text(asked, "1700000000:c2VjcmV0\n");
    close(asked);
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "Ochat.example.org:3478:1700000000:c2VjcmV0\n");
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "O1000\n"); /* in order */
    close(fd);
    fd = daemonkit_dial(dict_path); /* one that leaves while it waits */
    daemonkit_say_text(fd, key);
    asked = accept(turn, NULL, NULL);
    close(fd);
    usleep(50000);
    close(asked);
    close(turn);
    assert_string_equal(ask(key + strlen(HELLO)), "N\n"); /* refuses */
    assert_true(daemonkit_log_has(log_path, "turn_failed"));
    unlink(turn_path);
}

static void reload(const char *ini)
{
    write_ini(ini);
    kill(daemon_pid, SIGHUP);
    usleep(200000);
}

/* Our own server: the secret is enough. */
static void test_own_turn(void **state)
{
    (void)state;
    struct cm_err err;
    const char *key = "Lshared/0/" SERVER "turn\tu@x\n";
    assert_int_equal(cm_file_replace(secret_path, "s3cret\n", 7, 0600, &err), 0);
    reload("");
    int64_t first = cm_now_wall_ms() / 1000, last = 0;
    ask(key); /* the socket that is set is not there */
    last = cm_now_wall_ms() / 1000;
    bool found = false;
    for (int64_t now = first; now <= last; now++) {
        char line[CREDENTIAL_MAX], want[128];
        credential_line("s3cret", now, line);
        snprintf(want, sizeof(want), "Ochat.example.org:3478:%s\n", line);
        found = found || strcmp(reply, want) == 0;
    }
    assert_true(found);
    reload("[store]\nturn = no\n");
    assert_string_equal(ask(key), "N\n");
    unlink(secret_path);
    reload("");
    assert_string_equal(ask(key), "N\n");
    assert_false(daemonkit_log_has(log_path, "s3cret"));
}

/* Trouble */

static void test_postgresql_away(void **state)
{
    (void)state;
    set_token("outage@x", "first");
    pgfixture_stop(fx);
    int64_t start = cm_now_mono_ms();
    for (int i = 0; i < 50; i++) {
        assert_int_equal(tokens_of("outage@x")[0], 'F');
        assert_memory_equal(set_token("outage@x", "sEcReT"), "F1\t", 3);
    }
    assert_true(cm_now_mono_ms() - start < 2000);
    assert_string_equal(ask("Lshared/0/" SERVER "maxsmtprecipients\tu@x\n"), "O1000\n");
    assert_string_equal(ask("B1\tu@x\nS1\tpriv/1/messagenew\t\nC1\n"), "O1\n");
    pgfixture_start(fx);
    for (int i = 0; i < 100 && tokens_of("outage@x")[0] == 'F'; i++) {
        usleep(50000);
    }
    assert_string_equal(reply, "Ofirst\n");
    assert_string_equal(set_token("outage@x", "second"), "O1\n");
    assert_string_equal(tokens_of("outage@x"), "Ofirst second\n");
    assert_false(daemonkit_log_has(log_path, "sEcReT"));
    usleep(
        2500000); /* each lane's connection comes back by its own timer, 2 s at most */
}

static void test_killed(void **state)
{
    (void)state;
    assert_string_equal(set_token("killed@x", "kept"), "O1\n");
    daemonkit_stop(daemon_pid, SIGKILL);
    int fd = daemonkit_dial(dict_path); /* waits in the backlog */
    daemonkit_say_text(fd, HELLO "Lpriv/0/devicetoken\tkilled@x\n");
    start_daemon();
    daemonkit_hear(fd, reply, sizeof(reply));
    assert_string_equal(reply, "Okept\n");
    close(fd);
}

static void test_sigterm_answers_what_is_under_way(void **state)
{
    (void)state;
    int fds[100];
    char text[128];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text),
                 HELLO "B1\tdrain%d@x\nS1\tpriv/1/devicetoken\tt\nC1\n", i);
        fds[i] = daemonkit_dial(dict_path);
        daemonkit_say_text(fds[i], text);
    }
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
    start_daemon(); /* takes those that were still in the backlog */
    for (int i = 0; i < 100; i++) {
        daemonkit_hear(fds[i], reply, sizeof(reply));
        assert_string_equal(reply, "O1\n");
        close(fds[i]);
    }
    assert_string_equal(sql("select count(*) from push_token where addr like 'drain%'"),
                        "100");
}

static void test_two_instances(void **state) /* 1 */
{
    (void)state;
    char own_path[sizeof(dict_path)], other_path[sizeof(dict_path) + 8];
    snprintf(own_path, sizeof(own_path), "%s", dict_path);
    snprintf(other_path, sizeof(other_path), "%s2", dict_path);
    int other = daemonkit_listen(other_path);
    pid_t pid = spawn(other);
    close(other);
    assert_string_equal(set_token("both@x", "one"), "O1\n");
    snprintf(dict_path, sizeof(dict_path), "%.90s", other_path);
    assert_string_equal(tokens_of("both@x"), "Oone\n");
    assert_string_equal(tokens_of("both@y"), "O\n");
    assert_string_equal(set_token("both@x", "two"), "O1\n");
    snprintf(dict_path, sizeof(dict_path), "%s", own_path);
    assert_string_equal(tokens_of("both@x"), "Oone two\n");
    assert_string_equal(ask("B1\tboth@x\nU1\tpriv/guid00/devicetoken\nC1\n"), "O1\n");
    snprintf(dict_path, sizeof(dict_path), "%.90s", other_path);
    assert_string_equal(tokens_of("both@x"), "O\n");
    snprintf(dict_path, sizeof(dict_path), "%s", own_path);
    assert_int_equal(daemonkit_stop(pid, SIGTERM), 0);
    unlink(other_path);
}

static void test_grants(void **state)
{
    (void)state;
    assert_string_equal(
        sql("select bool_or(has_table_privilege('chatmail_metadata', t, 'truncate')"
            " or has_table_privilege('chatmail_metadata', t, 'update'))"
            " or has_any_column_privilege('chatmail_metadata', 'account', 'select')"
            " or has_column_privilege('chatmail_lastlogin', 'account', 'password',"
            " 'select') from unnest(array['account', 'push_token']) t"),
        "f");
}

/* Fixture */

static int group_setup(void **state)
{
    fx = pgfixture_chatmail(SCHEMA_DIR, "001-account", "003-token", NULL);
    *state = fx;
    if (fx == NULL) {
        return 0;
    }
    daemonkit_dir(dir, "metadata");
    daemonkit_path(dict_path, dir, "dict");
    daemonkit_path(log_path, dir, "log");
    daemonkit_path(ini_path, dir, "chatmail.ini");
    daemonkit_path(turn_path, dir, "turn");
    daemonkit_path(bell_path, dir, "bell");
    daemonkit_path(bell_dir, dir, "spool");
    daemonkit_path(secret_path, dir, "turn.secret");
    daemonkit_path(versions_path, dir, "app-versions.json");
    listener = daemonkit_listen(dict_path);
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
    int status = daemonkit_stop(daemon_pid, SIGTERM);
    daemonkit_dir_remove(dir);
    pgfixture_free(&fx);
    return status == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_append_and_refresh, need),
        cmocka_unit_test_setup(test_expiry, need),
        cmocka_unit_test_setup(test_unset_and_rollback, need),
        cmocka_unit_test_setup(test_refused, need),
        cmocka_unit_test_setup(test_every_byte, need),
        cmocka_unit_test_setup(test_limits, need),
        cmocka_unit_test_setup(test_pipelined, need),
        cmocka_unit_test_setup(test_hello, need),
        cmocka_unit_test_setup(test_new_message_rings, need),
        cmocka_unit_test_setup(test_new_message_is_left, need),
        cmocka_unit_test_setup(test_silent_push_delays_nobody, need),
        cmocka_unit_test_setup(test_server_keys, need),
        cmocka_unit_test_setup(test_turn, need),
        cmocka_unit_test_setup(test_own_turn, need),
        cmocka_unit_test_setup(test_postgresql_away, need),
        cmocka_unit_test_setup(test_killed, need),
        cmocka_unit_test_setup(test_sigterm_answers_what_is_under_way, need),
        cmocka_unit_test_setup(test_two_instances, need),
        cmocka_unit_test_setup(test_grants, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
