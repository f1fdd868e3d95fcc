/* rpc: the Delta Chat core as a child process, JSON-RPC 2.0 one object per line on
 * stdio.
 *
 * Private to this directory: it shows jansson. One request for the next batch of events
 * is always in flight, so events come in during every call and every wait; they are
 * stamped when they are read and kept, in order, until somebody takes them. Limits:
 * line RPC_LINE_MAX (longer: the server is given up), RPC_EVENTS_MAX kept events (then
 * the oldest is dropped and counted). One call at a time. */
#ifndef CHAT_RPC_H
#define CHAT_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/err.h"

#define RPC_LINE_MAX   (16u * 1024 * 1024)
#define RPC_EVENTS_MAX 8192

struct rpc;

struct rpc_event {
    int64_t at_ms; /* monotonic, when its line was read */
    unsigned account;
    char kind[40];
    json_t *body; /* the "event" object */
};

/* argv is NULL-terminated and goes to execvp. The child's stderr, and the core's own
 * log events (Info, Warning, Error), go to log_path; NULL discards them. */
struct rpc *rpc_open(const char *const *argv, const char *log_path, struct cm_err *err);
/* Closes its stdin, gives it two seconds to end, then kills it. Accepts a NULL inside.
 */
void rpc_close(struct rpc **rpc);

/* params is taken over, an array. *result_r (may be NULL) is a new reference. An error
 * of the server is kind REFUSE with its message; a time-out or a dead server is RETRY.
 */
CM_MUSTUSE int rpc_call(struct rpc *rpc, const char *method, json_t *params,
                        int64_t timeout_ms, json_t **result_r, struct cm_err *err);

/* Takes the first kept event that matches, waiting until `until_ms` (monotonic; 0: only
 * what has come already). Returns 1 with event_r (clear it), 0 none in time, -1 the
 * server is gone. */
typedef bool (*rpc_match)(const struct rpc_event *event, void *ctx);
CM_MUSTUSE int rpc_take(struct rpc *rpc, rpc_match match, void *ctx, int64_t until_ms,
                        struct rpc_event *event_r, struct cm_err *err);
void rpc_event_clear(struct rpc_event *event);

/* Events dropped because nobody took them. */
size_t rpc_dropped(const struct rpc *rpc);

#endif
