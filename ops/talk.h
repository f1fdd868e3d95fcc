/* talk: a conversation over TLS with a public port, line by line and with a time limit.
 *
 * Blocking, for a probe from the operator's machine. The certificate is not judged
 * here, only read: a probe tells where a message gets stuck, and what it sends is worth
 * nothing to anybody. A line longer than OP_TALK_LINE is an error. */
#ifndef OP_TALK_H
#define OP_TALK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "reach.h"

#define OP_TALK_LINE 2048

struct op_talk;

/* Connects and does TLS. NULL: err says why, *reach_r how the connect went (OK: TLS
 * failed). */
struct op_talk *op_talk_open(const char *address, uint16_t port, const char *name,
                             int64_t limit_ms, enum op_reach *reach_r,
                             struct cm_err *err);
void op_talk_close(struct op_talk **talk); /* accepts a pointer to NULL */

CM_MUSTUSE int op_talk_say(struct op_talk *talk, const char *text, struct cm_err *err);
/* One line without its end. 1, 0 nothing came in limit_ms, -1 closed or trouble. */
CM_MUSTUSE int op_talk_hear(struct op_talk *talk, int64_t limit_ms,
                            char line[OP_TALK_LINE], struct cm_err *err);

/* When the certificate that the other end showed ends, Unix time; -1: unknown. */
int64_t op_talk_cert_end_s(const struct op_talk *talk);

#endif
