/* host: a node of the cluster as seen from the operator's machine, over OpenSSH.
 *
 * One master connection per node; every command is a channel of it. The host key is
 * pinned at first use in the cluster's own known_hosts. Target "" is this machine: the
 * same commands go to sh. Errors begin with the node's name and say what to do. */
#ifndef OP_HOST_H
#define OP_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/run.h"

#define OP_HOST_ARGS 8

struct op_host {
    char name[40];    /* "store" or the gateway's name */
    char target[256]; /* as ssh(1) takes it; "" for this machine */
    char control[108];
    char known_hosts[512];
    bool open;
    bool verbose; /* show what programs on the node say */
};

/* One POSIX shell script on the node; args are its $1, $2, ... */
struct op_cmd {
    const char *script;
    const char *args[OP_HOST_ARGS]; /* ended by NULL */
    const char *input;              /* as in struct cm_run */
    size_t input_len;
    int64_t timeout_ms; /* 0: 60 s */
    /* As in struct cm_run; NULL: the time is shown. ctx is of both. */
    void (*on_output)(int fd, const char *data, size_t n, void *ctx);
    bool (*on_wait)(int64_t elapsed_ms, void *ctx);
    void *ctx;
    size_t max_output; /* kept of each stream, as in struct cm_run */
    bool repeatable;   /* changes nothing: tried again once after a lost connection */
};

/* state_dir: DIR/.chatops, where known_hosts is kept. Connects to nothing yet. */
void op_host_init(struct op_host *h, const char *name, const char *target,
                  const char *state_dir);
/* Ends the master connection. */
void op_host_close(struct op_host *h);

/* 0 when the script ran, whatever its exit code; -1 no connection, or out of time. res
 * is initialised in both cases and the caller clears it. */
CM_MUSTUSE int op_host_exec(struct op_host *h, const struct op_cmd *cmd,
                            struct cm_run_result *res, struct cm_err *err);
/* The same, and a non-zero exit is an error with the last line the script said. out may
 * be NULL; else a malloc'd stdout without its final newline. */
CM_MUSTUSE int op_host_run(struct op_host *h, const struct op_cmd *cmd, char **out,
                           struct cm_err *err);
/* A question: repeatable, exit 0 wanted. */
CM_MUSTUSE int op_host_ask(struct op_host *h, const char *script, char **out,
                           struct cm_err *err);

/* Replaces a file on the node atomically: temporary beside it, owner, mode, sync,
 * rename. A connection lost on the way leaves the old file. Directories are made, 0755.
 */
CM_MUSTUSE int op_host_put(struct op_host *h, const char *path, const void *data,
                           size_t len, const char *owner, mode_t mode,
                           struct cm_err *err);
/* 1 read, 0 no such file, -1. Caller frees. */
CM_MUSTUSE int op_host_get(struct op_host *h, const char *path, char **data_r,
                           struct cm_err *err);

struct op_file_state {
    bool present;
    char hash[65];
    char owner[80]; /* "root:root" */
    mode_t mode;
};
/* State of many files in one round trip, in the order asked. */
CM_MUSTUSE int op_host_states(struct op_host *h, const char *const *paths, size_t n,
                              struct op_file_state *out, struct cm_err *err);

/* 'text' quoted for a POSIX shell. Caller frees. */
char *op_shell_quote(const char *text);
/* The last line of text that is not blank; "" when there is none. */
void op_last_line(const char *text, char *out, size_t size);

#endif
