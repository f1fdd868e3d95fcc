/* state: what every file of the lab shares: its directories, lock, progress lines, and
 * short ways to run a tool. */
#ifndef LAB_STATE_H
#define LAB_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#include "lab.h"

struct lab {
    char *dir;      /* absolute */
    char *packages; /* where our own .deb files are, may not exist */
    char *tag;      /* begins the names of our namespaces and cgroups */
    bool quiet;
    int lock_fd; /* -1: not held */
    unsigned lock_depth;
    char image[17]; /* hash of the base image, "" until image_ready() */
    char *origin;   /* for lab_origin() */
};

/* What the running nodes stand on; kept in DIR/up, absent when the lab is down. */
struct state_stack {
    char *snapshot; /* "" when bare */
    char *image;
    char *layers; /* ids, oldest first, separated by blanks; "" when bare */
    bool ready;   /* all nodes have come up; else a command is at work or was killed */
};

/* Takes the lab's lock; says so on stderr and waits when another command holds it.
 * Nests. */
CM_MUSTUSE int state_lock(struct lab *lab, struct cm_err *err);
void state_unlock(struct lab *lab);

/* 1 read, 0 the lab is down, -1 error. */
CM_MUSTUSE int state_read(struct lab *lab, struct state_stack *stack_r,
                          struct cm_err *err);
CM_MUSTUSE int state_write(struct lab *lab, const struct state_stack *stack,
                           struct cm_err *err);
void state_stack_clear(struct state_stack *stack);
/* "key value" lines, as DIR/up and the snapshots' files have them. Caller frees; NULL
 * when there is no such key. */
char *state_field(const char *text, const char *key);

/* "DIR/..." with the format's rest. Caller frees. */
char *state_path(const struct lab *lab, const char *fmt, ...) CM_PRINTF(2, 3);

/* Progress: state_begin() starts the clock (and shows `what` on a terminal);
 * state_end() prints "what  12.3 s" when it took more than a second. */
int64_t state_begin(struct lab *lab, const char *what);
void state_end(struct lab *lab, const char *what, int64_t started_ms);
/* A plain line on stderr unless quiet. */
void state_say(struct lab *lab, const char *fmt, ...) CM_PRINTF(2, 3);

/* Run a tool of this machine; a non-zero exit is an error. Words end with NULL. */
CM_MUSTUSE int tool(struct cm_err *err, const char *program, ...)
    __attribute__((sentinel));
/* The same with text on stdin. */
CM_MUSTUSE int tool_with(struct cm_err *err, const char *input, const char *program,
                         ...) __attribute__((sentinel));
/* Any argv, own time limit; out_r may be NULL. */
CM_MUSTUSE int tool_argv(struct cm_err *err, const char *const *argv,
                         int64_t timeout_ms, char **out_r);
/* Best effort: for cleaning. */
void tool_quietly(const char *program, ...) __attribute__((sentinel));

/* Lower-case hex of SHA-256; 64 digits and NUL. */
void state_hash(const void *data, size_t len, char hex[65]);
CM_MUSTUSE int state_hash_file(const char *path, char hex[65], struct cm_err *err);

#endif
