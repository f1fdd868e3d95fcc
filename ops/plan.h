/* plan: lists of steps, shown, run, journalled, resumed and undone by one engine.
 *
 * Level-triggered: every step's check reads the world, and act is called only when the
 * check says so; after act the check must hold. So a run that was killed anywhere is
 * continued by running again, and a second run changes nothing. The journal only lets
 * the engine say where it was interrupted. */
#ifndef OP_PLAN_H
#define OP_PLAN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "defects.h"
#include "journal.h"

enum op_result {
    OP_PENDING, /* not reached */
    OP_OK,      /* was right already, or only had to be waited for */
    OP_CHANGED,
    OP_SKIPPED, /* dry run of a live step */
    OP_FAILED,
};

struct op_step {
    const char *node; /* borrowed */
    const char *name; /* borrowed; node and name together are unique in a plan */
    /* 1 the world is as wanted, 0 it is not (note says what is missing), -1 unknown. */
    int (*check)(struct op_step *step, struct cm_err *err);
    /* Dry run, after check gave 0: what act would write, as unified diffs. May be NULL.
     */
    int (*diff)(struct op_step *step, struct cm_buf *out, struct cm_err *err);
    /* NULL: the check is all, and 0 means failure with the note as reason. */
    int (*act)(struct op_step *step, struct cm_err *err);
    /* 1 taken back (note says how), 0 there was nothing to take back, -1. May be NULL.
     */
    int (*undo)(struct op_step *step, struct cm_err *err);
    /* A survey: its check puts here what is in the way and returns 1; a failed check is
     * one thing more. Surveys that follow each other are all done, then the plan ends
     * when there is anything, with one list. NULL: no survey. */
    struct op_defects *defects;
    void *ctx;
    const void *arg;
    bool live;        /* looks at what earlier steps started: left out of a dry run */
    bool waits;       /* act changes nothing, it waits */
    bool safe_point;  /* undo stops here */
    bool undo_wanted; /* set by act: when it fails, or had no effect, take back up to
                       * the last safe point; not when a connection was lost, for then
                       * the next run goes on */
    enum op_result result;
    char note[200]; /* for the operator: "3 files", "restarted" */
};

struct op_plan {
    struct op_step *steps;
    size_t count;
    size_t cap;
    const char *dir; /* DIR/.chatops, for journal and lock */
    bool json;       /* one JSON object per line instead of prose */
    /* Asked once, before the first act that changes something. NULL: no question. */
    bool (*confirm)(void *ctx);
    void *confirm_ctx;
    const volatile sig_atomic_t *interrupted; /* looked at between steps; may be NULL */
    struct cm_buf
        *diff; /* of the step being shown, as JSON wants it; the engine's own */
};

struct op_summary {
    size_t changed;
    size_t ok;
    bool stopped;         /* by the operator: a signal, or "no" to the question */
    char resumed_at[160]; /* as in op_journal.interrupted_at */
};

void op_plan_init(struct op_plan *plan, const char *dir, bool json);
void op_plan_clear(struct op_plan *plan);
/* Copies the step. Pointers into steps move with the next add. */
void op_plan_add(struct op_plan *plan, const struct op_step *step);
void op_step_note(struct op_step *step, const char *fmt, ...) CM_PRINTF(2, 3);

/* From now on SIGINT and SIGTERM let the plan finish its step and stop; the second one
 * ends the program at once, and the next run goes on. For the whole process. */
void op_plan_catch(struct op_plan *plan);

/* Checks every step, prints what would be done, changes nothing. summary->changed
 * counts the steps that would act. A failed check ends it. */
CM_MUSTUSE int op_plan_show(struct op_plan *plan, struct op_summary *summary,
                            struct cm_err *err);
/* Runs. On failure err names the step; summary is filled in both cases. */
CM_MUSTUSE int op_plan_run(struct op_plan *plan, struct op_summary *summary,
                           struct cm_err *err);

#endif
