/* The real program when much, or trouble, comes at once: rates, PostgreSQL and Redis
 * away, slow DNS, many long messages, restarts and kills. test_e2e.c has the rules. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#include "testing/e2e.h"
#include "testing/mta.h"

/* The rate */

static unsigned taken(const char *login, unsigned n)
{
    struct mta m;
    unsigned through = 0;
    mta_open(&m, e2e.out.path);
    for (unsigned i = 0; i < n; i++) {
        mta_mail(&m, login, login);
        const char *answer = mta_rcpt(&m, TWO, NULL);
        if (strcmp(answer, "continue") == 0) {
            through++;
            /* A second recipient costs nothing. */
            assert_string_equal(mta_rcpt(&m, FAR, NULL), "continue");
        } else {
            char *limit = cm_asprintf("450 4.7.1: Too much mail from %s", login);
            assert_string_equal(answer, limit);
            assert_string_equal(mta_rcpt(&m, FAR, NULL), limit);
            free(limit);
        }
        mta_abort(&m);
    }
    mta_close(&m);
    return through;
}

static void too_much_mail_is_put_off(void **state)
{
    (void)state;
    e2e_reload(&e2e.out, "max_user_send_per_minute = 1\n");
    assert_int_equal(taken("a@chat.example.org", 14), 10); /* the default burst */
    struct mta m;
    mta_open(&m, e2e.out.path);
    mta_mail(&m, "A@CHAT.example.org", "A@CHAT.example.org");
    assert_memory_equal(mta_rcpt(&m, TWO, NULL), "450 4.7.1: Too much mail from ", 30);
    mta_close(&m);
    assert_int_equal(taken("b@chat.example.org", 3), 3);
    kill(e2e.out.pid, SIGKILL); /* the count is not in the process */
    assert_true(daemonkit_stop(e2e.out.pid, SIGTERM) != 0);
    e2e_start(&e2e.out);
    assert_int_equal(taken("a@chat.example.org", 1), 0);
    redisfixture_kill(e2e.redis);
    assert_int_equal(taken("a@chat.example.org", 14), 10); /* counted here now */
    assert_int_equal(taken("b@chat.example.org", 14), 10);
    e2e_expect_out(LETTER_ENCRYPTED, "e@chat.example.org", "e@chat.example.org", TWO,
                   "accept", DOTS);
    redisfixture_start(e2e.redis);
    for (int i = 0; i < 500 && taken("a@chat.example.org", 1) != 0; i++) {
        usleep(10000);
    }
    assert_int_equal(taken("c@chat.example.org", 12), 10);
    redisfixture_freeze(e2e.redis);
    assert_int_equal(taken("d@chat.example.org", 1), 1); /* not held up for long */
    redisfixture_unfreeze(e2e.redis);
    e2e_reload(&e2e.out,
               "max_user_send_per_minute = 60000\nmax_user_send_burst_size = 10000\n");
}

/* Both processes have noticed that it is back. */
static void wait_for_database(void)
{
    struct mta m;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    bool away = true;
    for (int i = 0; i < 500 && away; i++) {
        mta_open(&m, e2e.in.path);
        mta_mail(&m, FAR, NULL);
        away = strcmp(mta_rcpt(&m, ONE, NULL), AWAY) == 0;
        mta_close(&m);
        mta_open(&m, e2e.out.path);
        away |= strcmp(mta_send(&m, ONE, ONE, TWO, text), AWAY) == 0;
        mta_close(&m);
        usleep(20000);
    }
    assert_false(away);
    free(text);
}

static void nothing_is_refused_because_of_the_database(void **state)
{
    (void)state;
    pgfixture_stop(e2e.pg);
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, AWAY, "");
    e2e_expect_out(LETTER_SETUP, ONE, ONE, ONE, AWAY, "");
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, ""); /* needs no database */
    e2e_expect_in(LETTER_ENCRYPTED, FAR, FAR, ONE, AWAY, "");
    e2e_expect_in(LETTER_PLAIN, FAR, FAR, "nobody@chat.example.org", AWAY, "");
    pgfixture_start(e2e.pg);
    struct mta m;
    mta_open(&m, e2e.in.path);
    for (int i = 0; i < 500; i++) {
        mta_mail(&m, FAR, NULL);
        if (strcmp(mta_rcpt(&m, ONE, NULL), "continue") == 0) {
            break;
        }
        assert_string_equal(m.answer, AWAY);
        usleep(20000);
    }
    /* Known at RCPT, and gone before the end of the data. */
    assert_string_equal(mta_rcpt(&m, ONE, NULL), "continue");
    pgfixture_freeze(e2e.pg);
    char *text = e2e_signed_letter(LETTER_ENCRYPTED, FAR, ONE);
    assert_string_equal(mta_data(&m, text, strlen(text)), AWAY);
    pgfixture_unfreeze(e2e.pg);
    free(text);
    mta_close(&m);
    pgfixture_stop(
        e2e.pg); /* what was frozen may fail later; other tests need it whole */
    pgfixture_start(e2e.pg);
    wait_for_database();
}

/* Many at once */

struct lane {
    pthread_t thread;
    const struct side *side;
    const char *from, *login, *to, *text;
    char answer[100];
    double seconds;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *drive(void *ctx)
{
    struct lane *lane = ctx;
    struct mta m;
    double begun = now_s();
    mta_open(&m, lane->side->path);
    snprintf(lane->answer, sizeof(lane->answer), "%.99s",
             mta_send(&m, lane->from, lane->login, lane->to, lane->text));
    lane->seconds = now_s() - begun;
    mta_close(&m);
    return NULL;
}

#define LANES 50
#define SLOW  8 /* names */

static void many_long_messages_pass_at_once(void **state)
{
    (void)state;
    static struct lane lanes[LANES];
    char *text = letter_of_size(ONE, TWO, "x@y", 2000000);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){
            .side = &e2e.out, .from = ONE, .login = ONE, .to = TWO, .text = text};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, drive, &lanes[i]), 0);
    }
    for (int i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        assert_string_equal(lanes[i].answer, "accept");
    }
    free(text);
}

/* Fifty messages wait for a name server; another one does not wait for them. */
static void slow_dns_delays_nobody_else(void **state)
{
    (void)state;
    static struct lane lanes[LANES];
    static char names[LANES][64], texts[LANES][64];
    for (int i = 0; i < LANES; i++) {
        snprintf(names[i], sizeof(names[i]), "sel._domainkey.slow%d.example", i % SLOW);
        snprintf(texts[i], sizeof(texts[i]), "a@slow%d.example", i % SLOW);
        const struct ds_row row = {
            .name = names[i], .mood = DS_ANSWER, .txt = {e2e.record}, .late_ms = 1500};
        ds_set(e2e.dns, &row);
        lanes[i] =
            (struct lane){.side = &e2e.in,
                          .from = texts[i],
                          .to = ONE,
                          .text = e2e_signed_letter(LETTER_ENCRYPTED, texts[i], ONE)};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, drive, &lanes[i]), 0);
    }
    usleep(500000);
    double begun = now_s();
    e2e_expect_in(LETTER_ENCRYPTED, FAR, FAR, ONE, "accept", "");
    double quick = now_s() - begun;
    for (int i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        assert_string_equal(lanes[i].answer, "accept");
        assert_true(lanes[i].seconds > 1.4);
        free((char *)(uintptr_t)lanes[i].text);
    }
    if (quick > 0.7) {
        fail_msg("it waited for %.2f s", quick);
    }
}

/* Kept, stopped, killed */

static unsigned files_kept(void)
{
    char *command = cm_asprintf("ls %s | wc -l", e2e.kept);
    FILE *f = popen(command, "r");
    unsigned n = 0;
    assert_int_equal(fscanf(f, "%u", &n), 1);
    pclose(f);
    free(command);
    return n;
}

static void rejected_mail_is_kept_in_private(void **state)
{
    (void)state;
    unsigned before = files_kept();
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", NULL);
    assert_int_equal(files_kept(), before);
    e2e_expect_out(LETTER_PLAIN, ONE, ONE, TWO, CLEAR, NULL);
    assert_int_equal(files_kept(), before + 1);
    char *command = cm_asprintf("cd %s && [ -z \"$(find . -type f ! -perm 0600)\" ] &&"
                                " grep -q 'Hi!' *-unencrypted.eml",
                                e2e.kept);
    assert_int_equal(system(command), 0);
    free(command);
}

static void a_restart_lets_a_message_end(void **state)
{
    (void)state;
    struct mta m;
    size_t at;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, e2e.out.path);
    mta_mail(&m, ONE, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
    mta_header(&m, text, &at);
    assert_true(mta_body(&m, text + at, 100));
    kill(e2e.out.pid, SIGTERM);
    usleep(300000);
    mta_body(&m, text + at + 100, strlen(text) - at - 100);
    assert_string_equal(m.answer, "continue");
    assert_string_equal(mta_end(&m), "accept");
    mta_close(&m);
    assert_int_equal(daemonkit_stop(e2e.out.pid, SIGTERM), 0);
    /* The socket stayed; a message offered meanwhile waits in its backlog. */
    e2e_start(&e2e.out);
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", NULL);
    free(text);
}

static void a_kill_is_never_an_acceptance(void **state)
{
    (void)state;
    struct mta m;
    size_t at;
    char *text = letter_text(LETTER_ENCRYPTED, ONE, TWO, "x@y");
    mta_open(&m, e2e.out.path);
    mta_mail(&m, ONE, ONE);
    assert_string_equal(mta_rcpt(&m, TWO, NULL), "continue");
    mta_header(&m, text, &at);
    kill(e2e.out.pid, SIGKILL);
    mta_body(&m, text + at, strlen(text) - at);
    assert_string_equal(mta_end(&m), "lost"); /* Postfix says 451 for that */
    close(m.fd);
    daemonkit_stop(e2e.out.pid, SIGTERM);
    e2e_start(&e2e.out);
    e2e_expect_out(LETTER_ENCRYPTED, ONE, ONE, TWO, "accept", NULL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_much_mail_is_put_off),
        cmocka_unit_test(nothing_is_refused_because_of_the_database),
        cmocka_unit_test(many_long_messages_pass_at_once),
        cmocka_unit_test(slow_dns_delays_nobody_else),
        cmocka_unit_test(rejected_mail_is_kept_in_private),
        cmocka_unit_test(a_restart_lets_a_message_end),
        cmocka_unit_test(a_kill_is_never_an_acceptance),
    };
    return cmocka_run_group_tests(tests, e2e_set_up, e2e_tear_down);
}
