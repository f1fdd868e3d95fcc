/* core: the chat core (deltachat-rpc-server) as a child on the event loop: calls with
 * answers as callbacks, its events, and its life.
 *
 * A core that ends, says a line over the limit, does not read its stdin, or leaves a
 * call unanswered is killed and started again after a pause (1 s, doubling to 60 s
 * until core_settled). It is asked once a minute whether it is there. */
#ifndef ECHO_CORE_H
#define ECHO_CORE_H

#include <stdint.h>

#include <jansson.h>

#include "common/err.h"
#include "common/loop.h"

#define CORE_LINE_MAX (8u << 20) /* bytes of a line it says */
#define CORE_OUT_MAX  (1u << 20) /* bytes that wait for it to read */
#define CORE_CALLS    8          /* without an answer, at a time */

struct core;

struct core_hooks {
    /* It runs: calls may be made. */
    void (*up)(void *ctx);
    /* It is gone, with its calls; it is started again by itself. */
    void (*down)(const struct cm_err *why, void *ctx);
    /* kind: such as "IncomingMsg". */
    void (*event)(const char *kind, void *ctx);
    void *ctx;
};

/* program and dir (where it keeps its accounts) must outlive the core. The first start
 * is at the next turn of the loop. */
struct core *core_new(struct cm_loop *loop, const char *program, const char *dir,
                      const struct core_hooks *hooks);
/* Closes its stdin, gives it three seconds to end, then kills it. Not from a callback.
 */
void core_free(struct core **core);

/* result is NULL when the core said an error: err has it, kind REFUSE. Borrowed. */
typedef void (*core_cb)(json_t *result, const struct cm_err *err, void *ctx);

/* params is taken over, an array. cb comes once, later; not at all when the core goes
 * down first. No answer within timeout_ms is such a case. Only while it is up. */
void core_call(struct core *core, const char *method, json_t *params,
               int64_t timeout_ms, core_cb cb, void *ctx);

/* Ends this run of it, as if it had died. */
void core_restart(struct core *core, const char *reason);
/* All went well since the start: the next pause is short again. */
void core_settled(struct core *core);
uint64_t core_restarts(const struct core *core);

#endif
