/* journal: what the plan engine did, on the operator's disk, one JSON object per line.
 *
 * Every line is on disk before the engine goes on, so after a kill the last line says
 * which step was under way. The journal only tells; what must still be done is read
 * from the nodes. Holding it open holds the lock: two runs over one chatmail.ini cannot
 * overlap. */
#ifndef OP_JOURNAL_H
#define OP_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* A journal longer than this is set aside as journal.jsonl.1 when the next run begins.
 */
#define OP_JOURNAL_MAX (1024 * 1024)

struct op_journal {
    int fd;
    int lock_fd;
    bool interrupted;         /* the run before this one never said how it ended */
    char interrupted_at[160]; /* "NODE: STEP", or "" when it was between steps */
};

/* Makes `dir` when needed. Another holder of the lock is an error that names its pid.
 */
CM_MUSTUSE int op_journal_open(const char *dir, struct op_journal *j_r,
                               struct cm_err *err);
/* event: "run-start", "start", "end", "undo", "run-end". node, step, result, error may
 * be NULL. ms < 0 leaves the duration out. */
struct op_entry {
    const char *event;
    const char *node;
    const char *step;
    const char *result;
    const char *error;
    int64_t ms;
};
CM_MUSTUSE int op_journal_write(struct op_journal *j, const struct op_entry *entry,
                                struct cm_err *err);
void op_journal_close(struct op_journal *j);

#endif
