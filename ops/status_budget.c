#include "status_budget.h"

#include <stdio.h>

#define WARN_PERCENT 80

bool op_status_budget(const json_t *gateway, char out[OP_BUDGET_TEXT])
{
    const json_t *o_budget = json_object_get(gateway, "budget"),
                 *o_bytes = json_object_get(gateway, "month_bytes");
    long long budget = json_integer_value(o_budget),
              bytes = json_integer_value(o_bytes);
    const char *name = json_string_value(json_object_get(gateway, "name"));

    if (budget <= 0 || bytes < budget / 100 * WARN_PERCENT) {
        return false;
    }
    snprintf(out, OP_BUDGET_TEXT,
             "%s has carried %lld GB this month, %.0f %% of its budget%s",
             name != NULL ? name : "?", bytes / 1000000000,
             (double)bytes * 100 / (double)budget,
             bytes >= budget ? "; mail leaves by the other gateways" : "");
    return true;
}
