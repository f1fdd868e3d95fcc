/* The core's life on a loop, with the stand-in of fake_core.c. */
#include "core.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

static char dir[] = "/tmp/test-echo-core-XXXXXX";
static struct cm_loop *loop;

struct seen {
    struct core *core;
    int up, down, answers, refusals;
    char why[200];
    json_int_t result;
};

static void on_up(void *ctx)
{
    struct seen *s = ctx;
    s->up++;
}

static void on_down(const struct cm_err *why, void *ctx)
{
    struct seen *s = ctx;
    s->down++;
    snprintf(s->why, sizeof(s->why), "%.199s", why->text);
}

static void on_event(const char *kind, void *ctx)
{
    (void)kind;
    (void)ctx;
}

static void on_answer(json_t *result, const struct cm_err *err, void *ctx)
{
    struct seen *s = ctx;
    if (result == NULL) {
        assert_int_equal(err->kind, CM_ERR_REFUSE);
        s->refusals++;
    } else {
        s->answers++;
        s->result = json_integer_value(result);
    }
}

static void until(const int *what, int n, int64_t limit_ms)
{
    int64_t end = cm_now_mono_ms() + limit_ms;
    while (*what < n && cm_now_mono_ms() < end) {
        cm_loop_once(loop, 50);
    }
    assert_int_equal(*what, n);
}

static void start(struct seen *s, const char *program)
{
    struct core_hooks hooks = {on_up, on_down, on_event, s};
    *s = (struct seen){.up = 0};
    s->core = core_new(loop, program, dir, &hooks);
    assert_int_equal(s->up, 0);
}

static json_t *send_params(const char *text)
{
    return json_pack("[i, i, {s:s}]", 1, 12, "text", text);
}

static void test_calls(void **state)
{
    (void)state;
    struct seen s;
    start(&s, FAKE_CORE);
    until(&s.up, 1, 5000);
    core_call(s.core, "add_account", json_array(), 5000, on_answer, &s);
    core_call(s.core, "send_msg", send_params("refuse"), 5000, on_answer, &s);
    assert_int_equal(s.answers, 0);
    until(&s.answers, 1, 5000);
    assert_int_equal(s.result, 1);
    until(&s.refusals, 1, 5000);
    core_call(s.core, "send_msg", send_params("garbage"), 5000, on_answer, &s);
    until(&s.answers, 2, 5000);
    assert_int_equal(s.down, 0);
    core_free(&s.core);
    assert_null(s.core);
}

/* It is killed and comes again, and its open calls are forgotten. */
static void test_trouble(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"crash", "ended"}, {"silence", "send_msg"}, {"long", "over the limit"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen s;
        start(&s, FAKE_CORE);
        until(&s.up, 1, 5000);
        core_call(s.core, "send_msg", send_params(cases[i].text), 500, on_answer, &s);
        until(&s.down, 1, 8000);
        assert_non_null(strstr(s.why, cases[i].why));
        until(&s.up, 2, 5000);
        core_call(s.core, "add_account", json_array(), 5000, on_answer, &s);
        until(&s.answers, 1, 5000);
        assert_int_equal(s.answers + s.refusals, 1);
        assert_int_equal(core_restarts(s.core), 1);
        core_free(&s.core);
    }
}

static void test_no_program(void **state)
{
    (void)state;
    struct seen s;
    start(&s, "/nonexistent/core");
    until(&s.down, 1, 5000);
    assert_int_equal(s.up, 0);
    assert_non_null(strstr(s.why, "/nonexistent/core"));
    core_free(&s.core);
}

/* Each pause is twice the last, unless it had settled. */
static void test_pauses(void **state)
{
    (void)state;
    struct seen s;
    start(&s, FAKE_CORE);
    until(&s.up, 1, 5000);
    core_restart(s.core, "test");
    assert_int_equal(s.down, 1);
    until(&s.up, 2, 3000);
    core_restart(s.core, "test");
    int64_t from = cm_now_mono_ms();
    until(&s.up, 3, 5000);
    assert_true(cm_now_mono_ms() - from >= 1900);
    core_settled(s.core);
    core_restart(s.core, "test");
    from = cm_now_mono_ms();
    until(&s.up, 4, 5000);
    assert_true(cm_now_mono_ms() - from < 1900);
    core_free(&s.core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_pauses),
    };
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    loop = cm_loop_new();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    cm_loop_free(&loop);
    execlp("sh", "sh", "-c", rc == 0 ? "rm -rf \"$1\"" : "rm -rf \"$1\"; exit 1", "sh",
           dir, (char *)NULL);
    return 1;
}
