/* Who gets a new account: modes, invites, limits per network and gateway. The real
 * program over a real PostgreSQL and a real Redis. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/invite.h"
#include "daemonkit/daemonkit.h"
#include "need/need.h"
#include "pgfixture/pgfixture.h"
#include "redisfixture/redisfixture.h"

#include "create.h"
#include "lookup.h"

#define DOMAIN "@chat.example.org"
#define HELLO  "H3\t2\t0\t\tauth\n"
#define NET    "203.0.113.7"
#define EDGE1  "10.77.1.2"
#define SECRET "sEcReT-rest"

static struct pgfixture *pg;
static struct redisfixture *redis;
static char dir[64], dict_path[96], ini_path[96], log_path[96], nocreate_path[96];
static int listener;
static pid_t daemon_pid;
static char reply[4096];

/* The program */

static void write_ini(const char *store)
{
    char text[1024];
    struct cm_err err;
    snprintf(text, sizeof(text),
             "[params]\nmail_domain = chat.example.org\nmailboxes_dir = %s\n"
             "max_load_1m = 1000\nmin_available_memory = 1M\n[store]\n%s",
             dir, store);
    assert_int_equal(cm_file_replace(ini_path, text, strlen(text), 0644, &err), 0);
}

static char *read_log(void)
{
    char *text = NULL;
    struct cm_err err;
    assert_int_equal(cm_file_read(log_path, 4u << 20, &text, NULL, &err), 1);
    return text;
}

static size_t count_in_log(const char *what)
{
    char *text = read_log();
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++) {
        n++;
    }
    free(text);
    return n;
}

/* New settings, by SIGHUP: the process stays. The log begins anew. */
static void set(const char *store)
{
    write_ini(store);
    assert_int_equal(truncate(log_path, 0), 0);
    kill(daemon_pid, SIGHUP);
    for (int i = 0; i < 200 && count_in_log("event=reloaded") == 0; i++) {
        usleep(10000);
    }
    assert_int_equal(count_in_log("event=reloaded"), 1);
    assert_int_equal(truncate(log_path, 0), 0);
    assert_int_equal(kill(daemon_pid, 0), 0);
}

static void start_daemon(void)
{
    char db[256];
    snprintf(db, sizeof(db), "%s", pgfixture_conninfo(pg, "chatmail", "chatmail_auth"));
    const char *const argv[] = {AUTH_PROGRAM,
                                "--config",
                                ini_path,
                                "--db",
                                db,
                                "--redis",
                                redisfixture_path(redis),
                                "--nocreate",
                                nocreate_path,
                                NULL};
    daemon_pid = daemonkit_start(argv, listener, "dict", log_path);
}

/* Questions */

static int ask(const char *kind, const char *name, const char *password)
{
    char text[1024];
    int fd = daemonkit_dial(dict_path);
    snprintf(text, sizeof(text), HELLO "Lshared/%s%s\"%s" DOMAIN "\t\n", kind, password,
             name);
    daemonkit_say_text(fd, text);
    return fd;
}

static const char *answer(int fd)
{
    daemonkit_hear(fd, reply, sizeof(reply));
    close(fd);
    return reply;
}

/* As upstream's Dovecot asks: nobody knows from where. */
static const char *login(const char *name, const char *password)
{
    return answer(ask("passdb/", name, password));
}

static bool is_in(const char *said)
{
    return strncmp(said, "O{", 2) == 0;
}

static bool is_refused(const char *said)
{
    return strcmp(said, "N\n") == 0;
}

static bool is_put_off(const char *said)
{
    return strcmp(said, "O" LOOKUP_TEMPFAIL "\n") == 0;
}

/* Comes again while it is put off. */
static const char *login_at_last(const char *name, const char *password)
{
    for (int i = 0; i < 200 && is_put_off(login(name, password)); i++) {
        usleep(50000);
    }
    return reply;
}

static const char *login_from(const char *client, const char *local, const char *name)
{
    char kind[160];
    snprintf(kind, sizeof(kind), "passdb-from/%s/%s/", client, local);
    return answer(ask(kind, name, "password9"));
}

static const char *sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static const char *sql(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return pgfixture_sql(pg, "chatmail", text);
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

/* As "chatops registrations invite" does it. */
static void make_invite(char token[CM_INVITE_LEN + 1], int uses)
{
    char hash[CM_INVITE_HASH];
    struct cm_err err;
    assert_int_equal(cm_invite_make(token, &err), 0);
    assert_true(cm_invite_hash(token, hash));
    sql("delete from invite");
    sql("insert into invite (token_sha256, uses, expires) values "
        "(decode('%s', 'hex'), %d, now() + interval '1 day')",
        hash, uses);
}

static const char *with(const char *token, const char *rest)
{
    static char password[128];
    snprintf(password, sizeof(password), "%s.%s", token, rest);
    return password;
}

/* Modes */

static void test_modes(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1];
    make_invite(token, 5);
    assert_true(is_in(login("modeopen1", SECRET)));
    set("registrations = closed\n");
    assert_true(is_refused(login("modeclos1", SECRET)));
    assert_true(is_refused(login("modeclos1", with(token, SECRET))));
    assert_true(is_in(login("modeopen1", SECRET)));
    assert_int_equal(count_in_log("registration rejected: registrations are closed\n"),
                     2);
    set("registrations = invite\n");
    assert_true(is_refused(login("modeinvt1", SECRET)));
    assert_int_equal(
        count_in_log("registration rejected: no invite token before the password\n"),
        1);
    assert_true(is_in(login("modeinvt1", with(token, SECRET))));
    assert_true(is_in(login("modeopen1", "not the password"))); /* Dovecot compares */
    set("registrations = open\n");
    assert_true(is_in(login("modeopen2", SECRET)));
    assert_true(is_in(login("modeopen3", with(token, SECRET)))); /* just a password */
    assert_int_equal(number(sql("select used from invite")), 1);
    assert_int_equal(count_in_log(SECRET), 0);
    assert_int_equal(count_in_log(token), 0);
}

static void test_nocreate_is_first(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1];
    struct cm_err err;
    make_invite(token, 5);
    set("registrations = invite\n");
    assert_int_equal(cm_file_replace(nocreate_path, "", 0, 0644, &err), 0);
    assert_true(is_refused(login("nocreate1", with(token, SECRET))));
    unlink(nocreate_path);
    assert_int_equal(count_in_log("registration rejected: "), 1);
    assert_int_equal(count_in_log("nocreate exists\n"), 1);
    assert_int_equal(number(sql("select used from invite")), 0);
    assert_true(is_in(login("nocreate1", with(token, SECRET))));
}

/* Invites */

static void test_uses_are_counted(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1], shouted[CM_INVITE_LEN + 1];
    make_invite(token, 2);
    set("registrations = invite\n");
    for (int i = 0; i <= CM_INVITE_LEN; i++) {
        char c = token[i];
        shouted[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    assert_true(is_refused(login("counted00", with(token, "short"))));
    assert_true(is_refused(login("counted00", token)));
    assert_int_equal(number(sql("select used from invite")), 0);
    assert_true(is_in(login("counted01", with(token, SECRET))));
    assert_true(is_in(login("counted01", with(token, SECRET)))); /* a login, no use */
    assert_int_equal(number(sql("select used from invite")), 1);
    assert_true(is_in(login("counted02", with(shouted, SECRET))));
    assert_true(is_refused(login("counted03", with(token, SECRET))));
    assert_int_equal(number(sql("select used from invite")), 2);
    assert_int_equal(count_in_log("registration rejected: invite token is "), 1);
    assert_int_equal(count_in_log("registration rejected: password behind"), 1);
    assert_true(is_in(login("counted01", with(token, SECRET)))); /* still */
    assert_int_equal(count_in_log(token), 0);
    assert_int_equal(count_in_log(shouted), 0);
}

static void test_expired_revoked_unknown(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1], other[CM_INVITE_LEN + 1];
    struct cm_err err;
    make_invite(token, 5);
    set("registrations = invite\n");
    assert_int_equal(cm_invite_make(other, &err), 0);
    assert_true(is_refused(login("unknown01", with(other, SECRET))));
    sql("update invite set expires = now()");
    assert_true(is_refused(login("expired01", with(token, SECRET))));
    sql("update invite set expires = now() + interval '1 minute'");
    assert_true(is_in(login("expired01", with(token, SECRET))));
    sql("delete from invite");
    assert_true(is_refused(login("revoked01", with(token, SECRET))));
    assert_true(is_in(login("expired01", with(token, SECRET))));
    assert_int_equal(count_in_log("registration rejected: invite token is "), 3);
    assert_string_equal(
        sql("select count(*) from account where addr ~ 'unknown|revoked'"), "0");
}

#define RACERS 20

/* Different names, one token: as many as it has uses, whoever they are. */
static void race_for_uses(const char *series, int uses)
{
    char token[CM_INVITE_LEN + 1], name[32];
    int fds[RACERS], in = 0;
    make_invite(token, uses);
    for (int i = 0; i < RACERS; i++) {
        snprintf(name, sizeof(name), "race%s%03d", series, i);
        fds[i] = ask("passdb/", name, with(token, SECRET));
    }
    for (int i = 0; i < RACERS; i++) {
        const char *said = answer(fds[i]);
        assert_true(is_in(said) || is_refused(said));
        in += is_in(said);
    }
    assert_int_equal(in, uses);
    assert_int_equal(number(sql("select used from invite")), uses);
    assert_int_equal(
        number(sql("select count(*) from account where addr like 'race%s%%'", series)),
        uses);
}

static void test_last_use_race(void **state)
{
    (void)state;
    set("registrations = invite\n");
    race_for_uses("aa", 1);
    race_for_uses("bb", 1);
    race_for_uses("cc", 7);
}

/* One name: one account, one use, one hash for all; and a racer with a bad token does
 * not take the chance of one with a good token. */
static void test_same_name_race(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1], first[4096] = "";
    int fds[RACERS];
    make_invite(token, 5);
    set("registrations = invite\n");
    for (int i = 0; i < RACERS; i++) {
        fds[i] = ask("passdb/", "samename1",
                     i % 2 == 1 ? with(token, SECRET) : with("abcdefghjkmn", SECRET));
    }
    for (int i = 0; i < RACERS; i++) {
        const char *said = answer(fds[i]);
        assert_true(is_in(said) || (i % 2 == 0 && is_refused(said)));
        if (is_in(said)) {
            if (first[0] == '\0') {
                snprintf(first, sizeof(first), "%s", said);
            }
            assert_string_equal(said, first);
        }
    }
    assert_int_equal(number(sql("select used from invite")), 1);
    assert_int_equal(count_in_log("Created address: samename1" DOMAIN "\n"), 1);
}

static void test_uses_survive_postgres(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1], name[32];
    int fds[RACERS];
    set("registrations = invite\n");
    for (int round = 0; round < 4; round++) {
        int in = 0;
        make_invite(token, 1000);
        sql("delete from account");
        for (int i = 0; i < RACERS; i++) {
            snprintf(name, sizeof(name), "away%d%04d", round, i);
            fds[i] = ask("passdb/", name, with(token, SECRET));
        }
        usleep((useconds_t)(3000 + 7000 * round));
        pgfixture_stop(pg);
        for (int i = 0; i < RACERS; i++) {
            const char *said = answer(fds[i]);
            assert_true(is_in(said) || is_put_off(said)); /* never "wrong password" */
            in += is_in(said);
        }
        pgfixture_start(pg);
        int made = number(sql("select count(*) from account"));
        assert_true(made >= in);
        assert_int_equal(number(sql("select used from invite")), made);
        for (int i = 0; i < RACERS; i++) { /* all of them get in at last */
            snprintf(name, sizeof(name), "away%d%04d", round, i);
            assert_true(is_in(login_at_last(name, with(token, SECRET))));
        }
        assert_int_equal(number(sql("select used from invite")), RACERS);
    }
}

static void test_uses_survive_a_kill(void **state)
{
    (void)state;
    char token[CM_INVITE_LEN + 1], name[32];
    int fds[RACERS];
    set("registrations = invite\n");
    for (int round = 0; round < 3; round++) {
        make_invite(token, 1000);
        sql("delete from account");
        for (int i = 0; i < RACERS; i++) {
            snprintf(name, sizeof(name), "kill%d%04d", round, i);
            fds[i] = ask("passdb/", name, with(token, SECRET));
        }
        usleep((useconds_t)(4000 + 8000 * round));
        kill(daemon_pid, SIGKILL);
        waitpid(daemon_pid, NULL, 0);
        start_daemon();
        for (int i = 0; i < RACERS; i++) {
            close(fds[i]);
        }
        assert_true(is_in(login("killlast1", with(token, SECRET))));
        assert_string_equal(sql("select used = (select count(*) from account) "
                                "from invite"),
                            "t");
    }
}

/* Networks and gateways */

static void test_per_network(void **state)
{
    (void)state;
    set("creations_per_net = 3\n");
    redisfixture_ask(redis, "FLUSHALL", NULL);
    assert_true(is_in(login_from("203.0.113.1", EDGE1, "pernet401")));
    assert_true(is_in(login_from("203.0.113.2", EDGE1, "pernet402")));
    assert_true(is_in(login_from("203.0.113.250", "10.77.2.2", "pernet403")));
    assert_true(is_refused(login_from("203.0.113.9", EDGE1, "pernet404")));
    assert_true(is_refused(login_from("203.0.113.9", "10.77.2.2", "pernet404")));
    assert_true(is_in(login_from("203.0.113.9", EDGE1, "pernet401"))); /* has one */
    assert_true(is_in(login_from("203.0.114.9", EDGE1, "pernet404"))); /* next door */
    assert_true(is_in(login_from("2001:db8:1::1", EDGE1, "pernet601")));
    assert_true(is_in(login_from("2001:db8:1:ff::1", EDGE1, "pernet602")));
    assert_true(is_in(login_from("2001:db8:1::2", EDGE1, "pernet603")));
    assert_true(is_refused(login_from("2001:db8:1:2::", EDGE1, "pernet604")));
    assert_true(is_in(login_from("2001:db8:2::1", EDGE1, "pernet604")));
    for (int i = 0; i < 8; i++) { /* from nowhere, and from the store itself */
        char name[32];
        snprintf(name, sizeof(name), "nowhere%02d", i);
        assert_true(is_in(i % 2 == 0 ? login(name, "password9")
                                     : login_from("127.0.0.1", "127.0.0.1", name)));
    }
    assert_int_equal(count_in_log("registration rejected: too many from one network"),
                     3);
    assert_int_equal(count_in_log("203.0.113"), 0);
    assert_int_equal(count_in_log("2001:db8"), 0);
    assert_null(strstr(redisfixture_ask(redis, "KEYS", "*", NULL), "203.0.113"));
}

static void test_per_gateway(void **state)
{
    (void)state;
    char client[32], name[32];
    set("creations_per_gateway = 4\n");
    redisfixture_ask(redis, "FLUSHALL", NULL);
    for (int i = 0; i < 4; i++) { /* one gateway, in both families */
        snprintf(client, sizeof(client), "198.51.%d.1", i);
        snprintf(name, sizeof(name), "pergate%02d", i);
        assert_true(is_in(login_from(client, i % 2 ? EDGE1 : "fd77:1::2", name)));
    }
    assert_true(is_refused(login_from("198.51.9.1", EDGE1, "pergate09")));
    assert_true(is_refused(login_from("198.51.9.1", "fd77:1::2", "pergate09")));
    assert_true(is_in(login_from("198.51.9.1", "10.77.2.2", "pergate09")));
    assert_true(is_in(login_from("198.51.9.1", EDGE1, "pergate00")));
    assert_int_equal(count_in_log("registration rejected: too many through one"), 2);
    set("creations_per_gateway = 0\ncreations_per_net = 0\n");
    assert_true(is_in(login_from("198.51.9.1", EDGE1, "pergate10")));
}

/* A restart forgets nothing; without Redis the process counts by itself. */
static void test_limits_without_redis(void **state)
{
    (void)state;
    set("creations_per_net = 2\n");
    redisfixture_ask(redis, "FLUSHALL", NULL);
    assert_true(is_in(login_from(NET, EDGE1, "redisup01")));
    assert_true(is_in(login_from(NET, EDGE1, "redisup02")));
    assert_int_equal(daemonkit_stop(daemon_pid, SIGTERM), 0);
    start_daemon();
    assert_true(is_in(login_from(NET, EDGE1, "redisup01")));
    assert_true(is_refused(login_from(NET, EDGE1, "redisup03")));
    redisfixture_stop(redis);
    int64_t start = cm_now_mono_ms();
    assert_true(is_in(login_from(NET, EDGE1, "redisup01")));
    assert_true(is_in(login_from("198.51.100.7", EDGE1, "redisno01")));
    assert_true(is_in(login_from("198.51.100.8", EDGE1, "redisno02")));
    assert_true(is_refused(login_from("198.51.100.9", EDGE1, "redisno03")));
    assert_true(cm_now_mono_ms() - start < 2000);
    redisfixture_start(redis);
    assert_int_equal(count_in_log(NET), 0);
}

/* A Redis that hangs costs a new address its wait, but is no refusal. */
static void test_redis_hangs(void **state)
{
    (void)state;
    set("creations_per_net = 2\n");
    for (int i = 0; i < 100 && count_in_log("event=redis_up") == 0; i++) {
        usleep(50000); /* after the outage of the test before */
    }
    redisfixture_freeze(redis);
    int fd = ask("passdb-from/" NET "/" EDGE1 "/", "redishang", "password9");
    int64_t start = cm_now_mono_ms();
    assert_true(is_in(login_from(NET, EDGE1, "redisup01")));
    assert_true(cm_now_mono_ms() - start < 1000);
    const char *said = answer(fd);
    assert_true(is_in(said) || is_put_off(said));
    redisfixture_unfreeze(redis);
}

/* The lane */

#define FLOOD (4 * CREATE_LANE_MAX)

/* More new addresses at once than the lane holds: some are put off, at once, none is
 * told that its password is wrong, and who has an account does not wait behind them. */
static void test_flood(void **state)
{
    (void)state;
    static int fds[FLOOD];
    int in = 0, put_off = 0;
    char name[32];
    set("");
    assert_true(is_in(login_at_last("floodold1", "password9")));
    int64_t start = cm_now_mono_ms();
    for (int i = 0; i < FLOOD; i++) {
        snprintf(name, sizeof(name), "flood%04d", i);
        fds[i] = ask("passdb/", name, "password9");
    }
    int64_t asked = cm_now_mono_ms();
    assert_true(is_in(login("floodold1", "password9")));
    int64_t lookup_ms = cm_now_mono_ms() - asked;
    for (int i = 0; i < FLOOD; i++) {
        const char *said = answer(fds[i]);
        assert_true(is_in(said) || is_put_off(said));
        in += is_in(said);
        put_off += is_put_off(said);
    }
    int64_t all_ms = cm_now_mono_ms() - start;
    assert_true(in >
                0); /* of a full lane, those that a busy machine gets done in 4 s */
    assert_true(put_off > 0);
    if (lookup_ms * 3 > all_ms) {
        fail_msg("a login waited %d ms, the flood took %d ms", (int)lookup_ms,
                 (int)all_ms);
    }
    assert_true(count_in_log("event=lookup_failed") <= 2); /* not 384 lines */
}

static pid_t hasher_pid(void)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", daemon_pid, daemon_pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    return number(text);
}

/* Of low priority, its threads may go on for a while, and one password is all there is.
 */
static void stop_hasher(pid_t pid)
{
    char command[96];
    snprintf(command, sizeof(command), "cat /proc/%d/task/*/stat | grep -qv ') T '",
             pid);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    for (int i = 0; i < 500 && system(command) == 0; i++) {
        usleep(10000);
    }
    assert_int_not_equal(system(command), 0);
}

/* The same with one new name, which all of them wait for. */
static void test_flood_of_one_name(void **state)
{
    (void)state;
    enum { MORE = 2 * CREATE_WAITING_MAX };
    static int fds[MORE];
    int in = 0, put_off = 0;
    set("");
    pid_t hasher = hasher_pid();
    stop_hasher(hasher);
    for (int i = 0; i < MORE; i++) {
        fds[i] = ask("passdb/", "onename01", "password9");
    }
    sleep(1); /* of 4 that an answer may take */
    assert_int_equal(kill(hasher, SIGCONT), 0);
    for (int i = 0; i < MORE; i++) {
        const char *said = answer(fds[i]);
        in += is_in(said);
        put_off += is_put_off(said);
    }
    assert_int_equal(in + put_off, MORE);
    assert_true(in >= CREATE_WAITING_MAX);
    assert_true(put_off > 0);
    assert_true(is_in(login("onename01", "password9")));
    assert_int_equal(count_in_log("Created address: onename01" DOMAIN "\n"), 1);
}

/* Fixture */

static int group_setup(void **state)
{
    pg = pgfixture_chatmail(SCHEMA_DIR, "001-account", "007-invite", NULL);
    redis = redisfixture_new();
    *state = pg != NULL ? redis : NULL;
    if (pg == NULL || redis == NULL) {
        return 0;
    }
    daemonkit_dir(dir, "registrations");
    daemonkit_path(dict_path, dir, "dict");
    daemonkit_path(ini_path, dir, "chatmail.ini");
    daemonkit_path(log_path, dir, "log");
    daemonkit_path(nocreate_path, dir, "nocreate");
    listener = daemonkit_listen(dict_path);
    write_ini("");
    start_daemon();
    return is_in(login("thefirst1", SECRET)) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    if (pg == NULL || redis == NULL) {
        return 0;
    }
    int status = daemonkit_stop(daemon_pid, SIGTERM);
    daemonkit_dir_remove(dir);
    redisfixture_free(&redis);
    pgfixture_free(&pg);
    return status == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_modes, need),
        cmocka_unit_test_setup(test_nocreate_is_first, need),
        cmocka_unit_test_setup(test_uses_are_counted, need),
        cmocka_unit_test_setup(test_expired_revoked_unknown, need),
        cmocka_unit_test_setup(test_last_use_race, need),
        cmocka_unit_test_setup(test_same_name_race, need),
        cmocka_unit_test_setup(test_uses_survive_postgres, need),
        cmocka_unit_test_setup(test_uses_survive_a_kill, need),
        cmocka_unit_test_setup(test_per_network, need),
        cmocka_unit_test_setup(test_per_gateway, need),
        cmocka_unit_test_setup(test_limits_without_redis, need),
        cmocka_unit_test_setup(test_redis_hangs, need),
        cmocka_unit_test_setup(test_flood, need),
        cmocka_unit_test_setup(test_flood_of_one_name, need),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
