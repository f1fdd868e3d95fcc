/* jsonrpc: a child process spoken to by JSON-RPC 2.0 over its stdin and stdout, one
 * object per line: its pipes, a request as a line, and what it said as objects. How
 * long to wait, and for what, is the caller's. */
#ifndef JSONRPC_H
#define JSONRPC_H

#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/err.h"

struct jsonrpc_child {
    pid_t pid; /* leads a process group of its own */
    int to;    /* its stdin, non-blocking */
    int from;  /* its stdout, non-blocking */
};

/* argv is NULL-terminated and goes to execvp; the child has default signals. log_fd is
 * its stderr, -1 for /dev/null. SIGPIPE is ignored in this process from now on: a child
 * that dies shall be an error of the next write. WORLD when it cannot be started. */
CM_MUSTUSE int jsonrpc_spawn(const char *const *argv, int log_fd,
                             struct jsonrpc_child *child_r, struct cm_err *err);

/* A request as a line, LF included; params (an array) is taken over. Caller frees. */
char *jsonrpc_request(int64_t id, const char *method, json_t *params);

/* The next whole line behind *used that is a JSON object, as a new reference, or NULL
 * when there is none. *used moves behind what was looked at; the caller consumes it
 * from `in`. Other lines are passed over. */
json_t *jsonrpc_next(const struct cm_buf *in, size_t *used);

/* The answer's error as REFUSE "METHOD: message", -1; or 0 when it has none. */
CM_MUSTUSE int jsonrpc_error(const json_t *answer, const char *method,
                             struct cm_err *err);

#endif
