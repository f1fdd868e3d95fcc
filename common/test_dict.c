#include "common/dict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"

#define HELLO    "H3\t2\t0\t\tauth\n"
#define HELD_MAX 512

struct world {
    struct cm_loop *loop;
    struct cm_dict *dict;
    int fd; /* the client's end */
    struct cm_buf got;
    struct cm_dict_req *held[HELD_MAX];
    size_t held_count;
    char gone[64];
    char seen[512]; /* what handlers saw */
    size_t rows, rows_sent;
    size_t log_lines;
    char log[1024];
};

static void note(struct world *w, const char *text)
{
    size_t len = strlen(w->seen);
    snprintf(w->seen + len, sizeof(w->seen) - len, "%s;", text);
}

/* Keys: "hold..." is answered later by hand, "none", "fail", else the key comes back.
 */
static void on_lookup(struct cm_dict_req *req, const char *key, const char *user,
                      void *ctx)
{
    struct world *w = ctx;
    note(w, user);
    if (strncmp(key, "hold", 4) == 0) {
        assert_true(w->held_count < HELD_MAX);
        w->held[w->held_count++] = req;
        cm_dict_req_set_data(req, cm_strdup(key));
    } else if (strcmp(key, "none") == 0) {
        cm_dict_reply_none(req);
    } else if (strcmp(key, "fail") == 0) {
        cm_dict_reply_fail(req, "no\ttabs");
    } else {
        cm_dict_reply_value(req, key, strlen(key));
    }
}

static void answer_held(struct world *w, size_t i)
{
    char *key = cm_dict_req_data(w->held[i]);
    cm_dict_reply_value(w->held[i], key, strlen(key));
    w->held[i] = NULL;
    free(key);
}

static void more_rows(struct cm_dict_req *req, void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < 100 && w->rows_sent < w->rows; i++, w->rows_sent++) {
        char key[32];
        snprintf(key, sizeof(key), "row/%zu", w->rows_sent);
        cm_dict_row(req, key, "", 0);
    }
    if (w->rows_sent == w->rows) {
        cm_dict_reply_end(req);
    } else {
        cm_dict_when_room(req, more_rows, w);
    }
}

static void on_iterate(struct cm_dict_req *req, unsigned flags, const char *path,
                       const char *user, void *ctx)
{
    struct world *w = ctx;
    char text[64];
    snprintf(text, sizeof(text), "I%u %s %s", flags, path, user);
    note(w, text);
    if (w->rows > 0) {
        more_rows(req, w);
        return;
    }
    cm_dict_row(req, "shared/userdb/a@x", "", 0);
    cm_dict_row(req, "k\nk", "v\tv", 3);
    cm_dict_reply_end(req);
}

static void on_commit(struct cm_dict_req *req, const struct cm_dict_op *ops, size_t n,
                      const char *user, void *ctx)
{
    struct world *w = ctx;
    for (size_t i = 0; i < n; i++) {
        char text[128];
        snprintf(text, sizeof(text), "%c %s=%s/%zu", "SUA"[ops[i].kind], ops[i].key,
                 ops[i].value, ops[i].value_len);
        note(w, text);
    }
    note(w, user);
    if (n > 0 && strcmp(ops[0].key, "refuse") == 0) {
        cm_dict_reply_fail(req, "refused");
    } else if (n > 0 && strcmp(ops[0].key, "absent") == 0) {
        cm_dict_reply_none(req);
    } else {
        cm_dict_reply_ok(req);
    }
}

static void on_gone(struct cm_dict_req *req, void *ctx)
{
    struct world *w = ctx;
    char *key = cm_dict_req_data(req);
    strncat(w->gone, key, sizeof(w->gone) - strlen(w->gone) - 1);
    free(key);
}

static const struct cm_dict_handler handler = {on_lookup, on_iterate, on_commit,
                                               on_gone};

static void on_log(const char *line, void *ctx)
{
    struct world *w = ctx;
    w->log_lines++;
    snprintf(w->log, sizeof(w->log), "%s", line);
}

static int connect_client(struct world *w)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    cm_dict_adopt(w->dict, pair[0]);
    return pair[1];
}

static void open_world(struct world *w, const struct cm_dict_handler *h)
{
    memset(w, 0, sizeof(*w));
    w->loop = cm_loop_new();
    w->dict = cm_dict_new(w->loop, h, w);
    w->fd = connect_client(w);
    cm_buf_init(&w->got, 16u << 20);
    cm_log_capture(on_log, w);
}

static void close_world(struct world *w)
{
    cm_dict_free(&w->dict);
    cm_loop_free(&w->loop);
    cm_buf_clear(&w->got);
    if (w->fd >= 0) {
        close(w->fd);
    }
    cm_log_capture(NULL, NULL);
}

/* Lets the server work until it has nothing to do, collecting what it says. Returns
 * false once it has closed the connection. */
static bool turn(struct world *w)
{
    for (int idle = 0; idle < 12;) {
        cm_loop_once(w->loop, 0);
        char chunk[8192];
        ssize_t n = recv(w->fd, chunk, sizeof(chunk), 0);
        if (n == 0) {
            return false;
        }
        if (n > 0) {
            cm_buf_add(&w->got, chunk, (size_t)n);
            idle = 0;
        } else {
            idle++;
        }
    }
    return true;
}

static bool say_bytes(struct world *w, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(w->fd, p, len, MSG_NOSIGNAL);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (!turn(w)) {
            return false;
        }
    }
    return turn(w);
}

static bool say(struct world *w, const char *text)
{
    return say_bytes(w, text, strlen(text));
}

static void expect(struct world *w, const char *text)
{
    assert_string_equal(w->got.data, text);
    cm_buf_reset(&w->got);
}

static void test_hello_is_silent(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO));
    expect(&w, "");
    assert_int_equal(w.log_lines, 0);
    close_world(&w);
}

static void test_majors(void **state)
{
    (void)state;
    static const struct {
        const char *hello;
        bool fine;
    } cases[] = {{"H1\t0\t0\tu\tauth\n", false},
                 {"H2\t0\t0\tu\tauth\n", true},
                 {"H3\t2\t0\t\tauth\n", true},
                 {"H4\t0\t0\t\tauth\n", true},
                 {"H5\t0\t0\t\tauth\n", false},
                 {"Hx\n", false},
                 {"H\n", false},
                 {"Lkey\n", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        open_world(&w, &handler);
        assert_int_equal(say(&w, cases[i].hello), cases[i].fine);
        assert_int_equal(w.log_lines, cases[i].fine ? 0 : 1);
        close_world(&w);
    }
}

static void test_lookup_answers(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "Lsome/key\tuser\nLnone\tuser\nLfail\tuser\n"));
    expect(&w, "Osome/key\nN\nFno\001ttabs\n");
    assert_string_equal(w.seen, "user;user;user;");
    close_world(&w);
}

static void test_user_of_old_major_comes_from_hello(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, "H2\t0\t0\told\001tuser\tauth\nLk\n"));
    assert_string_equal(w.seen, "old\tuser;");
    close_world(&w);
}

static void test_extra_fields_of_newer_minors(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, "H4\t9\t0\t\tauth\tmore\t1\t2\t3\t4\t5\t6\n"
                        "Lk\tuser\textra\t2\t3\t4\t5\t6\t7\t8\t9\n"
                        "B1\tuser\t3600\nS1\tk\tv\nC1\n"));
    expect(&w, "Ok\nO1\n");
    close_world(&w);
}

static void test_escaping(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "La\001tb\001nc\001rd\0011e  \tu\n"));
    expect(&w, "Oa\001tb\001nc\001rd\0011e  \n"); /* trailing blanks are kept */
    assert_true(say(&w, "Lnul\0010in key\tu\n"));
    expect(&w, "FNUL in key\n");
    assert_true(say(&w, "Llone\001\nLother\001x\n"));
    expect(&w, "Olone\nOotherx\n");
    close_world(&w);
}

static void test_every_byte_a_packet(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    const char *text = HELLO "Lab\001tc\tu\n";
    for (; *text != '\0'; text++) {
        assert_true(say_bytes(&w, text, 1));
    }
    expect(&w, "Oab\001tc\n");
    close_world(&w);
}

static void test_answers_keep_request_order(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "Lhold1\tu\nLx\tu\nLhold2\tu\nI0\t0\tp\tu\nLy\tu\n"));
    expect(&w, "");
    assert_int_equal(cm_dict_pending(w.dict), 5);
    assert_false(cm_dict_quiet(w.dict, 1000, 200));
    answer_held(&w, 1);
    assert_true(turn(&w));
    expect(&w, "");
    answer_held(&w, 0);
    assert_true(turn(&w));
    expect(&w, "Ohold1\nOx\nOhold2\nOshared/userdb/a@x\t\nOk\001nk\tv\001tv\n\nOy\n");
    assert_int_equal(cm_dict_pending(w.dict), 0);
    assert_false(cm_dict_quiet(w.dict, 199, 200)); /* it may still ask something */
    assert_true(cm_dict_quiet(w.dict, 200, 200));
    close_world(&w);
}

static void test_iterate(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "I9\t0\tpriv/\tme\n"));
    expect(&w, "Oshared/userdb/a@x\t\nOk\001nk\tv\001tv\n\n");
    assert_string_equal(w.seen, "I9 priv/ me;");
    assert_false(say(&w, "Ix\t0\tp\n"));
    close_world(&w);
}

static void test_last_line_without_lf(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "I0\t0\tshared/userdb/"));
    expect(&w, "");
    shutdown(w.fd, SHUT_WR);
    assert_false(turn(&w)); /* answered, then closed */
    expect(&w, "Oshared/userdb/a@x\t\nOk\001nk\tv\001tv\n\n");
    assert_int_equal(cm_dict_connections(w.dict), 0);
    close_world(&w);
}

static void test_half_closed_peer_still_gets_slow_answers(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "Lhold\tu\n"));
    shutdown(w.fd, SHUT_WR);
    assert_true(turn(&w));
    assert_string_equal(w.gone, "");
    answer_held(&w, 0);
    assert_false(turn(&w));
    expect(&w, "Ohold\n");
    close_world(&w);
}

static void test_gone(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "Lhold1\tu\nLhold2\tu\nB7\tu\nS7\tk\tv\n"));
    answer_held(&w, 1); /* answered: not gone, though it could not leave yet */
    close(w.fd);
    w.fd = -1;
    for (int i = 0; i < 5; i++) {
        cm_loop_once(w.loop, 1);
    }
    assert_string_equal(w.gone, "hold1");
    assert_int_equal(cm_dict_connections(w.dict), 0);
    assert_true(cm_dict_quiet(w.dict, 0, 200));
    assert_int_equal(cm_dict_pending(w.dict), 0);
    assert_int_equal(w.log_lines, 0); /* leaving is no event */
    close_world(&w);
}

static void test_transactions(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "B1\tme\nB2\tyou\nS1\tpriv/k\ta\001tb\001n\001r\0010z\n"
                              "T1\t5\t6\nV1\tyes\nU1\tpriv/gone\nA1\tn\t-3\nS1\te\n"
                              "S2\tother\tx\n"));
    expect(&w, ""); /* nothing but L, I, C and D is answered */
    assert_string_equal(w.seen, "");
    assert_true(say(&w, "C1\n"));
    expect(&w, "O1\n");
    assert_string_equal(w.seen, "S priv/k=a\tb\n\r/7;U priv/gone=/0;A n=-3/2;"
                                "S e=/0;me;");
    w.seen[0] = '\0';
    assert_true(say(&w, "D2\nC2\n"));
    expect(&w, "O2\nF2\tunknown transaction\n");
    assert_string_equal(w.seen, "S other=x/1;you;");
    close_world(&w);
}

static void test_transaction_results(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "B1\tu\nS1\trefuse\tx\nC1\nB1\tu\nS1\tabsent\tx\nC1\n"
                              "B1\tu\nS1\tnul\0010\tx\nC1\n"));
    expect(&w, "F1\trefused\nN1\nF1\tNUL in key\n");
    close_world(&w);
}

static void test_rollback(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "B1\tu\nS1\tk\tv\nR1\nR1\nC1\n"));
    expect(&w, "F1\tunknown transaction\n");
    assert_string_equal(w.seen, "");
    close_world(&w);
}

static void test_transactions_belong_to_their_connection(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    int first = w.fd;
    assert_true(say(&w, HELLO "B1\tfirst\nS1\ta\t1\n"));
    w.fd = connect_client(&w);
    assert_true(say(&w, HELLO "B1\tsecond\nS1\tb\t2\nC1\n"));
    expect(&w, "O1\n");
    assert_string_equal(w.seen, "S b=2/1;second;");
    close(w.fd);
    w.fd = first;
    assert_true(say(&w, "C1\n"));
    expect(&w, "O1\n");
    assert_string_equal(w.seen, "S b=2/1;second;S a=1/1;first;");
    close_world(&w);
}

static void test_protocol_violations_close(void **state)
{
    (void)state;
    static const char *const bad[] = {
        HELLO "B1\tu\nB1\tu\n", HELLO "S9\tk\tv\n",
        HELLO "Bx\tu\n",        HELLO "B99999999999999999999999\tu\n",
        HELLO "C-1\n",          HELLO "R\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        open_world(&w, &handler);
        assert_false(say(&w, bad[i]));
        assert_int_equal(w.log_lines, 1);
        close_world(&w);
    }
}

static void test_unknown_commands_are_skipped(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "Zsecret\tpassword\n\nZ\nLk\tu\n"));
    expect(&w, "Ok\n");
    assert_int_equal(w.log_lines, 1);
    assert_null(strstr(w.log, "secret"));
    close_world(&w);
}

static void test_limits(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO));
    for (int i = 0; i < CM_DICT_MAX_TX; i++) {
        char text[32];
        snprintf(text, sizeof(text), "B%d\tu\n", i);
        assert_true(say(&w, text));
    }
    assert_false(say(&w, "B1000\tu\n"));
    close_world(&w);

    open_world(&w, &handler);
    assert_true(say(&w, HELLO "B1\tu\n"));
    bool alive = true;
    for (int i = 0; i <= CM_DICT_MAX_OPS; i++) {
        assert_true(alive);
        alive = say(&w, "S1\tk\tv\n");
    }
    assert_false(alive);
    close_world(&w);
}

static void test_transaction_bytes(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "B1\tu\n"));
    static char line[60000];
    memset(line, 'v', sizeof(line));
    memcpy(line, "S1\tk\t", 5);
    line[sizeof(line) - 1] = '\n';
    int sent = 0;
    while (sent < 200 && say_bytes(&w, line, sizeof(line))) {
        sent++;
    }
    assert_true(sent >= 60 && sent <= (int)(CM_DICT_MAX_TX_BYTES / 59990) + 1);
    close_world(&w);
}

static void test_line_length(void **state)
{
    (void)state;
    static char line[CM_DICT_MAX_LINE + 10];
    memset(line, 'x', sizeof(line));
    line[0] = 'L';
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO));
    line[CM_DICT_MAX_LINE - 1] = '\n';
    assert_true(say_bytes(&w, line, CM_DICT_MAX_LINE));
    assert_int_equal(w.got.len, CM_DICT_MAX_LINE);
    line[CM_DICT_MAX_LINE - 1] = 'x';
    assert_false(say_bytes(&w, line, sizeof(line)));
    assert_non_null(strstr(w.log, "line longer"));
    assert_null(strstr(w.log, "xxx"));
    close_world(&w);
}

static void test_pending_limit_pauses_reading(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO));
    for (int i = 0; i < CM_DICT_MAX_PENDING + 40; i++) {
        char text[32];
        snprintf(text, sizeof(text), "Lhold%d\tu\n", i);
        assert_true(say(&w, text));
    }
    assert_int_equal(w.held_count, CM_DICT_MAX_PENDING);
    for (size_t i = CM_DICT_MAX_PENDING; i-- > 0;) {
        answer_held(&w, i);
    }
    assert_true(turn(&w)); /* the rest is read without new bytes from the peer */
    assert_int_equal(w.held_count, CM_DICT_MAX_PENDING + 40);
    for (size_t i = CM_DICT_MAX_PENDING; i < w.held_count; i++) {
        answer_held(&w, i);
    }
    assert_true(turn(&w));
    int lines = 0;
    for (size_t i = 0; i < w.got.len; i++) {
        lines += w.got.data[i] == '\n';
    }
    assert_int_equal(lines, CM_DICT_MAX_PENDING + 40);
    assert_memory_equal(w.got.data, "Ohold0\nOhold1\nOhold2\n", 21);
    close_world(&w);
}

static void test_peer_that_does_not_read(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO));
    static char line[30000];
    memset(line, 'k', sizeof(line));
    line[0] = 'L';
    line[sizeof(line) - 1] = '\n';
    size_t sent = 0, blocked = 0;
    while (blocked < 20 && sent < 400u * sizeof(line)) {
        ssize_t n = send(w.fd, line + sent % sizeof(line),
                         sizeof(line) - sent % sizeof(line), MSG_NOSIGNAL);
        blocked = n > 0 ? 0 : blocked + 1;
        sent += n > 0 ? (size_t)n : 0;
        cm_loop_once(w.loop, 1);
    }
    assert_true(sent < 100u * sizeof(line)); /* the server stopped reading */
    /* finish the line, read everything: one answer per line, none lost */
    size_t rest = (sizeof(line) - sent % sizeof(line)) % sizeof(line);
    assert_true(say_bytes(&w, line + sizeof(line) - rest, rest));
    assert_true(turn(&w));
    assert_int_equal(w.got.len, sent + rest);
    close_world(&w);
}

static void test_long_iteration_waits_for_the_peer(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    w.rows = 200000;
    const char *text = HELLO "I0\t0\tp\tu\nLlast\tu\n";
    assert_int_equal(send(w.fd, text, strlen(text), 0), strlen(text));
    for (int i = 0; i < 50; i++) {
        cm_loop_once(w.loop, 1);
    }
    assert_true(w.rows_sent < 60000); /* socket and one buffer full, no more */
    assert_true(turn(&w));
    assert_int_equal(w.rows_sent, w.rows);
    assert_non_null(strstr(w.got.data, "Orow/199999\t\n\nOlast\n"));
    close_world(&w);
}

static void test_null_handlers(void **state)
{
    (void)state;
    static const struct cm_dict_handler none;
    struct world w;
    open_world(&w, &none);
    assert_true(say(&w, HELLO "Lk\tu\nI0\t0\tp\tu\nB1\tu\nS1\tk\tv\nC1\n"));
    expect(&w, "N\n\nF1\tnot writable\n");
    close_world(&w);
}

static void test_free_with_requests_open(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, &handler);
    assert_true(say(&w, HELLO "Lhold\tu\n"));
    cm_dict_free(&w.dict);
    assert_string_equal(w.gone, "hold");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_is_silent),
        cmocka_unit_test(test_majors),
        cmocka_unit_test(test_lookup_answers),
        cmocka_unit_test(test_user_of_old_major_comes_from_hello),
        cmocka_unit_test(test_extra_fields_of_newer_minors),
        cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_every_byte_a_packet),
        cmocka_unit_test(test_answers_keep_request_order),
        cmocka_unit_test(test_iterate),
        cmocka_unit_test(test_last_line_without_lf),
        cmocka_unit_test(test_half_closed_peer_still_gets_slow_answers),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_transaction_results),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_transactions_belong_to_their_connection),
        cmocka_unit_test(test_protocol_violations_close),
        cmocka_unit_test(test_unknown_commands_are_skipped),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_transaction_bytes),
        cmocka_unit_test(test_line_length),
        cmocka_unit_test(test_pending_limit_pauses_reading),
        cmocka_unit_test(test_peer_that_does_not_read),
        cmocka_unit_test(test_long_iteration_waits_for_the_peer),
        cmocka_unit_test(test_null_handlers),
        cmocka_unit_test(test_free_with_requests_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
