/* status_budget: what chatops status says of a gateway's traffic budget. */
#ifndef OP_STATUS_BUDGET_H
#define OP_STATUS_BUDGET_H

#include <stdbool.h>

#include <jansson.h>

#define OP_BUDGET_TEXT 200

/* gateway: of "ctl status". True when its owner should know: from 80 % on. */
bool op_status_budget(const json_t *gateway, char out[OP_BUDGET_TEXT]);

#endif
