/* run: start a program, feed it text, collect what it says, with a time limit.
 *
 * No shell: argv goes to execvp as it is. The child gets stdin/stdout/stderr, nothing
 * else, default signal dispositions, and its own process group, which is killed when
 * the time is over. The run has ended when the program itself has: a daemon that it
 * left behind may keep the pipes. Blocking: for one-shot tools, and for daemons only
 * where the header says. */
#ifndef CM_RUN_H
#define CM_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct cm_run {
    const char *const *argv; /* NULL-terminated */
    const char *input;       /* fed to stdin; NULL means /dev/null */
    size_t input_len;        /* 0 with non-NULL input means strlen(input) */
    int64_t timeout_ms;      /* 0 means 60 000 */
    size_t max_output;       /* per stream; 0 means 16 MiB; more is read and dropped */
    /* When set, called with each chunk of stdout/stderr (fd 1 or 2) as it comes, in
     * addition to collecting. */
    void (*on_output)(int fd, const char *data, size_t n, void *ctx);
    /* When set, called once a second while it runs; with false the run ends as if its
     * time were over. */
    bool (*on_wait)(int64_t elapsed_ms, void *ctx);
    void *ctx; /* of both */
};

struct cm_run_result {
    int exit_code;  /* 0..255; 128+N when killed by signal N */
    bool by_signal; /* so it was, and did not say 128+N itself */
    struct cm_buf out;
    struct cm_buf err;
};

/* Returns 0 when the program ran and ended by itself, whatever its exit code. -1 when
 * it could not be started (WORLD) or ran out of time (RETRY; res has what it said so
 * far). res is initialised in both cases and must be cleared by the caller. */
CM_MUSTUSE int cm_run(const struct cm_run *run, struct cm_run_result *res,
                      struct cm_err *err);
void cm_run_result_clear(struct cm_run_result *res);

/* cm_run, and a non-zero exit is an error too: "PROGRAM failed (exit N): last line of
 * stderr". out may be NULL; else receives a malloc'd stdout. */
CM_MUSTUSE int cm_run_ok(const struct cm_run *run, char **out, struct cm_err *err);

#endif
