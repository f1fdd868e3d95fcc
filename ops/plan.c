#include "plan.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "common/clock.h"
#include "common/mem.h"
#include "interrupt.h"
#include "say.h"

static const char *const result_names[] = {
    [OP_PENDING] = "pending", [OP_OK] = "ok",         [OP_CHANGED] = "changed",
    [OP_SKIPPED] = "later",   [OP_FAILED] = "failed",
};

static const enum op_colour result_colours[] = {
    [OP_PENDING] = OP_PLAIN, [OP_OK] = OP_GREEN,   [OP_CHANGED] = OP_YELLOW,
    [OP_SKIPPED] = OP_PLAIN, [OP_FAILED] = OP_RED,
};

void op_plan_init(struct op_plan *plan, const char *dir, bool json)
{
    *plan = (struct op_plan){.dir = dir, .json = json};
}

void op_plan_clear(struct op_plan *plan)
{
    free(plan->steps);
    plan->steps = NULL;
    plan->count = plan->cap = 0;
}

void op_plan_add(struct op_plan *plan, const struct op_step *step)
{
    cm_assert(step->check != NULL && step->node != NULL && step->name != NULL);
    if (plan->count == plan->cap) {
        plan->cap = plan->cap == 0 ? 32 : plan->cap * 2;
        plan->steps = cm_realloc_array(plan->steps, plan->cap, sizeof(*plan->steps));
    }
    plan->steps[plan->count++] = *step;
}

void op_step_note(struct op_step *step, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(step->note, sizeof(step->note), fmt, ap);
    va_end(ap);
}

/* ---- interruption ---- */

void op_plan_catch(struct op_plan *plan)
{
    plan->interrupted =
        op_interrupt_catch("\nchatops: stopping after this step; once more: at once\n");
}

/* ---- what the operator sees ---- */

#define NOTE_COLUMNS 17 /* what 80 have left; a longer note gets lines of its own */

/* On a terminal the step is named while it is under way; the line is finished in place.
 */
static void print_begin(const struct op_plan *plan, size_t i)
{
    const struct op_step *s = &plan->steps[i];

    op_busy("[%2zu/%zu] %-8s %-27s ... ", i + 1, plan->count, s->node, s->name);
}

static void print_json(const struct op_step *s, const char *verdict, int64_t ms,
                       const struct cm_buf *diff)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:o}", "node", s->node, "step", s->name,
                          "result", verdict, "ms", (json_int_t)ms, "note",
                          op_answer_text(s->note));
    if (s->defects != NULL && s->defects->count > 0) {
        json_object_set_new(o, "defects", op_defects_json(s->defects));
    }
    if (diff != NULL && diff->len > 0) {
        json_object_set_new(o, "diff", op_answer_text(diff->data));
    }

    op_answer_event("step", o);
}

static void print_end(const struct op_plan *plan, size_t i, const char *verdict,
                      int64_t ms)
{
    const struct op_step *s = &plan->steps[i];

    op_busy("%s", "");
    if (plan->json) {
        print_json(s, verdict, ms, plan->diff);
        return;
    }
    printf("%s[%2zu/%zu] %-8s %-27s ", isatty(STDOUT_FILENO) ? "\r\033[K" : "", i + 1,
           plan->count, s->node, s->name);
    bool fits = strlen(s->note) <= NOTE_COLUMNS;
    op_say(result_colours[s->result], "%-7s %5.1f s%s%s", verdict, (double)ms / 1000,
           s->note[0] != '\0' && fits ? "  " : "", fits ? s->note : "");
    if (!fits) {
        op_say_wrapped(OP_PLAIN, "                 ", s->note);
    }
}

/* ---- surveys ---- */

static bool is_wrong(const struct op_step *s)
{
    return s->defects != NULL && s->defects->count > 0;
}

/* The list names the node before each text already. */
/* Surveys of one node count once. */
static bool is_wrong_later(const struct op_plan *plan, size_t i, size_t last)
{
    for (size_t k = i + 1; k <= last; k++) {
        if (is_wrong(&plan->steps[k]) &&
            strcmp(plan->steps[k].node, plan->steps[i].node) == 0) {
            return true;
        }
    }
    return false;
}

static int survey(struct op_step *s, struct cm_err *err)
{
    size_t n = strlen(s->node);

    if (s->check(s, err) < 0) {
        bool named = strncmp(err->text, s->node, n) == 0 && err->text[n] == ':' &&
                     err->text[n + 1] == ' ';
        op_defects_add(s->defects, "", "%s", err->text + (named ? n + 2 : 0));
    }
    if (is_wrong(s)) {
        op_step_note(s, "%zu in the way", s->defects->count);
    }
    return 1;
}

/* After the last of them: is anything in the way? Then all of it is said at once. */
static int end_survey(const struct op_plan *plan, size_t i, struct cm_err *err)
{
    size_t things = 0, nodes = 0;

    if (plan->steps[i].defects == NULL ||
        (i + 1 < plan->count && plan->steps[i + 1].defects != NULL)) {
        return 0;
    }
    for (size_t k = i + 1; k-- > 0 && plan->steps[k].defects != NULL;) {
        things += plan->steps[k].defects->count;
        nodes += is_wrong(&plan->steps[k]) && !is_wrong_later(plan, k, i);
    }
    if (things == 0) {
        return 0;
    }
    for (size_t k = 0; k <= i && !plan->json; k++) {
        if (is_wrong(&plan->steps[k])) {
            op_defects_say(plan->steps[k].node, plan->steps[k].defects);
        }
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "%zu thing%s in the way on %zu node%s; nothing was changed",
                      things, things == 1 ? "" : "s", nodes, nodes == 1 ? "" : "s");
}

/* ---- dry run ---- */

static int show_step(struct op_plan *plan, size_t i, struct cm_err *err)
{
    struct op_step *s = &plan->steps[i];
    struct cm_buf diff;
    int rc;

    if (s->live || (s->waits && s->act != NULL)) {
        s->result = OP_SKIPPED;
        return 0;
    }
    rc = s->defects != NULL ? survey(s, err) : s->check(s, err);
    if (rc != 0) {
        s->result = rc > 0 && !is_wrong(s) ? OP_OK : OP_FAILED;
        return rc > 0 ? 0 : -1;
    }
    if (s->act == NULL) {
        s->result = OP_FAILED;
        return cm_err_set(err, CM_ERR_WORLD, "%s", s->note);
    }
    s->result = OP_CHANGED;
    cm_buf_init(&diff, 8 * 1024 * 1024);
    rc = s->diff == NULL ? 0 : s->diff(s, &diff, err);
    if (rc == 0) {
        plan->diff = &diff;
        print_end(plan, i, "would", 0);
        plan->diff = NULL;
    }
    if (rc == 0 && !plan->json) {
        fwrite(diff.data, 1, diff.len, stdout);
    }
    cm_buf_clear(&diff);
    return rc;
}

int op_plan_show(struct op_plan *plan, struct op_summary *summary, struct cm_err *err)
{
    *summary = (struct op_summary){.changed = 0};
    for (size_t i = 0; i < plan->count; i++) {
        struct op_step *s = &plan->steps[i];
        s->note[0] = '\0';
        print_begin(plan, i);
        if (show_step(plan, i, err) != 0) {
            print_end(plan, i, result_names[s->result], 0);
            return cm_err_prefix(err, "%s: %s", s->node, s->name);
        }
        if (s->result != OP_CHANGED) {
            print_end(plan, i, result_names[s->result], 0);
        }
        if (end_survey(plan, i, err) != 0) {
            return -1;
        }
        summary->changed += s->result == OP_CHANGED;
        summary->ok += s->result == OP_OK;
        if (plan->interrupted != NULL && *plan->interrupted) {
            summary->stopped = true;
            return cm_err_set(err, CM_ERR_WORLD, "interrupted");
        }
    }
    return 0;
}

/* ---- run ---- */

static int ask_before_change(struct op_plan *plan, const struct op_step *step,
                             struct op_summary *summary, struct cm_err *err)
{
    if (plan->confirm == NULL || step->waits || summary->changed > 0) {
        return 0;
    }
    if (!plan->confirm(plan->confirm_ctx)) {
        summary->stopped = true;
        return cm_err_set(err, CM_ERR_REFUSE, "stopped before the first change");
    }
    plan->confirm = NULL;
    return 0;
}

static int act_and_verify(struct op_step *s, struct cm_err *err)
{
    char done[sizeof(s->note)];

    if (s->act(s, err) != 0) {
        return -1;
    }
    memcpy(done, s->note, sizeof(done));
    int rc = s->check(s, err);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD, "was done, but had no effect: %s",
                          s->note);
    }
    memcpy(s->note, done, sizeof(done));
    return rc > 0 ? 0 : -1;
}

static int run_step(struct op_plan *plan, struct op_step *s, struct op_summary *summary,
                    struct cm_err *err)
{
    int rc = s->defects != NULL ? survey(s, err) : s->check(s, err);

    if (rc > 0) {
        s->result = is_wrong(s) ? OP_FAILED : OP_OK;
        return 0;
    }
    s->result = OP_FAILED;
    if (rc < 0) {
        return -1;
    }
    if (s->act == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "%s", s->note);
    }
    if (ask_before_change(plan, s, summary, err) != 0 || act_and_verify(s, err) != 0) {
        return -1;
    }
    s->result = s->waits ? OP_OK : OP_CHANGED;
    return 0;
}

static int journalled_step(struct op_plan *plan, size_t i, struct op_journal *j,
                           struct op_summary *summary, struct cm_err *err)
{
    struct op_step *s = &plan->steps[i];
    struct op_entry entry = {"start", s->node, s->name, NULL, NULL, -1};
    int64_t from = cm_now_mono_ms();
    struct cm_err journal_err;

    s->note[0] = '\0';
    if (op_journal_write(j, &entry, err) != 0) {
        return -1;
    }
    print_begin(plan, i);
    int rc = run_step(plan, s, summary, err);
    entry = (struct op_entry){"end",
                              s->node,
                              s->name,
                              result_names[s->result],
                              rc == 0 ? NULL : err->text,
                              cm_now_mono_ms() - from};
    int written = op_journal_write(j, &entry, &journal_err);
    if (rc != 0 && !summary->stopped) {
        op_step_note(s, "%s", "");
    }
    print_end(plan, i, result_names[s->result], entry.ms);
    if (rc == 0 && written != 0) {
        *err = journal_err;
        return -1;
    }
    summary->changed += s->result == OP_CHANGED;
    summary->ok += s->result == OP_OK;
    return rc == 0 ? 0 : cm_err_prefix(err, "%s: %s", s->node, s->name);
}

static void add_text(struct cm_err *err, const char *fmt, ...) CM_PRINTF(2, 3);

static void add_text(struct cm_err *err, const char *fmt, ...)
{
    size_t len = strlen(err->text);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text + len, sizeof(err->text) - len, fmt, ap);
    va_end(ap);
}

/* Takes back, last first, what this run changed since the last safe point. The failure
 * that asked for it stays the error; what was taken back, or could not be, is added to
 * its text. */
static void undo_back(struct op_plan *plan, size_t failed, struct op_journal *j,
                      struct cm_err *err)
{
    for (size_t i = failed + 1; i-- > 0;) {
        struct op_step *s = &plan->steps[i];
        struct cm_err undo_err = {.text = ""}, ignored;
        if (s->safe_point && i < failed) {
            return;
        }
        if (s->undo == NULL || (s->result != OP_CHANGED && i != failed)) {
            continue;
        }
        s->note[0] = '\0';
        int rc = s->undo(s, &undo_err);
        if (rc == 0) {
            continue;
        }
        struct op_entry entry = {"undo",
                                 s->node,
                                 s->name,
                                 rc > 0 ? "ok" : "failed",
                                 rc > 0 ? NULL : undo_err.text,
                                 -1};
        if (op_journal_write(j, &entry, &ignored) != 0) {
            /* the undo itself matters more than its record */
        }
        if (!plan->json) {
            op_say(OP_YELLOW, "        %-8s %-27s taken back  %s", s->node, s->name,
                   rc > 0 ? s->note : "FAILED");
        }
        if (rc < 0) {
            add_text(err, "; taking back \"%s: %s\" failed: %s", s->node, s->name,
                     undo_err.text);
            return;
        }
        add_text(err, "; \"%s: %s\" was taken back%s%s", s->node, s->name,
                 s->note[0] != '\0' ? ": " : "", s->note);
    }
}

static void say_resumed(const struct op_plan *plan, const struct op_journal *j)
{
    if (!j->interrupted || plan->json) {
        return;
    }
    if (j->interrupted_at[0] != '\0') {
        op_say(OP_YELLOW, "resuming after an interrupted run at step %s",
               j->interrupted_at);
    } else {
        op_say(OP_YELLOW, "resuming after an interrupted run");
    }
}

static int run_steps(struct op_plan *plan, struct op_journal *j,
                     struct op_summary *summary, struct cm_err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->interrupted != NULL && *plan->interrupted) {
            summary->stopped = true;
            return cm_err_set(err, CM_ERR_WORLD,
                              "interrupted before step %s: %s; run it again to go on",
                              plan->steps[i].node, plan->steps[i].name);
        }
        if (journalled_step(plan, i, j, summary, err) != 0) {
            if (plan->steps[i].undo_wanted && err->kind != CM_ERR_RETRY) {
                undo_back(plan, i, j, err);
            }
            return -1;
        }
        if (end_survey(plan, i, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int op_plan_run(struct op_plan *plan, struct op_summary *summary, struct cm_err *err)
{
    struct op_journal j;
    struct op_entry begin = {.event = "run-start", .ms = -1};
    struct op_entry end = {.event = "run-end", .ms = -1};
    struct cm_err end_err;
    int rc = -1;

    *summary = (struct op_summary){.changed = 0};
    if (op_journal_open(plan->dir, &j, err) != 0) {
        return -1;
    }
    say_resumed(plan, &j);
    if (j.interrupted) {
        memcpy(summary->resumed_at, j.interrupted_at, sizeof(summary->resumed_at));
    }
    if (op_journal_write(&j, &begin, err) == 0) {
        rc = run_steps(plan, &j, summary, err);
        end.result = rc == 0 ? "ok" : summary->stopped ? "stopped" : "failed";
        end.error = rc == 0 ? NULL : err->text;
        if (op_journal_write(&j, &end, &end_err) != 0 && rc == 0) {
            *err = end_err;
            rc = -1;
        }
    }
    op_journal_close(&j);
    return rc;
}
