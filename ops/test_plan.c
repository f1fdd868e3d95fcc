/* The engine with steps whose world is a handful of small files. */
#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

enum { STEPS = 4 };

static char dir[] = "/tmp/chatops-plan-XXXXXX";
static int acts, undos, kill_at, fail_at;
static const char *const names[STEPS] = {"one", "two", "three", "four"};

static char *fact_path(const struct op_step *s)
{
    return cm_asprintf("%s/fact-%s", dir, s->name);
}

static int fact_check(struct op_step *s, struct cm_err *err)
{
    char *path = fact_path(s);
    int there = access(path, F_OK) == 0;

    (void)err;
    free(path);
    if (!there) {
        op_step_note(s, "fact %s is missing", s->name);
    }
    return there;
}

static int fact_act(struct op_step *s, struct cm_err *err)
{
    char *path = fact_path(s);
    int n = *(const int *)s->arg;

    acts++;
    if (n == kill_at) {
        raise(SIGKILL);
    }
    if (n == fail_at) {
        s->undo_wanted = true;
        free(path);
        return cm_err_set(err, CM_ERR_WORLD, "disk on fire");
    }
    int rc = cm_file_replace(path, "x", 1, 0600, err);
    free(path);
    op_step_note(s, "made");
    return rc;
}

static int fact_undo(struct op_step *s, struct cm_err *err)
{
    char *path = fact_path(s);

    (void)err;
    undos++;
    unlink(path);
    free(path);
    return 1;
}

static const int numbers[STEPS] = {1, 2, 3, 4};

static void make_plan(struct op_plan *plan)
{
    op_plan_init(plan, dir, true);
    for (int i = 0; i < STEPS; i++) {
        struct op_step s = {.node = "store",
                            .name = names[i],
                            .check = fact_check,
                            .act = fact_act,
                            .undo = fact_undo,
                            .arg = &numbers[i],
                            .safe_point = i == 1};
        op_plan_add(plan, &s);
    }
}

static int run_once(struct op_summary *sum, struct cm_err *err)
{
    struct op_plan plan;

    acts = undos = 0;
    make_plan(&plan);
    int rc = op_plan_run(&plan, sum, err);
    op_plan_clear(&plan);
    return rc;
}

static void forget(void)
{
    char *cmd = cm_asprintf("rm -f %s/fact-* %s/journal*", dir, dir);

    assert_int_equal(system(cmd), 0);
    free(cmd);
    kill_at = fail_at = 0;
}

static void test_second_run_changes_nothing(void **state)
{
    struct op_summary sum;
    struct cm_err err;

    (void)state;
    forget();
    assert_int_equal(run_once(&sum, &err), 0);
    assert_int_equal(sum.changed, STEPS);
    assert_int_equal(run_once(&sum, &err), 0);
    assert_int_equal(sum.changed, 0);
    assert_int_equal(sum.ok, STEPS);
    assert_int_equal(acts, 0);
    assert_string_equal(sum.resumed_at, "");
}

static void test_killed_and_resumed(void **state)
{
    struct op_summary sum;
    struct cm_err err;
    int status;

    (void)state;
    forget();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        kill_at = 3;
        _exit(run_once(&sum, &err));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));

    assert_int_equal(run_once(&sum, &err), 0);
    assert_string_equal(sum.resumed_at, "store: three");
    assert_int_equal(sum.changed, 2);
    assert_int_equal(acts, 2);
    /* and that story is told once */
    assert_int_equal(run_once(&sum, &err), 0);
    assert_string_equal(sum.resumed_at, "");
}

static void test_torn_journal_line(void **state)
{
    struct op_summary sum;
    struct cm_err err;
    char *path = cm_asprintf("%s/journal.jsonl", dir);

    (void)state;
    forget();
    const char *torn = "{\"event\":\"run-start\"}\n"
                       "{\"event\":\"start\",\"node\":\"store\",\"step\":\"two\"}\n"
                       "{\"event\":\"en";
    assert_int_equal(cm_file_replace(path, torn, strlen(torn), 0600, &err), 0);
    assert_int_equal(run_once(&sum, &err), 0);
    assert_string_equal(sum.resumed_at, "store: two");
    assert_int_equal(run_once(&sum, &err), 0);
    assert_string_equal(sum.resumed_at, "");
    free(path);
}

static void test_failure_undoes_to_safe_point(void **state)
{
    struct op_summary sum;
    struct cm_err err;

    (void)state;
    forget();
    fail_at = 4;
    assert_int_equal(run_once(&sum, &err), -1);
    assert_non_null(strstr(err.text, "store: four: disk on fire"));
    assert_int_equal(undos, 2); /* four and three; two is the safe point */
    fail_at = 0;
    assert_int_equal(run_once(&sum, &err), 0);
    assert_int_equal(sum.changed, 2);
    assert_string_equal(sum.resumed_at, ""); /* it failed, it was not interrupted */
}

static void test_overlapping_runs(void **state)
{
    struct op_journal j;
    struct op_summary sum;
    struct cm_err err;

    (void)state;
    forget();
    assert_int_equal(op_journal_open(dir, &j, &err), 0);
    assert_int_equal(run_once(&sum, &err), -1);
    char *pid = cm_asprintf("(pid %ld)", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    free(pid);
    assert_int_equal(acts, 0);
    op_journal_close(&j);
    assert_int_equal(run_once(&sum, &err), 0);
}

static int useless_act(struct op_step *s, struct cm_err *err)
{
    (void)s;
    (void)err;
    return 0;
}

static void test_act_without_effect_is_a_failure(void **state)
{
    struct op_plan plan;
    struct op_summary sum;
    struct cm_err err;
    struct op_step s = {
        .node = "store", .name = "five", .check = fact_check, .act = useless_act};

    (void)state;
    forget();
    op_plan_init(&plan, dir, true);
    op_plan_add(&plan, &s);
    assert_int_equal(op_plan_run(&plan, &sum, &err), -1);
    assert_non_null(strstr(err.text, "fact five is missing"));
    plan.steps[0].act = NULL; /* a gate: the note is the reason */
    assert_int_equal(op_plan_run(&plan, &sum, &err), -1);
    assert_string_equal(err.text, "store: five: fact five is missing");
    op_plan_clear(&plan);
}

static bool say_no(void *ctx)
{
    ++*(int *)ctx;
    return false;
}

static void test_question_and_interrupt(void **state)
{
    struct op_plan plan;
    struct op_summary sum;
    struct cm_err err;
    int asked = 0;
    volatile sig_atomic_t interrupted = 1;

    (void)state;
    forget();
    acts = 0;
    make_plan(&plan);
    plan.confirm = say_no;
    plan.confirm_ctx = &asked;
    assert_int_equal(op_plan_run(&plan, &sum, &err), -1);
    assert_true(sum.stopped);
    assert_int_equal(asked, 1);
    plan.confirm = NULL;
    plan.interrupted = &interrupted;
    assert_int_equal(op_plan_run(&plan, &sum, &err), -1);
    assert_true(sum.stopped);
    assert_int_equal(acts, 0);
    op_plan_clear(&plan);
}

static void test_dry_run_changes_nothing(void **state)
{
    struct op_plan plan;
    struct op_summary sum;
    struct cm_err err;

    (void)state;
    forget();
    acts = 0;
    make_plan(&plan);
    plan.steps[3].live = true;
    assert_int_equal(op_plan_show(&plan, &sum, &err), 0);
    assert_int_equal(sum.changed, 3);
    assert_int_equal(acts, 0);
    assert_int_equal(plan.steps[3].result, OP_SKIPPED);
    op_plan_clear(&plan);
}

static struct op_defects found[2];

static int survey_check(struct op_step *s, struct cm_err *err)
{
    struct op_defects *mine = s->defects;

    op_defects_clear(mine);
    if (mine == &found[0]) {
        return cm_err_set(err, CM_ERR_RETRY, "no connection");
    }
    op_defects_add(mine, "stop it", "port %d", 25);
    op_defects_add(mine, "", "no memory");
    return 1;
}

/* All surveys are done though the first failed; then nothing else is. */
static void test_surveys_end_together(void **state)
{
    struct op_plan plan;
    struct op_summary sum;
    struct cm_err err;

    (void)state;
    forget();
    acts = 0;
    op_plan_init(&plan, dir, true);
    for (int i = 0; i < 3; i++) {
        struct op_step s = {.node = i == 0 ? "store" : "edge1",
                            .name = i < 2 ? "is fit" : "one",
                            .check = i < 2 ? survey_check : fact_check,
                            .act = i < 2 ? NULL : fact_act,
                            .arg = &numbers[0],
                            .defects = i < 2 ? &found[i] : NULL};
        op_plan_add(&plan, &s);
    }
    assert_int_equal(op_plan_run(&plan, &sum, &err), -1);
    assert_string_equal(err.text,
                        "3 things in the way on 2 nodes; nothing was changed");
    assert_string_equal(found[0].items[0].what, "no connection");
    assert_string_equal(found[1].items[0].todo, "stop it");
    assert_int_equal(acts, 0);
    assert_int_equal(plan.steps[1].result, OP_FAILED);
    assert_int_equal(plan.steps[2].result, OP_PENDING);
    assert_int_equal(op_plan_show(&plan, &sum, &err), -1);
    assert_non_null(strstr(err.text, "3 things in the way"));
    plan.steps[1].node = plan.steps[0].node; /* two surveys of one node */
    assert_int_equal(op_plan_show(&plan, &sum, &err), -1);
    assert_non_null(strstr(err.text, "3 things in the way on 1 node;"));
    op_defects_clear(&found[0]);
    op_defects_clear(&found[1]);
    op_plan_clear(&plan);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = system(cmd);

    (void)state;
    free(cmd);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_run_changes_nothing),
        cmocka_unit_test(test_killed_and_resumed),
        cmocka_unit_test(test_torn_journal_line),
        cmocka_unit_test(test_failure_undoes_to_safe_point),
        cmocka_unit_test(test_overlapping_runs),
        cmocka_unit_test(test_act_without_effect_is_a_failure),
        cmocka_unit_test(test_question_and_interrupt),
        cmocka_unit_test(test_dry_run_changes_nothing),
        cmocka_unit_test(test_surveys_end_together),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
