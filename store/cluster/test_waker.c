#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "waker.h"

static const char sockets[] =
    "ESTAB 0      0          10.77.1.2:993   198.51.100.40:51234\n"
    "ESTAB 0      0          10.77.1.2:143   198.51.100.40:51235\n"
    "ESTAB 0      0      [fd77:1::2]:993  [2001:db8:1::40]:40000\n"
    "ESTAB 0 0 [::ffff:10.77.1.2]:443 [::ffff:203.0.113.9]:1\n"
    "ESTAB\n\nESTAB 0 0 10.77.1.2:993 nonsense\n";
static const char who[] = "username\tproto\tpid\tip\n"
                          "anna@a.example\timap\t10\t198.51.100.40\n"
                          "anna@a.example\timap\t11\t198.51.100.40\n"
                          "bert@a.example\timap\t12\t2001:db8:1::40\n"
                          "carl@a.example\timap\t13\t198.51.100.41\n"
                          "dora@a.example\tlmtp\t14\t198.51.100.40\n"
                          "emil@a.example\timap\t15\t203.0.113.9\n"
                          "\timap\t16\t203.0.113.9\n"
                          "nobody\timap\n";

static void joins_who_and_where(void **state)
{
    (void)state;
    unsigned char peers[8][16];
    char *accounts[8];
    size_t n = waker_peers(sockets, peers, 8);
    assert_int_equal(n, 3);
    size_t m =
        waker_accounts(who, (const unsigned char(*)[16])peers, n, true, accounts, 8);
    assert_int_equal(m, 3);
    assert_string_equal(accounts[0], "anna@a.example");
    assert_string_equal(accounts[1], "bert@a.example");
    assert_string_equal(accounts[2], "emil@a.example");
    for (size_t i = 0; i < m; i++) {
        free(accounts[i]);
    }
    assert_int_equal(
        waker_accounts(who, (const unsigned char(*)[16])peers, 0, true, accounts, 8),
        0);
}

/* Elsewhere: those that the others are connected from. */
static void joins_who_and_where_not(void **state)
{
    (void)state;
    unsigned char peers[8][16];
    char *accounts[8];
    size_t n = waker_peers(sockets, peers, 8);
    size_t m =
        waker_accounts(who, (const unsigned char(*)[16])peers, n, false, accounts, 8);
    assert_int_equal(m, 1);
    assert_string_equal(accounts[0], "carl@a.example");
    free(accounts[0]);
}

static void no_more_than_may_be(void **state)
{
    (void)state;
    unsigned char peers[2][16];
    char *accounts[1];
    size_t n = waker_peers(sockets, peers, 2);
    assert_int_equal(n, 1);
    assert_int_equal(
        waker_accounts(who, (const unsigned char(*)[16])peers, n, true, accounts, 1),
        1);
    free(accounts[0]);
}

/* ---- a whole round, with a bell that somebody answers ---- */

static char dir[] = "/tmp/pt-waker-XXXXXX";

static char *at(const char *name)
{
    return cm_asprintf("%s/%s", dir, name);
}

static char *script(const char *name, const char *says, const char *behind)
{
    struct cm_err err;
    char *path = at(name);
    char *text = cm_asprintf("#!/bin/sh\ncat <<'END'\n%sEND\n%s\n", says, behind);
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0700, &err), 0);
    free(text);
    return path;
}

struct bell {
    int fd;
    char heard[8][64];
    size_t count;
};

static void on_ring(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct bell *b = ctx;
    int conn = accept(fd, NULL, NULL);
    if (conn < 0 || b->count == 8) {
        fail_msg("a ring too many");
        return;
    }
    ssize_t n = read(conn, b->heard[b->count], sizeof(b->heard[0]) - 1);
    b->heard[b->count++][n > 0 ? n - 1 : 0] = '\0';
    assert_int_equal(write(conn, "+\n", 2), 2);
    close(conn);
}

static struct waker_result last;
static int results;

static void on_done(const struct waker_result *result, void *ctx)
{
    (void)ctx;
    last = *result;
    results++;
}

static void until_done(struct cm_loop *loop)
{
    int64_t end = cm_now_mono_ms() + 10000;
    results = 0;
    while (results == 0 && cm_now_mono_ms() < end) {
        cm_loop_once(loop, 100);
    }
    assert_int_equal(results, 1);
}

static bool heard(const struct bell *b, const char *account)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->heard[i], account) == 0) {
            return true;
        }
    }
    return false;
}

static void rings_for_each_once(void **state)
{
    (void)state;
    struct cm_loop *loop = cm_loop_new();
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct bell bell = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_non_null(mkdtemp(dir));
    char *path = at("bell"), *spool = at("spool");
    char *ss = script("ss", sockets, ""), *doveadm = script("doveadm", who, "");
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    assert_int_equal(bind(bell.fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(bell.fd, 8), 0);
    assert_int_equal(mkdir(spool, 0700), 0);
    struct cm_io *io = cm_io_new(loop, bell.fd, CM_IO_READ, on_ring, &bell);
    struct waker_options o = {
        .doveadm = doveadm, .ss = ss, .bell = path, .spool = spool, .done = on_done};
    struct waker *w = waker_new(loop, &o);
    assert_true(waker_go(w, 1, false));
    assert_false(waker_go(w, 1, false));
    until_done(loop);
    assert_int_equal(last.number, 1);
    assert_int_equal(last.accounts, 3);
    assert_int_equal(last.rung, 3);
    assert_string_equal(last.why, "");
    assert_int_equal(bell.count, 3);
    assert_true(heard(&bell, "anna@a.example") && heard(&bell, "bert@a.example") &&
                heard(&bell, "emil@a.example"));
    /* Dovecot that cannot say is told. */
    free(script("doveadm", "", "echo no anvil >&2; exit 75"));
    assert_true(waker_go(w, 1, false));
    until_done(loop);
    assert_int_equal(last.rung, 0);
    assert_non_null(strstr(last.why, "no anvil"));
    waker_free(&w);
    cm_io_free(&io);
    close(bell.fd);
    cm_loop_free(&loop);
    const char *left[] = {ss, doveadm, path};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(unlink(left[i]), 0);
    }
    assert_int_equal(rmdir(spool), 0);
    assert_int_equal(rmdir(dir), 0);
    free(path);
    free(spool);
    free(ss);
    free(doveadm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_who_and_where),
        cmocka_unit_test(joins_who_and_where_not),
        cmocka_unit_test(no_more_than_may_be),
        cmocka_unit_test(rings_for_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
