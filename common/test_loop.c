#include "common/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

struct counter {
    struct cm_loop *loop;
    struct cm_timer *timer;
    struct cm_io *io;
    struct cm_io *other;
    int count;
    int stop_at;
};

static void tick(void *ctx)
{
    struct counter *c = ctx;
    if (++c->count == c->stop_at) {
        cm_loop_stop(c->loop);
        return;
    }
    cm_timer_set(c->timer, 1);
}

static void test_timer_repeats_and_stops(void **state)
{
    (void)state;
    struct counter c = {.loop = cm_loop_new(), .stop_at = 5};
    c.timer = cm_timer_new(c.loop, tick, &c);
    cm_timer_set(c.timer, 1);
    cm_loop_run(c.loop);
    assert_int_equal(c.count, 5);
    cm_timer_set(c.timer, 1);
    cm_timer_stop(c.timer);
    cm_loop_once(c.loop, 20);
    assert_int_equal(c.count, 5);
    cm_timer_free(&c.timer);
    cm_loop_free(&c.loop);
}

static void free_myself(void *ctx)
{
    struct counter *c = ctx;
    c->count++;
    cm_timer_free(&c->timer);
    cm_loop_stop(c->loop);
}

static void test_timer_frees_itself(void **state)
{
    (void)state;
    struct counter c = {.loop = cm_loop_new()};
    c.timer = cm_timer_new(c.loop, free_myself, &c);
    cm_timer_set(c.timer, 0);
    cm_loop_run(c.loop);
    assert_int_equal(c.count, 1);
    assert_null(c.timer);
    cm_loop_free(&c.loop);
}

/* Both ends are ready in one turn; the first to run frees both. */
static void free_both(int fd, unsigned events, void *ctx)
{
    (void)fd;
    (void)events;
    struct counter *c = ctx;
    c->count++;
    cm_io_free(&c->io);
    cm_io_free(&c->other);
}

static void test_io_freed_in_the_turn_it_is_due(void **state)
{
    (void)state;
    int a[2], b[2];
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    struct counter c = {.loop = cm_loop_new()};
    c.io = cm_io_new(c.loop, a[0], CM_IO_READ, free_both, &c);
    c.other = cm_io_new(c.loop, b[0], CM_IO_READ, free_both, &c);
    cm_loop_once(c.loop, 100);
    cm_loop_once(c.loop, 10);
    assert_int_equal(c.count, 1);
    cm_loop_free(&c.loop);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void count_io(int fd, unsigned events, void *ctx)
{
    (void)fd;
    struct counter *c = ctx;
    c->count++;
    c->stop_at = (int)events;
}

static void test_io_want(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe(p), 0);
    struct counter c = {.loop = cm_loop_new()};
    struct cm_io *io = cm_io_new(c.loop, p[1], 0, count_io, &c);
    cm_loop_once(c.loop, 10);
    assert_int_equal(c.count, 0);
    cm_io_want(io, CM_IO_WRITE);
    cm_loop_once(c.loop, 10);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.stop_at, CM_IO_WRITE);
    cm_io_want(io, 0);
    cm_loop_once(c.loop, 10);
    assert_int_equal(c.count, 1);
    cm_io_free(&io);
    cm_loop_free(&c.loop);
    close(p[0]);
    close(p[1]);
}

/* A turn that ended early must not shorten a later one. */
static void test_once_waits_its_time(void **state)
{
    (void)state;
    struct counter c = {.loop = cm_loop_new(), .stop_at = 100};
    c.timer = cm_timer_new(c.loop, tick, &c);
    cm_timer_set(c.timer, 0);
    cm_loop_once(c.loop, 30);
    assert_int_equal(c.count, 1);
    cm_timer_stop(c.timer);
    int64_t start = cm_now_mono_ms();
    cm_loop_once(c.loop, 80);
    assert_true(cm_now_mono_ms() - start >= 70);
    cm_timer_free(&c.timer);
    cm_loop_free(&c.loop);
}

static void on_usr1(int signo, void *ctx)
{
    struct counter *c = ctx;
    c->count = signo;
    cm_loop_stop(c->loop);
}

static void test_signal(void **state)
{
    (void)state;
    struct counter c = {.loop = cm_loop_new()};
    cm_loop_on_signal(c.loop, SIGUSR1, on_usr1, &c);
    raise(SIGUSR1);
    cm_loop_run(c.loop);
    assert_int_equal(c.count, SIGUSR1);
    cm_loop_free(&c.loop);
}

struct task {
    struct counter *c;
    int gate; /* read end: run() waits for a byte; -1 for none */
    int ran;
};

static void task_run(void *arg)
{
    struct task *t = arg;
    char byte;
    if (t->gate >= 0 && read(t->gate, &byte, 1) != 1) {
        return;
    }
    t->ran = 1;
}

static void task_done(void *arg)
{
    struct task *t = arg;
    assert_int_equal(t->ran, 1);
    t->c->count++;
}

static void test_work_runs_off_the_loop(void **state)
{
    (void)state;
    struct counter c = {.loop = cm_loop_new()};
    struct cm_work *work = cm_work_new(c.loop, 3, 100);
    struct task tasks[100];
    struct cm_err err;
    for (int i = 0; i < 100; i++) {
        tasks[i] = (struct task){.c = &c, .gate = -1};
        assert_int_equal(cm_work_submit(work, task_run, task_done, &tasks[i], &err), 0);
    }
    for (int i = 0; i < 200 && c.count < 100; i++) {
        cm_loop_once(c.loop, 20);
    }
    assert_int_equal(c.count, 100);
    cm_work_free(&work);
    cm_loop_free(&c.loop);
}

static void test_work_queue_is_bounded(void **state)
{
    (void)state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    struct counter c = {.loop = cm_loop_new()};
    struct cm_work *work = cm_work_new(c.loop, 1, 2);
    struct task tasks[4];
    struct cm_err err = {0};
    int accepted = 0;
    for (int i = 0; i < 4; i++) {
        tasks[i] = (struct task){.c = &c, .gate = gate[0]};
        if (cm_work_submit(work, task_run, task_done, &tasks[i], &err) == 0) {
            accepted++;
        }
        if (i == 0) {
            usleep(50000); /* the worker takes it, so the queue is empty again */
        }
    }
    assert_int_equal(accepted, 3);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_int_equal(write(gate[1], "xxxx", 4), 4);
    cm_work_free(&work); /* waits, and calls what is left */
    assert_int_equal(c.count, 3);
    cm_loop_free(&c.loop);
    close(gate[0]);
    close(gate[1]);
}

static void count_rest(void *ctx)
{
    int *rests = ctx;
    (*rests)++;
}

static void take_byte(int fd, unsigned events, void *ctx)
{
    char c;
    (void)events;
    (void)ctx;
    assert_int_equal(read(fd, &c, 1), 1);
}

static void turn_for(struct cm_loop *loop, int64_t ms)
{
    for (int64_t end = cm_now_mono_ms() + ms; cm_now_mono_ms() < end;) {
        cm_loop_once(loop, 5);
    }
}

static void test_rest_comes_once_after_what_was_busy(void **state)
{
    (void)state;
    int fds[2], rests = 0;
    struct cm_loop *loop = cm_loop_new();
    assert_int_equal(pipe(fds), 0);
    struct cm_io *io = cm_io_new(loop, fds[0], CM_IO_READ, take_byte, NULL);
    cm_loop_on_rest(loop, 300, count_rest, &rests);
    turn_for(loop, 700);
    assert_int_equal(rests, 0); /* nothing was done */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(write(fds[1], "x", 1), 1);
        turn_for(loop, 20);
    }
    assert_int_equal(rests, 0); /* never 300 ms without a byte */
    turn_for(loop, 1200);
    assert_int_equal(rests, 1);
    assert_int_equal(write(fds[1], "x", 1), 1);
    turn_for(loop, 1200);
    assert_int_equal(rests, 2);
    cm_io_free(&io);
    close(fds[0]);
    close(fds[1]);
    cm_loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_repeats_and_stops),
        cmocka_unit_test(test_timer_frees_itself),
        cmocka_unit_test(test_io_freed_in_the_turn_it_is_due),
        cmocka_unit_test(test_io_want),
        cmocka_unit_test(test_rest_comes_once_after_what_was_busy),
        cmocka_unit_test(test_once_waits_its_time),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_work_runs_off_the_loop),
        cmocka_unit_test(test_work_queue_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
