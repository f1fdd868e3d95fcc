/* stage: what every scenario stands on: the deployed lab, and the namespace that probes
 * speak from.
 *
 * A stage belongs to one thread and one process. Threads of a scenario may use netns
 * (it is constant), but never the lab. */
#ifndef SCENARIOS_STAGE_H
#define SCENARIOS_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"
#include "lab/lab.h"
#include "scene/scene.h"

#define STAGE_NOTES 600

struct stage {
    struct scene scene;
    bool quick;              /* shorter waits, fewer rounds */
    char netns[64];          /* of node client, "" while that is off */
    char notes[STAGE_NOTES]; /* figures worth reading, shown when all went well */
};

CM_MUSTUSE int stage_open(struct stage *stage_r, bool quick, struct cm_err *err);
void stage_close(struct stage *stage);

/* "12 of 12 mails", "back after 3.1 s": what was measured; joined by "; ". */
void stage_note(struct stage *stage, const char *fmt, ...) CM_PRINTF(2, 3);

/* A shell command in a node whose exit status is an answer, at most 5 minutes. input
 * (may be NULL) goes to its stdin: for what must not stand in an argument. *out_r:
 * stdout and then stderr, caller frees. Returns the status, or -1 when it could not be
 * asked, with *out_r NULL. */
CM_MUSTUSE int stage_ask(struct stage *stage, const char *node, const char *input,
                         char **out_r, struct cm_err *err, const char *fmt, ...)
    CM_PRINTF(6, 7);

void stage_sleep_ms(int64_t ms);

#endif
