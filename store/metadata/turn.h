/* turn: asks the TURN server's control socket for credentials (relay-spec.md 2.4.2,
 * 2.15): connect, read one line, done. */
#ifndef METADATA_TURN_H
#define METADATA_TURN_H

#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

#define TURN_LIMIT_MS 4500 /* Dovecot warns about 5 s */
#define TURN_LINE_MAX 512
#define TURN_ASKS_MAX 1024 /* at a time; one more fails */

/* One question. */
struct turn;

/* line: without blanks around it and its line feed, valid during the callback; NULL
 * when there is none, with the reason in err (WORLD: no such socket). Exactly one call,
 * never before turn_ask returns; the question is over then. */
typedef void (*turn_cb)(const char *line, const struct cm_err *err, void *ctx);

struct turns;

struct turns *turns_new(struct cm_loop *loop);
void turns_free(struct turns **turns); /* what is under way gets no callback */

CM_MUSTUSE int turn_ask(struct turns *turns, const char *path, turn_cb cb, void *ctx,
                        struct cm_err *err);

#endif
