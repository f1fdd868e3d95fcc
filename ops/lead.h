/* lead: do the addresses that a name has lead to the gateways? Pure; op_add_dns()
 * asks. */
#ifndef OP_LEAD_H
#define OP_LEAD_H

#include <stdbool.h>
#include <stddef.h>

/* own: blank-separated. found: all A and AAAA of the name; each has to be one of ours,
 * for a CA or a client may take any of them. why is set when the answer is no. */
bool op_lead_judge(const char *name, const char *own, const char *const *found,
                   size_t count, char *why, size_t size);

#endif
