/* turn: what the store's TURN servers are configured with: one per gateway, so that
 * what is relayed for a caller goes out by the gateway he came in by (coturn spreads
 * callers over all relay addresses it has). Number 0 is that of a store without
 * gateways. Private to the stack. */
#ifndef OP_TURN_H
#define OP_TURN_H

#include <stdbool.h>

#include "stack.h"

/* "chatmail-turn@1.service"; static. */
const char *op_turn_unit(int64_t number);
/* The numbers there are; at most CM_GATEWAYS_MAX. */
size_t op_turn_numbers(const struct cm_conf *conf, int64_t numbers[CM_GATEWAYS_MAX]);
/* Adds their files. */
CM_MUSTUSE int op_turn_files(const struct cm_conf *conf, const char *text, bool ipv6,
                             struct op_files *files, struct cm_err *err);

#endif
