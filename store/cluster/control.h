/* control: the unix socket that `chatmail-cluster ctl` speaks to, for root only.
 *
 * One request per connection: the first line is the verb, the rest up to end of file
 * its input; the answer is one line of JSON, {"error":"..."} when it failed. Limits:
 * CM_BUS_MAX bytes of request, CONTROL_ANSWER of answer, CONTROL_MAX connections,
 * CONTROL_MS for the request. */
#ifndef CONTROL_H
#define CONTROL_H

#include "common/err.h"
#include "common/loop.h"

#define CONTROL_PATH   "/run/chatmail-cluster/control.sock"
#define CONTROL_MAX    32
#define CONTROL_ANSWER (1u << 20)
#define CONTROL_MS     10000

struct control;
struct control_call; /* one request waiting for its answer */

/* Must be answered by exactly one control_answer, now or later; input is NUL-terminated
 * and valid until then. */
typedef void (*control_cb)(struct control_call *call, const char *verb,
                           const char *input, void *ctx);

struct control *control_new(struct cm_loop *loop, control_cb cb, void *ctx);
void control_free(struct control **control);
/* Takes ownership of fd. */
void control_adopt(struct control *control, int fd);
/* json without line feed. */
void control_answer(struct control_call *call, const char *json);
void control_refuse(struct control_call *call, const struct cm_err *err);

#endif
